//! The Deployment and the `PodDisruptionBudget` of one version.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use serving::cluster::{self, component, label};
use serving::pod::{Fetch, Pod};
use serving::service::{Scale, Service, Template, Version};
use serving::wire;

use super::labels;

/// User and group of the containers: anyone but root; the images are made for it.
const USER: i64 = 10_001;
/// Seconds between the order to end a pod and its signal, in which every router hears of it.
const WITHDRAWAL_SECONDS: u64 = 2;
/// Seconds beyond the longest request that a pod may take to end.
const END_SECONDS: u64 = 10;
/// Name of the container that scores, for logs and states.
pub(super) const SCORER: &str = cluster::SCORER_CONTAINER;
/// Name of the container that fetches code and models.
pub(super) const FETCH: &str = "fetch";

/// What all workloads of a compute have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Id of the workspace: the URL of its storage.
    pub workspace: String,
    /// Secret of the registry's credentials.
    pub image_pull_secret: Option<String>,
}

/// Why there is no workload for a version.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// The environment has no image.
    #[error("environment {environment} has no image; give its workspace a `registry`, and apply the environment again")]
    NoImage {
        /// Id of the environment.
        environment: String,
    },
    /// The version was made for another kind of compute.
    #[error("the version has no pod settings; it was made for another kind of compute: replace it")]
    NoPod,
}

/// The manifests of a version.
pub(super) struct Workload {
    pub(super) name: String,
    pub(super) deployment: Value,
    pub(super) disruption_budget: Value,
}

/// Whether a template can run in a cluster.
pub(super) fn check(template: &Template) -> Result<(), WorkloadError> {
    parts(template).map(|_| ())
}

fn parts(template: &Template) -> Result<(&Pod, &str), WorkloadError> {
    let pod = template.pod.as_ref().ok_or(WorkloadError::NoPod)?;
    let image = template.environment.image.as_deref();
    let image = image.ok_or_else(|| WorkloadError::NoImage { environment: template.environment.id.clone() })?;
    Ok((pod, image))
}

pub(super) fn build(site: &Site, service: &Service, name: &str, version: &Version) -> Result<Workload, WorkloadError> {
    let template = &version.template;
    let (pod, image) = parts(template)?;
    let workload = cluster::workload(&service.name, name);
    let mut labels = labels::service(component::SCORER, &site.workspace, &service.name);
    labels.insert(label::VERSION.to_owned(), name.to_owned());
    let selector = json!({ "matchLabels": {
        (label::COMPONENT): component::SCORER, (label::SERVICE): service.name, (label::VERSION): name,
    } });
    let metadata = json!({ "name": workload, "labels": labels });
    let rollout = &version.rollout;
    let strategy = if rollout.recreate {
        json!({ "type": "Recreate" })
    } else {
        json!({
            "type": "RollingUpdate",
            "rollingUpdate": { "maxSurge": rollout.max_surge, "maxUnavailable": rollout.max_unavailable },
        })
    };
    let mut spec = json!({
        "selector": selector,
        "strategy": strategy,
        "revisionHistoryLimit": 2,
        "progressDeadlineSeconds": rollout.progress_deadline_seconds,
        "template": {
            "metadata": { "labels": pod_labels(labels, pod, template), "annotations": pod.annotations },
            "spec": pod_spec(site, service, version, (pod, image)),
        },
    });
    // Under autoscaling the router owns the number.
    if let Scale::Fixed(replicas) = version.scale {
        spec["replicas"] = replicas.into();
    }
    Ok(Workload {
        deployment: json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec,
        }),
        disruption_budget: json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata,
            "spec": { "maxUnavailable": 1, "selector": selector },
        }),
        name: workload,
    })
}

/// Ours last: the selector must find the pod.
fn pod_labels(ours: BTreeMap<String, String>, pod: &Pod, template: &Template) -> BTreeMap<String, String> {
    let mut labels = pod.labels.clone();
    labels.extend(ours);
    labels.insert(label::REVISION.to_owned(), template.revision());
    labels
}

