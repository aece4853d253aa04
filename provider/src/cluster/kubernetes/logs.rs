//! The last lines that pods of a service logged.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::LogParams;
use serving::cluster::{component, label};

use super::api::Namespace;
use super::labels;
use super::workload::{FETCH, SCORER};
use crate::cluster::{Error, ReplicaLog};

/// Longest log of one container, whatever its lines.
const LOG_BYTES: i64 = 1 << 20;

pub(super) async fn tail(namespace: &Namespace, service: &str, lines: usize) -> Result<Vec<ReplicaLog>, Error> {
    let selector = labels::selector(&[(label::COMPONENT, component::SCORER), (label::SERVICE, service)]);
    let mut pods: Vec<Pod> = namespace.list(&selector).await?;
    pods.sort_by_key(|pod| pod.metadata.name.clone());
    let mut logs = Vec::new();
    for pod in &pods {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let version = pod.metadata.labels.as_ref().and_then(|labels| labels.get(label::VERSION)).cloned();
        let mut text = String::new();
        for source in sources(pod) {
            text.push_str(&read(namespace, &name, &source, lines).await?);
        }
        logs.push(ReplicaLog { version: version.unwrap_or_default(), replica: name, text });
    }
    Ok(logs)
}

/// One log of a pod.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    container: &'static str,
    previous: bool,
}

/// The logs that tell of a pod's life so far, oldest first: of the fetch only while the scorer has none, and what a
/// container said before it was restarted.
fn sources(pod: &Pod) -> Vec<Source> {
    let Some(status) = &pod.status else { return Vec::new() };
    let find = |statuses: &Option<Vec<ContainerStatus>>, name: &str| {
        statuses.iter().flatten().find(|status| status.name == name).cloned()
    };
    let began = |status: &ContainerStatus| {
        status.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    };
    let mut sources = Vec::new();
    let scorer = find(&status.container_statuses, SCORER);
    let has_run = scorer.as_ref().is_some_and(|status| began(status) || status.restart_count > 0);
    let containers = if has_run { [(SCORER, scorer)] } else { [(FETCH, find(&status.init_container_statuses, FETCH))] };
    for (container, status) in containers {
        let Some(status) = status else { continue };
        if status.restart_count > 0 {
            sources.push(Source { container, previous: true });
        }
        if began(&status) {
            sources.push(Source { container, previous: false });
        }
    }
    sources
}

async fn read(namespace: &Namespace, pod: &str, source: &Source, lines: usize) -> Result<String, Error> {
    let parameters = LogParams {
        container: Some(source.container.to_owned()),
        previous: source.previous,
        tail_lines: Some(i64::try_from(lines).unwrap_or(i64::MAX)),
        limit_bytes: Some(LOG_BYTES),
        ..LogParams::default()
    };
    let found = namespace.call::<Pod, _>("read the log of", pod, namespace.api::<Pod>().logs(pod, &parameters)).await;
    match found {
        Ok(text) if text.is_empty() || text.ends_with('\n') => Ok(text),
        Ok(text) => Ok(text + "\n"),
        // Gone, or its log was, since it was listed.
        Err(error) if matches!(error.problem, super::api::Problem::Absent(_) | super::api::Problem::Refused(_)) => {
            Ok(String::new())
        }
        Err(error) => Err(error.into()),
    }
}
