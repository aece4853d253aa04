//! Why a version's pods do not become ready, as soon as the cluster knows it.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod};
use serving::admin::{Failure, FailureReason, ScorerEvent};
use serving::cluster::ROUTER;

use super::workload::{FETCH, SCORER};

/// Failures in a row without a reason of the scorer's own that make a crash terminal.
const TERMINAL_CRASHES: u32 = 2;

/// A failure, and where to look for more of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) failure: Failure,
    pub(super) more: Option<More>,
}

/// Who says more of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum More {
    /// The log of a container.
    Log(Log),
    /// Those who find nodes for this pod.
    Scheduling { pod: String },
    /// The probes of this pod, without which nothing is known to be wrong.
    Probes { pod: String },
}

/// A log to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Log {
    pub(super) pod: String,
    pub(super) container: &'static str,
    /// That of the container before its restart.
    pub(super) previous: bool,
}

/// The most telling failure of these pods, all of one template, and of their Deployment.
pub(super) fn find(deployment: Option<&Deployment>, pods: &[&Pod]) -> Option<Found> {
    // What ends the wait before what may pass; what was said by a script before what is only seen from outside.
    let weight = |found: &Found| {
        let Found { failure, more } = found;
        // Not to be ready may still be nothing.
        let sure = !matches!(more, Some(More::Probes { .. }));
        (failure.terminal, failure.traceback.is_some(), sure, failure.count)
    };
    let of_pods = pods.iter().filter_map(|pod| of_pod(pod)).max_by_key(weight);
    match (of_pods, deployment.and_then(of_deployment)) {
        // A pod says why the time was not enough.
        (Some(mut found), Some(over)) if over.failure.reason == FailureReason::InitTimeout => {
            found.failure.terminal = true;
            Some(found)
        }
        (of_pods, of_deployment) => of_pods.into_iter().chain(of_deployment).max_by_key(weight),
    }
}

fn plain(reason: FailureReason, message: String, terminal: bool) -> Failure {
    Failure { reason, message, traceback: None, exit_code: None, log_tail: Vec::new(), count: 1, terminal }
}

fn of_deployment(deployment: &Deployment) -> Option<Found> {
    let status = deployment.status.as_ref()?;
    // What it says of an older template is no news.
    if status.observed_generation < deployment.metadata.generation {
        return None;
    }
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let text = |message: &Option<String>| message.clone().unwrap_or_default();
    let failure = conditions.iter().find_map(|condition| {
        let reason = condition.reason.as_deref().unwrap_or_default();
        match (condition.type_.as_str(), condition.status.as_str()) {
            ("ReplicaFailure", "True") => {
                let message = text(&condition.message);
                let reason =
                    if message.contains("exceeded quota") { FailureReason::Quota } else { FailureReason::Admission };
                Some(plain(reason, format!("the cluster does not let the pod be created: {message}"), true))
            }
            ("Progressing", "False") if reason == "ProgressDeadlineExceeded" => Some(plain(
                FailureReason::InitTimeout,
                format!("the pods were not ready within the progress deadline: {}", text(&condition.message)),
                true,
            )),
            _ => None,
        }
    });
    failure.map(|failure| Found { failure, more: None })
}

fn of_pod(pod: &Pod) -> Option<Found> {
    let status = pod.status.as_ref()?;
    let name = pod.metadata.name.clone().unwrap_or_default();
    let conditions = status.conditions.as_deref().unwrap_or_default();
    if let Some(condition) =
        conditions.iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
    {
        let why = condition.message.clone().unwrap_or_default();
        let failure = plain(FailureReason::Unschedulable, format!("no node takes pod {name}: {why}"), false);
        return Some(Found { failure, more: Some(More::Scheduling { pod: name }) });
    }
    if status.phase.as_deref() == Some("Failed") {
        let why = [status.reason.as_deref(), status.message.as_deref()].into_iter().flatten().collect::<Vec<_>>();
        let failure = plain(FailureReason::Evicted, format!("pod {name} was ended: {}", why.join(": ")), false);
        return Some(Found { failure, more: None });
    }
    let of = |statuses: &Option<Vec<ContainerStatus>>, container| {
        let mut named = statuses.iter().flatten().filter(|status| status.name == container);
        named.find_map(|status| of_container(pod, &name, container, status))
    };
    let (init, main) = (&status.init_container_statuses, &status.container_statuses);
    of(init, FETCH).or_else(|| of(main, SCORER)).or_else(|| of(main, ROUTER))
}

