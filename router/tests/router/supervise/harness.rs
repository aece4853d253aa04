//! A compute directory with the real `azureml-fe` in it, and scorers that are stood in for by `scorer.py`.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use serving::admin::{Request, Response, Status, VersionStatus};
use serving::layout;
use serving::service::Service;

use crate::support::{PATIENCE, until};

static PYTHON: LazyLock<String> = LazyLock::new(|| {
    let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    String::from_utf8(output.expect("python3 is on PATH").stdout).expect("a path").trim().to_owned()
});

/// A compute directory.
pub(crate) struct Compute {
    folder: tempfile::TempDir,
    handle: File,
}

/// A version's name, its share in percent, and the environment variables of its scorers.
pub(crate) type TestVersion<'t> = (&'t str, u16, &'t [(&'t str, &'t str)]);

/// One running supervisor; killed when it is dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) address: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn executable() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_azureml-fe"))
}

/// Whether a process is there and not merely unreaped.
pub(crate) fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

pub(crate) fn kill(pid: u32) {
    signal(pid, rustix::process::Signal::KILL);
}

pub(crate) fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a process id")).expect("not zero");
    rustix::process::kill_process(pid, signal).expect("the process is ours");
}

impl Compute {
    pub(crate) fn new() -> Self {
        Self::at("address = \"127.0.0.1\"\nport = 0\nthreads = 1\n")
    }

