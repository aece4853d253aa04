//! Registering models: contents first, then the document that names them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use futures_util::{StreamExt as _, TryStreamExt as _};

use serde::Serialize;

use super::blob::Digest;
use super::claim::{Begun, spec_digest};
use super::document::{Kind, ModelBody, ModelVersion};
use super::error::Error;
use super::manifest::Scan;
use super::revisions::{Revision, now};
use super::store::Catalogue;

/// Files of a model that are put at once, each with up to 24 MiB in memory.
const FILES_AT_ONCE: usize = 4;

/// What a model is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ModelSpec {
    /// `path`, as configured.
    pub path: String,
    /// `description`.
    pub description: Option<String>,
    /// `tags`.
    pub tags: Option<BTreeMap<String, String>>,
    /// `properties`.
    pub properties: Option<BTreeMap<String, String>>,
    /// `keep_versions`: how many versions are kept, at least 1. None: all.
    pub keep_versions: Option<u64>,
}

/// Why a model could not be registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The workspace.
    #[error(transparent)]
    Workspace(#[from] Error),
    /// Properties that are set already would change or go.
    #[error("properties only grow: {} cannot be changed or removed once set", .0.join(", "))]
    Properties(Vec<String>),
}

/// Keys of `before` that `after` changes or lacks.
#[must_use]
pub fn lost_properties(
    before: Option<&BTreeMap<String, String>>,
    after: Option<&BTreeMap<String, String>>,
) -> Vec<String> {
    let lost = |key: &String, value: &String| after.and_then(|after| after.get(key)) != Some(value);
    before.into_iter().flatten().filter(|(key, value)| lost(key, value)).map(|(key, _)| key.clone()).collect()
}

impl ModelBody {
    /// Manifest of the newest version.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.versions.get(&self.version).map(|version| version.manifest)
    }

    fn describe(&mut self, spec: &ModelSpec) {
        let ModelSpec { path, description, tags, properties, keep_versions } = spec.clone();
        (self.path, self.description, self.tags) = (path, description, tags);
        (self.properties, self.keep_versions) = (properties, keep_versions);
    }

    /// Makes `manifest` the newest version, unless it is.
    fn advance(&mut self, manifest: Digest) {
        if self.digest() != Some(manifest) {
            self.version += 1;
            self.versions.insert(self.version, ModelVersion { manifest, created_time: now() });
        }
    }

    /// Forgets the oldest versions beyond `keep_versions`, except those in use.
    fn prune(&mut self, in_use: impl Fn(u64) -> bool) {
        let Some(keep) = self.keep_versions.and_then(|keep| usize::try_from(keep.max(1)).ok()) else { return };
        let surplus = self.versions.len().saturating_sub(keep);
        let old: Vec<u64> = self.versions.keys().copied().take(surplus).collect();
        for version in old.into_iter().filter(|version| !in_use(*version)) {
            self.versions.remove(&version);
        }
    }

    fn would_prune(&self, in_use: impl Fn(u64) -> bool) -> bool {
        let mut pruned = self.clone();
        pruned.prune(in_use);
        pruned != *self
    }
}

impl Catalogue {
    /// Registers a new model as version 1, takes up an interrupted registration, or adopts a finished one; see
    /// [`Catalogue::begin`].
    pub async fn register_model(
        &self,
        name: &str,
        owner: &str,
        spec: &ModelSpec,
        scan: &Scan,
    ) -> Result<Revision<ModelBody>, Error> {
        let mut body = ModelBody::default();
        body.describe(spec);
        let digest = spec_digest(&(spec, scan.manifest.digest()));
        let intent = match self.begin(name, owner, digest, body).await? {
            Begun::Adopted(model) => return Ok(model),
            Begun::Intent(intent) => intent,
        };
        let held = self.hold_blobs().await?;
        match self.put_model(scan).await.and_then(|manifest| held.check().map(|()| manifest)) {
            Ok(manifest) => {
                let mut body = intent.body.clone();
                body.advance(manifest);
                self.commit(intent, body).await
            }
            Err(error) => {
                self.abandon(&intent).await;
                Err(error)
            }
        }
    }

