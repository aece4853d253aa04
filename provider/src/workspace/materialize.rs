//! Models and code as folders on this machine, for the local compute.
//!
//! A folder appears whole or not at all: it is made under a temporary name beside its place and renamed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serving::service::{CodeRef, ModelRef};

use super::blob::Digest;
use super::error::Error;
use super::manifest::Manifest;
use super::store::Catalogue;

/// Why a folder could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MaterializeError {
    /// The workspace.
    #[error(transparent)]
    Workspace(#[from] Error),
    /// A reference holds something that is no digest.
    #[error(transparent)]
    Digest(#[from] super::blob::NotADigest),
    /// What is stored is not what the reference says, or tries to leave its folder.
    #[error("content {digest} of the workspace cannot be unpacked: {message}")]
    Content {
        /// Its digest.
        digest: Digest,
        /// What is wrong.
        message: String,
    },
    /// The folder could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The folder or file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
}

fn unwritable(path: &Path) -> impl FnOnce(std::io::Error) -> MaterializeError + '_ {
    move |source| MaterializeError::Write { path: path.to_owned(), source }
}

/// Makes `destination` the folder of a model version: it then holds exactly one file or folder, named as what was
/// registered. Files are hard links to the workspace's own where that is possible, and read-only: nobody may write to
/// them. A `destination` that exists is taken for complete.
pub async fn materialize_model(
    catalogue: &Catalogue,
    model: &ModelRef,
    destination: &Path,
) -> Result<(), MaterializeError> {
    if destination.exists() {
        return Ok(());
    }
    let digest: Digest = model.digest.parse()?;
    let manifest = catalogue.manifest(&digest).await?;
    let staging = Staging::beside(destination)?;
    let mut folders = BTreeSet::new();
    for file in &manifest.files {
        let relative = file.relative().ok_or_else(|| MaterializeError::Content {
            digest,
            message: format!("{:?} leaves its folder", file.path),
        })?;
        let path = staging.path().join(relative);
        if let Some(folder) = path.parent()
            && folders.insert(folder.to_owned())
        {
            std::fs::create_dir_all(folder).map_err(unwritable(folder))?;
        }
        catalogue.link_or_copy(&file.digest, file.size, &path).await?;
    }
    staging.finish(destination)
}

/// Makes `destination` the folder of a code snapshot. A `destination` that exists is taken for complete.
pub async fn materialize_code(
    catalogue: &Catalogue,
    code: &CodeRef,
    destination: &Path,
) -> Result<(), MaterializeError> {
    if destination.exists() {
        return Ok(());
    }
    let digest: Digest = code.digest.parse()?;
    let archive = tempfile::tempdir().map_err(unwritable(destination))?;
    let archive_file = archive.path().join("code.zip");
    catalogue.copy_blob(&digest, &archive_file).await?;
    let staging = Staging::beside(destination)?;
    let target = staging.path().to_owned();
    let unpacked =
        tokio::task::spawn_blocking(move || objects::archive::unpack(std::fs::File::open(&archive_file)?, &target))
            .await;
    let message = match unpacked {
        Ok(Ok(())) => return staging.finish(destination),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    Err(MaterializeError::Content { digest, message })
}

impl Catalogue {
    /// Reads the manifest of a model version.
    pub async fn manifest(&self, digest: &Digest) -> Result<Manifest, Error> {
        let bytes = self.read_blob(digest).await?;
        serde_json::from_slice(&bytes).map_err(|source| Error::Damaged {
            workspace: self.workspace.clone(),
            path: digest.to_string(),
            source,
        })
    }

    async fn link_or_copy(&self, digest: &Digest, size: u64, path: &Path) -> Result<(), MaterializeError> {
        if let Some(blob) = self.blob_file(digest) {
            // The sum was checked when the blob was made, and a blob is never written to; reading gigabytes again at
            // every deployment would only find a failing disk.
            if blob.metadata().map(|metadata| metadata.len()).ok() != Some(size) {
                return Err(self.bad_blob(digest).into());
            }
            read_only(&blob).map_err(unwritable(&blob))?;
            if std::fs::hard_link(&blob, path).is_ok() {
                return Ok(());
            }
        }
        self.copy_blob(digest, path).await?;
        read_only(path).map_err(unwritable(path))
    }
}

fn read_only(path: &Path) -> std::io::Result<()> {
    let mut permissions = path.metadata()?.permissions();
    if permissions.readonly() {
        return Ok(());
    }
    permissions.set_readonly(true);
    std::fs::set_permissions(path, permissions)
}

/// A folder in the making, removed unless it is finished.
struct Staging(tempfile::TempDir);

impl Staging {
    fn beside(destination: &Path) -> Result<Self, MaterializeError> {
        let parent = destination.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(unwritable(parent))?;
        tempfile::Builder::new().prefix(".staging-").tempdir_in(parent).map(Self).map_err(unwritable(parent))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn finish(self, destination: &Path) -> Result<(), MaterializeError> {
        let staged = self.0.keep();
        let Err(error) = std::fs::rename(&staged, destination) else {
            return sync_parent(destination).map_err(unwritable(destination));
        };
        let _ = std::fs::remove_dir_all(&staged);
        // Somebody else made the same folder in the meantime.
        if destination.is_dir() { Ok(()) } else { Err(unwritable(destination)(error)) }
    }
}

/// Makes a rename in the folder of `path` durable.
fn sync_parent(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    if let Some(parent) = path.parent() {
        std::fs::File::open(parent)?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(test)]
#[path = "materialize_tests.rs"]
mod tests;
