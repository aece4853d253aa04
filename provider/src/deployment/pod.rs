//! What a replica is given in a cluster: between what users write and the pod settings of a document.
//!
//! The local compute accepts these attributes and writes them down, so that one configuration serves both; it does not
//! enforce them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serving::pod::{Liveness, Pod, Toleration};
use serving::validate::{Settings, default, range};
use tfplugin::schema::one_of;
use tfplugin::{Attr, Attribute, Model, Nesting, Object, Schema, Type};

/// The attributes. What each field means says the schema.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct PodConfig {
    pub cpu_cores: Attr<f64>,
    pub cpu_cores_limit: Attr<f64>,
    pub memory_gb: Attr<f64>,
    pub memory_gb_limit: Attr<f64>,
    pub gpu_cores: Attr<i64>,
    pub extended_resources: Attr<BTreeMap<String, String>>,
    pub period_seconds: Attr<i64>,
    pub initial_delay_seconds: Attr<i64>,
    pub timeout_seconds: Attr<i64>,
    pub success_threshold: Attr<i64>,
    pub failure_threshold: Attr<i64>,
    pub node_selector: Attr<BTreeMap<String, String>>,
    pub tolerations: Attr<Vec<TolerationConfig>>,
    pub service_account: Attr<String>,
    pub priority_class: Attr<String>,
    pub pod_labels: Attr<BTreeMap<String, String>>,
    pub pod_annotations: Attr<BTreeMap<String, String>>,
}

/// A taint that is tolerated.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct TolerationConfig {
    pub key: Attr<String>,
    pub operator: Attr<String>,
    pub value: Attr<String>,
    pub effect: Attr<String>,
}

/// What was configured, literally.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Configured {
    cpu_cores: Option<f64>,
    cpu_cores_limit: Option<f64>,
    memory_gb: Option<f64>,
    memory_gb_limit: Option<f64>,
    gpu_cores: Option<i64>,
    extended_resources: Option<BTreeMap<String, String>>,
    period_seconds: Option<i64>,
    initial_delay_seconds: Option<i64>,
    timeout_seconds: Option<i64>,
    success_threshold: Option<i64>,
    failure_threshold: Option<i64>,
    node_selector: Option<BTreeMap<String, String>>,
    tolerations: Option<Vec<Toleration>>,
    service_account: Option<String>,
    priority_class: Option<String>,
    pod_labels: Option<BTreeMap<String, String>>,
    pod_annotations: Option<BTreeMap<String, String>>,
}

impl TolerationConfig {
    fn known(&self) -> Toleration {
        let text = |value: &Attr<String>| value.clone().known();
        Toleration {
            key: text(&self.key),
            operator: text(&self.operator),
            value: text(&self.value),
            effect: text(&self.effect),
        }
    }

    fn of(toleration: Toleration) -> Self {
        let Toleration { key, operator, value, effect } = toleration;
        Self { key: key.into(), operator: operator.into(), value: value.into(), effect: effect.into() }
    }
}

impl PodConfig {
    /// What is checked of them, in the terms of the rules.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            cpu_cores: self.cpu_cores.known(),
            // Compared with the default while the other is not known, which could be wrong.
            cpu_cores_limit: self.cpu_cores_limit.known().filter(|_| !self.cpu_cores.is_unknown()),
            memory_gb: self.memory_gb.known(),
            memory_gb_limit: self.memory_gb_limit.known().filter(|_| !self.memory_gb.is_unknown()),
            gpu_cores: self.gpu_cores.known(),
            period_seconds: self.period_seconds.known(),
            initial_delay_seconds: self.initial_delay_seconds.known(),
            timeout_seconds: self.timeout_seconds.known(),
            success_threshold: self.success_threshold.known(),
            failure_threshold: self.failure_threshold.known(),
            ..Settings::default()
        }
    }
}

impl Configured {
    /// Of a configuration, all of which is known.
    #[must_use]
    pub fn of(config: &PodConfig) -> Self {
        let tolerations = config.tolerations.get().map(|all| all.iter().map(TolerationConfig::known).collect());
        Self {
            cpu_cores: config.cpu_cores.known(),
            cpu_cores_limit: config.cpu_cores_limit.known(),
            memory_gb: config.memory_gb.known(),
            memory_gb_limit: config.memory_gb_limit.known(),
            gpu_cores: config.gpu_cores.known(),
            extended_resources: config.extended_resources.clone().known(),
            period_seconds: config.period_seconds.known(),
            initial_delay_seconds: config.initial_delay_seconds.known(),
            timeout_seconds: config.timeout_seconds.known(),
            success_threshold: config.success_threshold.known(),
            failure_threshold: config.failure_threshold.known(),
            node_selector: config.node_selector.clone().known(),
            tolerations,
            service_account: config.service_account.clone().known(),
            priority_class: config.priority_class.clone().known(),
            pod_labels: config.pod_labels.clone().known(),
            pod_annotations: config.pod_annotations.clone().known(),
        }
    }

