//! From a command line to a running supervisor: session, lock, sockets, and the one line that tells the caller.

use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags};
use serving::layout;

use super::engine::Supervisor;
use super::{Reason, SuperviseError, logfile};

/// Connections that wait while no worker accepts; the kernel's own limit applies, too.
const BACKLOG: i32 = 4096;
/// A supervisor or worker that is just ending may still hold the lock or the port; one whose directory was deleted has yet
/// to notice it.
const LET_GO: Duration = Duration::from_secs(3);
/// How long the first worker may take to answer.
const START: Duration = Duration::from_secs(30);
/// Deaths of the first worker after which it is no use to go on.
const START_FAILURES: u32 = 3;

/// The line that the caller waits for on standard output.
pub(super) struct Announcement {
    /// When waiting for the worker ends.
    pub(super) deadline: Instant,
}

impl Announcement {
    pub(super) fn new() -> Self {
        Self { deadline: Instant::now() + START }
    }
}

impl Supervisor {
    /// Tells the caller that the router answers, once it does. An error if it will not.
    pub(super) fn announce(&mut self) -> Result<(), SuperviseError> {
        let Some(announcement) = &self.announcement else { return Ok(()) };
        if self.current_worker().is_some() {
            let ready = serde_json::json!({ "ready": {
                "version": env!("CARGO_PKG_VERSION"),
                "address": self.address.to_string(),
            } });
            self.announcement = None;
            tracing::info!(address = %self.address, "ready");
            say(&ready);
        } else if self.worker_failures >= START_FAILURES || Instant::now() >= announcement.deadline {
            let log = Path::new(layout::LOGS).join("router.log");
            let tail = logfile::tail(&log, 10).join("\n");
            let message = format!("the router worker does not start; the end of {}: {tail}", log.display());
            return Err(SuperviseError::new(Reason::Io, message));
        }
        Ok(())
    }
}

/// Writes one line to standard output, and closes it for everybody else.
pub(super) fn say(line: &serde_json::Value) {
    let mut out = io::stdout().lock();
    // A caller that is gone needs no line.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    drop(out);
    silence();
}

/// Points standard output at nothing.
pub(super) fn silence() {
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}

/// Leaves the caller's session, and its standard input.
pub(super) fn detach() -> io::Result<()> {
    // A process group leader (a shell's foreground job) cannot, and does not have to.
    let _ = rustix::process::setsid();
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    // Log rotation cuts the file, so it must be appended to.
    let stderr = io::stderr();
    if rustix::fs::fstat(stderr.as_fd()).is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file())
        && let Ok(flags) = rustix::fs::fcntl_getfl(stderr.as_fd())
    {
        let _ = rustix::fs::fcntl_setfl(stderr.as_fd(), flags | OFlags::APPEND);
    }
    Ok(())
}

/// Makes the folders that the supervisor needs, for the owner only.
pub(super) fn folders() -> io::Result<()> {
    for folder in [layout::SERVICES, layout::ACCEPTED, layout::SOCKETS, layout::LOGS] {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    std::fs::set_permissions(layout::SOCKETS, std::fs::Permissions::from_mode(0o700))
}

/// Takes the lock that proves the supervisor's life.
pub(super) fn lock() -> Result<OwnedFd, SuperviseError> {
    let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(layout::SUPERVISOR_LOCK)?;
    let taken = insist(
        || rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(io::Error::from),
        io::ErrorKind::WouldBlock,
    );
    match taken {
        Ok(()) => Ok(file.into()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(SuperviseError::new(
            Reason::AlreadyRunning,
            "another supervisor already runs for this directory; use it, or end it with the admin order `stop`",
        )),
        Err(error) => Err(error.into()),
    }
}

/// Whether the lock is no longer at its absolute path, so that it keeps nobody out and this process can be found by nobody:
/// the directory was deleted, moved away or replaced. Where that cannot be seen, it is not so.
pub(super) fn lock_is_lost(lock: &OwnedFd, root: &Path) -> bool {
    let Ok(held) = rustix::fs::fstat(lock) else { return false };
    match rustix::fs::stat(root.join(layout::SUPERVISOR_LOCK)) {
        Ok(there) => (there.st_dev, there.st_ino) != (held.st_dev, held.st_ino),
        Err(error) => matches!(error, rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR),
    }
}

/// Listens where callers will come, exclusively.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, SuperviseError> {
    let bound = insist(
        || {
            let domain = socket2::Domain::for_address(address);
            let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
            // Closed connections of a predecessor do not count as use; a listener does.
            socket.set_reuse_address(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        },
        io::ErrorKind::AddrInUse,
    );
    bound.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => SuperviseError::new(
            Reason::PortInUse,
            format!(
                "cannot listen on {address}: port {} is in use by another program; stop that program, or set another `port`",
                address.port()
            ),
        ),
        io::ErrorKind::PermissionDenied => SuperviseError::new(
            Reason::Io,
            format!("cannot listen on {address}: {error}; ports below 1024 need privileges, set another `port`"),
        ),
        io::ErrorKind::AddrNotAvailable => SuperviseError::new(
            Reason::InvalidConfig,
            format!("cannot listen on {address}: this machine does not have that address; set another `address`"),
        ),
        _ => SuperviseError::new(Reason::Io, format!("cannot listen on {address}: {error}")),
    })
}

fn insist<T>(attempt: impl Fn() -> io::Result<T>, transient: io::ErrorKind) -> io::Result<T> {
    let end = Instant::now() + LET_GO;
    loop {
        match attempt() {
            Err(error) if error.kind() == transient && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(50));
            }
            result => return result,
        }
    }
}

/// Opens the admin socket. The caller holds the lock, so one that is there is left over.
pub(super) fn admin() -> io::Result<UnixListener> {
    // Made in a folder that nobody else may enter, so that it is never open to others, not even for a moment.
    let private = format!("{}/admin", layout::SOCKETS);
    let _ = std::fs::remove_file(&private);
    let listener = UnixListener::bind(&private)?;
    std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&private, layout::ADMIN_SOCKET)?;
    Ok(listener)
}

/// Removes the sockets of replicas that are not there any more.
pub(super) fn remove_sockets(alive: impl Fn(&str) -> bool) {
    for entry in std::fs::read_dir(layout::SOCKETS).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_suffix(".sock"));
        if id.is_some_and(|id| !alive(id)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
