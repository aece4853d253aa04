//! The workspace's numbered documents.

use std::path::{Path, PathBuf};

/// The newest of a folder's revisions, `<number>.json`.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn newest_revision(folder: &Path) -> PathBuf {
    let number = |path: &PathBuf| path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
    let files = std::fs::read_dir(folder).expect("a folder of revisions").flatten().map(|entry| entry.path());
    files.max_by_key(number).expect("a revision")
}