    /// As attributes.
    #[must_use]
    pub fn config(self) -> PodConfig {
        let tolerations = self.tolerations.map(|all| all.into_iter().map(TolerationConfig::of).collect::<Vec<_>>());
        PodConfig {
            cpu_cores: self.cpu_cores.into(),
            cpu_cores_limit: self.cpu_cores_limit.into(),
            memory_gb: self.memory_gb.into(),
            memory_gb_limit: self.memory_gb_limit.into(),
            gpu_cores: self.gpu_cores.into(),
            extended_resources: self.extended_resources.into(),
            period_seconds: self.period_seconds.into(),
            initial_delay_seconds: self.initial_delay_seconds.into(),
            timeout_seconds: self.timeout_seconds.into(),
            success_threshold: self.success_threshold.into(),
            failure_threshold: self.failure_threshold.into(),
            node_selector: self.node_selector.into(),
            tolerations: tolerations.into(),
            service_account: self.service_account.into(),
            priority_class: self.priority_class.into(),
            pod_labels: self.pod_labels.into(),
            pod_annotations: self.pod_annotations.into(),
        }
    }

    /// The settings of a pod that fetches so many bytes.
    #[must_use]
    pub fn effective(&self, content_bytes: u64) -> Pod {
        let probe = Liveness::default();
        let seconds =
            |value: Option<i64>, default: u32| value.and_then(|value| value.try_into().ok()).unwrap_or(default);
        Pod {
            cpu_cores: self.cpu_cores.unwrap_or(default::CPU_CORES),
            cpu_cores_limit: self.cpu_cores_limit,
            memory_gb: self.memory_gb.unwrap_or(default::MEMORY_GB),
            memory_gb_limit: self.memory_gb_limit,
            gpu_cores: seconds(self.gpu_cores, 0),
            extended_resources: self.extended_resources.clone().unwrap_or_default(),
            content_bytes,
            node_selector: self.node_selector.clone().unwrap_or_default(),
            tolerations: self.tolerations.clone().unwrap_or_default(),
            liveness: Liveness {
                period_seconds: seconds(self.period_seconds, probe.period_seconds),
                initial_delay_seconds: seconds(self.initial_delay_seconds, probe.initial_delay_seconds),
                timeout_seconds: seconds(self.timeout_seconds, probe.timeout_seconds),
                success_threshold: seconds(self.success_threshold, probe.success_threshold),
                failure_threshold: seconds(self.failure_threshold, probe.failure_threshold),
            },
            service_account: self.service_account.clone(),
            priority_class: self.priority_class.clone(),
            labels: self.pod_labels.clone().unwrap_or_default(),
            annotations: self.pod_annotations.clone().unwrap_or_default(),
        }
    }

    /// What is in force of a pod, as if all of it had been configured.
    #[must_use]
    pub fn in_force(pod: &Pod) -> Self {
        let filled = |map: &BTreeMap<String, String>| Some(map.clone()).filter(|map| !map.is_empty());
        let probe = &pod.liveness;
        Self {
            cpu_cores: Some(pod.cpu_cores),
            cpu_cores_limit: pod.cpu_cores_limit,
            memory_gb: Some(pod.memory_gb),
            memory_gb_limit: pod.memory_gb_limit,
            gpu_cores: Some(pod.gpu_cores.into()),
            extended_resources: filled(&pod.extended_resources),
            period_seconds: Some(probe.period_seconds.into()),
            initial_delay_seconds: Some(probe.initial_delay_seconds.into()),
            timeout_seconds: Some(probe.timeout_seconds.into()),
            success_threshold: Some(probe.success_threshold.into()),
            failure_threshold: Some(probe.failure_threshold.into()),
            node_selector: filled(&pod.node_selector),
            tolerations: Some(pod.tolerations.clone()).filter(|all| !all.is_empty()),
            service_account: pod.service_account.clone(),
            priority_class: pod.priority_class.clone(),
            pod_labels: filled(&pod.labels),
            pod_annotations: filled(&pod.annotations),
        }
    }
}

/// What to show of a version: what was configured, as long as it says what is in force.
#[must_use]
pub fn shown(configured: Configured, pod: Option<&Pod>) -> PodConfig {
    match pod {
        Some(pod) if configured.effective(pod.content_bytes) != *pod => Configured::in_force(pod).config(),
        _ => configured.config(),
    }
}

/// Adds the attributes.
#[must_use]
pub fn attributes(all: Schema) -> Schema {
    placement(probes(resources(all)))
}

