//! The router in a namespace: installed, watched until it is ready, and removed again.
//!
//! Whose namespace it is says the ConfigMap [`serving::cluster::OWNER`], which is made before anything else, is never
//! overwritten, and goes last.

mod address;
mod capacity;
mod error;
mod manifests;
mod objects;
mod ready;
mod remove;
#[cfg(test)]
#[path = "install/tests.rs"]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{self as core, ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::DeleteParams;
use serde_json::Value;
use serving::cluster::{OWNER, Ownership, SIGNING_KEYS, component};
use serving::layout;
use serving::token::{RANDOM_BYTES, Settings as Tokens, SigningKeys};

pub use capacity::Capacity;
pub use error::InstallError;
pub use objects::Found;
pub use ready::NotReady;

use super::api::{self, ApiError, Kind, Namespace, Problem};
use super::attachment::Attachment;
use super::{drift, labels};
use crate::cluster::Error;
use crate::cluster::wait::Limits;
use manifests::Manifests;

/// How often a change of a Secret is tried when others change it at the same time.
const TRIES: usize = 5;

/// A namespace that a router is, or is to be, installed in.
#[derive(Clone, Debug)]
pub struct Installer {
    namespace: Namespace,
    ownership: Ownership,
    /// Id of the compute.
    id: String,
}

/// What came of [`Installer::ensure_namespace`] or [`Installer::claim`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// This call made it.
    Now,
    /// It was there.
    Before,
}

impl Installer {
    /// For the compute of this id, in this namespace.
    #[must_use]
    pub fn new(namespace: Namespace, id: &str, ownership: Ownership) -> Self {
        Self { namespace, ownership, id: id.to_owned() }
    }

    /// The namespace.
    #[must_use]
    pub const fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Makes the namespace unless it is there. Without the right to, it is taken to be there: what follows shows it.
    pub async fn ensure_namespace(&self) -> Result<Made, ApiError> {
        let name = self.namespace.name();
        let there = self.namespace.ask("read", name, self.namespaces().get_opt(name)).await;
        match there {
            Ok(Some(_)) => return Ok(Made::Before),
            Ok(None) | Err(ApiError { problem: Problem::Forbidden(_), .. }) => {}
            Err(error) => return Err(error),
        }
        let manifest = manifests::namespace(name, &self.ownership.workspace, &self.id);
        let Ok(wanted) = serde_json::from_value::<core::Namespace>(manifest) else { return Ok(Made::Before) };
        match self.namespace.ask("create", name, self.namespaces().create(&api::by_us(), &wanted)).await {
            Ok(_) => Ok(Made::Now),
            Err(ApiError { problem: Problem::Changed, .. }) => Ok(Made::Before),
            // It may be there and may not be looked at. If it is not, this is the reason.
            Err(error) if matches!(error.problem, Problem::Forbidden(_)) => match there {
                Ok(None) => Err(error),
                _ => Ok(Made::Before),
            },
            Err(error) => Err(error),
        }
    }

    /// Makes the namespace the compute's own. Another's is refused. Returns the UID that the compute is known by; the error
    /// says whether the mark of whose it is was made.
    pub async fn claim(&self) -> Result<String, (Made, InstallError)> {
        let owner = ConfigMap {
            metadata: ObjectMeta {
                name: Some(OWNER.to_owned()),
                labels: Some(labels::compute(component::ROUTER, &self.ownership.workspace)),
                ..ObjectMeta::default()
            },
            data: Some(data_of(&self.ownership)),
            ..ConfigMap::default()
        };
        let created = self.namespace.create(&owner).await.map_err(|error| (Made::Before, error.into()))?;
        let made = if created { Made::Now } else { Made::Before };
        let failed = |error| (made, error);
        let namespace = self.namespace.name().to_owned();
        let (uid, found) = match self.owner().await {
            Ok(Some(found)) => found,
            Ok(None) => return Err(failed(InstallError::Vanished { namespace })),
            Err(error) => return Err(failed(error.into())),
        };
        if (&found.workspace, &found.compute) == (&self.ownership.workspace, &self.ownership.compute) {
            return Ok(uid);
        }
        Err(failed(InstallError::Foreign { namespace, connection: self.namespace.connection().to_owned(), found }))
    }

    /// UID and content of what says whose namespace it is; none if it is nobody's.
    pub async fn owner(&self) -> Result<Option<(String, Ownership)>, ApiError> {
        let Some(found) = self.namespace.get::<ConfigMap>(OWNER).await? else { return Ok(None) };
        let data = found.data.unwrap_or_default();
        let text = |name: &str| data.get(name).cloned().unwrap_or_default();
        let ownership = Ownership { workspace: text("workspace"), compute: text("compute"), owner: text("owner") };
        Ok(Some((found.metadata.uid.unwrap_or_default(), ownership)))
    }

