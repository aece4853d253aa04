//! What a workspace holds, and its end.

use std::path::Path;

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

    /// Names of the computes that are running on this machine.
    pub async fn running_computes(&self) -> Result<Vec<String>, Error> {
        let mut running = Vec::new();
        for name in self.names(Kind::Compute).await? {
            let Some(compute) = self.find::<ComputeBody>(&name).await? else { continue };
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
    /// What others still do there, such as the provider of a killed run that clears up, is waited for.
    pub async fn destroy(&self) -> Result<(), Error> {
        let _alone = self.exclude_others().await?;
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
