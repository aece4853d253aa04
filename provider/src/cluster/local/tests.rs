use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::sync::Mutex;

use serving::admin::{ServiceStatus, VersionStatus};
use serving::service::{
    Auth, AuthMode, CodeRef, EnvironmentRef, KeySlot, Kind, Rollout, SCHEMA_VERSION, Scale, Version,
};
use tempfile::TempDir;

use super::*;
use crate::cluster::StartProblem;

const ID: &str = "file:///ws/computes/local";

struct Place {
    directory: TempDir,
    cluster: LocalCluster,
}

async fn place() -> Place {
    let directory = tempfile::tempdir().expect("a directory");
    let cluster = LocalCluster::new(ID, directory.path());
    cluster.claim_directory().await.expect("claimed");
    Place { directory, cluster }
}

impl Place {
    fn path(&self, relative: &str) -> PathBuf {
        self.directory.path().join(relative)
    }

    /// Makes the app root of a service's template, as `prepare` does from a workspace.
    fn prepared(&self, service: &Service) {
        for version in service.versions.values() {
            fs::create_dir_all(self.path(&layout::app(&version.template.revision()))).expect("made");
        }
    }

    /// Installs a shell script as the router program.
    async fn program(&self, text: &str) {
        let source = self.path("source");
        fs::write(&source, format!("#!/bin/sh\n{text}\n")).expect("written");
        fs::set_permissions(&source, fs::Permissions::from_mode(0o755)).expect("made executable");
        self.cluster.install(&source).await.expect("installed");
    }
}

/// The admin end of a supervisor: it holds the lock and answers on the socket for as long as it lives.
struct FakeSupervisor {
    status: Arc<Mutex<Status>>,
    lock: Arc<Mutex<Option<File>>>,
}

impl FakeSupervisor {
    fn start(directory: &Path, version: &str) -> Self {
        let lock = File::create(directory.join(layout::SUPERVISOR_LOCK)).expect("a lock file");
        lock.try_lock().expect("locked");
        let listener = UnixListener::bind(directory.join(layout::ADMIN_SOCKET)).expect("bound");
        let status = Status { version: version.to_owned(), ..Status::default() };
        let fake = Self { status: Arc::new(Mutex::new(status)), lock: Arc::new(Mutex::new(Some(lock))) };
        let (status, lock) = (Arc::clone(&fake.status), Arc::clone(&fake.lock));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut line = String::new();
                let _ = BufReader::new(&stream).read_line(&mut line);
                let answer = match serde_json::from_str(&line) {
                    Ok(Request::Upgrade { executable }) => {
                        let output = std::process::Command::new(executable).arg("--version").output().expect("it runs");
                        let text = String::from_utf8(output.stdout).expect("text");
                        text.trim()
                            .trim_start_matches("azureml-fe ")
                            .clone_into(&mut status.lock().expect("a lock").version);
                        Response::Done
                    }
                    Ok(Request::Stop) => {
                        lock.lock().expect("a lock").take();
                        Response::Done
                    }
                    Ok(_) => Response::Status(status.lock().expect("a lock").clone()),
                    Err(error) => Response::Error { message: error.to_string() },
                };
                let mut answer = serde_json::to_vec(&answer).expect("an answer");
                answer.push(b'\n');
                let _ = (&stream).write_all(&answer);
            }
        });
        fake
    }

    fn knows(&self, name: &str, status: ServiceStatus) {
        self.status.lock().expect("a lock").services.insert(name.to_owned(), status);
    }

    /// As if it was killed: the socket file stays.
    fn die(&self) {
        self.lock.lock().expect("a lock").take();
    }
}

fn service(name: &str, generation: u64) -> Service {
    let template = Template {
        models: Vec::new(),
        code: CodeRef {
            digest: format!("sha256:{}", "0".repeat(64)),
            directory: "src".into(),
            entry_script: "score.py".into(),
        },
        environment: EnvironmentRef {
            id: "file:///ws/environments/plain".into(),
            version: 1,
            hash: "h".into(),
            build_key: "b".into(),
            prefix: Some("/venv".into()),
            image: None,
        },
        environment_variables: BTreeMap::new(),
        pod: None,
        unknown: BTreeMap::new(),
    };
    let version = Version {
        sequence: 1,
        committed: true,
        declared: serving::traffic::Declaration::default(),
        settled: None,
        retiring_until: None,
        former: None,
        scale: Scale::Fixed(1),
        replica_max_concurrent_requests: 1,
        max_request_wait_time: 500,
        scoring_timeout_ms: 60_000,
        template,
        rollout: Rollout::default(),
        configured: serde_json::Value::Null,
        unknown: BTreeMap::new(),
    };
    Service {
        schema_version: SCHEMA_VERSION,
        generation,
        name: name.into(),
        kind: Kind::Webservice,
        workspace: "file:///ws".into(),
        owner: "me".into(),
        committed: true,
        description: None,
        tags: BTreeMap::new(),
        properties: BTreeMap::new(),
        created_time: "2026-01-01T00:00:00Z".into(),
        updated_time: "2026-01-01T00:00:00Z".into(),
        auth: Auth { mode: AuthMode::Key, keys: Some(1) },
        versions: BTreeMap::from([(name.to_owned(), version)]),
        sticky: None,
        assignment: None,
        configured: serde_json::Value::Null,
        served: None,
        unknown: BTreeMap::new(),
    }
}