fn of_container(pod: &Pod, name: &str, container: &'static str, status: &ContainerStatus) -> Option<Found> {
    let state = status.state.clone().unwrap_or_default();
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        let why = waiting.message.clone().unwrap_or_default();
        match reason {
            "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "ImageInspectError" => {
                return Some(Found { failure: image(status, reason, &why), more: None });
            }
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                let message = format!("container {container} of pod {name} cannot be started: {why}");
                return Some(Found { failure: plain(FailureReason::ContainerNotStarted, message, false), more: None });
            }
            _ => {}
        }
    }
    let last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let (ended, previous) = match (&state, last) {
        (ContainerState { terminated: Some(ended), .. }, _) if ended.exit_code != 0 => (ended, false),
        (ContainerState { terminated: None, .. }, Some(ended)) if !status.ready && ended.exit_code != 0 => {
            (ended, true)
        }
        (ContainerState { running: Some(_), .. }, _)
            if container == SCORER
                && status.started == Some(true)
                && !status.ready
                && pod.metadata.deletion_timestamp.is_none() =>
        {
            let message = format!("container {container} of pod {name} runs, but is not ready");
            let failure = plain(FailureReason::ProbeFailed, message, false);
            return Some(Found { failure, more: Some(More::Probes { pod: name.to_owned() }) });
        }
        _ => return None,
    };
    let count = u32::try_from(status.restart_count).unwrap_or(0) + u32::from(!previous);
    let failure = ending(pod, container, ended, count.max(1));
    Some(Found { failure, more: Some(More::Log(Log { pod: name.to_owned(), container, previous })) })
}

fn image(status: &ContainerStatus, reason: &str, why: &str) -> Failure {
    let lower = why.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let permanent = matches!(reason, "InvalidImageName" | "ErrImageNeverPull")
        || says(&[
            "not found",
            "manifest unknown",
            "name unknown",
            "unauthorized",
            "denied",
            "forbidden",
            "no such image",
        ]);
    // A back-off repeats the registry's answer at its end.
    plain(FailureReason::ImagePull, format!("the image {} cannot be pulled: {}", status.image, why.trim()), permanent)
}

/// A container that ended before the pod was ready.
fn ending(pod: &Pod, container: &'static str, ended: &ContainerStateTerminated, count: u32) -> Failure {
    let exit = match ended.signal {
        Some(signal) if signal > 0 => -signal,
        // A shell's and the kernel's way to tell of a signal.
        _ if ended.exit_code > 128 => 128 - ended.exit_code,
        _ => ended.exit_code,
    };
    let repeated = count >= TERMINAL_CRASHES;
    let base = Failure { exit_code: Some(exit), count, ..plain(FailureReason::Crashed, String::new(), repeated) };
    if ended.reason.as_deref() == Some("OOMKilled") {
        let limit = memory_limit(pod, container)
            .map_or_else(|| "the node had no more memory".to_owned(), |limit| format!("its limit is {limit}"));
        let message = format!("container {container} was killed because it used too much memory; {limit}");
        return Failure { reason: FailureReason::OutOfMemory, message, ..base };
    }
    let said = ended.message.as_deref().and_then(|text| serde_json::from_str(text.trim()).ok());
    if let Some(ScorerEvent::Failed { reason, message, traceback }) = said {
        let terminal = repeated
            || !matches!(reason, FailureReason::Crashed | FailureReason::StartFailed | FailureReason::FetchFailed);
        return Failure { reason, message, traceback, terminal, ..base };
    }
    if let (Some("StartError" | "ContainerCannotRun"), Some(why)) = (ended.reason.as_deref(), &ended.message) {
        let message = format!("container {container} cannot be started: {}", why.trim());
        return Failure { reason: FailureReason::ContainerNotStarted, message, ..base };
    }
    let reason = if container == FETCH { FailureReason::FetchFailed } else { FailureReason::Crashed };
    let what = match container {
        FETCH => "the fetch of code and models",
        ROUTER => "the router",
        _ => "the scorer",
    };
    Failure { reason, message: format!("{what} ended before it was done"), ..base }
}

fn memory_limit(pod: &Pod, container: &str) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let found =
        all.filter(|candidate| candidate.name == container).find_map(|candidate| candidate.resources.as_ref())?;
    Some(found.limits.as_ref()?.get("memory")?.0.clone())
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
