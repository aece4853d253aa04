//! What the cluster says of a service.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::Value;
use serving::admin::{ReplicaState, ReplicaStatus, ServiceStatus, VersionStatus};
use serving::cluster::{self, Confirmation, component, label};
use serving::service::{Service, Version};

use super::api::Namespace;
use super::explain::explain;
use super::failure;
use super::workload::{self, Site};
use super::{documents, drift, labels};
use crate::cluster::{Error, Router};

/// A router that answers callers, and what it serves.
struct Serving {
    pod: String,
    confirmation: Confirmation,
}

/// Every router that callers may reach, with what it has confirmed.
async fn routers(namespace: &Namespace) -> Result<Vec<Serving>, Error> {
    let pods: Vec<Pod> = namespace.list(&labels::selector(&[(label::COMPONENT, component::ROUTER)])).await?;
    let leases: Vec<Lease> = namespace.list(&labels::selector(&[(label::COMPONENT, component::CONFIRMATION)])).await?;
    let mut confirmed: BTreeMap<String, Confirmation> = leases
        .into_iter()
        .filter_map(|lease| {
            let text = lease.metadata.annotations?.remove(label::CONFIRMATION)?;
            Some((lease.metadata.name?, serde_json::from_str(&text).ok()?))
        })
        .collect();
    let ready = pods.into_iter().filter(|pod| state(pod) == ReplicaState::Ready).filter_map(|pod| pod.metadata.name);
    Ok(ready
        .map(|pod| {
            let confirmation = confirmed.remove(&cluster::lease(&pod)).unwrap_or_default();
            Serving { pod, confirmation }
        })
        .collect())
}

/// The router's state: running as soon as one pod of it is ready.
pub(super) async fn router(namespace: &Namespace) -> Result<Router, Error> {
    let versions = routers(namespace).await?.into_iter().map(|router| router.confirmation.version);
    // While it is updated, the oldest counts.
    Ok(versions.min().map_or(Router::Stopped, |version| Router::Running { version }))
}

pub(super) async fn service(
    namespace: &Namespace,
    (id, site): (&str, &Site),
    name: &str,
) -> Result<Option<ServiceStatus>, Error> {
    let document = documents::read_served(namespace, name).await?;
    let selector = labels::of_service(component::SCORER, name);
    let pods: Vec<Pod> = namespace.list(&selector).await?;
    let routers = routers(namespace).await?;
    let Some(document) = document else {
        let routed = routers.iter().any(|router| router.confirmation.served.contains_key(name));
        return Ok((routed || !pods.is_empty()).then(|| leaving(&pods)));
    };
    if routers.is_empty() {
        return Err(Error::NotRunning { compute: id.to_owned() });
    }
    let deployments: Vec<Deployment> = namespace.list(&selector).await?;
    let budgets: Vec<PodDisruptionBudget> = namespace.list(&selector).await?;
    let mut versions = BTreeMap::new();
    for (version_name, version) in &document.versions {
        let of = |labels: Option<&BTreeMap<String, String>>| {
            labels.and_then(|labels| labels.get(label::VERSION)).is_some_and(|found| found == version_name)
        };
        let mine: Vec<&Pod> = pods.iter().filter(|pod| of(pod.metadata.labels.as_ref())).collect();
        let deployment = deployments.iter().find(|deployment| of(deployment.metadata.labels.as_ref()));
        let diverted = routers.iter().any(|router| {
            router.confirmation.diverted.get(name).is_some_and(|versions| versions.contains(version_name))
        });
        let status = version_status(namespace, version, &mine, deployment).await?;
        let budget = budgets.iter().find(|budget| of(budget.metadata.labels.as_ref()));
        let drifted = drifted(site, &document, version_name, (deployment, budget));
        versions.insert(version_name.clone(), VersionStatus { diverted, drifted, ..status });
    }
    // Replicas of versions that the document does not have any more.
    for (version, replicas) in leaving(&pods).versions {
        versions.entry(version).or_insert(replicas);
    }
    Ok(Some(confirmed(&document, &routers, versions)))
}

/// What all routers agree on.
fn confirmed(document: &Service, routers: &[Serving], versions: BTreeMap<String, VersionStatus>) -> ServiceStatus {
    let served = |router: &Serving| router.confirmation.served.get(&document.name).copied().unwrap_or(0);
    let generation = routers.iter().map(served).min().unwrap_or(0);
    let refused = routers.iter().find_map(|router| {
        let refusal = router.confirmation.refused.get(&document.name)?;
        (refusal.generation >= document.generation).then(|| format!("{} (router {})", refusal.reason, router.pod))
    });
    ServiceStatus { accepted_generation: generation, served_generation: generation, refused, versions }
}

/// Pods without a document, by version.
fn leaving(pods: &[Pod]) -> ServiceStatus {
    let mut versions: BTreeMap<String, VersionStatus> = BTreeMap::new();
    for pod in pods {
        let version = labelled(pod, label::VERSION).unwrap_or_default();
        versions.entry(version).or_default().replicas.push(replica(pod));
    }
    ServiceStatus { versions, ..ServiceStatus::default() }
}

