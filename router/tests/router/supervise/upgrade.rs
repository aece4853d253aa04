use std::io::{BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serving::admin::{Request, Response};

use super::harness::{Compute, Load, alive, answer, executable, score};
use crate::support::until;

fn upgrade(compute: &Compute, executable: &Path) -> Response {
    compute.ask(&Request::Upgrade { executable: executable.display().to_string() })
}

fn script(compute: &Compute, name: &str, body: &str) -> std::path::PathBuf {
    let path = compute.path("bin").join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("made executable");
    path
}

#[test]
fn an_upgrade_fails_no_request_and_keeps_the_scorers() {
    let compute = Compute::new();
    let mut document = compute.document("diabetes", 1, &[("FAKE_SECONDS", "0.005")]);
    document["versions"]["diabetes"]["scale"]["fixed"] = 2.into();
    compute.write(&document);
    let running = compute.start();
    let before = compute.settled("diabetes", 1);
    let load = Load::start(&running.address, "diabetes", 8);
    let mut worker = compute.status().worker_pid.expect("a worker");
    for round in 0..2 {
        let new = compute.path(format!("bin/azureml-fe-{round}"));
        std::fs::copy(executable(), &new).expect("copied");
        assert_eq!(upgrade(&compute, &new), Response::Done);
        let next = until("the new worker answers", || compute.status().worker_pid.filter(|pid| *pid != worker));
        until("the old worker is gone", || (!alive(worker)).then_some(()));
        load.more();
        let image = std::fs::read_link(format!("/proc/{}/exe", running.child.id())).expect("an image");
        assert_eq!(image, new.canonicalize().expect("a path"), "the supervisor is the same process with a new program");
        assert_eq!(std::fs::read_link(format!("/proc/{next}/exe")).expect("an image"), image);
        worker = next;
    }
    assert_eq!(load.failures(), [""; 0]);
    let after = compute.settled("diabetes", 1);
    assert_eq!(after.replicas, before.replicas);
    // The successor really is in charge: of rollouts and of the end.
    compute.write(&compute.document("diabetes", 2, &[("FAKE_ANSWER", "new")]));
    compute.ask(&Request::Sync);
    compute.settled("diabetes", 2);
    assert_eq!(score(&running.address, "diabetes"), (200, "new".to_owned()));
    assert_eq!(compute.ask(&Request::Stop), Response::Done);
    assert!(before.replicas.iter().all(|replica| !alive(replica.pid)) && !alive(worker));
}

#[test]
fn a_rollout_while_the_replaced_worker_drains_fails_no_request() {
    let compute = Compute::new();
    compute.write(&compute.document("diabetes", 1, &[("FAKE_ANSWER", "1")]));
    let running = compute.start();
    compute.settled("diabetes", 1);
    let load = Load::start(&running.address, "diabetes", 8);
    for generation in 2..5 {
        let new = compute.path(format!("bin/azureml-fe-{generation}"));
        std::fs::copy(executable(), &new).expect("copied");
        assert_eq!(upgrade(&compute, &new), Response::Done);
        compute.write(&compute.document("diabetes", generation, &[("FAKE_ANSWER", &generation.to_string())]));
        compute.settled("diabetes", generation);
        load.more();
    }
    assert_eq!(load.failures(), [""; 0]);
}

#[test]
fn a_program_that_does_not_work_is_refused() {
    let compute = Compute::new();
    let running = compute.start();
    let worker = compute.status().worker_pid;
    let cases = [
        (compute.path("bin/none"), "cannot be executed"),
        ("relative".into(), "not an absolute path"),
        (script(&compute, "other", "echo other 1.0"), "is not an azureml-fe"),
        (script(&compute, "broken", "echo azureml-fe 9; exit 7"), "is not an azureml-fe"),
    ];
    for (program, reason) in cases {
        match upgrade(&compute, &program) {
            Response::Error { message } => assert!(message.contains(reason), "{message}"),
            other => panic!("{}: {other:?}", program.display()),
        }
    }
    assert_eq!(compute.status().worker_pid, worker);
    assert_eq!(compute.status().pid, running.child.id());
}

#[test]
fn a_supervisor_that_cannot_execute_its_successor_goes_on_and_says_why() {
    let compute = Compute::new();
    compute.write(&compute.document("diabetes", 1, &[]));
    let running = compute.start();
    let before = compute.settled("diabetes", 1);
    let vanishing = script(&compute, "vanishing", "echo azureml-fe 9; rm \"$0\"");
    let stream = compute.connect();
    let request = Request::Upgrade { executable: vanishing.display().to_string() };
    writeln!(&stream, "{}", serde_json::to_string(&request).expect("JSON")).expect("sent");
    let mut reader = BufReader::new(stream);
    assert_eq!(answer(&mut reader), Some(Response::Done));
    match answer(&mut reader) {
        Some(Response::Error { message }) => assert!(message.contains("could not take over"), "{message}"),
        other => panic!("{other:?}"),
    }
    assert!(compute.log().contains("the upgrade failed"));
    assert_eq!(compute.settled("diabetes", 1).replicas, before.replicas);
    assert_eq!(score(&running.address, "diabetes").0, 200);
}

#[test]
fn a_successor_that_cannot_read_the_handover_starts_afresh() {
    let compute = Compute::new();
    compute.write(&compute.document("diabetes", 1, &[("FAKE_ANSWER", "again")]));
    let _running = compute.start();
    let before = compute.settled("diabetes", 1).replicas.remove(0).pid;
    let real = executable().display();
    // A program of another format, as far as the handover goes: its state descriptor is an empty file.
    let body = format!(
        "[ \"$1\" = --version ] && exec {real} --version\nexec {real} supervise --directory \"$3\" --handover 9 9</dev/null"
    );
    assert_eq!(upgrade(&compute, &script(&compute, "azureml-fe-other", &body)), Response::Done);
    until("the service is back", || {
        let mut stream = compute.try_connect()?;
        writeln!(stream, "{}", serde_json::to_string(&Request::Status).expect("JSON")).ok()?;
        let Response::Status(status) = answer(&mut BufReader::new(stream))? else { return None };
        let replica = status.services.get("diabetes")?.versions.get("diabetes")?.replicas.first()?.pid;
        (replica != before && replica != 0).then_some(())
    });
    compute.settled("diabetes", 1);
    assert_eq!(score(&compute.status().address, "diabetes"), (200, "again".to_owned()));
}
