use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use serving::layout;
use serving::service::{KeySlot, Keys};

use super::harness::{Compute, executable, score};

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

#[test]
fn the_version_is_printed_after_the_name() {
    let output = std::process::Command::new(executable()).arg("--version").output().expect("started");
    assert_eq!(text(&output), format!("azureml-fe {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn list_and_show_tell_what_runs_and_say_when_nothing_does() {
    let compute = Compute::new();
    compute.write(&compute.document("diabetes", 1, &[]));
    let running = compute.start();
    let version = compute.settled("diabetes", 1);
    score(&running.address, "diabetes");
    compute.counted("diabetes", 1);
    let list = compute.command(&["service", "list"]);
    assert_eq!(code(&list), 0, "{}", errors(&list));
    let row: Vec<String> = text(&list).lines().nth(1).expect("a row").split_whitespace().map(str::to_owned).collect();
    let uri = format!("http://{}/api/v1/service/diabetes/score", running.address);
    assert_eq!(row, ["diabetes", "webservice", "none", "1", "1", "1/1", "ready", &uri]);
    let show = text(&compute.command(&["service", "show", "diabetes"]));
    let pid = version.replicas[0].pid.to_string();
    for part in ["100 % (default), 1/1 replicas ready", &version.replicas[0].id, &pid, "1 requests, 0 errors"] {
        assert!(show.contains(part), "{part}: {show}");
    }
    let json: Value =
        serde_json::from_slice(&compute.command(&["service", "show", "diabetes", "--json"]).stdout).expect("JSON");
    assert_eq!(json["status"]["versions"]["diabetes"]["available_replicas"], 1);
    let unknown = compute.command(&["service", "show", "diabetis"]);
    assert_eq!(code(&unknown), 3);
    assert!(errors(&unknown).contains("services of this compute: diabetes"), "{}", errors(&unknown));

    drop(running);
    let offline = compute.command(&["service", "list"]);
    assert_eq!(code(&offline), 4);
    assert!(text(&offline).contains("stopped") && errors(&offline).contains("no supervisor runs"));
}

#[test]
fn show_explains_a_failure() {
    let compute = Compute::new();
    compute.write(&compute.document("diabetes", 1, &[("FAKE", "init")]));
    let _running = compute.start();
    compute.until("diabetes", "it fails", |version| version.failure.is_some());
    let show = text(&compute.command(&["service", "show", "diabetes"]));
    for part in ["failing", "score.py:3: no model", "Traceback: no model", "| about to fail", "back-off"] {
        assert!(show.contains(part), "{part}: {show}");
    }
}

#[test]
fn keys_are_printed_from_the_generation_in_force() {
    let compute = Compute::new();
    let mut document = compute.document("diabetes", 1, &[]);
    document["auth"] = json!({ "mode": "key", "keys": 2 });
    compute.write(&document);
    std::fs::create_dir_all(compute.path("keys/diabetes")).expect("created");
    let slot = |key: &str| KeySlot { key: key.to_owned(), version: 1 };
    let keys = Keys { primary: slot("first-key"), secondary: slot("second-key"), replaced: Vec::new() };
    std::fs::write(compute.path(layout::keys("diabetes", 2)), serde_json::to_vec(&keys).expect("JSON"))
        .expect("written");
    let output = compute.command(&["service", "keys", "diabetes"]);
    assert_eq!(text(&output), "primary    first-key\nsecondary  second-key\n", "{}", errors(&output));
    let json: Value =
        serde_json::from_slice(&compute.command(&["service", "keys", "diabetes", "--json"]).stdout).expect("JSON");
    assert_eq!(json, json!({ "primary": "first-key", "secondary": "second-key" }));
    std::fs::write(compute.path(layout::keys("diabetes", 2)), "\"first-key\"").expect("written");
    let broken = compute.command(&["service", "keys", "diabetes"]);
    assert_eq!(code(&broken), 1);
    assert!(!errors(&broken).contains("first-key"), "{}", errors(&broken));
}

#[test]
fn logs_have_the_replica_before_each_line() {
    let compute = Compute::new();
    let mut document = compute.document("diabetes", 1, &[]);
    document["versions"]["diabetes"]["scale"]["fixed"] = 2.into();
    compute.write(&document);
    let _running = compute.start();
    let replicas = compute.settled("diabetes", 1).replicas;
    let all = text(&compute.command(&["service", "logs", "diabetes"]));
    for replica in &replicas {
        assert!(all.contains(&format!("{} | starting as ok in ", replica.id)), "{all}");
    }
    let id = &replicas[0].id;
    let one = text(&compute.command(&["service", "logs", "diabetes", "--replica", id, "--lines", "1"]));
    assert_eq!(one.lines().count(), 1);
    assert!(one.starts_with(&format!("{id} | model directory ")), "{one}");
    let none = compute.command(&["service", "logs", "diabetes", "--version", "other"]);
    assert_eq!(code(&none), 3);
    assert!(errors(&none).contains("versions: diabetes"), "{}", errors(&none));
}

/// Makes a file or folder look as if nobody had touched it for a day.
fn age(compute: &Compute, path: &str) {
    let file = File::open(compute.path(path)).expect("there");
    file.set_modified(SystemTime::now() - Duration::from_hours(24)).expect("dated");
}

#[test]
fn gc_finds_what_nothing_names_and_deletes_it_only_when_told() {
    let compute = Compute::new();
    let mut document = compute.document("diabetes", 1, &[]);
    document["auth"] = json!({ "mode": "key", "keys": 2 });
    for path in ["apps/0000000000000000/src", "keys/diabetes", "keys/gone", "logs/gone/gone"] {
        std::fs::create_dir_all(compute.path(path)).expect("created");
    }
    let digests = format!(r#"{{"accepted":["{}"]}}"#, "a".repeat(64));
    let unnamed =
        ["apps/0000000000000000", "bin/azureml-fe-old", "keys/diabetes/1.json", "keys/gone/1.json", "logs/gone/gone"];
    let named = ["bin/azureml-fe-new", "keys/diabetes/2.json", "keys/diabetes/2.digests.json"];
    let young = "keys/diabetes/3.json";
    for path in unnamed.iter().chain(&named).chain([&young]).filter(|path| !compute.path(path).exists()) {
        std::fs::write(compute.path(path), &digests).expect("written");
    }
    compute.write(&document);
    let _running = compute.start();
    let version = compute.settled("diabetes", 1);
    let app = layout::app(&version.revision);
    for path in unnamed.iter().chain(&named).chain([&app.as_str(), &"logs/diabetes/diabetes"]) {
        age(&compute, path);
    }
    // The newest program is what the next start executes.
    let newer = SystemTime::now() - Duration::from_hours(23);
    File::open(compute.path("bin/azureml-fe-new")).expect("there").set_modified(newer).expect("dated");

    let paths = |output: &Output| -> Vec<String> {
        let found: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
        let mut paths: Vec<_> = found.iter().map(|one| one["path"].as_str().expect("a path").to_owned()).collect();
        paths.sort();
        paths
    };
    let dry = compute.command(&["gc", "--json"]);
    assert_eq!(paths(&dry), unnamed, "{}", errors(&dry));
    assert!(unnamed.iter().all(|path| compute.path(path).exists()));
    let wet = compute.command(&["gc", "--json", "--delete"]);
    assert_eq!(paths(&wet), unnamed);
    assert!(unnamed.iter().all(|path| !compute.path(path).exists()));
    assert!(named.iter().chain([&young, &app.as_str()]).all(|path| compute.path(path).exists()));
    assert!(text(&compute.command(&["gc"])).starts_with("Nothing to delete"));
    assert_eq!(compute.settled("diabetes", 1), version);
}

#[test]
fn gc_deletes_nothing_while_a_document_cannot_be_read() {
    let compute = Compute::new();
    std::fs::create_dir_all(compute.path("apps/0000000000000000")).expect("created");
    age(&compute, "apps/0000000000000000");
    compute.write_text("diabetes", "{");
    let output = compute.command(&["gc", "--delete"]);
    assert_eq!(code(&output), 1);
    assert!(errors(&output).contains("services/diabetes.json"), "{}", errors(&output));
    assert!(compute.path("apps/0000000000000000").exists());
}

#[test]
fn log_files_and_kept_documents_are_readable_by_the_owner_only() {
    let compute = Compute::new();
    compute.write(&compute.document("diabetes", 1, &[]));
    let _running = compute.start();
    let id = compute.settled("diabetes", 1).replicas[0].id.clone();
    for path in ["accepted/diabetes.json", "logs/router.log", &format!("logs/diabetes/diabetes/{id}.log")] {
        let mode = compute.path(path).metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{path}");
    }
}
