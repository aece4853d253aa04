use std::io::{BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use serving::admin::{FailureReason, ReplicaState, Request, Response, VersionStatus};
use serving::layout;

use super::harness::{Caller, Compute, alive, answer, first_line, kill, score, signal};
use crate::support::until;

#[test]
fn a_document_becomes_a_service_that_answers() {
    let compute = Compute::new();
    compute.write(&compute.document("diabetes", 1, &[("FAKE_ANSWER", "one")]));
    let running = compute.start();
    let version = compute.settled("diabetes", 1);
    assert_eq!((version.available_replicas, version.replicas[0].state), (1, ReplicaState::Ready));
    assert_eq!(score(&running.address, "diabetes"), (200, "one".to_owned()));
    let log = std::fs::read_to_string(compute.path(format!("logs/diabetes/diabetes/{}.log", version.replicas[0].id)));
    let app = compute.root().canonicalize().expect("a path").join(layout::app(&version.revision));
    let log = log.expect("a log");
    assert!(log.contains(&format!("starting as ok in {}", app.display())), "{log}");
    assert!(log.contains(&format!("model directory {}/azureml-models/m/1", app.display())), "{log}");
    compute.counted("diabetes", 1);
}

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = taken.local_addr().expect("an address").port();
    let compute = Compute::at(&format!("address = \"127.0.0.1\"\nport = {port}\n"));
    let mut child = compute.spawn();
    let line = first_line(&mut child);
    assert_eq!(line["error"]["reason"], "port_in_use");
    let message = line["error"]["message"].as_str().expect("a message");
    assert!(message.contains(&format!("port {port} is in use")), "{message}");
    assert_eq!(child.wait().expect("ended").code(), Some(1));
}

#[test]
fn a_second_supervisor_is_refused_and_a_bad_configuration_too() {
    let compute = Compute::new();
    let running = compute.start();
    let mut second = compute.spawn();
    assert_eq!(first_line(&mut second)["error"]["reason"], "already_running");
    assert_eq!(second.wait().expect("ended").code(), Some(1));
    assert!(alive(running.child.id()));
    let broken = Compute::at("porte = 1\n");
    let mut child = broken.spawn();
    let line = first_line(&mut child);
    assert_eq!(line["error"]["reason"], "invalid_config");
    assert!(line["error"]["message"].as_str().expect("a message").contains("porte"), "{line}");
    child.wait().expect("ended");
}

#[test]
fn a_killed_scorer_comes_back_and_what_it_started_dies_with_it() {
    let compute = Compute::new();
    compute.write(&compute.document("diabetes", 1, &[("FAKE", "child")]));
    let running = compute.start();
    let before = compute.settled("diabetes", 1).replicas.remove(0);
    let log =
        std::fs::read_to_string(compute.path(format!("logs/diabetes/diabetes/{}.log", before.id))).expect("a log");
    let child = log.lines().find_map(|line| line.strip_prefix("child ")).expect("it has a child");
    let child: u32 = child.parse().expect("a number");
    assert!(alive(child));
    kill(before.pid);
    let version = compute.until("diabetes", "another process is ready", |version| {
        version.settled() && version.replicas[0].pid != before.pid
    });
    assert_eq!(version.replicas[0].restarts, 1);
    assert_ne!(version.replicas[0].id, before.id);
    assert_eq!(version.failure, None, "it is cleared when the place is ready again");
    until("the dead scorer's child is gone", || (!alive(child)).then_some(()));
    assert_eq!(score(&running.address, "diabetes").0, 200);
    // Stopped, so that the second scorer's child does not outlive the test.
    assert_eq!(compute.ask(&Request::Stop), Response::Done);
}

#[test]
fn a_killed_worker_is_replaced_and_callers_wait_meanwhile() {
    let compute = Compute::new();
    compute.write(&compute.document("diabetes", 1, &[]));
    let running = compute.start();
    compute.settled("diabetes", 1);
    for _ in 0..3 {
        let worker = until("a worker answers", || compute.status().worker_pid);
        kill(worker);
        // The connection is made at once, whatever becomes of the worker; a killed one is not there to accept it.
        until("the worker is gone", || (!alive(worker)).then_some(()));
        assert_eq!(score(&running.address, "diabetes").0, 200);
        until("another worker answers", || compute.status().worker_pid.filter(|pid| *pid != worker));
    }
}

#[test]
fn a_killed_supervisor_leaves_no_process_and_the_next_one_brings_all_back() {
    let compute = Compute::new();
    compute.write(&compute.document("diabetes", 1, &[("FAKE_ANSWER", "one")]));
    let mut running = compute.start();
    let scorer = compute.settled("diabetes", 1).replicas[0].pid;
    let worker = compute.status().worker_pid.expect("a worker");
    running.child.kill().expect("killed");
    running.child.wait().expect("ended");
    until("worker and scorer are gone", || (!alive(worker) && !alive(scorer)).then_some(()));
    let running = compute.start();
    compute.settled("diabetes", 1);
    assert_eq!(score(&running.address, "diabetes"), (200, "one".to_owned()));
    let sockets = std::fs::read_dir(compute.path(layout::SOCKETS)).expect("listed").count();
    assert_eq!(sockets, 1, "the dead replica's socket was removed");
}

