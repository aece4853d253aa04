#![expect(clippy::needless_pass_by_value, reason = "values are written where they are used")]

use serde_json::{Value, json};

use super::*;

fn pod(status: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": { "name": "diabetes-1" },
        "spec": { "containers": [{ "name": SCORER, "resources": { "limits": { "memory": "64Mi" } } }] },
        "status": status,
    }))
    .expect("a pod")
}

fn of_status(status: Value) -> Failure {
    let pod = pod(status);
    find(None, &[&pod]).expect("a failure").failure
}

fn scorer(state: Value, last: Value, restarts: i32) -> Value {
    json!({ "containerStatuses": [{
        "name": SCORER, "image": "r/env@sha256:1", "imageID": "", "ready": false, "restartCount": restarts,
        "state": state, "lastState": last,
    }] })
}

#[test]
fn a_pod_that_no_node_takes_is_waited_for() {
    let failure = of_status(json!({ "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient cpu.",
    }] }));
    assert_eq!((failure.reason, failure.terminal), (FailureReason::Unschedulable, false));
    assert!(failure.message.contains("1 Insufficient cpu"), "{}", failure.message);
}

#[test]
fn an_image_that_is_not_there_ends_the_wait_and_a_registry_that_does_not_answer_does_not() {
    let waiting = |message: &str| {
        let waiting = json!({ "waiting": { "reason": "ErrImagePull", "message": message } });
        of_status(scorer(waiting, json!({}), 0))
    };
    let gone = waiting("rpc error: code = NotFound desc = failed to pull: r/env@sha256:1: not found");
    assert_eq!((gone.reason, gone.terminal), (FailureReason::ImagePull, true));
    assert!(waiting("pull access denied: 401 Unauthorized").terminal);
    assert!(!waiting("dial tcp 10.0.0.1:443: i/o timeout").terminal);
}

#[test]
fn what_the_scorer_says_at_its_end_is_the_reason_and_terminal_at_once() {
    let said = json!({ "event": "failed", "reason": "init_failed", "message": "init() raised ValueError: x", "traceback": "Traceback" });
    let ended = json!({ "terminated": { "exitCode": 3, "message": said.to_string() } });
    let failure = of_status(scorer(ended, json!({}), 0));
    assert_eq!((failure.reason, failure.terminal, failure.exit_code), (FailureReason::InitFailed, true, Some(3)));
    assert_eq!(failure.traceback.as_deref(), Some("Traceback"));
}

#[test]
fn a_crash_is_terminal_when_it_repeats_and_its_log_is_that_before_the_restart() {
    let ended = |code: i32| json!({ "terminated": { "exitCode": code, "reason": "Error" } });
    let first = of_status(scorer(ended(139), json!({}), 0));
    assert_eq!((first.reason, first.terminal, first.exit_code), (FailureReason::Crashed, false, Some(-11)));
    let waiting = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
    let pod = pod(scorer(waiting, ended(139), 2));
    let again = find(None, &[&pod]).expect("a failure");
    assert!(again.failure.terminal);
    assert_eq!(again.more, Some(More::Log(Log { pod: "diabetes-1".into(), container: SCORER, previous: true })));
}

#[test]
fn a_kill_for_memory_names_the_limit() {
    let ended = json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
    let failure = of_status(scorer(ended, json!({}), 1));
    assert_eq!((failure.reason, failure.terminal), (FailureReason::OutOfMemory, true));
    assert!(failure.message.contains("64Mi"), "{}", failure.message);
}

#[test]
fn a_pod_that_was_never_made_is_explained_by_its_deployment() {
    let deployment = |observed: i64, message: &str| {
        serde_json::from_value::<Deployment>(json!({
            "metadata": { "name": "d", "generation": 2 },
            "status": { "observedGeneration": observed, "conditions": [
                { "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message },
            ] },
        }))
        .expect("a deployment")
    };
    let quota = find(Some(&deployment(2, "pods \"d-1\" is forbidden: exceeded quota: small")), &[]).expect("a failure");
    assert_eq!((quota.failure.reason, quota.failure.terminal), (FailureReason::Quota, true));
    let refused = find(Some(&deployment(2, "admission webhook \"p\" denied the request: no")), &[]).expect("a failure");
    assert_eq!(refused.failure.reason, FailureReason::Admission);
    assert_eq!(find(Some(&deployment(1, "exceeded quota")), &[]), None, "of an older template");
}

#[test]
fn a_pod_that_is_well_has_no_failure() {
    let running = json!({ "containerStatuses": [{
        "name": SCORER, "image": "i", "imageID": "", "ready": true, "restartCount": 1,
        "state": { "running": {} }, "lastState": { "terminated": { "exitCode": 1 } },
    }] });
    assert_eq!(find(None, &[&pod(running)]), None);
}

#[test]
fn a_deadline_that_is_over_is_told_by_what_the_pod_waits_for() {
    let over = json!({ "conditions": [{
        "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out",
    }] });
    let deployment: Deployment =
        serde_json::from_value(json!({ "metadata": {}, "spec": { "selector": {}, "template": {} }, "status": over }))
            .expect("a Deployment");
    let stranded = pod(json!({ "conditions": [{ "type": "PodScheduled", "status": "False", "message": "no cpu" }] }));
    let failure = find(Some(&deployment), &[&stranded]).expect("a failure").failure;
    assert_eq!((failure.reason, failure.terminal), (FailureReason::Unschedulable, true));
    let slow = pod(json!({ "conditions": [] }));
    let failure = find(Some(&deployment), &[&slow]).expect("a failure").failure;
    assert_eq!((failure.reason, failure.terminal), (FailureReason::InitTimeout, true));
}
