//! Starting, upgrading and stopping the supervisor process.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serving::admin::{Request, Response, Status};
use serving::layout;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::{LocalCluster, admin, files, program};
use crate::cluster::{Error, StartProblem};

/// Name of the supervisor's log below the logs.
const LOG: &str = "supervisor.log";
const LOG_LINES: usize = 20;
const START_TIME: Duration = Duration::from_mins(1);
/// Longest first line.
const MAX_LINE: u64 = 64 << 10;
/// Requests in flight may take five minutes, and draining waits for them.
const STOP_TIME: Duration = Duration::from_mins(6);
const POLL: Duration = Duration::from_millis(50);

/// What scorers and the router may need of this program's environment. A process that outlives terraform must not carry
/// its credentials.
const ENVIRONMENT: [&str; 17] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "RUST_BACKTRACE",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
];

/// Whether a supervisor holds a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It holds its lock.
    Alive,
    /// Nobody holds the lock.
    Dead,
}

/// Tries the supervisor's lock; a process id proves nothing, because ids are used again.
pub(super) fn liveness(directory: &Path) -> Result<Liveness, Error> {
    let path = directory.join(layout::SUPERVISOR_LOCK);
    let lock = match File::open(&path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Liveness::Dead),
        Err(error) => return Err(files::io("open", &path)(error)),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(Liveness::Dead),
        Err(TryLockError::WouldBlock) => Ok(Liveness::Alive),
        Err(TryLockError::Error(error)) => Err(files::io("lock", &path)(error)),
    }
}

/// The first line that a supervisor prints.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FirstLine {
    Ready { version: String },
    Error { reason: String, message: String },
}

pub(super) async fn start(cluster: &LocalCluster) -> Result<String, Error> {
    let deadline = Instant::now() + START_TIME;
    loop {
        if cluster.liveness().await? == Liveness::Alive {
            return answering(cluster, deadline, |_| true).await.map(|status| status.version);
        }
        match spawn(cluster).await {
            // Another run was faster, or has just looked at the lock.
            Err(Error::Start { problem: StartProblem::AlreadyRunning, .. }) if Instant::now() < deadline => {
                tokio::time::sleep(POLL).await;
            }
            outcome => return outcome,
        }
    }
}

/// Starts the installed program and waits for its first line.
async fn spawn(cluster: &LocalCluster) -> Result<String, Error> {
    let directory = cluster.directory();
    let Some(executable) = cluster.installed().await? else {
        let path = directory.join(layout::BIN).join(program::NAME);
        return Err(Error::NoProgram { tried: format!("{} does not exist", path.display()) });
    };
    let logs = directory.join(layout::LOGS);
    files::create_directory(&logs)?;
    let log_path = logs.join(LOG);
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&log_path);
    let log = log.map_err(files::io("open", &log_path))?;
    let start = || async {
        let mut command = Command::new(&executable);
        command.args(["supervise", "--directory"]).arg(directory).current_dir(directory);
        command.env_clear().envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.try_clone()?);
        command.spawn()
    };
    let mut child = program::retry_busy(start).await.map_err(files::io("run", &executable))?;
    let message = if let Ok(line) = tokio::time::timeout(START_TIME, first_line(&mut child)).await {
        match serde_json::from_str(&line) {
            Ok(FirstLine::Ready { version }) => return Ok(version),
            Ok(FirstLine::Error { reason, message }) => {
                let _ = child.wait().await;
                return Err(Error::Start { problem: StartProblem::from_reason(&reason), message });
            }
            Err(_) if line.is_empty() => "it ended at once".to_owned(),
            Err(_) => format!("it said {line:?}"),
        }
    } else {
        let _ = child.kill().await;
        format!("it was not ready within {} s", START_TIME.as_secs())
    };
    let last = super::logs::last_lines(&log_path, LOG_LINES)?;
    Err(Error::Start {
        problem: StartProblem::Silent,
        message: format!("{message}\nThe end of {}:\n{last}", log_path.display()),
    })
}

async fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        // An unreadable line is an unexpected one.
        let _ = BufReader::new(output.take(MAX_LINE)).read_line(&mut line).await;
    }
    line.trim_end().to_owned()
}

/// Waits until the supervisor, which holds its lock, answers with an acceptable status.
async fn answering(
    cluster: &LocalCluster,
    deadline: Instant,
    acceptable: impl Fn(&Status) -> bool + Send,
) -> Result<Status, Error> {
    loop {
        let error = match cluster.status().await {
            Ok(status) if acceptable(&status) => return Ok(status),
            Ok(status) => cluster.silent(&std::io::Error::other(format!("version {} still runs", status.version))),
            Err(error @ Error::Admin { .. }) => error,
            Err(error) => return Err(error),
        };
        if Instant::now() >= deadline {
            return Err(error);
        }
        tokio::time::sleep(POLL).await;
    }
}

pub(super) async fn upgrade(cluster: &LocalCluster) -> Result<String, Error> {
    if cluster.liveness().await? == Liveness::Dead {
        return start(cluster).await;
    }
    let Some(executable) = cluster.installed().await? else { return start(cluster).await };
    let wanted = program::version(&executable).await?;
    let request = Request::Upgrade { executable: executable.to_string_lossy().into_owned() };
    match cluster.ask(&request, "upgrade itself", admin::ANSWER_TIME).await? {
        Response::Done => {}
        other => return Err(cluster.unexpected(&other)),
    }
    let status = answering(cluster, Instant::now() + START_TIME, |status| status.version == wanted).await?;
    let directory = cluster.directory().to_owned();
    if let Err(error) = program::remove_others(&directory) {
        tracing::warn!("cannot remove replaced router programs: {error}");
    }
    Ok(status.version)
}

/// Executes the running program anew, which reads its configuration then, and waits for the worker that has it.
pub(super) async fn reload(cluster: &LocalCluster) -> Result<(), Error> {
    let before = match cluster.status().await {
        Ok(status) => status.worker_pid,
        // The next start reads it.
        Err(Error::NotRunning { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    upgrade(cluster).await?;
    let replaced = |status: &Status| status.worker_pid.is_some() && status.worker_pid != before;
    answering(cluster, Instant::now() + START_TIME, replaced).await?;
    Ok(())
}

pub(super) async fn stop(cluster: &LocalCluster) -> Result<(), Error> {
    if cluster.liveness().await? == Liveness::Dead {
        return Ok(());
    }
    match cluster.ask(&Request::Stop, "stop", STOP_TIME).await {
        Ok(Response::Done) | Err(Error::NotRunning { .. }) => {}
        Ok(other) => return Err(cluster.unexpected(&other)),
        Err(error) => return Err(error),
    }
    let deadline = Instant::now() + START_TIME;
    while cluster.liveness().await? == Liveness::Alive {
        if Instant::now() >= deadline {
            return Err(cluster.silent(&std::io::Error::other("it said that it stopped, but still runs")));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