fn keys(primary: &str) -> Keys {
    let slot = |key: &str| KeySlot { key: key.to_owned(), version: 1 };
    Keys { primary: slot(primary), secondary: slot("secondary-key-of-the-test"), replaced: Vec::new() }
}

#[tokio::test]
async fn a_document_is_replaced_only_at_the_expected_generation() {
    let place = place().await;
    let cluster = &place.cluster;
    let one = service("double", 1);
    place.prepared(&one);
    cluster.put_service(&one, None).await.expect("created");
    assert_eq!(cluster.service("double").await.expect("read"), Some(one.clone()));
    let two = service("double", 2);
    let conflict = cluster.put_service(&two, None).await.expect_err("it exists");
    assert!(matches!(conflict, Error::Conflict { expected: None, found: Some(1), .. }), "{conflict}");
    cluster.put_service(&two, Some(1)).await.expect("replaced");
    assert!(matches!(cluster.put_service(&two, Some(1)).await, Err(Error::Conflict { found: Some(2), .. })));
    let mode = place.path("services/double.json").metadata().expect("there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert_eq!(cluster.services().await.expect("listed"), ["double"]);
    cluster.delete_service("double").await.expect("removed");
    cluster.delete_service("double").await.expect("removed again");
    assert_eq!(cluster.service("double").await.expect("read"), None);
}

#[tokio::test]
async fn a_document_whose_app_root_is_missing_is_not_written() {
    let place = place().await;
    let error = place.cluster.put_service(&service("double", 1), None).await.expect_err("refused");
    assert!(matches!(error, Error::Unprepared { .. }), "{error}");
    assert_eq!(place.cluster.services().await.expect("listed"), Vec::<String>::new());
}

#[tokio::test]
async fn a_damaged_document_is_an_error_and_not_a_missing_one() {
    let place = place().await;
    fs::create_dir_all(place.path("services")).expect("made");
    fs::write(place.path("services/double.json"), "{").expect("written");
    let error = place.cluster.service("double").await.expect_err("damaged").to_string();
    assert!(error.contains("double.json") && error.contains("damaged"), "{error}");
}

#[tokio::test]
async fn key_generations_are_written_once_and_replaced_ones_go() {
    let place = place().await;
    let cluster = &place.cluster;
    let (one, two) = (keys("the-first-key-of-the-test"), keys("the-second-key-of-the-test"));
    assert_eq!(cluster.put_keys("double", &one).await.expect("put"), 1);
    assert_eq!(cluster.put_keys("double", &two).await.expect("put"), 2);
    assert_eq!(cluster.keys("double", 1).await.expect("read"), Some(one));
    let mode = |path: &str| place.path(path).metadata().expect("there").permissions().mode() & 0o777;
    assert_eq!((mode("keys/double/2.json"), mode("keys/double/2.digests.json")), (0o600, 0o600));
    let digests = fs::read_to_string(place.path("keys/double/2.digests.json")).expect("read");
    assert!(!digests.contains("the-second-key"), "{digests}");
    cluster.retire_keys("double", 2).await.expect("removed");
    assert_eq!(cluster.keys("double", 1).await.expect("read"), None);
    assert_eq!(cluster.keys("double", 2).await.expect("read"), Some(two.clone()));
    assert_eq!(cluster.put_keys("double", &two).await.expect("put"), 3);
}

#[tokio::test]
async fn the_sweep_keeps_what_documents_name_and_replicas_run() {
    let place = place().await;
    let cluster = &place.cluster;
    let named = service("double", 1);
    place.prepared(&named);
    cluster.put_service(&named, None).await.expect("created");
    let fake = FakeSupervisor::start(place.directory.path(), "1");
    let replica = serving::admin::ReplicaStatus {
        id: "r".into(),
        revision: "still-running".into(),
        pid: 1,
        state: serving::admin::ReplicaState::Draining,
        restarts: 0,
    };
    let version = VersionStatus { replicas: vec![replica], ..VersionStatus::default() };
    let versions = BTreeMap::from([("double".to_owned(), version)]);
    fake.knows("double", ServiceStatus { versions, ..ServiceStatus::default() });
    for name in ["still-running", "forgotten", ".staging-held", ".staging-left"] {
        fs::create_dir_all(place.path(&layout::app(name)).join("src")).expect("made");
    }
    let held = fs::File::open(place.path(&layout::app(".staging-held"))).expect("there");
    held.try_lock().expect("locked");
    cluster.sweep().await.expect("swept");
    let left = files::list(&place.path("apps")).expect("listed");
    let revision = named.versions["double"].template.revision();
    let mut expected = [".staging-held".to_owned(), revision, "still-running".to_owned()];
    expected.sort_unstable();
    assert_eq!(left, expected);
}

#[tokio::test]
async fn life_is_proved_by_the_lock_and_not_by_the_socket_file() {
    let place = place().await;
    let cluster = &place.cluster;
    assert_eq!(cluster.router().await.expect("asked"), Router::Stopped);
    assert!(matches!(cluster.observe("double").await, Err(Error::NotRunning { .. })));
    let fake = FakeSupervisor::start(place.directory.path(), "1.2.3");
    assert_eq!(cluster.router().await.expect("asked"), Router::Running { version: "1.2.3".into() });
    assert_eq!(cluster.observe("double").await.expect("asked"), None);
    fs::remove_file(place.path(layout::ADMIN_SOCKET)).expect("removed");
    let silent = cluster.router().await.expect_err("alive but mute");
    assert!(matches!(silent, Error::Admin { .. }), "{silent}");
    fake.die();
    assert_eq!(cluster.router().await.expect("asked"), Router::Stopped);
}

#[tokio::test]
async fn an_upgrade_runs_the_installed_program_and_removes_the_former_one() {
    let place = place().await;
    place.program("echo azureml-fe 1.0.0").await;
    let _fake = FakeSupervisor::start(place.directory.path(), "1.0.0");
    assert_eq!(place.cluster.start().await.expect("it runs already"), "1.0.0");
    place.program("echo azureml-fe 2.0.0").await;
    assert_eq!(place.cluster.upgrade().await.expect("upgraded"), "2.0.0");
    let programs = files::list(&place.path("bin")).expect("listed");
    assert_eq!(programs.len(), 2, "the program and the link to it: {programs:?}");
}

#[tokio::test]
async fn a_stop_returns_when_the_lock_is_free() {
    let place = place().await;
    place.cluster.stop().await.expect("nothing runs");
    let _fake = FakeSupervisor::start(place.directory.path(), "1");
    place.cluster.stop().await.expect("stopped");
    assert_eq!(place.cluster.liveness().await.expect("asked"), Liveness::Dead);
}

#[tokio::test]
async fn a_start_reports_the_version_of_the_first_line() {
    let place = place().await;
    assert!(matches!(place.cluster.start().await, Err(Error::NoProgram { .. })));
    place.program(r#"echo '{"ready":{"version":"3.1.0","address":"127.0.0.1:1"}}'"#).await;
    assert_eq!(place.cluster.start().await.expect("started"), "3.1.0");
}

#[tokio::test]
async fn a_failed_start_says_why() {
    let place = place().await;
    place.program(r#"echo '{"error":{"reason":"port_in_use","message":"127.0.0.1:5001 is in use"}}'; exit 1"#).await;
    let error = place.cluster.start().await.expect_err("refused");
    assert!(matches!(error, Error::Start { problem: StartProblem::PortInUse, .. }));
    let text = error.to_string();
    assert!(text.contains("127.0.0.1:5001 is in use"), "{text}");

    place.program("echo 'no such library' >&2; exit 127").await;
    let text = place.cluster.start().await.expect_err("refused").to_string();
    assert!(text.contains("no such library") && text.contains("supervisor.log"), "{text}");
}

#[tokio::test]
async fn the_started_program_does_not_see_the_environment_of_terraform() {
    let place = place().await;
    place.program(r#"env >&2; echo '{"ready":{"version":"1","address":""}}'"#).await;
    place.cluster.start().await.expect("started");
    let log = fs::read_to_string(place.path("logs/supervisor.log")).expect("a log");
    assert!(log.contains("PATH=") && !log.contains("CARGO_"), "{log}");
}

#[tokio::test]
async fn what_was_made_is_removed_with_the_directory() {
    let place = place().await;
    let one = service("double", 1);
    place.prepared(&one);
    place.cluster.put_service(&one, None).await.expect("created");
    place.cluster.put_keys("double", &keys("the-first-key-of-the-test")).await.expect("put");
    let listen = Listen { address: "127.0.0.1".parse().expect("an address"), port: 1 };
    place.cluster.configure(listen).await.expect("configured");
    assert_eq!(place.cluster.base_url().await.expect("known"), "http://127.0.0.1:1");
    place.cluster.remove_directory().await.expect("removed");
    assert!(!place.directory.path().exists());
}
