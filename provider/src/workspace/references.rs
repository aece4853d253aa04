//! What is still named: by the catalogue's documents and by the services on its computes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use serde::Deserialize;
use serving::digest::Digest;
use serving::document::Reserved;
use serving::service::{ModelRef, Service};

use super::document::{ComputeBody, ComputeLocation, EnvironmentBody, Kind, ModelBody};
use super::error::Error;
use super::id::ComputeId;
use super::store::Catalogue;
use super::sweep::AT_ONCE;

/// What the services of a workspace's computes name.
#[derive(Clone, Debug, Default)]
pub struct ServiceReferences {
    /// Versions in use by model id (`<workspace>/models/<name>`), and for each the services that name it.
    pub models: BTreeMap<String, BTreeMap<u64, BTreeSet<String>>>,
    /// Names of environments in use, and for each the services that name it.
    pub environments: BTreeMap<String, BTreeSet<String>>,
    /// Build keys of the environments in use.
    pub build_keys: BTreeSet<String>,
    /// Digests of the models' manifests.
    pub manifests: BTreeSet<Digest>,
    /// Digests of code snapshots.
    pub code: BTreeSet<Digest>,
}

impl ServiceReferences {
    fn add(&mut self, service: &Service) {
        for template in service.templates() {
            for ModelRef { id, version, digest, .. } in &template.models {
                let model = id.rsplit_once('/').map_or(id.as_str(), |(model, _)| model);
                let versions = self.models.entry(model.to_owned()).or_default();
                versions.entry(*version).or_default().insert(service.name.clone());
                self.manifests.extend(digest.parse::<Digest>());
            }
            self.code.extend(template.code.digest.parse::<Digest>());
            self.environments.entry(template.environment.id.clone()).or_default().insert(service.name.clone());
            self.build_keys.insert(template.environment.build_key.clone());
        }
        // While a change is under way, what it may go back to is kept here.
        let former = service.extension(Reserved::Revisions).ok().flatten();
        for former in former.iter().flat_map(|former| former.content.values()) {
            if let Ok(former) = Service::deserialize(former) {
                self.add(&former);
            }
        }
    }
}

/// Who reads the services of computes that are in clusters.
#[async_trait]
pub trait Clusters: Debug + Send + Sync {
    /// The documents of all services of a compute. `None` if any cannot be read now.
    async fn services(&self, id: &ComputeId, compute: &ComputeBody) -> Option<Vec<Service>>;
}

/// Reads the service documents below a compute directory. `None` if any cannot be read.
fn read_services(directory: &Path) -> Option<Vec<Service>> {
    let mut services = Vec::new();
    for folder in [serving::layout::SERVICES, serving::layout::ACCEPTED] {
        let folder = directory.join(folder);
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            // The compute directory is there, so there are no services yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && directory.is_dir() => continue,
            Err(_) => return None,
        };
        for entry in entries {
            let path = entry.ok()?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                services.push(Service::read(&std::fs::read(path).ok()?).ok()?);
            }
        }
    }
    Some(services)
}

impl Catalogue {
    /// What services name. `None` while a compute cannot be read, which is never taken for "nothing".
    pub async fn service_references(&self) -> Result<Option<ServiceReferences>, Error> {
        let mut references = ServiceReferences::default();
        for name in self.names(Kind::Compute).await? {
            let Some(compute) = self.find::<ComputeBody>(&name).await? else { continue };
            let Some(services) = self.services_of(&name, &compute.body).await else { return Ok(None) };
            for service in &services {
                references.add(service);
            }
        }
        Ok(Some(references))
    }

    async fn services_of(&self, name: &str, compute: &ComputeBody) -> Option<Vec<Service>> {
        match &compute.location {
            ComputeLocation::Local { .. } if self.is_remote() && !compute.location.is_here() => None,
            ComputeLocation::Local { directory, .. } => read_services(Path::new(directory)),
            ComputeLocation::Kubernetes { .. } => {
                let id = ComputeId { workspace: self.workspace.clone(), name: name.to_owned() };
                self.clusters.as_ref()?.services(&id, compute).await
            }
        }
    }

    /// Contents that anything names. `None` while that cannot be told.
    pub(super) async fn named_blobs(&self) -> Result<Option<BTreeSet<Digest>>, Error> {
        let Some(services) = self.service_references().await? else { return Ok(None) };
        let (mut named, mut manifests) = (services.code, services.manifests);
        for name in self.names(Kind::Model).await? {
            let Some(model) = self.find::<ModelBody>(&name).await? else { continue };
            manifests.extend(model.body.versions.values().map(|version| version.manifest));
        }
        for name in self.names(Kind::Environment).await? {
            let Some(environment) = self.find::<EnvironmentBody>(&name).await? else { continue };
            named.extend(environment.body.resolved.map(|resolved| resolved.scorer.wheel));
        }
        let read = |digest: Digest| async move { (digest, self.manifest(&digest).await) };
        let mut read = futures_util::stream::iter(manifests).map(read).buffer_unordered(AT_ONCE);
        while let Some((digest, manifest)) = read.next().await {
            match manifest {
                Ok(manifest) => named.extend(manifest.files.iter().map(|file| file.digest)),
                // A damaged manifest names nothing that could still be used.
                Err(Error::BadBlob { .. } | Error::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
            named.insert(digest);
        }
        Ok(Some(named))
    }
}