fn ends_cleanly(compute: &Compute, end: impl FnOnce(&mut super::harness::Running)) {
    compute.write(&compute.document("diabetes", 1, &[("FAKE_SECONDS", "1")]));
    let mut running = compute.start();
    let scorer = compute.settled("diabetes", 1).replicas[0].pid;
    let worker = compute.status().worker_pid.expect("a worker");
    let address = running.address.clone();
    let in_flight = std::thread::spawn(move || score(&address, "diabetes"));
    until("the request is in flight", || {
        let Response::Stats { services } = compute.ask(&Request::Stats) else { return None };
        (services["diabetes"].versions["diabetes"].in_flight == 1).then_some(())
    });
    end(&mut running);
    assert_eq!(running.child.wait().expect("ended").code(), Some(0));
    assert_eq!(in_flight.join().expect("no panic").0, 200, "what was in flight is finished");
    assert!(!alive(worker) && !alive(scorer));
    assert!(!compute.path(layout::ADMIN_SOCKET).exists());
    assert_eq!(std::fs::read_dir(compute.path(layout::SOCKETS)).expect("listed").count(), 0);
    assert!(compute.path(layout::document("diabetes")).exists());
    assert!(Caller::connect(&running.address).is_err());
}

#[test]
fn stop_finishes_what_is_in_flight_and_leaves_only_files() {
    let compute = Compute::new();
    ends_cleanly(&compute, |_| assert_eq!(compute.ask(&Request::Stop), Response::Done));
}

#[test]
fn a_termination_signal_is_a_stop_and_a_hang_up_is_nothing() {
    let compute = Compute::new();
    ends_cleanly(&compute, |running| {
        signal(running.child.id(), rustix::process::Signal::HUP);
        assert_eq!(compute.status().pid, running.child.id());
        signal(running.child.id(), rustix::process::Signal::TERM);
    });
}

/// Whoever takes the proof of a supervisor's life away ends it, with everything that it holds.
fn ends_when(lost: impl FnOnce(&Compute)) -> Compute {
    let compute = Compute::new();
    compute.write(&compute.document("diabetes", 1, &[]));
    let mut running = compute.start();
    let scorer = compute.settled("diabetes", 1).replicas[0].pid;
    let worker = compute.status().worker_pid.expect("a worker");
    lost(&compute);
    let exit = until("the supervisor ends", || running.child.try_wait().expect("our child"));
    assert_eq!(exit.code(), Some(0));
    assert!(!alive(worker) && !alive(scorer));
    TcpListener::bind(&running.address).expect("the port is free");
    compute
}

#[test]
fn a_supervisor_whose_directory_is_deleted_stops_everything() {
    ends_when(|compute| std::fs::remove_dir_all(compute.root()).expect("deleted"));
}

#[test]
fn a_supervisor_whose_directory_is_moved_away_stops_everything() {
    let elsewhere = tempfile::tempdir().expect("a folder");
    ends_when(|compute| std::fs::rename(compute.root(), elsewhere.path().join("moved")).expect("moved"));
}

#[test]
fn a_supervisor_whose_lock_is_deleted_stops_and_leaves_a_successors_sockets_alone() {
    // As a successor would have made them.
    let sockets = [layout::ADMIN_SOCKET, "sockets/successor.sock"];
    let compute = ends_when(|compute| {
        std::fs::remove_file(compute.path(layout::ADMIN_SOCKET)).expect("deleted");
        for name in sockets {
            UnixListener::bind(compute.path(name)).expect("bound");
        }
        std::fs::remove_file(compute.path(layout::SUPERVISOR_LOCK)).expect("deleted");
    });
    assert!(sockets.into_iter().all(|name| compute.path(name).exists()));
}

#[test]
fn a_bad_document_is_refused_with_a_reason_and_the_last_good_one_serves() {
    let compute = Compute::new();
    compute.write(&compute.document("diabetes", 1, &[("FAKE_ANSWER", "good")]));
    let running = compute.start();
    compute.settled("diabetes", 1);
    compute.write_text("diabetes", "{ \"schema_version\": 1, ");
    let Response::Status(status) = compute.ask(&Request::Sync) else { panic!("no status") };
    let service = &status.services["diabetes"];
    assert_eq!((service.accepted_generation, service.served_generation), (1, 1));
    assert!(service.refused.as_ref().expect("refused").contains("services/diabetes.json"));
    assert_eq!(score(&running.address, "diabetes"), (200, "good".to_owned()));
    compute.write(&compute.document("diabetes", 2, &[("FAKE_ANSWER", "good")]));
    compute.settled("diabetes", 2);
    assert_eq!(compute.status().services["diabetes"].refused, None);
}

