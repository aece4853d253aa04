//! What else a cluster knows of a failure: the end of a log, or what its autoscaler is up to.

use k8s_openapi::api::core::v1::Event;
use serving::admin::{Failure, FailureReason};

use super::api::Namespace;
use super::failure::{Found, More};
use super::logs;

/// Reasons of the cluster autoscaler's events on a pod that no node takes.
const ADDS_A_NODE: &str = "TriggeredScaleUp";
const ADDS_NO_NODE: &str = "NotTriggerScaleUp";

/// The failure with what can be had. Not to get it is no failure of its own.
pub(super) async fn explain(namespace: &Namespace, found: Found) -> Failure {
    let Found { mut failure, more } = found;
    match &more {
        Some(More::Log(log)) => match logs::of_failure(namespace, log).await {
            Ok(lines) => failure.log_tail = lines,
            Err(error) => tracing::debug!("the failure is told without its log: {error}"),
        },
        // Seeing events is an optional right.
        Some(More::Scheduling { pod }) => match namespace.events_of_pod(pod).await {
            Ok(events) => heed_autoscaler(&mut failure, &events),
            Err(error) => tracing::debug!("whether an autoscaler adds nodes is not known: {error}"),
        },
        None => {}
    }
    failure
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
