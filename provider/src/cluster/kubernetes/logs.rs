//! What pods logged.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::LogParams;
use serving::cluster::{component, label};

use super::api::{ApiError, Namespace, Problem};
use super::failure::Log;
use super::labels;
use super::workload::{FETCH, SCORER};
use crate::cluster::{Error, ReplicaLog};

/// Longest log of one container, whatever its lines.
const LOG_BYTES: i64 = 1 << 20;
/// Lines of a log that a failure shows, and its most bytes.
const FAILURE: (i64, i64) = (50, 64 << 10);

/// The last lines of each pod of a service.
pub(super) async fn tail(namespace: &Namespace, service: &str, lines: usize) -> Result<Vec<ReplicaLog>, Error> {
    let mut pods: Vec<Pod> = namespace.list(&labels::of_service(component::SCORER, service)).await?;
    pods.sort_by_key(|pod| pod.metadata.name.clone());
    let lines = i64::try_from(lines).unwrap_or(i64::MAX);
    let mut logs = Vec::new();
    for pod in &pods {
        let version = pod.metadata.labels.as_ref().and_then(|labels| labels.get(label::VERSION)).cloned();
        let mut text = String::new();
        for log in of_pod(pod) {
            match read(namespace, &log, (lines, LOG_BYTES)).await {
                Ok(read) => text.push_str(&read),
                // Gone, or its log was, since it was listed.
                Err(ApiError { problem: Problem::Absent(_) | Problem::Refused(_), .. }) => {}
                Err(error) => return Err(error.into()),
            }
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
        }
        let replica = pod.metadata.name.clone().unwrap_or_default();
        logs.push(ReplicaLog { version: version.unwrap_or_default(), replica, text });
    }
    Ok(logs)
}

/// The last lines of a container that failed.
pub(super) async fn of_failure(namespace: &Namespace, log: &Log) -> Result<Vec<String>, ApiError> {
    Ok(read(namespace, log, FAILURE).await?.lines().map(str::to_owned).collect())
}

/// The logs that tell of a pod's life so far, oldest first: of the fetch only while the scorer has none, and what a
/// container said before it was restarted.
fn of_pod(pod: &Pod) -> Vec<Log> {
    let Some(status) = &pod.status else { return Vec::new() };
    let began = |status: &ContainerStatus| {
        status.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    };
    let find = |statuses: &Option<Vec<ContainerStatus>>, name| {
        statuses.iter().flatten().find(|status| status.name == name).cloned()
    };
    let scorer = find(&status.container_statuses, SCORER).filter(|status| began(status) || status.restart_count > 0);
    let container = if scorer.is_some() { SCORER } else { FETCH };
    let Some(status) = scorer.or_else(|| find(&status.init_container_statuses, FETCH)) else { return Vec::new() };
    let log = |previous| Log { pod: pod.metadata.name.clone().unwrap_or_default(), container, previous };
    [(true, status.restart_count > 0), (false, began(&status))]
        .into_iter()
        .filter(|(_, there)| *there)
        .map(|(previous, _)| log(previous))
        .collect()
}

async fn read(namespace: &Namespace, log: &Log, (lines, bytes): (i64, i64)) -> Result<String, ApiError> {
    let parameters = LogParams {
        container: Some(log.container.to_owned()),
        previous: log.previous,
        tail_lines: Some(lines),
        limit_bytes: Some(bytes),
        ..LogParams::default()
    };
    let api = namespace.api::<Pod>();
    namespace.call::<Pod, _>("read the log of", &log.pod, api.logs(&log.pod, &parameters)).await
}
