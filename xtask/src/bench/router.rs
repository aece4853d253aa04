//! `bench router`: azureml-fe beside nginx.
//!
//! Both check the same key, split 80/20 over the same two backends, and write an access log, each on one core.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};
use std::{fs, io};

use command_fds::{CommandFdExt as _, FdMapping};
use serde_json::{Value, json};
use serving::service::{KeySlot, Keys};
use serving::snapshot::{FromWorker, ToWorker};

use super::contest::{self, Contender, Load, Turns};
use super::error::{BenchError, file};
use super::report::{self, Machine};
use super::server::{Question, Server};
use super::{tools, wrk};
use crate::command::{CommandError, starting};

const SCORE: &str = "/api/v1/endpoint/bench/score";
/// Where `bench/router/nginx.conf` listens as it is.
const NGINX: &str = "127.0.0.1:18081";
/// The descriptor under which a router inherits its listener.
const LISTENER: i32 = 3;
/// How long a router may take to confirm what it serves.
const CONFIRMATION: Duration = Duration::from_secs(10);
const BODY: &str = r#"{"data": [[0.038, 0.05, 0.061, 0.021]]}"#;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    turns: Turns,
    /// Another build of azureml-fe to measure in the same run; may be repeated
    #[arg(long, value_name = "NAME=PATH")]
    beside: Vec<Build>,
}

/// An executable of azureml-fe and what to call it.
#[derive(Clone, Debug, PartialEq)]
struct Build {
    name: String,
    path: PathBuf,
}

impl FromStr for Build {
    type Err = BenchError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, path)) if !name.is_empty() && !path.is_empty() => {
                Ok(Self { name: name.to_owned(), path: path.into() })
            }
            _ => Err(BenchError::Beside(text.to_owned())),
        }
    }
}

/// A router worker and the control channel whose end would end it.
struct Worker {
    address: SocketAddr,
    // Before the channel, so that the worker is asked to stop and does not find itself abandoned.
    server: Server,
    _control: UnixStream,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), BenchError> {
    tools::require_cores()?;
    wrk::require()?;
    tools::require(Command::new("nginx").arg("-v"), "nginx", "as the router's peer and as the backends", "nginx")?;
    tools::build("build")?;
    let builds = [Build { name: "azureml-fe".to_owned(), path: tools::built("azureml-fe")? }];
    let builds: Vec<Build> = builds.into_iter().chain(arguments.beside.iter().cloned()).collect();
    let directory = tempfile::tempdir().map_err(file("a temporary directory"))?;
    let directory = directory.path();
    // nginx gives its workers another user, who must reach the backends' sockets.
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).map_err(file(directory))?;
    fs::write(directory.join("azureml-fe.toml"), "threads = 1\n").map_err(file(directory))?;
    let peer_address = tools::free_address()?;
    let _backends = nginx(directory, tools::LOAD_CORE, "backends", peer_address)?;
    let mut peer = nginx(directory, tools::SERVER_CORE, "nginx", peer_address)?;
    check(&mut peer, peer_address)?;
    let mut contenders = vec![Contender {
        name: "nginx".to_owned(),
        version: nginx_version()?,
        process: peer.id(),
        url: question(peer_address).url(),
        log: directory.join("access.log"),
        peer: true,
        translate: None,
    }];
    let mut workers = Vec::new();
    for build in &builds {
        let log = directory.join(&build.name).with_extension("log");
        let mut worker = worker(directory, build, &log)?;
        check(&mut worker.server, worker.address)?;
        contenders.push(Contender {
            name: build.name.clone(),
            version: None,
            process: worker.server.id(),
            url: question(worker.address).url(),
            log,
            peer: false,
            translate: None,
        });
        workers.push(worker);
    }
    let heats = contest::run(&contenders, &loads(), &arguments.turns)?;
    let versions: Value = contenders.iter().map(|one| (one.name.clone(), json!(one.version))).collect();
    report::write("router", &json!({ "machine": Machine::this(), "versions": versions, "loads": heats }))
}

fn loads() -> Vec<Load> {
    let small = |connections| Load { name: "small POST", connections, body: BODY.into() };
    // No more than a proxy keeps before it passes a body on: the backends answer without waiting for the rest of one.
    let large = format!("{{\"data\": \"{}\"}}", "x".repeat(60 * 1024));
    vec![small(16), small(64), small(256), Load { name: "60 KB POST", connections: 64, body: large.into() }]
}

fn question(address: SocketAddr) -> Question<'static> {
    Question { address, path: SCORE, key: Some(wrk::KEY), body: BODY }
}

/// Waits for a proxy, and makes sure that it does the whole work: passes on with the key, refuses without.
fn check(server: &mut Server, address: SocketAddr) -> Result<(), BenchError> {
    server.ready(&question(address), &json!({ "prediction": [151.2, 89.4] }), Instant::now())?;
    let refused = Question { key: None, ..question(address) }.ask();
    match refused {
        Ok(answer) if answer.status == 401 => Ok(()),
        other => Err(server.problem(&format!("does not refuse a request without a key: {other:?}"))),
    }
}

