//! Access to a workspace's storage.

use std::fs::{File, TryLockError};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use objects::{Downloads, Failure, Location, Patience};

use super::error::Error;
use super::id::WorkspaceId;
use super::references::Clusters;
use super::sweep::PATIENCE;
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
    /// For documents and whatever somebody waits for.
    pub(super) store: Arc<dyn ObjectStore>,
    /// For contents, whose transfers are worth more patience.
    pub(super) bulk: Arc<dyn ObjectStore>,
    pub(super) downloads: Downloads,
    directory: Option<PathBuf>,
    location: Option<Location>,
    /// Who reads what services in clusters name.
    pub(super) clusters: Option<Arc<dyn Clusters>>,
}

impl Catalogue {
    /// Access to the storage of a workspace. Touches nothing: the workspace need not exist.
    pub fn open(workspace: &WorkspaceId, storage: &Storage) -> Result<Self, Error> {
        if let Some(location) = workspace.location() {
            let open = |patience| {
                storage
                    .open(&location, patience)
                    .map_err(|source| Error::Unreachable { workspace: workspace.clone(), source })
            };
            let (store, bulk) = (open(Patience::Short)?, open(Patience::Long)?);
            let (workspace, location) = (workspace.clone(), Some(location));
            let downloads = Downloads::default();
            return Ok(Self { workspace, store, bulk, downloads, directory: None, location, clusters: None });
        }
        let directory = workspace.directory();
        let prefix = directory.as_deref().map_or_else(|| Path::parse(""), Path::from_absolute_path);
        let prefix = prefix.map_err(|source| Error::Storage {
            workspace: workspace.clone(),
            action: "open",
            path: "the root".to_owned(),
            source: Box::new(source.into()),
        })?;
        let store: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(LocalFileSystem::new().with_fsync(true), prefix));
        let (workspace, bulk) = (workspace.clone(), store.clone());
        let downloads = Downloads::default();
        Ok(Self { workspace, store, bulk, downloads, directory, location: None, clusters: None })
    }

    /// The same, which can ask for the services of computes that are in clusters.
    #[must_use]
    pub fn seeing(self, clusters: Arc<dyn Clusters>) -> Self {
        Self { clusters: Some(clusters), ..self }
    }

    /// The workspace of a location in any store.
    #[cfg(test)]
    pub(super) fn over(workspace: &WorkspaceId, store: Arc<dyn ObjectStore>) -> Self {
        let (workspace, location) = (workspace.clone(), workspace.location());
        let (downloads, bulk) = (Downloads::default(), store.clone());
        Self { workspace, store, bulk, downloads, directory: None, location, clusters: None }
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

    /// Whether the workspace is in an object store, which has no locks.
    #[must_use]
    pub const fn is_remote(&self) -> bool {
        self.location.is_some()
    }

    /// Directory of this machine for what is made from the workspace and can be made again, such as virtual
    /// environments: the workspace's own, or of one in an object store a folder of the user's cache. `None` if the user
    /// has no cache.
    #[must_use]
    pub fn workshop(&self) -> Option<PathBuf> {
        let cached = || {
            let name = serving::cluster::workspace_hash(self.workspace.as_str());
            Some(crate::user_cache::directory()?.join("workspaces").join(name))
        };
        self.directory.clone().or_else(cached)
    }

    /// Keeps blobs from being removed until the guard is dropped: from putting (or finding) a blob to the document
    /// that names it. In an object store nothing is locked; see [`sweep`](super::sweep) for what keeps them there.
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
        let guard = |file| Guard {
            _file: file,
            since: self.is_remote().then(SystemTime::now),
            workspace: self.workspace.clone(),
        };
        let Some(directory) = &self.workshop() else { return Ok(Some(guard(None))) };
        let path = directory.join(LOCK_FILE);
        let failed = |action, source| Error::Io { action, path: path.display().to_string(), source };
        let mut waited = Duration::ZERO;
        loop {
            match create_private_directory(directory) {
                // Beside an object store the lock only guards what is built here, which then fails by itself.
                Err(_) if self.is_remote() => return Ok(Some(guard(None))),
                made => made.map_err(|source| failed("create the directory of", source))?,
            }
            let file = File::options().create(true).append(true).open(&path);
            let file = file.map_err(|source| failed("open", source))?;
            match attempt(&file) {
                Ok(()) if is_at(&file, &path) => return Ok(Some(guard(Some(file)))),
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
        let (workspace, path) = (self.workspace.clone(), path.to_string());
        match &self.location {
            Some(location) => {
                // Its whole text may hold what was sent.
                tracing::debug!(%path, failure = ?Failure::of(location, &source), "The store failed.");
                Error::Remote { workspace, action, path, failure: Failure::of(location, &source) }
            }
            None => Error::Storage { workspace, action, path, source: Box::new(source) },
        }
    }
}

/// A lock on a workspace's blobs, see [`Catalogue::hold_blobs`].
#[derive(Debug)]
pub struct Guard {
    _file: Option<File>,
    since: Option<SystemTime>,
    workspace: WorkspaceId,
}

impl Guard {
    /// Fails if contents that were found may be gone. Call right before the document that names them is written.
    pub fn check(&self) -> Result<(), Error> {
        let in_time = |since: &SystemTime| since.elapsed().is_ok_and(|elapsed| elapsed < PATIENCE);
        if self.since.as_ref().is_none_or(in_time) {
            return Ok(());
        }
        Err(Error::TooSlow { workspace: self.workspace.clone(), hours: PATIENCE.as_secs() / 3600 })
    }
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
