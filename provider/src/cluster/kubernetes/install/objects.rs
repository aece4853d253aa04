//! Which objects of an attachment are there, and as they were applied.

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
use super::super::{attachment, drift, observe};
use super::Installer;
use crate::cluster::{Error, Router};

/// What the cluster shows of an attachment.
#[derive(Clone, PartialEq)]
pub struct Found {
    /// Version of the running routers; none if none is ready. Empty if they do not tell it.
    pub running: Option<String>,
    /// What is not as it was applied: `Kind name is gone`, or `path of Kind name was changed`.
    pub wrong: Vec<String>,
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
        f.debug_struct("Found").field("running", &self.running).field("wrong", &self.wrong).finish_non_exhaustive()
    }
}

impl Installer {
    /// Looks at everything that an attachment makes.
    pub async fn found(&self) -> Result<Found, Error> {
        let deployment = self.namespace.get::<Deployment>(ROUTER).await?;
        let service = self.namespace.get::<Service>(ROUTER).await?;
        let mut wrong = vec![wrong_with(ROUTER, deployment.as_ref()), wrong_with(ROUTER, service.as_ref())];
        wrong.push(self.look_at::<ServiceAccount>(ROUTER).await?);
        wrong.push(self.look_at::<Role>(ROUTER).await?);
        wrong.push(self.look_at::<RoleBinding>(ROUTER).await?);
        wrong.push(self.look_at::<ConfigMap>(CONFIG).await?);
        let storage = match self.namespace.get::<Secret>(STORAGE).await {
            Err(ApiError { problem: Problem::Forbidden(_), .. }) => None,
            found => {
                let found = found?;
                wrong.push(wrong_with(STORAGE, found.as_ref()));
                Some(found.and_then(|secret| secret.data).unwrap_or_default())
            }
        };
        for secret in [ACCESS, SIGNING_KEYS] {
            wrong.push(self.look_at::<Secret>(secret).await?);
        }
        wrong.push(self.look_at::<PodDisruptionBudget>(ROUTER).await?);
        for policy in [ROUTER, SCORER_NAME] {
            wrong.push(self.look_at::<NetworkPolicy>(policy).await?);
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
        Ok(Found { running, wrong: wrong.into_iter().flatten().collect(), replicas, image, service_type, storage })
    }

    /// What is wrong with an object, without the right to get it, which nothing else needs. With one that may not be seen
    /// nothing is: a plan by an identity with fewer rights shows no change for it.
    async fn look_at<K: Kind>(&self, name: &str) -> Result<Option<String>, ApiError> {
        match self.namespace.find::<K>(name).await {
            Ok(found) => Ok(wrong_with(name, found.as_ref())),
            Err(ApiError { problem: Problem::Forbidden(_), .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn wrong_with<K: Kind>(name: &str, found: Option<&K>) -> Option<String> {
    let kind = K::kind(&());
    match found {
        None => Some(format!("{kind} {name} is gone")),
        Some(object) => drift::since_applied(object).map(|path| format!("{path} of {kind} {name} was changed")),
    }
}
