//! The upgrade: this process executes another program, and hands over by descriptor number all that it holds. The process
//! id stays, so the children stay its children, and the scorers notice nothing.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use serving::admin::{Failure, FailureReason};

use super::engine::{Parts, Supervisor};
use super::launch::Launch;
use super::lines::Lines;
use super::replica::{Replica, Said, Stage};
use super::replicas::{EXIT_GRACE, adopt};
use super::workers::{Role, Worker};
use crate::inherit;

/// Format of [`State`]. A program reads its own and the one before; unknown fields are ignored.
const FORMAT: u32 = 1;

/// What one program image leaves to the next. Times are durations from the moment of writing.
#[derive(Serialize, Deserialize)]
pub(super) struct State {
    format: u32,
    listener: RawFd,
    admin: RawFd,
    lock: RawFd,
    next_number: u64,
    sequence: u64,
    workers: Vec<WorkerState>,
    replicas: Vec<ReplicaState>,
}

#[derive(Serialize, Deserialize)]
struct Pipe {
    fd: RawFd,
    input: Vec<u8>,
    output: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct WorkerState {
    pid: i32,
    pipe: Pipe,
    draining: bool,
    confirmed: u64,
}

#[derive(Serialize, Deserialize)]
struct ReplicaState {
    number: u64,
    launch: Launch,
    stage: StageState,
    age: Duration,
    child: Option<(i32, Pipe)>,
    restarts: u32,
    failures: u32,
    failure: Option<Failure>,
    said: Option<(FailureReason, String, Option<String>)>,
}

#[derive(Serialize, Deserialize)]
enum StageState {
    Starting,
    Joining(Option<u64>),
    Ready,
    Leaving(Option<u64>),
    Stopping(Duration),
    BackOff(Duration),
}

/// Executes another program in this process. Returns only if that fails, with the reason; then nothing has changed.
pub(super) fn replace(supervisor: &Supervisor, executable: &Path) -> String {
    if supervisor.stopping.is_some() {
        return "the supervisor is stopping".to_owned();
    }
    let mut kept = Vec::new();
    let error = match execute(supervisor, executable, &mut kept) {
        Ok(error) | Err(error) => error,
    };
    // The duplicates are closed here; the originals were never open to children.
    drop(kept);
    format!("{} could not take over: {error}; the running router stays", executable.display())
}

fn execute(supervisor: &Supervisor, executable: &Path, kept: &mut Vec<OwnedFd>) -> io::Result<io::Error> {
    let state = capture(supervisor, kept)?;
    let path = Path::new(".supervisor.handover");
    let _ = std::fs::remove_file(path);
    let mut file = File::options().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    std::fs::remove_file(path)?;
    serde_json::to_writer(&mut file, &state)?;
    file.flush()?;
    let number = keep(file.into(), kept)?;
    tracing::info!(executable = %executable.display(), "handing over");
    let mut command = Command::new(executable);
    command.args(["supervise", "--directory"]).arg(&supervisor.root).args(["--handover", &number.to_string()]);
    Ok(command.exec())
}

/// Makes a descriptor survive the execution, and gives its number.
fn keep(fd: OwnedFd, kept: &mut Vec<OwnedFd>) -> io::Result<RawFd> {
    fcntl_setfd(&fd, FdFlags::empty())?;
    let number = fd.as_raw_fd();
    kept.push(fd);
    Ok(number)
}

fn capture(supervisor: &Supervisor, kept: &mut Vec<OwnedFd>) -> io::Result<State> {
    let now = Instant::now();
    let listener = supervisor.listener.as_ref().ok_or(io::ErrorKind::NotConnected)?;
    let mut pipe = |lines: &Lines| -> io::Result<Pipe> {
        let (fd, input, output) = lines.state()?;
        Ok(Pipe { fd: keep(fd, kept)?, input, output })
    };
    let mut workers = Vec::new();
    for worker in &supervisor.workers {
        workers.push(WorkerState {
            pid: worker.pid.as_raw_nonzero().get(),
            pipe: pipe(&worker.lines)?,
            draining: worker.role == Role::Draining,
            confirmed: worker.confirmed,
        });
    }
    let mut replicas = Vec::new();
    for replica in &supervisor.replicas {
        let child = match &replica.child {
            Some(child) => Some((child.pid.as_raw_nonzero().get(), pipe(&child.control)?)),
            None => None,
        };
        replicas.push(ReplicaState {
            number: replica.number,
            launch: Launch::clone(&replica.launch),
            stage: match replica.stage {
                Stage::Starting => StageState::Starting,
                Stage::Joining { sequence } => StageState::Joining(sequence),
                Stage::Ready => StageState::Ready,
                Stage::Leaving { sequence } => StageState::Leaving(sequence),
                Stage::Stopping { kill_at } => StageState::Stopping(kill_at.saturating_duration_since(now)),
                Stage::BackOff { until } => StageState::BackOff(until.saturating_duration_since(now)),
            },
            age: now.saturating_duration_since(replica.since),
            child,
            restarts: replica.restarts,
            failures: replica.failures,
            failure: replica.failure.clone(),
            said: replica.said.clone().map(|said| (said.reason, said.message, said.traceback)),
        });
    }
    Ok(State {
        format: FORMAT,
        listener: keep(listener.try_clone()?.into(), kept)?,
        admin: keep(supervisor.admin.try_clone()?.into(), kept)?,
        lock: keep(supervisor.lock.try_clone()?, kept)?,
        next_number: supervisor.next_number,
        sequence: supervisor.sequence,
        workers,
        replicas,
    })
}

impl State {
    /// Reads what the predecessor left.
    pub(super) fn receive(number: RawFd) -> io::Result<Self> {
        let mut file = File::from(inherit::take(number)?);
        file.seek(SeekFrom::Start(0))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let state: Self = serde_json::from_slice(&bytes)?;
        if state.format == FORMAT {
            Ok(state)
        } else {
            Err(io::Error::other(format!("the handover has format {}, but this program reads {FORMAT}", state.format)))
        }
    }

