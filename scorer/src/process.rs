//! One process of user code: how it starts, what it may use, how it ends.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde::Deserialize;
use serving::admin::{FailureReason, ScorerEvent};
use tokio::io::{AsyncReadExt as _, BufReader};
use tokio::net::UnixStream;

use crate::frame::MAX_HEADER;
use crate::preload::Preloaded;

/// Pause between two looks at what a process uses.
pub(crate) const LOOK: Duration = Duration::from_millis(250);

/// What a worker knows of its script.
#[derive(Debug, Deserialize)]
pub(crate) struct Started {
    /// Swagger documents by version.
    pub(crate) swagger: BTreeMap<String, String>,
    /// Every method of the scoring route is the script's to answer.
    pub(crate) raw: bool,
    /// The model, as the Open Inference Protocol describes it.
    pub(crate) v2: crate::v2::Documents,
    /// `run` takes a list: most rows, and most seconds that they are waited for.
    pub(crate) batch: Option<(usize, f64)>,
}

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Start {
    Ready(Started),
    Failed { reason: FailureReason, message: String, traceback: Option<String> },
}

/// What the process of a worker may use.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// Bytes of resident memory. Beyond it a worker is replaced after its request; beyond five quarters of it, at once.
    pub(crate) memory: Option<u64>,
    /// Processes, together with those that user code has started.
    pub(crate) processes: Option<usize>,
}

/// How processes come to be.
pub(crate) enum Starter {
    /// Each runs `init()` itself, with this interpreter.
    Interpreter(String),
    /// They are forked from one that has run `init()`.
    Preloaded(Arc<Preloaded>),
}

enum Origin {
    Child(Child),
    Forked(Arc<Preloaded>),
}

/// A worker process and the socket to it.
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) stream: BufReader<UnixStream>,
    origin: Origin,
}

impl Process {
    /// Starts a process and waits for its `init()`.
    pub(crate) async fn start(starter: &Starter) -> Result<(Self, Started), ScorerEvent> {
        let (ours, theirs) = StdStream::pair().map_err(|error| cannot_start(&error))?;
        let (pid, origin) = match starter {
            Starter::Interpreter(python) => {
                let python = python.clone();
                let child = apart(move || spawn(&python, "azureml_scorer.worker", theirs.into())).await;
                let child = child.map_err(|error| cannot_start(&error))?;
                (child.id(), Origin::Child(child))
            }
            Starter::Preloaded(preloaded) => (preloaded.fork(theirs.into()).await?, Origin::Forked(preloaded.clone())),
        };
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| cannot_start(&io::Error::other("it has no id")))?;
        let stream = ours.set_nonblocking(true).and_then(|()| UnixStream::from_std(ours));
        let stream = BufReader::new(stream.map_err(|error| cannot_start(&error))?);
        let mut process = Self { pid, stream, origin };
        match started(&mut process.stream).await {
            Ok(script) => Ok((process, script)),
            Err(event) => {
                process.kill().await;
                Err(event)
            }
        }
    }

    /// Lets the process end by itself: its socket closes.
    pub(crate) async fn end(self) {
        let Self { pid, stream, origin } = self;
        drop(stream);
        reap(pid, origin).await;
    }

    /// Ends the process with all that it has started.
    pub(crate) async fn kill(self) {
        let Self { pid, origin, stream: _ } = self;
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        let _ = rustix::process::kill_process(pid, Signal::KILL);
        reap(pid, origin).await;
        // What the process had started in the moment before.
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
}

async fn reap(pid: Pid, origin: Origin) {
    match origin {
        Origin::Child(mut child) => drop(apart(move || child.wait()).await),
        Origin::Forked(preloaded) => preloaded.reap(pid).await,
    }
}

/// Starts a module of this package with a socket as its standard input, in a process group of its own.
pub(crate) fn spawn(python: &str, module: &str, socket: OwnedFd) -> io::Result<Child> {
    Command::new(python).args(["-m", module]).stdin(Stdio::from(socket)).process_group(0).spawn()
}

/// Waits for a process to say that its `init()` has returned.
pub(crate) async fn started(stream: &mut BufReader<UnixStream>) -> Result<Started, ScorerEvent> {
    match receive::<Start>(stream).await {
        Ok((_, Start::Ready(started), _)) => Ok(started),
        Ok((_, Start::Failed { reason, message, traceback }, _)) => {
            Err(ScorerEvent::Failed { reason, message, traceback })
        }
        Err(error) => Err(crashed(format!("a worker process ended before it was ready: {error}"))),
    }
}

pub(crate) fn cannot_start(error: &io::Error) -> ScorerEvent {
    crashed(format!("a worker process cannot be started: {error}"))
}

fn crashed(message: String) -> ScorerEvent {
    ScorerEvent::Failed { reason: FailureReason::Crashed, message, traceback: None }
}

/// Reads a frame: its row, header and body.
pub(crate) async fn receive<T: for<'de> Deserialize<'de>>(
    stream: &mut BufReader<UnixStream>,
) -> io::Result<(u64, T, Vec<u8>)> {
    let (row, header, body) = (stream.read_u64().await?, stream.read_u64().await?, stream.read_u64().await?);
    if header > MAX_HEADER {
        return Err(io::Error::other("a worker process sent a malformed frame"));
    }
    let bytes = part(stream, header).await?;
    let content = part(stream, body).await?;
    Ok((row, serde_json::from_slice(&bytes)?, content))
}

/// Grows with what arrives, whatever length was announced.
async fn part(stream: &mut BufReader<UnixStream>, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(length).read_to_end(&mut bytes).await?;
    if (bytes.len() as u64) < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
}

impl Limits {
    /// Resolves when a process uses far more than it may, with what that is.
    pub(crate) async fn exceeded(self, pid: Pid) -> io::Error {
        if self.memory.is_none() && self.processes.is_none() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(LOOK).await;
            if let (Some(limit), Some(memory)) = (self.memory, resident(pid))
                && memory > limit / 4 * 5
            {
                return io::Error::other(format!("it holds {memory} bytes of memory, and may hold {limit}"));
            }
            if let Some(limit) = self.processes
                && members(pid, limit) > limit
            {
                return io::Error::other(format!("it has started more than {limit} processes"));
            }
        }
    }

    /// Whether a process holds more memory than it may between two requests.
    pub(crate) fn outgrown(self, pid: Pid) -> bool {
        self.memory.is_some_and(|limit| resident(pid).is_some_and(|memory| memory > limit))
    }
}

/// Resident bytes of a process.
fn resident(pid: Pid) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Processes of a process group, counted up to one more than `most`.
fn members(group: Pid, most: usize) -> usize {
    let Ok(all) = std::fs::read_dir("/proc") else { return 0 };
    let group = group.to_string();
    let belongs = |name: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{name}/stat")).unwrap_or_default();
        // Behind the name in parentheses: state, parent, group.
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.split(' ').nth(3) == Some(group.as_str()))
    };
    let names = all.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let processes = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    processes.filter(|name| belongs(name)).take(most + 1).count()
}

/// Does what blocks on another thread.
pub(crate) async fn apart<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