/// Starts nginx with a configuration of `bench/router`, listening at `address` in place of [`NGINX`].
fn nginx(directory: &Path, core: usize, name: &str, address: SocketAddr) -> Result<Server, BenchError> {
    let template = tools::inputs().join("router").join(name).with_extension("conf");
    let config = directory.join(name).with_extension("conf");
    let text = fs::read_to_string(&template).map_err(file(&template))?;
    fs::write(&config, text.replace(NGINX, &address.to_string())).map_err(file(&config))?;
    let mut command = tools::pinned(core, "nginx");
    command.arg("-p").arg(directory).arg("-c").arg(config).current_dir(directory).stdin(Stdio::null());
    Server::start(name, &mut command, &directory.join(name).with_extension("out"))
}

fn nginx_version() -> Result<Option<String>, BenchError> {
    let said = Command::new("nginx").arg("-v").output();
    let said = said.map_err(|source| CommandError::Start { command: "nginx -v".to_owned(), source })?;
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    Ok(said.trim().split_once("nginx/").map(|(_, version)| version.to_owned()))
}

/// Starts a router as its supervisor does, with the two backends as the replicas of two versions.
fn worker(directory: &Path, build: &Build, log: &Path) -> Result<Worker, BenchError> {
    let setup = || -> io::Result<(TcpListener, UnixStream, UnixStream)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(CONFIRMATION))?;
        Ok((listener, ours, theirs))
    };
    let (listener, ours, theirs) = setup().map_err(file("a socket"))?;
    let address = listener.local_addr().map_err(file("a socket"))?;
    let program = fs::canonicalize(&build.path).map_err(file(&build.path))?;
    let mut command = tools::pinned(tools::SERVER_CORE, program);
    command.args(["route", "--listen-fd", &LISTENER.to_string()]).current_dir(directory).stdin(OwnedFd::from(theirs));
    let mapped = command.fd_mappings(vec![FdMapping { parent_fd: listener.into(), child_fd: LISTENER }]).map(drop);
    mapped.map_err(|error| starting(&command)(io::Error::other(error)))?;
    let server = Server::start(&build.name, &mut command, log)?;
    let unconfirmed =
        |error: &dyn std::fmt::Display| server.problem(&format!("did not confirm what it serves: {error}"));
    let mut line = serde_json::to_vec(&snapshot()).map_err(|error| unconfirmed(&error))?;
    line.push(b'\n');
    let mut answer = String::new();
    (&ours)
        .write_all(&line)
        .and_then(|()| BufReader::new(&ours).read_line(&mut answer))
        .map_err(|error| unconfirmed(&error))?;
    match serde_json::from_str(&answer) {
        Ok(FromWorker::Serving { sequence: 1 }) => Ok(Worker { address, server, _control: ours }),
        other => Err(unconfirmed(&format!("{other:?}"))),
    }
}

fn snapshot() -> ToWorker {
    let version = |sequence: u64, share: u32| {
        json!({
            "sequence": sequence, "declared": { "traffic": share }, "scale": { "fixed": 1 },
            // High enough that no request of any load waits: nginx has no limit.
            "replica_max_concurrent_requests": 1000, "max_request_wait_time": 500, "scoring_timeout_ms": 60_000,
            "template": {
                "models": [],
                "code": { "digest": format!("sha256:{}", "0".repeat(64)), "directory": "source", "entry_script": "score.py" },
                "environment": { "id": "file:///w/environments/e", "version": 1, "hash": "h", "build_key": "b" },
            },
        })
    };
    let slot = |key: &str| KeySlot { key: key.to_owned(), version: 1 };
    let keys = Keys { primary: slot(wrk::KEY), secondary: slot("another"), replaced: Vec::new() };
    let entry = json!({
        "service": {
            "schema_version": 1, "generation": 1, "name": "bench", "kind": "endpoint", "workspace": "file:///w",
            "owner": "bench", "committed": true, "created_time": "2026-01-01T00:00:00Z",
            "updated_time": "2026-01-01T00:00:00Z", "auth": { "mode": "key", "keys": 1 },
            "versions": { "blue": version(1, 8000), "green": version(2, 2000) },
            "served": { "default": "blue", "shares": { "blue": 8000, "green": 2000 } },
        },
        "keys": keys.digests(),
        "replicas": {
            "blue": [{ "id": "blue", "address": { "unix": "blue.sock" } }],
            "green": [{ "id": "green", "address": { "unix": "green.sock" } }],
        },
    });
    let snapshot = json!({ "snapshot": { "sequence": 1, "services": { "bench": entry } } });
    serde_json::from_value(snapshot).expect("a snapshot as the contract has it; a test reads it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_snapshot_is_one_that_the_contract_accepts() {
        let ToWorker::Snapshot(snapshot) = snapshot() else { panic!("a snapshot") };
        let entry = &snapshot.services["bench"];
        assert_eq!(serving::validate::service(&entry.service), []);
        assert_eq!(entry.keys.as_ref().map(|keys| keys.accepted.len()), Some(2));
        assert_eq!(entry.replicas.len(), 2);
    }

    #[test]
    fn the_peers_configuration_listens_where_another_address_is_put() {
        let config = include_str!("../../bench/router/nginx.conf");
        assert_eq!(config.matches(&format!("listen {NGINX};")).count(), 1);
    }

    #[test]
    fn a_build_beside_has_a_name_and_a_path() {
        let build = "epoll=/tmp/a=b".parse::<Build>().expect("valid");
        assert_eq!(build, Build { name: "epoll".to_owned(), path: "/tmp/a=b".into() });
        assert!("epoll".parse::<Build>().is_err());
        assert!("=path".parse::<Build>().is_err());
    }
}
