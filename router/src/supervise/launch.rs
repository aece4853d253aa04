//! How a scorer is started: its command, environment, sockets and log file.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use serving::service::{Template, Version};
use serving::{layout, wire};
use tokio::sync::Notify;

use super::lines::Lines;
use super::{logfile, process};

/// Numbers of the two sockets in the scorer.
const LISTEN_FD: i32 = 3;
const CONTROL_FD: i32 = 4;
/// Connections that may wait for a scorer to accept them.
const BACKLOG: i32 = 1024;
/// What a scorer gets of the supervisor's own environment.
const PASSED_ON: [&str; 12] = [
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "USER",
    "LOGNAME",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "OMP_NUM_THREADS",
];

/// Everything that the replicas of one revision have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Launch {
    /// Service.
    pub(super) service: String,
    /// Version.
    pub(super) version: String,
    /// Revision of the template.
    pub(super) revision: String,
    /// What runs.
    pub(super) template: Template,
    /// How long `init()` may take.
    pub(super) progress_deadline: Duration,
    /// How long a request may take, so how long draining may.
    pub(super) scoring_timeout: Duration,
}

/// Why a scorer could not be started.
#[derive(Debug)]
pub(super) struct StartError {
    /// One sentence.
    pub(super) message: String,
    /// It will not go away by itself.
    pub(super) permanent: bool,
}

/// A scorer that was started.
pub(super) struct Started {
    /// Its process id, and the id of its process group.
    pub(super) pid: Pid,
    /// Our end of its control socket.
    pub(super) control: Lines,
}

impl Launch {
    /// What a version of a document starts now.
    pub(super) fn new(service: &str, name: &str, version: &Version) -> Self {
        Self {
            service: service.to_owned(),
            version: name.to_owned(),
            revision: version.template.revision(),
            template: version.template.clone(),
            progress_deadline: Duration::from_secs(version.rollout.progress_deadline_seconds),
            scoring_timeout: Duration::from_millis(version.scoring_timeout_ms),
        }
    }

    /// Log file of one replica, relative to the compute directory.
    pub(super) fn log(&self, id: &str) -> PathBuf {
        Path::new(&layout::logs(&self.service, &self.version)).join(format!("{id}.log"))
    }

    /// Starts a replica. `root` is the compute directory's absolute path, which is also the working directory; `arrived` is
    /// notified of what the replica says.
    pub(super) fn start(&self, id: &str, root: &Path, arrived: &Arc<Notify>) -> Result<Started, StartError> {
        let prefix = self.template.environment.prefix.as_deref().ok_or_else(|| StartError {
            message: "the document does not say where the environment is (`environment.prefix`)".to_owned(),
            permanent: true,
        })?;
        let app = root.join(layout::app(&self.revision));
        let python = Path::new(prefix).join("bin/python");
        for (what, path) in [("app directory", &app), ("interpreter", &python)] {
            if let Err(error) = path.metadata() {
                let message =
                    format!("the {what} {} cannot be used: {error}; apply again to restore it", path.display());
                return Err(StartError { message, permanent: true });
            }
        }
        self.spawn(id, &app, &python, arrived).map_err(|error| StartError {
            message: format!("{} cannot be started: {error}", python.display()),
            permanent: matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
                || error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()),
        })
    }

    fn spawn(&self, id: &str, app: &Path, python: &Path, arrived: &Arc<Notify>) -> io::Result<Started> {
        let log = self.log(id);
        if let Some(folder) = log.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let log = logfile::open(&log)?;
        let listener = listen(&socket(id))?;
        let (ours, theirs) = UnixStream::pair()?;
        // First, so that nothing can fail once there is a process.
        let control = Lines::new(ours, Vec::new(), Vec::new(), Arc::clone(arrived))?;
        let mut command = Command::new(python);
        command.args(["-m", "azureml_scorer"]).current_dir(app).env_clear().envs(self.environment(app));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command
            .fd_mappings(vec![
                FdMapping { parent_fd: listener.into(), child_fd: LISTEN_FD },
                FdMapping { parent_fd: theirs.into(), child_fd: CONTROL_FD },
            ])
            .map_err(io::Error::other)?;
        // The command owns our copies of both sockets: they are closed here, so that connections to a dead scorer are
        // refused at once and never wait in a backlog that nobody accepts from.
        let pid = process::spawn(command)?;
        Ok(Started { pid, control })
    }

    fn environment(&self, app: &Path) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for name in PASSED_ON {
            if let Ok(value) = std::env::var(name) {
                all.insert(name.to_owned(), value);
            }
        }
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned());
        if let Some(prefix) = &self.template.environment.prefix {
            all.insert("PATH".to_owned(), format!("{prefix}/bin:{path}"));
            all.insert("VIRTUAL_ENV".to_owned(), prefix.clone());
        }
        // What a script prints must be in the log when it dies.
        all.insert("PYTHONUNBUFFERED".to_owned(), "1".to_owned());
        all.extend(self.template.contract(&self.service, &app.display().to_string()));
        for (name, value) in [
            (wire::LISTEN_FD, LISTEN_FD.to_string()),
            (wire::CONTROL_FD, CONTROL_FD.to_string()),
            (wire::INIT_TIMEOUT, self.progress_deadline.as_secs().to_string()),
        ] {
            all.insert(name.to_owned(), value);
        }
        all
    }
}

/// Socket of a replica, relative to the compute directory.
pub(super) fn socket(id: &str) -> String {
    format!("{}/{id}.sock", layout::SOCKETS)
}

fn listen(path: &str) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
