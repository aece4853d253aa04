//! `bench scorer`: azureml-scorer beside azureml-inference-server-http and Granian.
//!
//! Each runs the same score script in one worker process on one core, Granian (the fastest Python server) as a WSGI
//! application around the script.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;

use super::contest::{self, Contender, Load, Turns, median};
use super::error::{BenchError, file};
use super::processes;
use super::report::{self, Machine, say};
use super::server::{Question, Server};
use super::{tools, wrk};

const BODY: &str = r#"{"data": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}"#;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    turns: Turns,
    /// Starts of each server; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    starts: u32,
}

/// A server to measure, and the arguments of its program.
struct Subject {
    name: &'static str,
    /// The package in its virtual environment.
    package: &'static str,
    program: PathBuf,
    arguments: fn(script: &str, port: &str) -> Vec<String>,
    peer: bool,
}

/// How long a server takes to come up, and what it holds.
#[derive(Debug, Serialize)]
struct Footprint {
    server: String,
    version: String,
    /// From exec to the first answered score.
    start_ms: f64,
    /// Resident after all loads, all processes together.
    resident_mb: f64,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), BenchError> {
    tools::require_cores()?;
    wrk::require()?;
    tools::build()?;
    let subjects = install()?;
    let directory = tempfile::tempdir().map_err(file("a temporary directory"))?;
    let directory = directory.path();
    say("==> Starts");
    let mut starts = vec![Vec::new(); subjects.len()];
    for _ in 0..arguments.starts {
        for (subject, times) in subjects.iter().zip(&mut starts) {
            let (_server, _address, time) = start(subject, directory)?;
            times.push(time.as_secs_f64() * 1e3);
        }
    }
    let mut servers = Vec::new();
    let mut contenders = Vec::new();
    for subject in &subjects {
        let (server, address, _) = start(subject, directory)?;
        contenders.push(Contender {
            name: subject.name.to_owned(),
            version: Some(version(subject)?),
            process: server.id(),
            url: question(address).url(),
            log: log(subject, directory),
            peer: subject.peer,
        });
        servers.push(server);
    }
    let heats = contest::run(&contenders, &loads(), &arguments.turns)?;
    let footprints = contenders.iter().zip(starts).map(|(contender, starts)| {
        #[allow(clippy::cast_precision_loss, reason = "megabytes with a decimal")]
        let resident_mb = processes::resident(contender.process)? as f64 / 1e6;
        let (server, version) = (contender.name.clone(), contender.version.clone().unwrap_or_default());
        Ok(Footprint { server, version, start_ms: median(starts.into_iter()), resident_mb })
    });
    let footprints = footprints.collect::<Result<Vec<_>, BenchError>>()?;
    drop(servers);
    for Footprint { server, start_ms, resident_mb, .. } in &footprints {
        say(&format!("  {server}: first score after {start_ms:.0} ms, {resident_mb:.0} MB resident after the load"));
    }
    report::write("scorer", &json!({ "machine": Machine::this(), "servers": footprints, "loads": heats }))
}

fn loads() -> Vec<Load> {
    let small = |connections| Load { name: "small POST", connections, body: BODY.into() };
    // One long string: the cost of a large body, and not that of a large list in Python.
    let large = format!("{{\"data\": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], \"text\": \"{}\"}}", "x".repeat(1 << 20));
    vec![small(1), small(16), small(64), Load { name: "1 MB POST", connections: 16, body: large.into() }]
}

/// Installs the wheel that was built, and the peers, each in its virtual environment below `<target>/bench`.
fn install() -> Result<Vec<Subject>, BenchError> {
    let directory = tools::directory()?;
    let (ours, peers) = (directory.join("scorer"), directory.join("peers"));
    say("==> Installing the wheel");
    virtual_environment(&ours)?;
    tools::output(pip_install(&ours).args(["--force-reinstall", "--no-deps"]).arg(wheel()?))?;
    say("==> Installing the peers");
    virtual_environment(&peers)?;
    tools::output(pip_install(&peers).arg("--requirement").arg(tools::inputs().join("scorer/requirements.txt")))?;
    let azmlinfsrv = |script: &str, port: &str| ["--entry_script", script, "--port", port].map(str::to_owned).to_vec();
    Ok(vec![
        Subject {
            name: "azureml-scorer",
            package: "azureml-scorer",
            program: ours.join("bin/azmlinfsrv"),
            arguments: azmlinfsrv,
            peer: false,
        },
        Subject {
            name: "granian",
            package: "granian",
            program: peers.join("bin/granian"),
            arguments: |_, port| {
                let options =
                    ["--interface", "wsgi", "--workers", "1", "--host", "127.0.0.1", "--port", port, "wsgi:app"];
                options.map(str::to_owned).to_vec()
            },
            peer: true,
        },
        Subject {
            name: "azureml",
            package: "azureml-inference-server-http",
            program: peers.join("bin/azmlinfsrv"),
            arguments: azmlinfsrv,
            peer: true,
        },
    ])
}

/// Makes a virtual environment unless it is there.
fn virtual_environment(path: &Path) -> Result<(), BenchError> {
    if path.join("bin/pip").is_file() {
        return Ok(());
    }
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    tools::output(Command::new(python).args(["-m", "venv", "--clear"]).arg(path)).map(drop)
}

fn pip_install(environment: &Path) -> Command {
    let mut command = Command::new(environment.join("bin/pip"));
    command.args(["install", "--quiet", "--disable-pip-version-check"]);
    command
}

/// The wheel that `make build` has left.
fn wheel() -> Result<PathBuf, BenchError> {
    let directory = tools::target().join("wheels");
    let prefix = concat!("azureml_scorer-", env!("CARGO_PKG_VERSION"), "-");
    let wheels = fs::read_dir(&directory).map_err(file(&directory))?.flatten();
    let named = wheels.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    let newest = named.max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok());
    newest.map(|entry| entry.path()).ok_or_else(|| BenchError::NotBuilt(directory.join(format!("{prefix}*.whl"))))
}

fn version(subject: &Subject) -> Result<String, BenchError> {
    let python = subject.program.with_file_name("python");
    let code = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))";
    Ok(tools::output(Command::new(python).args(["-c", code, subject.package]))?.trim().to_owned())
}

/// Starts a server and waits for its first score; the time from exec to it.
fn start(subject: &Subject, directory: &Path) -> Result<(Server, SocketAddr, Duration), BenchError> {
    let address = tools::free_address()?;
    let inputs = tools::inputs().join("scorer");
    let script = inputs.join("score.py");
    let mut command = tools::pinned(tools::SERVER_CORE, &subject.program);
    command
        .args((subject.arguments)(&script.to_string_lossy(), &address.port().to_string()))
        // Where Granian finds its application.
        .env("PYTHONPATH", &inputs)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(directory)
        .stdin(Stdio::null());
    let started = Instant::now();
    let mut server = Server::start(subject.name, &mut command, &log(subject, directory))?;
    let time = server.ready(&question(address), &json!({ "sum": 55 }), started)?;
    Ok((server, address, time))
}

fn question(address: SocketAddr) -> Question<'static> {
    Question { address, path: "/score", key: None, body: BODY }
}

fn log(subject: &Subject, directory: &Path) -> PathBuf {
    directory.join(subject.name).with_extension("log")
}
