//! What else a cluster knows of a failure: the end of a log, or what its autoscaler is up to.

use k8s_openapi::api::core::v1::Event;
use serving::admin::{Failure, FailureReason};

use super::api::Namespace;
use super::failure::{Found, More};
use super::logs;

/// Reasons of the cluster autoscaler's events on a pod that no node takes.
const ADDS_A_NODE: &str = "TriggeredScaleUp";
const ADDS_NO_NODE: &str = "NotTriggerScaleUp";
/// Reasons of the node's events: of a probe that was not answered, and of a container that it ends.
const UNHEALTHY: &str = "Unhealthy";
const KILLING: &str = "Killing";

/// The failure with what can be had; none if it turns out to be none. Not to get more is no failure of its own.
pub(super) async fn explain(namespace: &Namespace, found: Found) -> Option<Failure> {
    let Found { mut failure, more } = found;
    match &more {
        Some(More::Log(log)) => {
            match logs::of_failure(namespace, log).await {
                Ok(lines) => failure.log_tail = lines,
                Err(error) => tracing::debug!("the failure is told without its log: {error}"),
            }
            if failure.reason == FailureReason::Crashed && failure.exit_code.is_some_and(|code| code < 0) {
                heed_killer(&mut failure, &events(namespace, &log.pod).await);
            }
        }
        Some(More::Scheduling { pod }) => heed_autoscaler(&mut failure, &events(namespace, pod).await),
        Some(More::Probes { pod }) => match newest(&events(namespace, pod).await, is_unanswered) {
            Some(said) => failure.message = format!("{}: {said}", failure.message),
            None if failure.terminal => {}
            None => return None,
        },
        None => {}
    }
    Some(failure)
}

/// Events about a pod. Seeing them is an optional right.
async fn events(namespace: &Namespace, pod: &str) -> Vec<Event> {
    namespace.events_of_pod(pod).await.unwrap_or_else(|error| {
        tracing::debug!("the failure is told without events: {error}");
        Vec::new()
    })
}

/// The message of the newest of some events.
fn newest(events: &[Event], of: impl Fn(&Event) -> bool) -> Option<String> {
    events.iter().filter(|event| of(event)).max_by_key(|event| time(event))?.message.clone()
}

fn is_unhealthy(event: &Event) -> bool {
    event.reason.as_deref() == Some(UNHEALTHY)
}

/// A probe of a container that was up before. Until then there are many that nobody answers.
fn is_unanswered(event: &Event) -> bool {
    is_unhealthy(event) && !event.message.as_deref().unwrap_or_default().starts_with("Startup probe")
}

/// A container that was ended because it did not answer a probe has not ended by itself.
fn heed_killer(failure: &mut Failure, events: &[Event]) {
    let by_probe = |event: &Event| {
        let message = event.message.as_deref().unwrap_or_default();
        event.reason.as_deref() == Some(KILLING) && message.contains(" probe")
    };
    let Some(killed) = newest(events, by_probe) else { return };
    let said = newest(events, is_unhealthy).unwrap_or_default();
    failure.reason = FailureReason::ProbeFailed;
    failure.message = format!("{}; {said}", killed.trim_end_matches('.'));
}

/// A node that is on its way is worth waiting for, and one that will not come is not.
fn heed_autoscaler(failure: &mut Failure, events: &[Event]) {
    let said = events.iter().filter(|event| matches!(event.reason.as_deref(), Some(ADDS_A_NODE | ADDS_NO_NODE)));
    let Some(newest) = said.max_by_key(|event| time(event)) else { return };
    let message = newest.message.as_deref().unwrap_or_default();
    if newest.reason.as_deref() == Some(ADDS_A_NODE) {
        failure.reason = FailureReason::AddingNodes;
        failure.message = format!("{}; the cluster's autoscaler adds nodes: {message}", failure.message);
    } else {
        failure.terminal = true;
        failure.message = format!("{}; the cluster's autoscaler adds no node: {message}", failure.message);
    }
}

/// When an event was seen last, in seconds since 1970.
fn time(event: &Event) -> i64 {
    let repeated = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    let precise = repeated.or(event.event_time.as_ref()).map(|time| time.0);
    let coarse = event.last_timestamp.as_ref().or(event.metadata.creation_timestamp.as_ref()).map(|time| time.0);
    precise.max(coarse).map_or(0, k8s_openapi::jiff::Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn events(said: &[(&str, &str)]) -> Vec<Event> {
        let event = |(reason, time): &(&str, &str)| {
            let event = json!({
                "metadata": {}, "involvedObject": {}, "reason": reason, "message": "as seen", "lastTimestamp": time,
            });
            serde_json::from_value(event).expect("an event")
        };
        said.iter().map(event).collect()
    }

    fn heeded(said: &[(&str, &str)]) -> Failure {
        let mut failure = Failure {
            reason: FailureReason::Unschedulable,
            message: "no node takes pod p".into(),
            traceback: None,
            exit_code: None,
            log_tail: Vec::new(),
            count: 1,
            terminal: false,
        };
        heed_autoscaler(&mut failure, &events(said));
        failure
    }

    #[test]
    fn a_container_that_was_killed_for_its_probe_is_told_by_what_the_probe_saw() {
        let event = |reason: &str, message: &str| -> Event {
            let event = json!({
                "metadata": {}, "involvedObject": {}, "reason": reason, "message": message,
                "lastTimestamp": "2026-01-01T00:00:00Z",
            });
            serde_json::from_value(event).expect("an event")
        };
        let crashed = || Failure {
            reason: FailureReason::Crashed,
            message: "the scorer ended before it was done".into(),
            exit_code: Some(-9),
            ..heeded(&[])
        };
        let unanswered = event(UNHEALTHY, "Liveness probe failed: HTTP probe failed with statuscode: 502");
        let killed = event(KILLING, "Container scorer failed liveness probe, will be restarted");
        let mut failure = crashed();
        heed_killer(&mut failure, &[unanswered.clone(), killed]);
        assert_eq!(failure.reason, FailureReason::ProbeFailed);
        for text in ["scorer failed liveness probe", "statuscode: 502"] {
            assert!(failure.message.contains(text), "{}", failure.message);
        }
        let mut failure = crashed();
        heed_killer(&mut failure, &[unanswered, event(KILLING, "Stopping container scorer")]);
        assert_eq!(failure.reason, FailureReason::Crashed);
    }

    #[test]
    fn what_the_autoscaler_said_last_counts() {
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z");
        let silent = heeded(&[("FailedScheduling", late)]);
        assert_eq!((silent.reason, silent.terminal), (FailureReason::Unschedulable, false));
        let grows = heeded(&[(ADDS_A_NODE, late), (ADDS_NO_NODE, early)]);
        assert_eq!((grows.reason, grows.terminal), (FailureReason::AddingNodes, false));
        let stays = heeded(&[(ADDS_NO_NODE, late), (ADDS_A_NODE, early)]);
        assert_eq!((stays.reason, stays.terminal), (FailureReason::Unschedulable, true));
        assert!(stays.message.ends_with("adds no node: as seen"), "{}", stays.message);
    }
}
