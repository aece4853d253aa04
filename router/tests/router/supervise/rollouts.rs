use serving::admin::{FailureReason, ReplicaState, Request};

use super::harness::{Compute, Load, alive, score};

#[test]
fn a_changed_template_rolls_without_a_failed_request() {
    let compute = Compute::new();
    let mut document = compute.document("diabetes", 1, &[("FAKE_ANSWER", "old"), ("FAKE_SECONDS", "0.005")]);
    document["versions"]["diabetes"]["scale"]["fixed"] = 2.into();
    compute.write(&document);
    let running = compute.start();
    let old = compute.settled("diabetes", 1);
    let load = Load::start(&running.address, "diabetes", 2);
    let mut document = compute.document("diabetes", 2, &[("FAKE_ANSWER", "new"), ("FAKE_SECONDS", "0.005")]);
    document["versions"]["diabetes"]["scale"]["fixed"] = 2.into();
    compute.write(&document);
    let (mut most, mut fewest) = (0, u32::MAX);
    let new = compute.until("diabetes", "the new revision serves alone", |version| {
        most = most.max(version.replicas.len());
        fewest = fewest.min(version.available_replicas);
        version.settled() && version.revision != old.revision
    });
    load.more();
    assert_eq!(load.failures(), [""; 0]);
    assert!(most <= 3 && fewest >= 2, "{most} processes, {fewest} available");
    assert!(old.replicas.iter().all(|replica| !alive(replica.pid)));
    assert_eq!(new.failure, None);
    assert_eq!(score(&running.address, "diabetes"), (200, "new".to_owned()));
    assert_eq!(compute.status().services["diabetes"].served_generation, 2);
}

#[test]
fn a_failed_rollout_says_why_keeps_the_old_replicas_and_can_be_taken_back() {
    let compute = Compute::new();
    compute.write(&compute.document("diabetes", 1, &[("FAKE_ANSWER", "old")]));
    let running = compute.start();
    let old = compute.settled("diabetes", 1);
    compute.write(&compute.document("diabetes", 2, &[("FAKE", "init")]));
    let failed = compute.until("diabetes", "the new revision fails", |version| version.failure.is_some());
    let failure = failed.failure.expect("a failure");
    assert_eq!((failure.reason, failure.exit_code, failure.terminal), (FailureReason::InitFailed, Some(3), true));
    assert_eq!(failure.message, "score.py:3: no model");
    assert_eq!(failure.traceback.as_deref(), Some("Traceback: no model"));
    assert!(failure.log_tail.contains(&"about to fail".to_owned()), "{:?}", failure.log_tail);
    assert_eq!((failed.available_replicas, failed.updated_replicas), (1, 0));
    assert_eq!(score(&running.address, "diabetes"), (200, "old".to_owned()));

    compute.write(&compute.document("diabetes", 3, &[("FAKE_ANSWER", "old")]));
    compute.ask(&Request::Sync);
    let back = compute.settled("diabetes", 3);
    assert_eq!(back.failure, None);
    assert_eq!(back.replicas, old.replicas, "the old replica was never touched");
}

#[test]
fn a_roll_back_does_not_wait_for_a_revision_that_still_starts() {
    let compute = Compute::new();
    compute.write(&compute.document("diabetes", 1, &[("FAKE_ANSWER", "old")]));
    let running = compute.start();
    let old = compute.settled("diabetes", 1);
    compute.write(&compute.document("diabetes", 2, &[("FAKE", "hang")]));
    let both = compute.until("diabetes", "the new revision starts", |version| version.replicas.len() == 2);
    let hanging = both.replicas.iter().find(|replica| replica.state == ReplicaState::Starting).expect("one starts").pid;
    compute.write(&compute.document("diabetes", 3, &[("FAKE_ANSWER", "old")]));
    compute.ask(&Request::Sync);
    assert_eq!(compute.settled("diabetes", 3).replicas, old.replicas);
    assert!(!alive(hanging), "although it ignores the termination signal");
    assert_eq!(score(&running.address, "diabetes"), (200, "old".to_owned()));
}

#[test]
fn repeated_crashes_become_terminal() {
    let compute = Compute::new();
    compute.write(&compute.document("diabetes", 1, &[("FAKE", "crash")]));
    let _running = compute.start();
    let version = compute.until("diabetes", "it has crashed often enough", |version| {
        version.failure.as_ref().is_some_and(|failure| failure.terminal)
    });
    let failure = version.failure.expect("a failure");
    assert_eq!((failure.reason, failure.exit_code), (FailureReason::Crashed, Some(-6)));
    assert!(failure.count >= 3 && failure.message.contains("SIGABRT"), "{failure:?}");
    assert_eq!(version.available_replicas, 0);
}

#[test]
fn what_cannot_be_started_is_terminal_at_once() {
    let compute = Compute::new();
    let mut document = compute.document("diabetes", 1, &[]);
    document["versions"]["diabetes"]["template"]["environment"]["prefix"] = "/nowhere".into();
    compute.write(&document);
    let _running = compute.start();
    let version = compute.until("diabetes", "it fails", |version| version.failure.is_some());
    let failure = version.failure.expect("a failure");
    assert_eq!((failure.reason, failure.terminal), (FailureReason::StartFailed, true));
    assert!(failure.message.contains("/nowhere/bin/python"), "{}", failure.message);
    assert_eq!(version.replicas[0].state, ReplicaState::BackOff);
}

#[test]
fn recreate_stops_all_old_replicas_first() {
    let compute = Compute::new();
    let document = |generation, answer| {
        let mut document = compute.document("diabetes", generation, &[("FAKE_ANSWER", answer)]);
        document["versions"]["diabetes"]["rollout"]["recreate"] = true.into();
        document
    };
    compute.write(&document(1, "old"));
    let running = compute.start();
    let old = compute.settled("diabetes", 1);
    compute.write(&document(2, "new"));
    compute.until("diabetes", "the new revision serves", |version| {
        let revisions =
            |wanted: bool| version.replicas.iter().any(|replica| (replica.revision == old.revision) == wanted);
        assert!(!(revisions(true) && revisions(false)), "old and new together: {:?}", version.replicas);
        version.settled() && version.revision != old.revision
    });
    assert_eq!(score(&running.address, "diabetes"), (200, "new".to_owned()));
}
