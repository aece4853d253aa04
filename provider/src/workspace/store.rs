//! Access to a workspace's storage.

use std::fs::{File, TryLockError};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;

use super::error::Error;
use super::id::WorkspaceId;
use crate::storage::Storage;

/// How long a writer waits for a sweep, which takes seconds.
const LOCK_PATIENCE: Duration = Duration::from_mins(15);
/// How long a sweep waits for writers, which may be at work for hours.
const SWEEP_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_POLL: Duration = Duration::from_millis(100);
pub(super) const LOCK_FILE: &str = "catalogue.lock";

/// A workspace's catalogue. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Catalogue {
    pub(super) workspace: WorkspaceId,
    pub(super) store: Arc<dyn ObjectStore>,
    directory: Option<PathBuf>,
}

impl Catalogue {
    /// Access to the storage of a workspace. Touches nothing: the workspace need not exist.
    pub fn open(workspace: &WorkspaceId, _: &Storage) -> Result<Self, Error> {
        let directory = workspace.directory();
        let prefix = directory.as_deref().map_or_else(|| Path::parse(""), Path::from_absolute_path);
        let prefix = prefix.map_err(|source| Error::Storage {
            workspace: workspace.clone(),
            action: "open",
            path: "the root".to_owned(),
            source: Box::new(source.into()),
        })?;
        let store = PrefixStore::new(LocalFileSystem::new().with_fsync(true), prefix);
        Ok(Self { workspace: workspace.clone(), store: Arc::new(store), directory })
    }

    /// Id of the workspace.
    #[must_use]
    pub fn workspace(&self) -> &WorkspaceId {
        &self.workspace
    }

    /// Root directory, if the workspace is stored in a directory of this machine.
    #[must_use]
    pub fn directory(&self) -> Option<&FilePath> {
        self.directory.as_deref()
    }

    /// Keeps blobs from being removed until the guard is dropped: from putting (or finding) a blob to the document
    /// that names it.
    pub async fn hold_blobs(&self) -> Result<Guard, Error> {
        self.lock_patiently(File::try_lock_shared).await
    }

    /// Keeps blobs from being put until the guard is dropped: from looking for names of blobs to the removal of those
    /// without. `None` while writers are at work.
    pub(crate) async fn stop_writers(&self) -> Result<Option<Guard>, Error> {
        self.lock(SWEEP_PATIENCE, File::try_lock).await
    }

    /// Keeps everybody else from writing, waiting for those who do.
    pub(super) async fn exclude_others(&self) -> Result<Guard, Error> {
        self.lock_patiently(File::try_lock).await
    }

    async fn lock_patiently(&self, attempt: fn(&File) -> Result<(), TryLockError>) -> Result<Guard, Error> {
        let locked = self.lock(LOCK_PATIENCE, attempt).await?;
        locked.ok_or_else(|| Error::Locked { workspace: self.workspace.clone(), seconds: LOCK_PATIENCE.as_secs() })
    }

    async fn lock(
        &self,
        patience: Duration,
        attempt: fn(&File) -> Result<(), TryLockError>,
    ) -> Result<Option<Guard>, Error> {
        let Some(directory) = &self.directory else { return Ok(Some(Guard { _file: None })) };
        let path = directory.join(LOCK_FILE);
        let failed = |action, source| Error::Io { action, path: path.display().to_string(), source };
        let mut waited = Duration::ZERO;
        loop {
            create_private_directory(directory).map_err(|source| failed("create the directory of", source))?;
            let file = File::options().create(true).append(true).open(&path);
            let file = file.map_err(|source| failed("open", source))?;
            match attempt(&file) {
                Ok(()) if is_at(&file, &path) => return Ok(Some(Guard { _file: Some(file) })),
                // Removed with the workspace that was here, between the two calls.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if waited >= patience => return Ok(None),
                Err(TryLockError::WouldBlock) => {
                    tokio::time::sleep(LOCK_POLL).await;
                    waited += LOCK_POLL;
                }
                Err(TryLockError::Error(source)) => return Err(failed("lock", source)),
            }
        }
    }

    pub(super) fn failed(&self, action: &'static str, path: &Path, source: object_store::Error) -> Error {
        Error::Storage { workspace: self.workspace.clone(), action, path: path.to_string(), source: Box::new(source) }
    }
}

/// A lock on a workspace's blobs, see [`Catalogue::hold_blobs`].
#[derive(Debug)]
pub struct Guard {
    _file: Option<File>,
}

/// Whether the path still leads to this file.
fn is_at(file: &File, path: &FilePath) -> bool {
    let identity = |metadata: std::fs::Metadata| {
        #[cfg(unix)]
        return (std::os::unix::fs::MetadataExt::dev(&metadata), std::os::unix::fs::MetadataExt::ino(&metadata));
        #[cfg(not(unix))]
        metadata.created().ok()
    };
    let (here, there) = (file.metadata().map(identity), std::fs::metadata(path).map(identity));
    matches!((here, there), (Ok(here), Ok(there)) if here == there)
}

/// Whether somebody holds a lock on a file or directory, for itself alone. What cannot be opened is held by nobody.
#[must_use]
pub fn is_locked(path: &FilePath) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Locks a file for this process alone, however long that takes. Dropping the future gives up.
pub async fn lock_exclusively(file: &File) -> std::io::Result<()> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_POLL).await,
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Creates a directory and its missing parents, readable only by their owner. One that is there is left as it is.
pub fn create_private_directory(directory: &FilePath) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}