    /// The predecessor's sockets and lock.
    pub(super) fn parts(&self, root: std::path::PathBuf, config: crate::config::Config) -> io::Result<Parts> {
        Ok(Parts {
            root,
            config,
            listener: inherit::take(self.listener)?.into(),
            admin: inherit::take(self.admin)?.into(),
            lock: inherit::take(self.lock)?,
            announcement: None,
        })
    }

    /// Gives the predecessor's children to a supervisor.
    pub(super) fn restore(self, supervisor: &mut Supervisor) -> io::Result<()> {
        let now = Instant::now();
        supervisor.next_number = self.next_number;
        supervisor.sequence = self.sequence;
        let arrived = Arc::clone(&supervisor.arrived);
        let lines = |pipe: Pipe| -> io::Result<Lines> {
            Lines::new(inherit::take(pipe.fd)?.into(), pipe.input, pipe.output, Arc::clone(&arrived))
        };
        for worker in self.workers {
            let patience = supervisor.drain_patience();
            let draining = worker.draining || worker.confirmed == 0;
            let Some(pid) = Pid::from_raw(worker.pid) else { continue };
            supervisor.worker_outdated |= !draining;
            supervisor.workers.push(Worker {
                pid,
                lines: lines(worker.pipe)?,
                role: if draining { Role::Draining } else { Role::Current },
                confirmed: worker.confirmed,
                unconfirmed_since: None,
                // One that never answered is of no use: a candidate of the predecessor.
                kill_at: draining.then(|| now + if worker.confirmed == 0 { Duration::ZERO } else { patience }),
                since: now,
            });
        }
        for state in self.replicas {
            let mut replica = Replica::new(state.number, Arc::new(state.launch), now);
            replica.since = now.checked_sub(state.age).unwrap_or(now);
            replica.stage = match state.stage {
                StageState::Starting => Stage::Starting,
                StageState::Joining(sequence) => Stage::Joining { sequence },
                StageState::Ready => Stage::Ready,
                StageState::Leaving(sequence) => Stage::Leaving { sequence },
                StageState::Stopping(left) => Stage::Stopping { kill_at: now + left },
                StageState::BackOff(left) => Stage::BackOff { until: now + left },
            };
            replica.child = match state.child {
                Some((pid, pipe)) => adopt(pid, lines(pipe)?),
                None => None,
            };
            replica.restarts = state.restarts;
            replica.failures = state.failures;
            replica.failure = state.failure;
            replica.said = state.said.map(|(reason, message, traceback)| Said { reason, message, traceback });
            if let Some(child) = replica.child.as_mut().filter(|_| replica.said.is_some()) {
                child.kill_at = Some(now + EXIT_GRACE);
            }
            supervisor.replicas.push(replica);
        }
        Ok(())
    }
}
