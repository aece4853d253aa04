//! What a replica is given in a cluster.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::service::{CodeRef, ModelRef};

/// Pod settings of a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pod {
    /// Cores that are reserved (`cpu_cores`).
    pub cpu_cores: f64,
    /// Cores that it may use at most (`cpu_cores_limit`); no bound if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_cores_limit: Option<f64>,
    /// GB (2³⁰ bytes) of memory that are reserved (`memory_gb`).
    pub memory_gb: f64,
    /// GB of memory beyond which it is killed (`memory_gb_limit`); no bound if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_gb_limit: Option<f64>,
    /// Graphics processors (`gpu_cores`), as `nvidia.com/gpu`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gpu_cores: u32,
    /// Other extended resources by name, reserved and bounded alike: quantities as Kubernetes writes them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extended_resources: BTreeMap<String, String>,
    /// Bytes of models and code, for the reservation of local storage.
    pub content_bytes: u64,
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that it tolerates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// When a replica that has become ready is restarted.
    #[serde(default)]
    pub liveness: Liveness,
    /// ServiceAccount of the pod, for workload identity; the namespace's default one if absent. Its token is never mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// PriorityClass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class: Option<String>,
    /// Further labels of the pod.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Further annotations of the pod.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A taint that is tolerated, with Kubernetes' own meaning of each field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Toleration {
    /// Key of the taint; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `Exists` or `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Value of the taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
}

/// The original's liveness settings, with its defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Liveness {
    /// Seconds between two probes.
    pub period_seconds: u32,
    /// Seconds from the start of the container to the first probe.
    pub initial_delay_seconds: u32,
    /// Seconds that a probe may take.
    pub timeout_seconds: u32,
    /// Probes in a row that must succeed after a failure.
    pub success_threshold: u32,
    /// Probes in a row that must fail for a restart.
    pub failure_threshold: u32,
}

impl Default for Liveness {
    fn default() -> Self {
        Self {
            period_seconds: 10,
            initial_delay_seconds: 310,
            timeout_seconds: 2,
            success_threshold: 1,
            failure_threshold: 3,
        }
    }
}

/// What an init container brings into the app root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// URL of the workspace's storage root, for example `az://container/prefix`.
    pub storage: String,
    /// The code snapshot: becomes `<app root>/<directory>`.
    pub code: CodeRef,
    /// The models: each becomes `<app root>/azureml-models/<name>/<version>`.
    pub models: Vec<ModelRef>,
}
