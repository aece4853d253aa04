//! Where things are in a cluster's namespace: the counterpart of [`layout`](crate::layout).
//!
//! ```text
//! ConfigMap  azureml-owner                 whose namespace it is: see [`Ownership`]
//! ConfigMap  azureml-fe-config             the router's configuration, key azureml-fe.toml
//! ConfigMap  service.<name>                service document, key service.json
//! Secret     keys.<name>.<generation>      plain keys, immutable, key keys.json; only the provider reads it
//! Secret     azureml-fe-access             what routers verify and present: <name>.<generation> holds the digests of
//!                                          those keys, <name>.hop the hop secret of the service
//! Secret     azureml-fe-signing-keys       keys that tokens are signed with, key signing-keys.json
//! Secret     azureml-storage               environment of the init containers that read the workspace's storage
//! Deployment <service>-<version>-<hash>    the replicas of one version; a PodDisruptionBudget of the same name
//! Deployment azureml-fe                    the router; a Service, ServiceAccount, Role, RoleBinding, PodDisruptionBudget
//!                                          and NetworkPolicy of the same name
//! Lease      azureml-fe.<pod>              what one router serves: see [`Confirmation`]; owned by the pod
//! ```
//!
//! A router may list and watch ConfigMaps, Pods and the two Secrets `azureml-fe-*` by name, and write Leases. So it
//! never sees a plain key or a credential of the storage.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Name of the router's Deployment and of what belongs to it.
pub const ROUTER: &str = "azureml-fe";
/// ConfigMap that says whose namespace it is.
pub const OWNER: &str = "azureml-owner";
/// ConfigMap with the router's configuration, below [`crate::layout::CONFIG`].
pub const CONFIG: &str = "azureml-fe-config";
/// Secret with what routers verify callers by, and present to scorers.
pub const ACCESS: &str = "azureml-fe-access";
/// Secret with the keys that tokens are signed with, below [`crate::layout::SIGNING_KEYS`].
pub const SIGNING_KEYS: &str = "azureml-fe-signing-keys";
/// Secret with the environment of what reads the workspace's storage.
pub const STORAGE: &str = "azureml-storage";
/// Key of the document in its ConfigMap.
pub const DOCUMENT_KEY: &str = "service.json";
/// Key of the plain keys in their Secret.
pub const KEYS_KEY: &str = "keys.json";

/// Manager of the fields that the provider applies.
pub const FIELD_MANAGER: &str = "terraform-provider-azureml";

/// Port of the router's container that callers reach through its Service.
pub const ROUTER_PORT: u16 = 8080;
/// Port of the router's container with `/livez`, `/readyz` and `/metrics`.
pub const ROUTER_STATUS_PORT: u16 = 9090;
/// Folder of the code and the models in a scorer's container.
pub const APP_ROOT: &str = "/var/azureml-app";
/// Folder of the hop secret in a scorer's container; the file is [`HOP_FILE`].
pub const HOP_DIRECTORY: &str = "/var/run/azureml/hop";
/// File in [`HOP_DIRECTORY`].
pub const HOP_FILE: &str = "secret";
/// Name of the container that scores, in its pod.
pub const SCORER_CONTAINER: &str = "scorer";

/// Names of labels and annotations.
pub mod label {
    /// What the object is: one of [`component`](mod@super::component).
    pub const COMPONENT: &str = "app.kubernetes.io/component";
    /// `azureml`, of every object of ours.
    pub const PART_OF: &str = "app.kubernetes.io/part-of";
    /// [`FIELD_MANAGER`](super::FIELD_MANAGER), of every object of ours.
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    /// `azureml-fe` or `azureml-scorer`.
    pub const NAME: &str = "app.kubernetes.io/name";
    /// Service that the object belongs to.
    pub const SERVICE: &str = "azureml.io/service";
    /// Version of the service.
    pub const VERSION: &str = "azureml.io/version";
    /// Revision of the template that a scorer's pod runs.
    pub const REVISION: &str = "azureml.io/revision";
    /// [`workspace_hash`](super::workspace_hash) of the workspace.
    pub const WORKSPACE: &str = "azureml.io/workspace";
    /// Annotation of a router's Lease: a [`Confirmation`](super::Confirmation) as JSON.
    pub const CONFIRMATION: &str = "azureml.io/confirmation";
}

