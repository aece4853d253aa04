//! What a path of the user's machine is, before anything of it is stored.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

/// Why files cannot be taken into the workspace.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Nothing is there.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// It is there but cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// It is neither a file nor a folder.
    #[error("{} is a {what}; only files and folders can be stored", path.display())]
    Special {
        /// The path.
        path: PathBuf,
        /// `socket`, `named pipe`, `device`.
        what: &'static str,
    },
    /// A symbolic link inside a folder that leads nowhere or to a folder.
    #[error("{} is a symbolic link to {target}; inside a folder, only links to files can be stored", path.display())]
    Link {
        /// The link.
        path: PathBuf,
        /// `nothing`, `a folder`.
        target: &'static str,
    },
    /// The name of a file is not UTF-8, so that it has no portable form.
    #[error("the name of {} is not UTF-8; rename the file", .0.display())]
    Name(PathBuf),
    /// No file is in it.
    #[error("folder {} holds no file", .0.display())]
    Empty(PathBuf),
    /// It is not a folder.
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// Too many files.
    #[error("folder {} holds more than {limit} files", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// Too many bytes.
    #[error(
        "folder {} holds more than {} MB of files that are not ignored; list what the service does not need in {}/.amlignore, or remove it",
        path.display(), limit / 1_000_000, path.display()
    )]
    TooLarge {
        /// The folder.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
}

pub(super) fn unreadable(path: &Path, source: std::io::Error) -> EntryError {
    if source.kind() == std::io::ErrorKind::NotFound {
        EntryError::Missing(path.to_owned())
    } else {
        EntryError::Unreadable { path: path.to_owned(), source }
    }
}

/// Follows links: what is at the path in the end, if it is a file or a folder.
pub(super) fn inspect(path: &Path) -> Result<Metadata, EntryError> {
    let metadata = std::fs::metadata(path).map_err(|source| unreadable(path, source))?;
    match special(&metadata) {
        Some(what) => Err(EntryError::Special { path: path.to_owned(), what }),
        None => Ok(metadata),
    }
}

/// As [`inspect`] for an entry of a folder, where links may lead to files only: links to folders make cycles.
pub(super) fn inspect_entry(path: &Path) -> Result<Metadata, EntryError> {
    let itself = std::fs::symlink_metadata(path).map_err(|source| unreadable(path, source))?;
    if !itself.is_symlink() {
        return inspect(path);
    }
    let link = |target| EntryError::Link { path: path.to_owned(), target };
    match inspect(path) {
        Ok(metadata) if metadata.is_dir() => Err(link("a folder")),
        Err(EntryError::Missing(_)) => Err(link("nothing")),
        other => other,
    }
}

#[cfg(unix)]
fn special(metadata: &Metadata) -> Option<&'static str> {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    if kind.is_socket() {
        Some("socket")
    } else if kind.is_fifo() {
        Some("named pipe")
    } else if kind.is_block_device() || kind.is_char_device() {
        Some("device")
    } else {
        None
    }
}

#[cfg(not(unix))]
fn special(metadata: &Metadata) -> Option<&'static str> {
    (!metadata.is_file() && !metadata.is_dir()).then_some("special file")
}
