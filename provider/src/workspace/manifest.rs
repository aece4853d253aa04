//! The manifest of a model, made from the files that are registered.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

pub use serving::manifest::{MAX_FILES, Manifest, ManifestFile};

use super::entry::{EntryError, inspect, inspect_entry, unreadable};
use super::hash_cache::HashCache;

/// A manifest with the files that it was made from.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The manifest.
    pub manifest: Manifest,
    /// For each file of the manifest, where it is on this machine.
    pub sources: Vec<PathBuf>,
}

impl Scan {
    /// Reads a file or folder. A link at `path` itself is followed; see [`EntryError`] for what is refused.
    pub fn of(path: &Path, cache: &mut HashCache) -> Result<Self, EntryError> {
        let metadata = inspect(path)?;
        // The name that the user wrote, also where it is a link; `.` and `..` get the name of what they lead to.
        let canonical = || path.canonicalize().ok().and_then(|path| path.file_name().map(OsStr::to_owned));
        let name = path.file_name().map(OsStr::to_owned).or_else(canonical);
        let name = name.as_deref().and_then(OsStr::to_str).ok_or_else(|| EntryError::Name(path.to_owned()))?;
        let mut found = Vec::new();
        if metadata.is_dir() {
            collect(path, name, &mut found, path)?;
            if found.is_empty() {
                return Err(EntryError::Empty(path.to_owned()));
            }
            found.sort_unstable();
        } else {
            found.push((name.to_owned(), path.to_owned()));
        }
        let mut files = Vec::with_capacity(found.len());
        let mut sources = Vec::with_capacity(found.len());
        for (name, source) in found {
            let (digest, size) = cache.digest(&source).map_err(|error| unreadable(&source, error))?;
            files.push(ManifestFile { path: name, size, digest });
            sources.push(source);
        }
        Ok(Self { manifest: Manifest { format: 1, files }, sources })
    }
}

fn collect(folder: &Path, prefix: &str, found: &mut Vec<(String, PathBuf)>, top: &Path) -> Result<(), EntryError> {
    for entry in std::fs::read_dir(folder).map_err(|source| unreadable(folder, source))? {
        let path = entry.map_err(|source| unreadable(folder, source))?.path();
        let name = path.file_name().and_then(OsStr::to_str).ok_or_else(|| EntryError::Name(path.clone()))?;
        let name = format!("{prefix}/{name}");
        if inspect_entry(&path)?.is_dir() {
            collect(&path, &name, found, top)?;
        } else if found.len() == MAX_FILES {
            return Err(EntryError::TooMany { path: top.to_owned(), limit: MAX_FILES });
        } else {
            found.push((name, path));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
