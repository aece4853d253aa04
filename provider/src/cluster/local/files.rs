//! Files that survive a kill: a new content replaces the old one as a whole, or not at all.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serving::layout;

use crate::cluster::Error;

/// Start and end of a temporary file's name. A service's name starts with a letter, so nothing takes it for a document.
const TEMPORARY: (&str, &str) = (".put-", ".tmp");
const LOCK_PATIENCE: Duration = Duration::from_mins(1);
const LOCK_POLL: Duration = Duration::from_millis(20);

/// Maps an error of the system for a path.
pub(super) fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Io { action, path: path.display().to_string(), source }
}

/// Creates a directory and its missing parents, readable only by their owner.
pub(super) fn create_directory(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io("create", path))
}

/// Whether `put` may replace a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// The file appears or is replaced.
    Replace,
    /// The file must not be there.
    Create,
}

/// Writes a file of mode 0600 atomically and durably, making its folder if need be. `Ok(false)` if it should be created
/// and is there.
pub(super) fn put(path: &Path, content: &[u8], mode: Mode) -> Result<bool, Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    create_directory(folder)?;
    let failed = |source| io("write", path)(source);
    // Files that tempfile makes have mode 0600.
    let mut file =
        tempfile::Builder::new().prefix(TEMPORARY.0).suffix(TEMPORARY.1).tempfile_in(folder).map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    let persisted = match mode {
        Mode::Replace => file.persist(path),
        Mode::Create => file.persist_noclobber(path),
    };
    match persisted {
        Ok(_) => sync(folder).map(|()| true),
        Err(error) if mode == Mode::Create && error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(error.error)),
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("write", folder))
}

/// Content of a file; none if it is not there.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io("read", path)(error)),
    }
}

/// Removes a file or a whole folder. Not an error if it is not there.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Names in a folder, sorted; none if the folder is not there.
pub(super) fn list(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io("read", folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io("read", folder))?;
        // Nothing that this program makes has another name.
        names.extend(entry.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

/// The lock that writers of documents and keys hold; released when dropped.
pub(super) struct Lock {
    _file: File,
}

/// Takes the writers' lock of a compute directory, and removes the temporary files of writers that were killed.
pub(super) fn lock(directory: &Path) -> Result<Lock, Error> {
    let path = directory.join(layout::SERVICES_LOCK);
    let folder = directory.join(layout::SERVICES);
    create_directory(&folder)?;
    let file = File::options().create(true).append(true).open(&path).map_err(io("open", &path))?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if start.elapsed() > LOCK_PATIENCE => {
                return Err(Error::Locked { path: path.display().to_string(), seconds: LOCK_PATIENCE.as_secs() });
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_POLL),
            Err(TryLockError::Error(error)) => return Err(io("lock", &path)(error)),
        }
    }
    remove_temporary(&folder)?;
    Ok(Lock { _file: file })
}

/// Whether a file of this name is one that [`put`] has not finished.
pub(super) fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1)
}

/// Removes from a folder what killed writers left. Call when nobody writes there.
pub(super) fn remove_temporary(folder: &Path) -> Result<(), Error> {
    let names = list(folder)?;
    names.iter().filter(|name| is_temporary(name)).try_for_each(|name| remove(&folder.join(name)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_only_its_owner_reads_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("deep/er/file.json");
        assert!(put(&path, b"one", Mode::Create).expect("written"));
        assert!(!put(&path, b"two", Mode::Create).expect("there already"));
        assert_eq!(read(&path).expect("read"), Some(b"one".to_vec()));
        assert!(put(&path, b"three", Mode::Replace).expect("written"));
        assert_eq!(read(&path).expect("read"), Some(b"three".to_vec()));
        let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().expect("a parent"))), (0o600, 0o700));
        assert_eq!(list(path.parent().expect("a parent")).expect("listed"), ["file.json"]);
    }

    #[test]
    fn the_lock_excludes_and_clears_what_killed_writers_left() {
        let directory = tempfile::tempdir().expect("a directory");
        let services = directory.path().join("services");
        create_directory(&services).expect("made");
        fs::write(services.join(".put-abc.tmp"), b"half").expect("written");
        let held = lock(directory.path()).expect("locked");
        assert_eq!(list(&services).expect("listed"), [".lock"]);
        let other = File::open(services.join(".lock")).expect("there");
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(held);
        assert!(other.try_lock().is_ok());
    }

    #[test]
    fn what_is_not_there_reads_as_nothing_and_is_removed_without_an_error() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("nothing");
        assert_eq!(read(&path).expect("read"), None);
        assert_eq!(list(&path).expect("listed"), Vec::<String>::new());
        remove(&path).expect("removed");
    }
}
