//! Starting a server with a score script.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::contest::Contender;
use super::super::error::BenchError;
use super::super::server::{Question, Server};
use super::super::tools;
use super::peers::{self, Place, Subject};
use crate::command;

/// What is installed, and where servers run.
pub(super) struct Bench {
    pub(super) ours: Subject,
    pub(super) peers: Vec<Subject>,
    pub(super) directory: PathBuf,
}

impl Bench {
    pub(super) fn peer(&self, name: &str) -> Option<&Subject> {
        self.peers.iter().find(|peer| peer.name() == name)
    }

    /// Ours and the peers that serve a score script whole.
    pub(super) fn one_worker_each(&self) -> impl Iterator<Item = &Subject> {
        let peers = self.peers.iter().filter(|peer| peer.name() != peers::GRANIAN_ASGI);
        std::iter::once(&self.ours).chain(peers)
    }
}

/// A server with a script, about to be started.
pub(super) struct Launch<'a> {
    pub(super) subject: &'a Subject,
    /// What it is called in results.
    pub(super) name: &'a str,
    /// A module of `bench/scorer/scripts`.
    pub(super) script: &'a str,
    pub(super) cores: &'a str,
    pub(super) environment: &'a [(&'a str, &'a str)],
    /// The first question, as a plain body, and where its answer has what.
    pub(super) body: &'a str,
    pub(super) expected: Option<(&'a str, Value)>,
}

/// The core of a server that has one worker.
pub(super) const ONE_CORE: &str = "0";
pub(super) const BOTH_CORES: &str = "0,1";

/// A running server, and the time from exec to its first score.
pub(super) struct Running {
    pub(super) server: Server,
    pub(super) address: SocketAddr,
    pub(super) start: Duration,
    pub(super) contender: Contender,
}

/// The servers, which end with what is given here, and how they take part.
pub(super) fn apart(running: Vec<Running>) -> (Vec<Server>, Vec<Contender>) {
    running.into_iter().map(|one| (one.server, one.contender)).unzip()
}

impl<'a> Launch<'a> {
    /// With the script that adds.
    pub(super) fn sum(subject: &'a Subject) -> Self {
        Self {
            subject,
            name: subject.name(),
            script: "sum",
            cores: ONE_CORE,
            environment: &[],
            body: super::loads::BODY,
            expected: Some((subject.protocol.sum(), json!(55))),
        }
    }

    /// Starts the server and waits for its first score.
    pub(super) fn start(&self, bench: &Bench) -> Result<Running, BenchError> {
        let Self { subject, name, script, .. } = *self;
        let address = tools::free_address()?;
        let scripts = tools::inputs().join("scorer/scripts");
        let search = std::env::join_paths([scripts, peers::folder(subject.package_folder())]).unwrap_or_default();
        let mut command = Command::new("taskset");
        command
            .args(["--cpu-list", self.cores])
            .arg(subject.environment()?.join("bin").join(subject.program))
            .env("PYTHONPATH", search)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("BENCH_SCRIPT", script)
            .env("AZUREML_MODEL_DIR", &bench.directory)
            .env("AML_APP_ROOT", &bench.directory)
            .envs(self.environment.iter().copied())
            .current_dir(&bench.directory)
            .stdin(Stdio::null());
        let more_ports = [tools::free_address()?.port(), tools::free_address()?.port()];
        (subject.arguments)(&mut command, &Place { script, port: address.port(), more_ports });
        let log = bench.directory.join(name).with_extension("log");
        let body = subject.protocol.translation().map(|translate| translate(self.body.as_bytes()));
        let body = body.as_deref().map_or(self.body.into(), String::from_utf8_lossy);
        let question = Question { address, path: subject.path, key: None, body: &body };
        let started = Instant::now();
        let mut server = Server::start(name, &mut command, &log)?;
        let start = match &self.expected {
            Some((pointer, value)) => server.ready_at(&question, pointer, value, started)?,
            None => server.ready_any(&question, started)?,
        };
        let contender = Contender {
            name: name.to_owned(),
            version: Some(version(subject)?),
            process: server.id(),
            url: question.url(),
            log,
            peer: name != peers::OURS,
            translate: subject.protocol.translation(),
        };
        Ok(Running { server, address, start, contender })
    }
}

fn version(subject: &Subject) -> Result<String, BenchError> {
    let python = subject.environment()?.join("bin/python");
    let code = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))";
    Ok(command::output(Command::new(python).args(["-c", code, subject.package]))?.trim().to_owned())
}
