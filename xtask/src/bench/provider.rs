//! `bench provider`: how long the provider takes from exec to its handshake line.
//!
//! Terraform starts the provider at least five times for one `apply` and reads this line before anything else.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;
use tfplugin::process::{Handshake, MAGIC_COOKIE};

use super::contest::median;
use super::error::{BenchError, file};
use super::processes::ForeignMeter;
use super::report::{self, Machine, say};
use super::tools;
use crate::command;

/// A certificate as a host makes one for itself: P-521, self-signed. Made with
/// `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:secp521r1 -nodes -days 10950 -subj /O=Host/CN=localhost`;
/// its key was thrown away, since until the handshake line the provider only reads the certificate.
const HOST_CERTIFICATE: &str = include_str!("../../bench/provider/host.pem");

/// Milliseconds that the median may take.
const GOAL_MS: f64 = 10.0;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Starts of the provider; the median counts
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    starts: u32,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    version: &'static str,
    starts: u32,
    min_ms: f64,
    median_ms: f64,
    max_ms: f64,
    goal_ms: f64,
    foreign_cores: f64,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), BenchError> {
    tools::build("build")?;
    let program = tools::built("terraform-provider-azureml")?;
    let directory = tempfile::tempdir().map_err(file(std::env::temp_dir()))?;
    // The first start also reads the program from disk.
    start(&program, directory.path())?;
    let foreign = ForeignMeter::start()?;
    let times = (0..arguments.starts)
        .map(|_| start(&program, directory.path()).map(|time| time.as_secs_f64() * 1e3))
        .collect::<Result<Vec<_>, _>>()?;
    let report = Report {
        machine: Machine::this(),
        version: env!("CARGO_PKG_VERSION"),
        starts: arguments.starts,
        min_ms: times.iter().copied().fold(f64::INFINITY, f64::min),
        median_ms: median(times.iter().copied()),
        max_ms: times.iter().copied().fold(0.0, f64::max),
        goal_ms: GOAL_MS,
        foreign_cores: foreign.cores()?,
    };
    let Report { starts, min_ms, median_ms, max_ms, foreign_cores, .. } = report;
    say(&format!(
        "\nexec to handshake line, {starts} starts; others used {foreign_cores:.2} cores\n  min {min_ms:.1} ms, median \
         {median_ms:.1} ms, max {max_ms:.1} ms; goal: median below {GOAL_MS} ms, {}\n",
        if median_ms < GOAL_MS { "met" } else { "missed" }
    ));
    report::note_foreign(foreign_cores);
    report::write("provider", &report)
}

/// Starts the provider as Terraform does, and kills it when it has said where it listens.
fn start(program: &Path, directory: &Path) -> Result<Duration, BenchError> {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TF_LOG")) {
        command.env_remove(name);
    }
    command
        .env("TF_PLUGIN_MAGIC_COOKIE", MAGIC_COOKIE)
        .env("PLUGIN_PROTOCOL_VERSIONS", "5,6")
        .env("PLUGIN_MIN_PORT", "10000")
        .env("PLUGIN_MAX_PORT", "25000")
        .env("PLUGIN_CLIENT_CERT", HOST_CERTIFICATE)
        // Its socket, which it cannot remove, goes with the directory.
        .env("TMPDIR", directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let started = Instant::now();
    let mut child = command.spawn().map_err(command::starting(&command))?;
    let mut line = String::new();
    let read = child.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut line));
    let time = started.elapsed();
    let _ = child.kill();
    let _ = child.wait();
    let secured = line.parse::<Handshake>().is_ok_and(|handshake| handshake.certificate.is_some());
    if matches!(read, Some(Ok(_))) && secured {
        return Ok(time);
    }
    let mut log = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _ = stderr.read_to_string(&mut log);
    }
    let what = format!("said {line:?} instead of a handshake with a certificate");
    Err(BenchError::Server { server: command::shown(&command), what, log: command::last_lines(&log) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_no_provider_is_told_with_what_it_said() {
        let directory = tempfile::tempdir().expect("a directory");
        let error = start(Path::new("/bin/true"), directory.path()).expect_err("no handshake");
        assert!(error.to_string().contains(r#"/bin/true said "" instead"#), "{error}");
    }
}