/// Values of [`label::COMPONENT`].
pub mod component {
    /// Pods, Deployments and their like of a scorer.
    pub const SCORER: &str = "scorer";
    /// What belongs to the router.
    pub const ROUTER: &str = "router";
    /// ConfigMaps with service documents.
    pub const DOCUMENT: &str = "document";
    /// ConfigMap with the document of a service that is being removed, which no router sees any more.
    pub const WITHDRAWN: &str = "withdrawn";
    /// Secrets with plain keys.
    pub const KEYS: &str = "keys";
    /// Leases of routers.
    pub const CONFIRMATION: &str = "confirmation";
}

/// Value of [`label::PART_OF`].
pub const PART_OF: &str = "azureml";
/// Value of [`label::NAME`] of scorers.
pub const SCORER_NAME: &str = "azureml-scorer";

/// ConfigMap of a service's document.
#[must_use]
pub fn document(service: &str) -> String {
    format!("service.{service}")
}

/// Secret of a service's plain keys.
#[must_use]
pub fn keys(service: &str, generation: u64) -> String {
    format!("keys.{service}.{generation}")
}

/// Key of the keys' digests in [`ACCESS`]: [`KeyDigests`](crate::service::KeyDigests) as JSON.
#[must_use]
pub fn key_digests(service: &str, generation: u64) -> String {
    format!("{service}.{generation}")
}

/// Key of a service's hop secret in [`ACCESS`]: text without a line break.
#[must_use]
pub fn hop(service: &str) -> String {
    format!("{service}.hop")
}

/// Lease of a router's pod.
#[must_use]
pub fn lease(pod: &str) -> String {
    format!("{ROUTER}.{pod}")
}

/// Name of a version's Deployment: readable as far as it fits, and unique by a hash of service and version.
///
/// At most 45 characters, so that the names of its pods are still DNS labels.
#[must_use]
pub fn workload(service: &str, version: &str) -> String {
    const READABLE: usize = 36;
    let digest = Sha256::new().chain_update(service).chain_update([0]).chain_update(version).finalize();
    let mut readable = if service == version { service.to_owned() } else { format!("{service}-{version}") };
    readable.truncate(READABLE);
    format!("{}-{}", readable.trim_end_matches('-'), crate::hex(&digest[..4]))
}

/// A workspace's id as the value of a label: the first 16 hex digits of its SHA-256.
#[must_use]
pub fn workspace_hash(workspace: &str) -> String {
    crate::hex(&Sha256::digest(workspace)[..8])
}

/// Content of [`OWNER`], each field a key of the ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ownership {
    /// Id of the workspace.
    pub workspace: String,
    /// Name of the compute.
    pub compute: String,
    /// Who attached it: the provider's `owner` argument.
    pub owner: String,
}

/// What one router serves, in the annotation [`label::CONFIRMATION`] of its Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// Version of the router.
    pub version: String,
    /// Generation by service that every thread of the router routes by.
    #[serde(default)]
    pub served: BTreeMap<String, u64>,
    /// Documents that were not accepted, while the last good one stays in force.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, Refusal>,
    /// Versions by service that have a share of the traffic and no ready replica, so that their share goes elsewhere.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub diverted: BTreeMap<String, Vec<String>>,
}

/// A document that a router did not accept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Generation of the document, 0 if it cannot be told.
    pub generation: u64,
    /// Why.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_workloads_are_unique_and_leave_room_for_pods() {
        assert_ne!(workload("a-b", "c"), workload("a", "b-c"));
        assert!(workload("diabetes", "diabetes").starts_with("diabetes-"));
        let longest = workload(&"s".repeat(32), &"v".repeat(32));
        assert_eq!(longest.len(), 45);
        let cut = workload(&format!("{}-x", "s".repeat(30)), "version-of-a-model");
        assert!(!cut.contains("--"), "{cut}");
    }

    #[test]
    fn objects_of_services_never_have_the_name_of_an_object_of_the_compute() {
        for fixed in [OWNER, CONFIG, ACCESS, SIGNING_KEYS, STORAGE] {
            assert!(!fixed.contains('.'), "{fixed}");
        }
        for name in [document("azureml-owner"), keys("azureml-fe", 1), lease("azureml-fe")] {
            assert!(name.contains('.'), "{name}");
        }
    }
}