    /// Brings everything to what is wanted, the router last. Nothing is taken from other field managers unless the
    /// attachment says so.
    pub async fn install(
        &self,
        attachment: &Attachment,
        storage: &BTreeMap<String, String>,
    ) -> Result<(), InstallError> {
        let wanted = Manifests { attachment, workspace: &self.ownership.workspace, storage };
        let force = attachment.force_conflicts;
        self.apply::<ServiceAccount>(wanted.service_account(), force).await?;
        self.apply::<Role>(wanted.role(), force).await?;
        self.apply::<RoleBinding>(wanted.role_binding(), force).await?;
        self.apply::<ConfigMap>(wanted.config_map(), force).await?;
        self.namespace.apply::<Secret>(&wanted.access(), force).await?;
        self.namespace.apply::<Secret>(&wanted.storage(), force).await?;
        self.ensure_signing_keys().await?;
        for policy in wanted.network_policies() {
            self.apply::<NetworkPolicy>(policy, force).await?;
        }
        self.apply::<PodDisruptionBudget>(wanted.disruption_budget(), force).await?;
        self.apply::<Service>(wanted.service(), force).await?;
        self.apply::<Deployment>(wanted.deployment(), force).await?;
        Ok(())
    }

    async fn apply<K: Kind>(&self, manifest: Value, force: bool) -> Result<(), ApiError> {
        self.namespace.apply::<K>(&drift::noted(manifest), force).await.map(drop)
    }

    /// Makes the keys that tokens are signed with, and replaces those whose time has come.
    async fn ensure_signing_keys(&self) -> Result<(), InstallError> {
        let settings = Tokens::default();
        for _ in 0..TRIES {
            let present = self.namespace.get::<Secret>(SIGNING_KEYS).await?;
            let keys = present.as_ref().and_then(|secret| {
                // What cannot be read is replaced: nobody could sign or verify by it.
                serde_json::from_slice::<SigningKeys>(&secret.data.as_ref()?.get(layout::SIGNING_KEYS)?.0).ok()
            });
            let (keys, now) = (keys.unwrap_or_default(), Timestamp::now());
            if present.is_some() && !keys.due(&settings, now) {
                return Ok(());
            }
            let mut random = [0; RANDOM_BYTES];
            getrandom::fill(&mut random).map_err(Error::from)?;
            let keys = serde_json::to_vec(&keys.rotated(&settings, now, &random)).unwrap_or_default();
            let wanted = Secret {
                metadata: ObjectMeta {
                    name: Some(SIGNING_KEYS.to_owned()),
                    labels: Some(labels::compute(component::ROUTER, &self.ownership.workspace)),
                    resource_version: present.as_ref().and_then(|secret| secret.metadata.resource_version.clone()),
                    ..ObjectMeta::default()
                },
                data: Some(BTreeMap::from([(layout::SIGNING_KEYS.to_owned(), ByteString(keys))])),
                type_: Some("Opaque".to_owned()),
                ..Secret::default()
            };
            let done = match present {
                None => self.namespace.create(&wanted).await?,
                Some(_) => self.namespace.replace(&wanted).await?,
            };
            if done {
                return Ok(());
            }
        }
        Err(InstallError::Vanished { namespace: self.namespace.name().to_owned() })
    }

    fn namespaces(&self) -> kube::Api<core::Namespace> {
        kube::Api::all(self.namespace.client())
    }

    /// Whether the attachment made the namespace, and it is there.
    async fn made_namespace(&self) -> Result<bool, ApiError> {
        let name = self.namespace.name();
        let found = match self.namespace.ask("read", name, self.namespaces().get_opt(name)).await {
            Ok(Some(found)) => found,
            Ok(None) | Err(ApiError { problem: Problem::Forbidden(_), .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let annotations = found.metadata.annotations;
        Ok(annotations.is_some_and(|annotations| annotations.get(manifests::MADE_BY) == Some(&self.id)))
    }

    async fn remove_namespace(&self) -> Result<(), ApiError> {
        let name = self.namespace.name();
        match self.namespace.ask("delete", name, self.namespaces().delete(name, &DeleteParams::background())).await {
            Ok(_) | Err(ApiError { problem: Problem::Absent(_), .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Waits a moment, at most to the end of the time. True if the operation was interrupted before.
async fn pause(limits: &Limits, time: Duration) -> bool {
    /// The time's own end cancels, too.
    const END: Duration = Duration::from_millis(50);
    tokio::select! {
        () = tokio::time::sleep(time.min(limits.remaining())) => false,
        () = limits.cancel.cancelled() => limits.remaining() > END,
    }
}

fn data_of(ownership: &Ownership) -> BTreeMap<String, String> {
    let Ownership { workspace, compute, owner } = ownership;
    [("workspace", workspace), ("compute", compute), ("owner", owner)]
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .into()
}
