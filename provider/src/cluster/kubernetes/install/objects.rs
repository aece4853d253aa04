//! Which objects of an attachment are there.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serving::cluster::{ACCESS, CONFIG, ROUTER, SCORER_NAME, SIGNING_KEYS, STORAGE};

use super::super::api::{ApiError, Kind, Problem};
use super::super::{attachment, observe};
use super::Installer;
use crate::cluster::{Error, Router};

/// What the cluster shows of an attachment.
#[derive(Clone, PartialEq)]
pub struct Found {
    /// Version of the running routers; none if none is ready. Empty if they do not tell it.
    pub running: Option<String>,
    /// Objects that are not there, as `Kind name`.
    pub missing: Vec<String>,
    /// Number of routers that the Deployment has.
    pub replicas: Option<u32>,
    /// Image that the Deployment has.
    pub image: Option<String>,
    /// How the Service is reached.
    pub service_type: Option<attachment::ServiceType>,
    /// What the workspace's storage is read with; none if that may not be seen.
    storage: Option<BTreeMap<String, ByteString>>,
}

impl Found {
    /// Whether the workspace's storage is read with these variables, as far as both are known.
    #[must_use]
    pub fn reads_storage_with(&self, wanted: Option<&BTreeMap<String, String>>) -> bool {
        let (Some(found), Some(wanted)) = (&self.storage, wanted) else { return true };
        found.len() == wanted.len()
            && wanted.iter().all(|(name, value)| found.get(name).is_some_and(|found| found.0 == value.as_bytes()))
    }
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("running", &self.running).field("missing", &self.missing).finish_non_exhaustive()
    }
}

impl Installer {
    /// Looks at everything that an attachment makes.
    pub async fn found(&self) -> Result<Found, Error> {
        let deployment = self.namespace.get::<Deployment>(ROUTER).await?;
        let service = self.namespace.get::<Service>(ROUTER).await?;
        let mut missing = Vec::new();
        let mut absent = |kind: &str, name: &str, there: bool| {
            if !there {
                missing.push(format!("{kind} {name}"));
            }
        };
        absent("Deployment", ROUTER, deployment.is_some());
        absent("Service", ROUTER, service.is_some());
        absent("ServiceAccount", ROUTER, self.there::<ServiceAccount>(ROUTER).await?);
        absent("Role", ROUTER, self.there::<Role>(ROUTER).await?);
        absent("RoleBinding", ROUTER, self.there::<RoleBinding>(ROUTER).await?);
        absent("ConfigMap", CONFIG, self.there::<ConfigMap>(CONFIG).await?);
        let storage = match self.namespace.get::<Secret>(STORAGE).await {
            Err(ApiError { problem: Problem::Forbidden(_), .. }) => None,
            found => {
                let found = found?;
                absent("Secret", STORAGE, found.is_some());
                Some(found.and_then(|secret| secret.data).unwrap_or_default())
            }
        };
        for secret in [ACCESS, SIGNING_KEYS] {
            absent("Secret", secret, self.there::<Secret>(secret).await?);
        }
        absent("PodDisruptionBudget", ROUTER, self.there::<PodDisruptionBudget>(ROUTER).await?);
        for policy in [ROUTER, SCORER_NAME] {
            absent("NetworkPolicy", policy, self.there::<NetworkPolicy>(policy).await?);
        }
        let running = match observe::router(&self.namespace).await? {
            Router::Running { version } => Some(version),
            Router::Stopped => None,
        };
        let spec = deployment.and_then(|deployment| deployment.spec);
        let replicas = spec.as_ref().and_then(|spec| u32::try_from(spec.replicas?).ok());
        let containers = spec.and_then(|spec| spec.template.spec).map(|spec| spec.containers).unwrap_or_default();
        let image = containers.into_iter().find(|container| container.name == ROUTER).and_then(|found| found.image);
        let service_type = service.and_then(|service| attachment::ServiceType::of(&service.spec?.type_?));
        Ok(Found { running, missing, replicas, image, service_type, storage })
    }

    /// Whether an object is there, without the right to get it, which nothing else needs. One that may not be seen is taken
    /// to be: a plan by an identity with fewer rights shows no change for it.
    async fn there<K: Kind>(&self, name: &str) -> Result<bool, ApiError> {
        match self.namespace.exists::<K>(name).await {
            Ok(there) => Ok(there),
            Err(ApiError { problem: Problem::Forbidden(_), .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }
}
