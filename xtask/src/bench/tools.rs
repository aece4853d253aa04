//! Programs that measurements need, and where things are.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::{BenchError, file};
use crate::command;
use crate::rendered::root;

/// The core of the server under test.
pub(super) const SERVER_CORE: usize = 0;
/// The core of the load and of backends.
pub(super) const LOAD_CORE: usize = 1;

/// Fails when server and load would share a core.
pub(super) fn require_cores() -> Result<(), BenchError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores > LOAD_CORE { Ok(()) } else { Err(BenchError::Cores(cores)) }
}

/// Where the measurements' inputs are: configurations, scripts.
pub(super) fn inputs() -> PathBuf {
    root().join("xtask/bench")
}

/// Cargo's target directory, by the same rule as the Makefile's.
pub(crate) fn target() -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").filter(|name| !name.is_empty());
    root().join(named.as_deref().unwrap_or(OsStr::new("target")))
}

/// Where results and the peers' installations go.
pub(super) fn directory() -> Result<PathBuf, BenchError> {
    let path = target().join("bench");
    std::fs::create_dir_all(&path).map_err(file(&path))?;
    Ok(path)
}

/// Builds what is measured as it is built for release: a target of the Makefile.
pub(super) fn build(target: &str) -> Result<(), BenchError> {
    require(Command::new("make").arg("--version"), "make", "to build what is measured", "make")?;
    Ok(command::run(command::building("make").arg(target))?)
}

/// A program that `make build` leaves.
pub(super) fn built(name: &str) -> Result<PathBuf, BenchError> {
    let path = target().join("release").join(name);
    if path.is_file() { Ok(path) } else { Err(BenchError::NotBuilt(path)) }
}

/// Fails when a program cannot be started at all.
pub(super) fn require(
    probe: &mut Command,
    program: &'static str,
    purpose: &'static str,
    package: &'static str,
) -> Result<(), BenchError> {
    let found = probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.map(drop).map_err(|_| BenchError::Missing { program, purpose, package })
}

/// A port of the loopback that was free a moment ago, for servers that take a number and no socket.
pub(super) fn free_address() -> Result<SocketAddr, BenchError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.map_err(file("a port"))
}

/// A command on one core.
pub(super) fn pinned(core: usize, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.arg("--cpu-list").arg(core.to_string()).arg(program);
    command
}

/// A new file to which a program appends, so that it may be emptied meanwhile.
pub(super) fn log_file(path: &Path) -> Result<File, BenchError> {
    File::options().create(true).append(true).open(path).map_err(file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        assert_eq!(command::shown(pinned(1, "wrk").arg("--latency")), "taskset --cpu-list 1 wrk --latency");
    }

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let missing = require(&mut Command::new("no-such-program-here"), "nginx", "as the peer", "nginx");
        let text = missing.expect_err("not there").to_string();
        assert_eq!(
            text,
            "nginx is missing, needed as the peer; install it, on Debian and Ubuntu with: apt-get install nginx"
        );
    }
}