    pub(crate) fn at(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let handle = File::open(folder.path()).expect("opened");
        let compute = Self { folder, handle };
        for name in [layout::SERVICES, layout::LOGS, layout::BIN, "venv/bin"] {
            std::fs::create_dir_all(compute.path(name)).expect("created");
        }
        std::fs::write(compute.path(layout::CONFIG), config).expect("written");
        let python = compute.path("venv/bin/python");
        let script = format!("#!{} -IS\n{}", *PYTHON, include_str!("scorer.py"));
        std::fs::write(&python, script).expect("written");
        std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).expect("made executable");
        compute
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("logs/supervisor.log")).unwrap_or_default()
    }

    /// A document of the service `name`, whose scorers have these environment variables.
    pub(crate) fn document(&self, name: &str, generation: u64, variables: &[(&str, &str)]) -> Value {
        let variables: serde_json::Map<String, Value> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        json!({
            "schema_version": 1, "generation": generation, "name": name, "kind": "webservice",
            "workspace": "file:///w", "owner": "tests", "committed": true,
            "created_time": "2026-01-02T03:04:05Z", "updated_time": "2026-01-02T03:04:05Z",
            "auth": { "mode": "none" },
            "versions": { name: {
                "sequence": 1,
                "declared": { "traffic": 10_000, "is_default": true },
                "scale": { "fixed": 1 },
                "replica_max_concurrent_requests": 4, "max_request_wait_time": 60_000, "scoring_timeout_ms": 60_000,
                "template": {
                    "models": [{
                        "id": "file:///w/models/m/1", "name": "m", "version": 1,
                        "digest": format!("sha256:{}", "0".repeat(64)),
                    }],
                    "code": { "digest": format!("sha256:{}", "1".repeat(64)), "directory": "src", "entry_script": "score.py" },
                    "environment": {
                        "id": "file:///w/environments/e", "version": 1, "hash": "2".repeat(64), "build_key": "b",
                        "prefix": self.path("venv"),
                    },
                    "environment_variables": variables,
                },
                "rollout": { "max_surge": 1, "max_unavailable": 0, "recreate": false, "progress_deadline_seconds": 60 },
            } },
            "served": { "default": name, "shares": { name: 10_000 } },
        })
    }

    /// A document of the endpoint `name` with these versions, the first of which is the default. Each scorer answers with its version's name unless it is told otherwise.
    pub(crate) fn endpoint(&self, name: &str, generation: u64, versions: &[TestVersion<'_>]) -> Value {
        let mut document = self.document(name, generation, &[]);
        document["kind"] = "endpoint".into();
        let (mut listed, mut shares) = (serde_json::Map::new(), serde_json::Map::new());
        for (index, (version, percent, variables)) in versions.iter().enumerate() {
            let variables = [&[("FAKE_ANSWER", *version)], *variables].concat();
            let mut one = self.document(version, generation, &variables)["versions"][version].take();
            one["sequence"] = (index + 1).into();
            one["declared"] = json!({ "traffic": percent * 100, "is_default": (index == 0).then_some(true) });
            listed.insert((*version).to_owned(), one);
            shares.insert((*version).to_owned(), (percent * 100).into());
        }
        document["served"] = match versions.first() {
            Some((default, ..)) => json!({ "default": default, "shares": shares }),
            None => Value::Null,
        };
        document["versions"] = listed.into();
        document
    }

    /// Writes a document as the provider does, after the app directories that it names.
    pub(crate) fn write(&self, document: &Value) {
        let service: Service = serde_json::from_value(document.clone()).expect("a service");
        for version in service.versions.values() {
            let app = self.path(layout::app(&version.template.revision()));
            std::fs::create_dir_all(app.join("src")).expect("created");
        }
        self.write_text(&service.name, &document.to_string());
    }

    pub(crate) fn write_text(&self, name: &str, text: &str) {
        let temporary = self.path(format!("services/.{name}.json"));
        std::fs::write(&temporary, text).expect("written");
        std::fs::rename(temporary, self.path(layout::document(name))).expect("renamed");
    }

    pub(crate) fn spawn(&self) -> Child {
        let log = OpenOptions::new().append(true).create(true).open(self.path("logs/supervisor.log"));
        Command::new(executable())
            .args(["supervise", "--directory"])
            .arg(self.root())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.expect("opened"))
            .spawn()
            .expect("started")
    }

    /// Starts a supervisor and waits for its line.
    pub(crate) fn start(&self) -> Running {
        let mut child = self.spawn();
        let line = first_line(&mut child);
        let address = line["ready"]["address"].as_str().unwrap_or_else(|| panic!("{line}: {}", self.log())).to_owned();
        assert_eq!(line["ready"]["version"], env!("CARGO_PKG_VERSION"));
        Running { child, address }
    }

    pub(crate) fn connect(&self) -> UnixStream {
        until("the admin socket is there", || self.try_connect())
    }

    pub(crate) fn try_connect(&self) -> Option<UnixStream> {
        let path = format!("/proc/self/fd/{}/{}", self.handle.as_raw_fd(), layout::ADMIN_SOCKET);
        UnixStream::connect(path).ok()
    }

    pub(crate) fn ask(&self, request: &Request) -> Response {
        let mut stream = self.connect();
        writeln!(stream, "{}", serde_json::to_string(request).expect("JSON")).expect("sent");
        answer(&mut BufReader::new(stream)).expect("an answer")
    }

    pub(crate) fn status(&self) -> Status {
        match self.ask(&Request::Status) {
            Response::Status(status) => status,
            other => panic!("{other:?}"),
        }
    }

    /// Reads the documents now, then waits until the service looks like that.
    pub(crate) fn until(&self, name: &str, what: &str, mut look: impl FnMut(&VersionStatus) -> bool) -> VersionStatus {
        self.ask(&Request::Sync);
        let mut last = None;
        let end = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if let Some(version) = status.services.get(name).and_then(|service| service.versions.get(name))
                && look(version)
            {
                return version.clone();
            }
            assert!(Instant::now() < end, "waited in vain until {what}: {last:?}\n{}", self.log());
            last = Some(status);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until this generation is served by all replicas, and only by them.
    pub(crate) fn settled(&self, name: &str, generation: u64) -> VersionStatus {
        until("the generation is served", || {
            let status = self.status();
            (status.services.get(name)?.served_generation >= generation).then_some(())
        });
        self.until(name, "the version settles", VersionStatus::settled)
    }

    /// Waits until the worker has counted so many requests; it counts after it has answered.
    pub(crate) fn counted(&self, name: &str, requests: u64) {
        until("the requests are counted", || match self.ask(&Request::Stats) {
            Response::Stats { services } => {
                (services.get(name)?.versions.get(name)?.requests == requests).then_some(())
            }
            _ => None,
        });
    }

    /// Runs a command of the program for this directory.
    pub(crate) fn command(&self, args: &[&str]) -> Output {
        let mut command = Command::new(executable());
        command.args(args).arg("--directory").arg(self.root()).stdin(Stdio::null()).output().expect("started")
    }
}