async fn version_status(
    namespace: &Namespace,
    version: &Version,
    pods: &[&Pod],
    deployment: Option<&Deployment>,
) -> Result<VersionStatus, Error> {
    let revision = version.template.revision();
    let replicas: Vec<ReplicaStatus> = pods.iter().map(|pod| replica(pod)).collect();
    let ready = |replica: &&ReplicaStatus| replica.state == ReplicaState::Ready;
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let updated = replicas.iter().filter(ready).filter(|replica| replica.revision == revision).count();
    let desired_replicas = match &version.scale {
        serving::service::Scale::Fixed(replicas) => *replicas,
        // The router decides; what it asked for last is in the Deployment.
        scale @ serving::service::Scale::Auto(_) => deployment
            .and_then(|deployment| deployment.spec.as_ref()?.replicas)
            .and_then(|replicas| u32::try_from(replicas).ok())
            .unwrap_or_else(|| scale.least()),
    };
    let mut status = VersionStatus {
        desired_replicas,
        updated_replicas: count(updated).min(rolled_out(deployment, desired_replicas)),
        available_replicas: count(replicas.iter().filter(ready).count()),
        replicas,
        failure: None,
        diverted: false,
        drifted: None,
        revision,
    };
    if !status.settled() {
        let wanted: Vec<&Pod> = pods
            .iter()
            .copied()
            .filter(|pod| labelled(pod, label::REVISION).as_ref() == Some(&status.revision))
            .collect();
        if let Some(found) = failure::find(deployment, &wanted) {
            status.failure = explain(namespace, found).await;
        }
    }
    Ok(status)
}

/// How many replicas of the newest template there can be at most: a template also changes in what its revision does not
/// tell, such as the time that a pod has to end.
fn rolled_out(deployment: Option<&Deployment>, desired: u32) -> u32 {
    let Some((deployment, status)) = deployment.and_then(|found| Some((found, found.status.as_ref()?))) else {
        return 0;
    };
    if status.observed_generation < deployment.metadata.generation {
        return 0;
    }
    let (all, updated) = (status.replicas.unwrap_or(0), status.updated_replicas.unwrap_or(0));
    let updated_replicas = u32::try_from(updated).unwrap_or(0);
    // The last of the former template counts as one that is missing.
    if all > updated { updated_replicas.min(desired.saturating_sub(1)) } else { updated_replicas }
}

/// What of a version's workload is not as it was applied.
fn drifted(
    site: &Site,
    service: &Service,
    version: &str,
    (deployment, budget): (Option<&Deployment>, Option<&PodDisruptionBudget>),
) -> Option<String> {
    let wanted = workload::build(site, service, version, service.versions.get(version)?).ok()?;
    let changed = |kind: &str, wanted_object: &Value, found: Option<serde_json::Result<Value>>| {
        let Some(found) = found else { return Some(format!("{kind} {} is gone", wanted.name)) };
        let path = drift::first(&wanted_object["spec"], &found.ok()?["spec"])?;
        Some(format!("spec{path} of {kind} {} was changed", wanted.name))
    };
    changed("Deployment", &wanted.deployment, deployment.map(serde_json::to_value))
        .or_else(|| changed("PodDisruptionBudget", &wanted.disruption_budget, budget.map(serde_json::to_value)))
}

fn labelled(pod: &Pod, name: &str) -> Option<String> {
    pod.metadata.labels.as_ref()?.get(name).cloned()
}

fn replica(pod: &Pod) -> ReplicaStatus {
    let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let restarts = containers.iter().map(|container| container.restart_count).max().unwrap_or(0);
    ReplicaStatus {
        id: pod.metadata.name.clone().unwrap_or_default(),
        revision: labelled(pod, label::REVISION).unwrap_or_default(),
        pid: 0,
        state: state(pod),
        restarts: u32::try_from(restarts).unwrap_or(0),
    }
}

fn state(pod: &Pod) -> ReplicaState {
    if pod.metadata.deletion_timestamp.is_some() {
        return ReplicaState::Draining;
    }
    let Some(status) = &pod.status else { return ReplicaState::Starting };
    let conditions = status.conditions.as_deref().unwrap_or_default();
    // As the router has it. `Ready` is false for all pods of a node for a while after the API server was away.
    if conditions.iter().any(|condition| condition.type_ == "ContainersReady" && condition.status == "True") {
        return ReplicaState::Ready;
    }
    let containers = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    let waits = |reason: &str| matches!(reason, "CrashLoopBackOff" | "ImagePullBackOff");
    let backs_off =
        containers.filter_map(|container| container.state.as_ref()?.waiting.as_ref()?.reason.as_deref()).any(waits);
    if backs_off { ReplicaState::BackOff } else { ReplicaState::Starting }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rollout_is_over_when_the_newest_template_was_seen_and_no_pod_of_the_former_is_left() {
        let of = |generation: i64, observed: i64, all: i32, updated: i32| {
            let deployment = json!({
                "metadata": { "generation": generation },
                "status": { "observedGeneration": observed, "replicas": all, "updatedReplicas": updated },
            });
            rolled_out(Some(&serde_json::from_value(deployment).expect("a Deployment")), 2)
        };
        assert_eq!(of(2, 1, 2, 2), 0, "it is about the former template");
        assert_eq!(of(2, 2, 3, 1), 1);
        assert_eq!(of(2, 2, 3, 2), 1, "one of the former still runs");
        assert_eq!(of(2, 2, 2, 2), 2);
        assert_eq!(rolled_out(None, 2), 0);
    }
}