#[test]
fn a_document_that_the_worker_would_not_serve_is_refused_and_blocks_no_other_service() {
    let compute = Compute::new();
    let mut document = compute.document("keyed", 1, &[]);
    document["auth"] = serde_json::json!({ "mode": "key", "keys": 1 });
    let digest = "0".repeat(64);
    let expiring = serde_json::json!([{ "digest": digest, "until": "tomorrow" }]);
    let digests = serde_json::json!({ "accepted": [digest], "expiring": expiring });
    let path = compute.path(layout::key_digests("keyed", 1));
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("created");
    std::fs::write(path, digests.to_string()).expect("written");
    compute.write(&document);
    compute.write(&compute.document("diabetes", 1, &[]));
    let running = compute.start();
    compute.settled("diabetes", 1);
    assert_eq!(score(&running.address, "diabetes").0, 200);
    let service = compute.status().services.remove("keyed").expect("known");
    let reason = service.refused.expect("refused");
    assert!(reason.contains("services/keyed.json") && reason.contains("end of a replaced key"), "{reason}");
    assert_eq!((service.accepted_generation, service.versions.len()), (0, 0), "nothing of it is started");
}

#[test]
fn a_removed_document_stops_its_replicas() {
    let compute = Compute::new();
    compute.write(&compute.document("diabetes", 1, &[]));
    let running = compute.start();
    let scorer = compute.settled("diabetes", 1).replicas[0].pid;
    std::fs::remove_file(compute.path(layout::document("diabetes"))).expect("removed");
    compute.ask(&Request::Sync);
    until("the service is gone", || (!compute.status().services.contains_key("diabetes")).then_some(()));
    assert!(!alive(scorer));
    assert_eq!(score(&running.address, "diabetes").0, 404);
    assert_eq!(std::fs::read_dir(compute.path(layout::SOCKETS)).expect("listed").count(), 0);
    assert!(!compute.path("accepted/diabetes.json").exists());
}

#[test]
fn a_scorer_that_hangs_in_init_is_killed_and_reported() {
    let compute = Compute::new();
    let mut document = compute.document("diabetes", 1, &[("FAKE", "hang")]);
    document["versions"]["diabetes"]["rollout"]["progress_deadline_seconds"] = 1.into();
    compute.write(&document);
    let _running = compute.start();
    let version = compute.until("diabetes", "it fails", |version| version.failure.is_some());
    let failure = version.failure.expect("a failure");
    assert_eq!((failure.reason, failure.terminal), (FailureReason::InitTimeout, true));
    assert!(failure.message.contains("within 1 s"), "{}", failure.message);
    assert!(failure.log_tail.iter().any(|line| line.starts_with("starting as hang")), "{:?}", failure.log_tail);
}

#[test]
fn the_admin_socket_is_the_owners_and_survives_nonsense() {
    let compute = Compute::new();
    let _running = compute.start();
    let mode = compute.path(layout::ADMIN_SOCKET).metadata().expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let stream = compute.connect();
    let mut reader = BufReader::new(stream.try_clone().expect("duplicated"));
    let mut ask = |line: &str| {
        writeln!(&stream, "{line}").expect("sent");
        answer(&mut reader)
    };
    assert!(matches!(ask("hello"), Some(Response::Error { .. })));
    assert!(matches!(ask(r#"{"op":"dance"}"#), Some(Response::Error { .. })));
    assert!(matches!(ask(r#"{"op":"status"}"#), Some(Response::Status(_))));
    // Answered, and then let go.
    let long = compute.connect();
    let mut reader = BufReader::new(long.try_clone().expect("duplicated"));
    std::thread::spawn(move || (&long).write_all(&vec![b'x'; 1 << 20]));
    assert!(matches!(answer(&mut reader), Some(Response::Error { message }) if message.contains("longer than")));
    assert!(matches!(ask(r#"{"op":"status"}"#), Some(Response::Status(_))));
}

#[test]
fn more_and_fewer_replicas_restart_nothing() {
    let compute = Compute::new();
    let mut document = compute.document("diabetes", 1, &[]);
    compute.write(&document);
    let _running = compute.start();
    let first = compute.settled("diabetes", 1).replicas[0].pid;
    for (generation, replicas) in [(2, 3), (3, 1)] {
        document["generation"] = generation.into();
        document["versions"]["diabetes"]["scale"]["fixed"] = replicas.into();
        compute.write(&document);
        compute.ask(&Request::Sync);
        let version = compute.settled("diabetes", generation);
        assert_eq!(version.replicas.len(), replicas);
        assert!(version.settled() && VersionStatus::settled(&version));
        assert_eq!(version.replicas[0].pid, first);
    }
}
