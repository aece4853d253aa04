//! Which files hold a secret.

use std::path::{Path, PathBuf};

/// Every regular file below `directory` that contains one of the texts. Virtual environments and what `terraform init`
/// fetched are left out: they are large and made before any secret exists.
///
/// # Panics
/// When the directory cannot be read.
#[must_use]
pub fn holders_of(directory: &Path, texts: &[&str]) -> Vec<PathBuf> {
    let mut holders = Vec::new();
    search(directory, texts, &mut holders);
    holders
}

fn search(directory: &Path, texts: &[&str], holders: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() && !["venvs", ".terraform"].contains(&entry.file_name().to_string_lossy().as_ref()) {
            search(&entry.path(), texts, holders);
        } else if kind.is_file() {
            let content = std::fs::read(entry.path()).unwrap_or_default();
            if texts.iter().any(|text| content.windows(text.len()).any(|window| window == text.as_bytes())) {
                holders.push(entry.path());
            }
        }
    }
}
