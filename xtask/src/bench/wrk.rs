//! The load generator: wrk with one thread on the load's core, closed loop.

use std::path::Path;
use std::process::Command;

use super::error::BenchError;
use super::tools;
use crate::command;

/// The key that servers with a key check accept.
pub(super) const KEY: &str = "correct-horse-battery-staple";

/// How long a request may take before wrk counts it as failed.
const PATIENCE: &str = "10s";

/// What one run showed.
#[derive(Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) requests: u64,
    pub(super) requests_per_second: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    /// What wrk says of requests that failed.
    pub(super) failures: Option<String>,
}

/// Posts the file `body` over so many connections for so many seconds.
pub(super) fn run(url: &str, body: &Path, connections: u32, seconds: u32) -> Result<Sample, BenchError> {
    let mut command = tools::pinned(tools::LOAD_CORE, "wrk");
    command
        .args(["--threads", "1", "--latency", "--timeout", PATIENCE])
        .args(["--connections", &connections.to_string(), "--duration", &format!("{seconds}s")])
        .arg("--script")
        .arg(tools::inputs().join("post.lua"))
        .arg(url)
        .env("BENCH_BODY", body)
        .env("BENCH_KEY", KEY);
    let output = command::output(&mut command)?;
    parse(&output).ok_or(BenchError::Parse { what: "wrk's figures", text: output })
}

fn parse(text: &str) -> Option<Sample> {
    let lines = || text.lines().map(str::trim);
    let after = |prefix: &str| lines().find_map(|line| line.strip_prefix(prefix)).map(str::trim);
    let failures: Vec<&str> =
        lines().filter(|line| line.starts_with("Socket errors:") || line.starts_with("Non-2xx")).collect();
    Some(Sample {
        requests: lines().find_map(|line| line.split_once(" requests in ")?.0.parse().ok())?,
        requests_per_second: after("Requests/sec:")?.parse().ok()?,
        p50_us: microseconds(after("50%")?)?,
        p99_us: microseconds(after("99%")?)?,
        failures: (!failures.is_empty()).then(|| failures.join("; ")),
    })
}

fn microseconds(text: &str) -> Option<f64> {
    let unit_at = text.find(|character: char| character.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

/// Fails when a program that every load needs is missing.
pub(super) fn require() -> Result<(), BenchError> {
    tools::require(Command::new("wrk").arg("--version"), "wrk", "to make the load", "wrk")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
Running 5s test @ http://127.0.0.1:18081/api/v1/endpoint/bench/score
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.04ms    4.59ms  58.21ms   93.99%
    Req/Sec    50.24k     5.37k   59.66k    72.00%
  Latency Distribution
     50%  846.00us
     75%    1.20ms
     90%    3.94ms
     99%   24.18ms
  250023 requests in 5.01s, 48.88MB read
Requests/sec:  49920.37
Transfer/sec:      9.76MB
";

    #[test]
    fn the_figures_of_a_run_are_read() {
        let sample = Sample {
            requests: 250_023,
            requests_per_second: 49_920.37,
            p50_us: 846.0,
            p99_us: 24_180.0,
            failures: None,
        };
        assert_eq!(parse(OUTPUT), Some(sample));
    }

    #[test]
    fn failed_requests_are_told_in_wrks_words() {
        let failed = OUTPUT.replace(
            "Requests/sec:",
            "  Socket errors: connect 0, read 3, write 0, timeout 1\n  Non-2xx or 3xx responses: 7\nRequests/sec:",
        );
        let told = "Socket errors: connect 0, read 3, write 0, timeout 1; Non-2xx or 3xx responses: 7";
        assert_eq!(parse(&failed).and_then(|sample| sample.failures).as_deref(), Some(told));
    }

    #[test]
    fn an_output_without_figures_is_not_a_sample() {
        assert_eq!(parse("unable to connect to 127.0.0.1:1 Connection refused\n"), None);
    }

    #[test]
    fn latencies_are_read_in_each_of_wrks_units() {
        let read = ["12.00us", "1.50ms", "2.00s", "1.00m"].map(microseconds);
        assert_eq!(read, [Some(12.0), Some(1_500.0), Some(2e6), Some(60e6)]);
        assert_eq!(microseconds("-nan"), None);
        assert_eq!(microseconds("3.0h"), None);
    }
}
