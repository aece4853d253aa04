//! What a workspace holds, and its end.

use std::path::Path;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::{ObjectStore, PutMode, PutOptions};

use super::document::{Body, ComputeBody, ComputeLocation, EnvironmentBody, Kind, ModelBody, WorkspaceBody};
use super::error::Error;
use super::store::{Catalogue, LOCK_FILE, is_locked};

/// An object of a workspace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holding {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

/// Folders that a workspace may hold below its root. Nothing else below the root is ever touched.
const FOLDERS: [&str; 4] = ["models", "environments", "computes", "blobs"];
/// How often a removal looks for what others have made meanwhile.
const ROUNDS: usize = 5;
/// What exists only below a `file://` root.
const LOCAL_FOLDERS: [&str; 2] = ["local", "venvs"];

impl Catalogue {
    /// What the workspace holds. Creates that this owner has not finished are left out: nobody's state knows them.
    pub async fn holdings(&self, owner: &str) -> Result<Vec<Holding>, Error> {
        let mut holdings = Vec::new();
        for kind in Kind::HELD {
            for name in self.names(kind).await? {
                let unfinished = match kind {
                    Kind::Model => self.is_unfinished::<ModelBody>(&name, owner).await,
                    Kind::Environment => self.is_unfinished::<EnvironmentBody>(&name, owner).await,
                    Kind::Compute => self.is_unfinished::<ComputeBody>(&name, owner).await,
                    Kind::Workspace => false,
                };
                if !unfinished {
                    holdings.push(Holding { kind, name });
                }
            }
        }
        Ok(holdings)
    }

    /// What cannot be read is not known to be unfinished.
    async fn is_unfinished<T: Body>(&self, name: &str, owner: &str) -> bool {
        let found = self.find::<T>(name).await.ok().flatten();
        found.is_some_and(|found| !found.header.committed && found.header.owner == owner)
    }

    /// Names of the computes that are running on this machine, or may be on another one.
    pub async fn running_computes(&self) -> Result<Vec<String>, Error> {
        let mut running = Vec::new();
        for name in self.names(Kind::Compute).await? {
            let Some(compute) = self.find::<ComputeBody>(&name).await? else { continue };
            // Of another machine nobody can tell from here.
            if self.is_remote() && !compute.body.location.is_here() {
                running.push(name);
                continue;
            }
            let ComputeLocation::Local { directory, .. } = &compute.body.location else { continue };
            // A supervisor holds its lock for as long as it lives.
            if is_locked(&Path::new(directory).join(serving::layout::SUPERVISOR_LOCK)) {
                running.push(name);
            }
        }
        Ok(running)
    }

    /// Removes the workspace with everything in it. The workspace's own document goes last, so that a killed removal
    /// can be repeated. Files below the root that are not the workspace's stay.
    ///
    /// What others still do there, such as the provider of a killed run that clears up, is waited for. In an object store
    /// nobody can be waited for. There the document first says that the workspace is being destroyed: who begins to make
    /// something, or has just made it, sees that and takes it back ([`Catalogue::begin`], [`Catalogue::commit`]). What
    /// somebody leaves who is killed between the two is refused as the place of a new workspace
    /// ([`Catalogue::check_place`]), because nothing can tell whose it is.
    pub async fn destroy(&self) -> Result<(), Error> {
        let _alone = self.exclude_others().await?;
        if self.is_remote() {
            self.destroy_objects().await?;
            if let Some(workshop) = self.workshop() {
                let _ = std::fs::remove_dir_all(workshop);
            }
            return Ok(());
        }
        for folder in FOLDERS {
            self.remove_tree(folder).await?;
            self.remove_directory(folder)?;
        }
        for folder in LOCAL_FOLDERS {
            self.remove_directory(folder)?;
        }
        self.remove::<WorkspaceBody>("").await?;
        self.remove_traces_alone()
    }

    async fn destroy_objects(&self) -> Result<(), Error> {
        if self.find::<WorkspaceBody>("").await?.is_some() {
            self.update::<WorkspaceBody, _>("", |body| body.destroying = true).await?;
        }
        for _ in 0..ROUNDS {
            for folder in FOLDERS {
                self.remove_tree(folder).await?;
            }
            if self.first_object().await?.is_none() {
                break;
            }
        }
        self.remove::<WorkspaceBody>("").await?;
        Ok(())
    }

    /// Any object of the workspace but its own document.
    async fn first_object(&self) -> Result<Option<object_store::path::Path>, Error> {
        for folder in FOLDERS {
            let prefix = object_store::path::Path::from(folder);
            let first = self.store.list(Some(&prefix)).try_next().await;
            if let Some(object) = first.map_err(|source| self.failed("list", &prefix, source))? {
                return Ok(Some(object.location));
            }
        }
        Ok(None)
    }

    /// Whether a workspace can be made here: an object store must keep conditional writes, and hold nothing of a workspace
    /// that was destroyed. Anything goes if there is a workspace.
    pub async fn check_place(&self) -> Result<(), Error> {
        if !self.is_remote() || self.find::<WorkspaceBody>("").await?.is_some() {
            return Ok(());
        }
        if let Some(path) = self.first_object().await? {
            return Err(Error::Leftovers { workspace: self.workspace.clone(), path: path.to_string() });
        }
        let path =
            object_store::path::Path::from(Kind::Workspace.folder()).join(format!("probe-{}", uuid::Uuid::new_v4()));
        let create = || {
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            self.store.put_opts(&path, Bytes::new().into(), options)
        };
        create().await.map_err(|source| self.failed("write", &path, source))?;
        let again = create().await;
        self.remove_file(&path).await?;
        match again {
            Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(source) => Err(self.failed("write", &path, source)),
            Ok(_) => Err(Error::Unconditional { workspace: self.workspace.clone() }),
        }
    }

    /// Fails if the workspace is in an object store and is being destroyed, or was.
    pub(super) async fn check_alive(&self, kind: Kind) -> Result<(), Error> {
        if kind == Kind::Workspace || !self.is_remote() {
            return Ok(());
        }
        match self.find::<WorkspaceBody>("").await? {
            Some(workspace) if !workspace.body.destroying => Ok(()),
            Some(_) => Err(Error::Destroying { workspace: self.workspace.clone() }),
            None => Err(Error::Missing { kind: Kind::Workspace, id: self.workspace.to_string() }),
        }
    }

    /// Removes what a removed workspace leaves behind, if its removal was killed at the very end. Nothing is touched if
    /// there is a workspace, or somebody is making one, or an empty directory, which may be where storage is mounted.
    pub async fn remove_traces(&self) -> Result<(), Error> {
        if !self.directory().is_some_and(|root| root.join(LOCK_FILE).exists()) {
            return Ok(());
        }
        let Some(_alone) = self.stop_writers().await? else { return Ok(()) };
        if self.find::<WorkspaceBody>("").await?.is_some() {
            return Ok(());
        }
        self.remove_traces_alone()
    }

    fn remove_traces_alone(&self) -> Result<(), Error> {
        self.remove_directory(Kind::Workspace.folder())?;
        let Some(root) = self.directory() else { return Ok(()) };
        let _ = std::fs::remove_file(root.join(LOCK_FILE));
        // Stays if the user keeps something else there.
        let _ = std::fs::remove_dir(root);
        Ok(())
    }

    fn remove_directory(&self, folder: &str) -> Result<(), Error> {
        let Some(path) = self.directory().map(|root| root.join(folder)) else { return Ok(()) };
        match std::fs::remove_dir_all(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::Io { action: "remove", path: path.display().to_string(), source })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "holdings_tests.rs"]
mod tests;
