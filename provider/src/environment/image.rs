//! An environment's image: found in the workspace's registry, copied from the global one, or built and pushed, once.
//!
//! It is identified by everything that it is made of, see [`serving::environment::image_key`], and that is its tag. Two
//! builders that race make the same image, as nothing in it depends on when or where it was made; and whoever finds the
//! tag taken when theirs is pushed takes what is there.

mod base;
mod builder;
mod recipe;
mod secrets;

use std::fs::File;

pub use base::{Base, Wanted};
pub use builder::Tool;

use super::error::Error;
use super::process::Log;
use crate::registry::{self, Client, Reference, Registries};
use crate::workspace::document::{Resolved, WorkspaceBody};
use crate::workspace::store::{create_private_directory, lock_exclusively};
use crate::workspace::{Catalogue, EnvironmentBody};

/// The repository of environments' images below the registry of a workspace.
const REPOSITORY: &str = "azureml-environment";

/// Where images are: the registries of a workspace.
pub struct Places {
    client: Client,
    registries: Registries,
    registry: String,
    global: Option<String>,
}

impl Places {
    /// The registries of a workspace; none if it has none.
    pub fn of(workspace: &WorkspaceBody, registries: &Registries) -> Result<Option<Self>, Error> {
        let Some(registry) = &workspace.registry else { return Ok(None) };
        Ok(Some(Self {
            client: Client::new(registries).map_err(Error::Registry)?,
            registries: registries.clone(),
            registry: registry.clone(),
            global: workspace.global_registry.clone(),
        }))
    }

    async fn find(&self, tagged: &Reference) -> Result<Option<String>, Error> {
        self.client.digest(tagged).await.map_err(Error::Registry)
    }

    /// Whether an image that was made before is where it would be made now, and still there.
    pub async fn still_has(&self, image: Option<&str>) -> Result<bool, Error> {
        let Some(image) = image.filter(|image| is_in(image, &self.registry)) else { return Ok(false) };
        let image = registry::parse(image).map_err(Error::Registry)?;
        Ok(self.find(&image).await?.is_some())
    }

    /// Looks the image up, copies it or builds it; its name by digest.
    pub async fn ensure(&self, catalogue: &Catalogue, body: &EnvironmentBody, base: &Base) -> Result<String, Error> {
        let (Some(resolved), Some(build_key)) = (&body.resolved, body.build_key()) else {
            return Err(Error::Unresolved { id: catalogue.workspace().to_string(), owner: String::new() });
        };
        let recipe = recipe::Recipe::of(body, resolved, base)?;
        let key = serving::environment::image_key(&build_key, &recipe.identity, &resolved.scorer.wheel.to_string());
        let wanted = tagged(&self.registry, &key)?;
        let digest = match self.find(&wanted).await? {
            Some(digest) => digest,
            None => match self.copied(&key, &wanted).await? {
                Some(digest) => digest,
                None => self.built(catalogue, &key, &wanted, &recipe, resolved).await?,
            },
        };
        Ok(by_digest(&wanted, &digest))
    }

    /// Copies the image from the global registry, if it is there.
    async fn copied(&self, key: &str, wanted: &Reference) -> Result<Option<String>, Error> {
        let Some(global) = &self.global else { return Ok(None) };
        let there = tagged(global, key)?;
        let copied = match self.client.digest(&there).await {
            Ok(None) => return Ok(None),
            Ok(Some(_)) => {
                tracing::info!(from = %there, to = %wanted, "Copying the environment's image.");
                self.client.copy(&there, wanted).await
            }
            Err(error) => Err(error),
        };
        // It only saves time, and must not be what a deployment fails of.
        copied.map(Some).or_else(|error| {
            tracing::warn!(%error, "The global registry is passed over.");
            Ok(None)
        })
    }

    async fn built(
        &self,
        catalogue: &Catalogue,
        key: &str,
        wanted: &Reference,
        recipe: &recipe::Recipe,
        resolved: &Resolved,
    ) -> Result<String, Error> {
        let tool = Tool::find(self.registries.tool()).await?;
        let folder = crate::user_cache::directory().ok_or(Error::NoCache)?.join("images");
        let failed = |action| {
            let path = folder.clone();
            move |source| Error::Io { action, path, source }
        };
        create_private_directory(&folder).map_err(failed("create"))?;
        let lock = folder.join(format!("{key}.lock"));
        let lock = File::options().create(true).append(true).open(lock).map_err(failed("write in"))?;
        lock_exclusively(&lock).await.map_err(failed("lock"))?;
        // Another one on this machine may just have built it.
        if let Some(digest) = self.find(wanted).await? {
            return Ok(digest);
        }
        let log = Log::create(&folder.join(format!("{key}.log"))).map_err(failed("write in"))?;
        let context = tempfile::Builder::new().prefix(".build-").tempdir_in(&folder).map_err(failed("write in"))?;
        recipe.write(catalogue, resolved, context.path()).await?;
        tracing::info!(image = %wanted, log = %log.path().display(), "Building the environment's image.");
        // Pushed under a name of its own first, which stays, so that no registry tidies away what a state may name.
        let own = tagged(&self.registry, &format!("{key}-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]))?;
        let work = builder::Work {
            tool,
            registries: &self.registries,
            recipe,
            context: context.path(),
            lock_text: &resolved.lock,
            image: &own,
            log: &log,
            lock: &lock,
        };
        let pushed = work.run().await?;
        if let Some(digest) = self.find(wanted).await? {
            return Ok(digest);
        }
        let pushed = own.clone_with_digest(pushed);
        self.client.tag(&pushed, wanted).await.map_err(Error::Registry)?;
        // What the tag says now counts: of two that set it at the same moment, the later one.
        let pushed = pushed.digest().map(str::to_owned);
        self.find(wanted).await?.or(pushed).ok_or_else(|| {
            Error::Registry(registry::Error::Missing { registry: self.registry.clone(), image: wanted.whole() })
        })
    }
}

/// Whether an image is in the registry that a workspace has.
#[must_use]
pub fn belongs(image: &str, workspace: &WorkspaceBody) -> bool {
    workspace.registry.as_ref().is_some_and(|registry| is_in(image, registry))
}

fn tagged(registry: &str, tag: &str) -> Result<Reference, Error> {
    registry::parse(&format!("{registry}/{REPOSITORY}:{tag}")).map_err(Error::Registry)
}

fn is_in(image: &str, registry: &str) -> bool {
    image.strip_prefix(registry).is_some_and(|rest| rest.starts_with(&format!("/{REPOSITORY}@")))
}

fn by_digest(image: &Reference, digest: &str) -> String {
    format!("{}/{}@{digest}", image.registry(), image.repository())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_belongs_to_the_registry_that_its_workspace_has_now() {
        let workspace = |registry: Option<&str>| WorkspaceBody {
            name: "ws".into(),
            storage_url: "file:///ws".into(),
            registry: registry.map(str::to_owned),
            ..WorkspaceBody::default()
        };
        let image = "ml.example.org/team/azureml-environment@sha256:00";
        assert!(belongs(image, &workspace(Some("ml.example.org/team"))));
        for other in [None, Some("ml.example.org"), Some("ml.example.org/other")] {
            assert!(!belongs(image, &workspace(other)), "{other:?}");
        }
    }
}
