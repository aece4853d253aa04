//! Programs that measurements need, and where things are.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::{BenchError, file};
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
    let mut command = Command::new("make");
    command.arg(target).current_dir(root());
    // What cargo tells this program of itself would make build scripts run again.
    let of_cargo = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| of_cargo(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    let status = command.status().map_err(|source| BenchError::Start { command: shown(&command), source })?;
    if status.success() {
        return Ok(());
    }
    Err(BenchError::Failed { command: shown(&command), status: status.to_string(), output: String::new() })
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

/// Runs a command to its end; what it wrote to stdout.
pub(super) fn output(command: &mut Command) -> Result<String, BenchError> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| BenchError::Start { command: shown(command), source })?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let said = text(&output.stdout) + &text(&output.stderr);
    Err(BenchError::Failed { command: shown(command), status: output.status.to_string(), output: last_lines(&said) })
}

/// The command as a person would type it.
pub(super) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// The end of a text, enough to see why something failed.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
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
        assert_eq!(shown(pinned(1, "wrk").arg("--latency")), "taskset --cpu-list 1 wrk --latency");
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

    #[test]
    fn a_failed_command_is_told_with_what_it_said() {
        let failed = output(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).expect_err("exit code 3");
        assert!(failed.to_string().ends_with("failed (exit status: 3)\nwhy"), "{failed}");
    }

    #[test]
    fn only_the_end_of_a_long_text_is_shown() {
        let text = (0..50).map(|line| line.to_string()).collect::<Vec<_>>().join("\n");
        let shown = last_lines(&text);
        assert!(shown.starts_with("30\n") && shown.ends_with("\n49"), "{shown}");
    }
}