fn resources(all: Schema) -> Schema {
    let cores = |what: &str| Attribute::number(format!("{what} In a cluster; the local compute does not enforce it."));
    all.attribute(
        "cpu_cores",
        cores(&format!("Cores that are reserved for each replica. Default {}.", default::CPU_CORES)).optional(),
    )
    .attribute(
        "cpu_cores_limit",
        cores("Cores that each replica may use at most, not below `cpu_cores`. Default: no bound.").optional(),
    )
    .attribute(
        "memory_gb",
        cores(&format!(
            "GB (2^30 bytes) of memory that are reserved for each replica. Default {}.",
            default::MEMORY_GB
        ))
        .optional(),
    )
    .attribute(
        "memory_gb_limit",
        cores("GB of memory beyond which a replica is killed, not below `memory_gb`. Default: no bound.").optional(),
    )
    .attribute(
        "gpu_cores",
        cores(&format!(
            "Graphics processors of each replica (`nvidia.com/gpu`). From {} to {}. Default 0.",
            range::GPU_CORES.start(),
            range::GPU_CORES.end()
        ))
        .optional(),
    )
    .attribute(
        "extended_resources",
        Attribute::map(
            Type::String,
            "Other extended resources of each replica by name, with their quantities. In a cluster only.",
        )
        .optional(),
    )
}

fn probes(all: Schema) -> Schema {
    let probe = Liveness::default();
    let number = |what: &str, default: u32, allowed: std::ops::RangeInclusive<i64>| {
        let text =
            format!("{what} From {} to {}. Default {default}. In a cluster only.", allowed.start(), allowed.end());
        Attribute::number(text).optional()
    };
    all.attribute(
        "period_seconds",
        number("Liveness probe: seconds between two probes.", probe.period_seconds, range::PROBE_SECONDS),
    )
    .attribute(
        "initial_delay_seconds",
        number(
            "Liveness probe: seconds from the start of the container to the first probe. Until `init()` is done, \
             `rollout.progress_deadline_seconds` alone counts.",
            probe.initial_delay_seconds,
            range::INITIAL_DELAY_SECONDS,
        ),
    )
    .attribute(
        "timeout_seconds",
        number("Probes: seconds that one may take.", probe.timeout_seconds, range::PROBE_SECONDS),
    )
    .attribute(
        "success_threshold",
        number(
            "Probes: how many in a row must succeed after a failure.",
            probe.success_threshold,
            range::SUCCESS_THRESHOLD,
        ),
    )
    .attribute(
        "failure_threshold",
        number(
            "Probes: how many in a row must fail for the replica to be restarted.",
            probe.failure_threshold,
            range::FAILURE_THRESHOLD,
        ),
    )
}

fn placement(all: Schema) -> Schema {
    let object = Object::new()
        .attribute("key", Attribute::string("Key of the taint. Default: any.").optional())
        .attribute(
            "operator",
            Attribute::string("`Exists`, or `Equal` (the default): whether `value` counts.")
                .optional()
                .validate(one_of(&["Exists", "Equal"])),
        )
        .attribute("value", Attribute::string("Value of the taint.").optional())
        .attribute(
            "effect",
            Attribute::string("`NoSchedule`, `PreferNoSchedule` or `NoExecute`. Default: any.")
                .optional()
                .validate(one_of(&["NoSchedule", "PreferNoSchedule", "NoExecute"])),
        );
    all.attribute(
        "node_selector",
        Attribute::map(Type::String, "Labels that a node must have to run replicas. In a cluster only.").optional(),
    )
    .attribute(
        "tolerations",
        Attribute::nested(Nesting::List, object, "Taints of nodes that replicas tolerate. In a cluster only.")
            .optional(),
    )
    .attribute(
        "service_account",
        Attribute::string(
            "ServiceAccount of the replicas, for workload identity. Its token is not mounted. In a cluster only.",
        )
        .optional(),
    )
    .attribute("priority_class", Attribute::string("PriorityClass of the replicas. In a cluster only.").optional())
    .attribute(
        "pod_labels",
        Attribute::map(Type::String, "Further labels of the replicas' pods. In a cluster only.").optional(),
    )
    .attribute(
        "pod_annotations",
        Attribute::map(Type::String, "Further annotations of the replicas' pods. In a cluster only.").optional(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_configured_is_shown_as_long_as_it_is_in_force() {
        let configured =
            Configured { cpu_cores: Some(0.5), node_selector: Some(BTreeMap::new()), ..Configured::default() };
        let mut pod = configured.effective(7);
        assert_eq!((pod.cpu_cores, pod.memory_gb, pod.content_bytes), (0.5, default::MEMORY_GB, 7));
        assert_eq!(shown(configured.clone(), Some(&pod)), configured.clone().config());
        assert_eq!(shown(configured.clone(), None), configured.clone().config());
        pod.memory_gb = 4.0;
        let changed = shown(configured, Some(&pod));
        assert_eq!((changed.memory_gb, changed.cpu_cores), (4.0.into(), 0.5.into()));
    }
}