/// The line that a supervisor writes at its start.
pub(crate) fn first_line(child: &mut Child) -> Value {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("read");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

pub(crate) fn answer(stream: &mut impl BufRead) -> Option<Response> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

/// A connection of a caller.
pub(crate) struct Caller {
    stream: BufReader<TcpStream>,
}

impl Caller {
    pub(crate) fn connect(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Status and body of one request, and whether the connection stays open.
    pub(crate) fn score(&mut self, service: &str) -> std::io::Result<(u16, String, bool)> {
        self.score_with(service, "")
    }

    /// The same, with further header lines, each with its line end.
    pub(crate) fn score_with(&mut self, service: &str, fields: &str) -> std::io::Result<(u16, String, bool)> {
        self.post(&format!("/api/v1/service/{service}/score"), fields)
    }

    /// Posts to a path, with further header lines, each with its line end.
    pub(crate) fn post(&mut self, path: &str, fields: &str) -> std::io::Result<(u16, String, bool)> {
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n{fields}\r\n{{}}");
        self.stream.get_mut().write_all(head.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| std::io::Error::other(format!("not a status line: {line:?}")))?;
        let (mut length, mut open) = (0, true);
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            match name.to_lowercase().as_str() {
                "content-length" => length = value.trim().parse().map_err(std::io::Error::other)?,
                "connection" => open = !value.trim().eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, String::from_utf8_lossy(&body).into_owned(), open))
    }
}

/// One request on a connection of its own.
pub(crate) fn score(address: &str, service: &str) -> (u16, String) {
    let (status, body, _) = Caller::connect(address).and_then(|mut caller| caller.score(service)).expect("an answer");
    (status, body)
}

/// Callers that score all the time.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    pub(crate) answered: Arc<AtomicU64>,
    callers: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// `kept` callers keep their connection as long as the router does; as many others use a new one each time. None of
    /// them repeats what has failed.
    pub(crate) fn start(address: &str, service: &str, kept: usize) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let callers = (0..2 * kept)
            .map(|index| {
                let (address, service) = (address.to_owned(), service.to_owned());
                let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
                std::thread::spawn(move || {
                    let mut failures = Vec::new();
                    let mut connection = None;
                    while !stop.load(Ordering::Relaxed) {
                        let mut one = || -> std::io::Result<(u16, String, bool)> {
                            let mut caller = connection.take().map_or_else(|| Caller::connect(&address), Ok)?;
                            let result = caller.score(&service)?;
                            connection = (result.2 && index < kept).then_some(caller);
                            Ok(result)
                        };
                        match one() {
                            Ok((200, ..)) => {
                                answered.fetch_add(1, Ordering::Relaxed);
                            }
                            Ok((status, body, _)) => failures.push(format!("{status} {body}")),
                            Err(error) => failures.push(error.to_string()),
                        }
                        if connection.is_some() {
                            // Some hammer, some leave their connection unused for a while.
                            std::thread::sleep(Duration::from_millis(3) * u32::try_from(index * index).unwrap_or(0));
                        }
                    }
                    failures
                })
            })
            .collect();
        let load = Self { stop, answered, callers };
        load.more();
        load
    }

    /// Waits until a good many further requests were answered.
    pub(crate) fn more(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        until("further requests are answered", || (self.answered.load(Ordering::Relaxed) > before + 50).then_some(()));
    }

    /// Ends, and gives what failed.
    pub(crate) fn failures(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.callers.into_iter().flat_map(|caller| caller.join().expect("a caller does not panic")).collect()
    }
}