    /// Brings a model to a specification. `scan` holds its contents: new ones become the next version, and what is
    /// missing of old ones is put back. Versions beyond `keep_versions` that no service names go.
    pub async fn update_model(
        &self,
        name: &str,
        spec: &ModelSpec,
        scan: &Scan,
    ) -> Result<Revision<ModelBody>, RegisterError> {
        let lost =
            lost_properties(self.get::<ModelBody>(name).await?.body.properties.as_ref(), spec.properties.as_ref());
        if !lost.is_empty() {
            return Err(RegisterError::Properties(lost));
        }
        let updated = {
            let held = self.hold_blobs().await?;
            let manifest = self.put_model(scan).await?;
            // Without a number to keep none goes, whoever names it.
            let references = if spec.keep_versions.is_some() { self.service_references().await? } else { None };
            held.check()?;
            let id = self.workspace.model(name).to_string();
            let in_use = |version: u64| match &references {
                Some(references) => references.models.get(&id).is_some_and(|used| used.contains_key(&version)),
                None => true,
            };
            let change = |body: &mut ModelBody| {
                body.describe(spec);
                body.advance(manifest);
                body.prune(in_use);
            };
            self.update(name, change).await?
        };
        self.sweep_later().await;
        Ok(updated)
    }

    /// Forgets the versions of all models that are beyond their `keep_versions` and that no service names any more. For
    /// whoever has just made a service name less.
    pub async fn prune_models(&self) -> Result<(), Error> {
        let mut surplus = Vec::new();
        for name in self.names(Kind::Model).await? {
            let Some(model) = self.find::<ModelBody>(&name).await? else { continue };
            if model.header.committed && model.body.would_prune(|_| false) {
                surplus.push((name, model.body));
            }
        }
        // Only then are the computes asked, which may be far away.
        if surplus.is_empty() {
            return Ok(());
        }
        let Some(references) = self.service_references().await? else { return Ok(()) };
        for (name, body) in surplus {
            let id = self.workspace.model(&name).to_string();
            let in_use = |version: u64| references.models.get(&id).is_some_and(|used| used.contains_key(&version));
            if body.would_prune(in_use) {
                self.update(&name, |body: &mut ModelBody| body.prune(in_use)).await?;
            }
        }
        Ok(())
    }

    /// Removes a model with all its versions. Contents that services name stay as long as they do.
    pub async fn remove_model(&self, name: &str) -> Result<(), Error> {
        self.remove::<ModelBody>(name).await?;
        self.sweep_later().await;
        Ok(())
    }

    /// Puts the files of a model, each content once, then their manifest.
    async fn put_model(&self, scan: &Scan) -> Result<Digest, Error> {
        // One content once, also when several files have it; two uploads of it at once would make two objects.
        let mut seen = BTreeSet::new();
        let files = scan.manifest.files.iter().zip(&scan.sources).filter(|(file, _)| seen.insert(file.digest));
        let files: Vec<_> = files.map(|(file, source)| (source.clone(), file.digest, file.size)).collect();
        let put =
            |(source, digest, size): (PathBuf, Digest, u64)| async move { self.put_file(&source, &digest, size).await };
        futures_util::stream::iter(files).map(put).buffer_unordered(FILES_AT_ONCE).try_collect::<()>().await?;
        self.put_blob(scan.manifest.write().into()).await
    }

    /// Whether everything of a model version is there: its manifest, and each file with its size.
    pub async fn is_whole(&self, manifest: &Digest) -> Result<bool, Error> {
        let manifest = match self.manifest(manifest).await {
            Ok(manifest) => manifest,
            Err(Error::BadBlob { .. } | Error::Damaged { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        for file in &manifest.files {
            if !self.has_blob(&file.digest, Some(file.size)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