fn pod_spec(site: &Site, service: &Service, version: &Version, (pod, image): (&Pod, &str)) -> Value {
    let template = &version.template;
    let progress = version.rollout.progress_deadline_seconds;
    let security = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": { "drop": ["ALL"] },
    });
    let resources = resources(pod);
    let fetch = Fetch { storage: site.workspace.clone(), code: template.code.clone(), models: template.models.clone() };
    let probe = json!({ "path": wire::HEALTH_PATH, "port": wire::SCORER_PORT });
    let liveness = &pod.liveness;
    let app = |read_only: bool| json!({ "name": "app", "mountPath": cluster::APP_ROOT, "readOnly": read_only });
    let scratch = json!({ "name": "tmp", "mountPath": "/tmp" });
    let mut spec = json!({
        // Written always: the cluster copies it to a second field, which would bring back what is only left out.
        "serviceAccountName": pod.service_account.as_deref().unwrap_or("default"),
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds":
            WITHDRAWAL_SECONDS + version.scoring_timeout_ms.div_ceil(1000) + END_SECONDS,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "topologySpreadConstraints": [{
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": { (label::SERVICE): service.name, (label::REVISION): template.revision() } },
        }],
        "initContainers": [{
            "name": FETCH,
            "image": image,
            "command": ["python", "-m", "azureml_scorer", "fetch"],
            "env": environment(&[
                (wire::FETCH, &serde_json::to_string(&fetch).unwrap_or_default()),
                ("AML_APP_ROOT", cluster::APP_ROOT),
                (wire::TERMINATION_LOG, TERMINATION_LOG),
                ("HOME", "/tmp"),
            ]),
            "envFrom": [{ "secretRef": { "name": cluster::STORAGE, "optional": true } }],
            "resources": resources,
            "securityContext": security,
            "volumeMounts": [app(false), scratch],
        }],
        "containers": [{
            "name": SCORER,
            "image": image,
            "command": ["python", "-m", "azureml_scorer"],
            "env": scorer_environment(service, version),
            "ports": [{ "name": "score", "containerPort": wire::SCORER_PORT }],
            "resources": resources,
            "securityContext": security,
            "volumeMounts": [
                app(true), scratch,
                { "name": "hop", "mountPath": cluster::HOP_DIRECTORY, "readOnly": true },
            ],
            // Until init() is done; the other probes begin after it.
            "startupProbe": {
                "httpGet": probe, "periodSeconds": 1, "timeoutSeconds": liveness.timeout_seconds,
                "failureThreshold": progress.max(1),
            },
            "readinessProbe": {
                "httpGet": probe, "periodSeconds": 5, "timeoutSeconds": liveness.timeout_seconds,
                "successThreshold": liveness.success_threshold, "failureThreshold": liveness.failure_threshold,
            },
            "livenessProbe": {
                "httpGet": probe, "periodSeconds": liveness.period_seconds,
                "initialDelaySeconds": liveness.initial_delay_seconds,
                "timeoutSeconds": liveness.timeout_seconds, "failureThreshold": liveness.failure_threshold,
            },
            "lifecycle": { "preStop": { "sleep": { "seconds": WITHDRAWAL_SECONDS } } },
        }],
        "volumes": [
            { "name": "app", "emptyDir": {} },
            { "name": "tmp", "emptyDir": {} },
            { "name": "hop", "secret": {
                "secretName": cluster::ACCESS,
                "defaultMode": 0o440,
                "items": [{ "key": cluster::hop(&service.name), "path": cluster::HOP_FILE }],
            } },
        ],
        "nodeSelector": pod.node_selector,
        "tolerations": pod.tolerations,
    });
    if let Some(class) = &pod.priority_class {
        spec["priorityClassName"] = class.as_str().into();
    }
    if let Some(secret) = &site.image_pull_secret {
        spec["imagePullSecrets"] = json!([{ "name": secret }]);
    }
    spec
}

/// Kubernetes' own place of a container's last words.
const TERMINATION_LOG: &str = "/dev/termination-log";

fn environment(variables: &[(&str, &str)]) -> Value {
    variables.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

/// The user's variables, then the contract, which nobody can change.
fn scorer_environment(service: &Service, version: &Version) -> Value {
    let template = &version.template;
    let mut all = BTreeMap::from([("HOME".to_owned(), "/tmp".to_owned())]);
    all.extend(template.contract(&service.name, cluster::APP_ROOT));
    // What a script prints must be in the log when it dies.
    all.entry("PYTHONUNBUFFERED".to_owned()).or_insert_with(|| "1".to_owned());
    let hop = format!("{}/{}", cluster::HOP_DIRECTORY, cluster::HOP_FILE);
    let progress = version.rollout.progress_deadline_seconds.to_string();
    for (name, value) in [
        (wire::INIT_TIMEOUT, progress.as_str()),
        (wire::HOP_SECRET_FILE, &hop),
        (wire::TERMINATION_LOG, TERMINATION_LOG),
    ] {
        all.insert(name.to_owned(), value.to_owned());
    }
    all.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

/// Requests and limits, in Kubernetes' quantities.
fn resources(pod: &Pod) -> Value {
    let mut requests = BTreeMap::from([
        ("cpu".to_owned(), cpu(pod.cpu_cores)),
        ("memory".to_owned(), memory(pod.memory_gb)),
        // The archive of the code and what is unpacked from it, and room for temporary files.
        ("ephemeral-storage".to_owned(), format!("{}Mi", pod.content_bytes.div_ceil(1 << 20) + 64)),
    ]);
    let mut limits = BTreeMap::new();
    limits.extend(pod.cpu_cores_limit.map(|cores| ("cpu".to_owned(), cpu(cores))));
    limits.extend(pod.memory_gb_limit.map(|gb| ("memory".to_owned(), memory(gb))));
    let mut extended = pod.extended_resources.clone();
    if pod.gpu_cores > 0 {
        extended.insert("nvidia.com/gpu".to_owned(), pod.gpu_cores.to_string());
    }
    requests.extend(extended.clone());
    limits.extend(extended);
    json!({ "requests": requests, "limits": limits })
}

/// A quantity as the cluster itself spells it, so that what is read back is what was written.
pub(super) fn cpu(cores: f64) -> String {
    let thousandths = (cores * 1000.0).ceil();
    if thousandths % 1000.0 == 0.0 { format!("{:.0}", thousandths / 1000.0) } else { format!("{thousandths:.0}m") }
}

/// The same of memory.
pub(super) fn memory(gb: f64) -> String {
    let mi = (gb * 1024.0).ceil();
    if mi % 1024.0 == 0.0 { format!("{:.0}Gi", mi / 1024.0) } else { format!("{mi:.0}Mi") }
}

#[cfg(test)]
#[path = "workload_tests.rs"]
mod tests;
