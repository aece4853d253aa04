//! Row "health": how long health takes to answer while a score holds the interpreter's lock.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};
use serde::Serialize;
use serde_json::json;

use super::super::error::{BenchError, file};
use super::super::report::say;
use super::super::server::{self, Question};
use super::super::tools::LOAD_CORE;
use super::goals::Verdict;
use super::launch::{Bench, Launch, Running};
use super::peers::OURS;
use super::{Arguments, Outcome};

/// One probe is due each so long, whether or not the one before it was answered in time.
const PACE: Duration = Duration::from_millis(10);
/// How long one probe, and the score, may take beyond the score's length.
const PATIENCE: Duration = Duration::from_secs(30);
/// The score runs, when this has passed.
const SETTLED: Duration = Duration::from_millis(200);
const GOAL_MS: f64 = 5.0;

#[derive(Debug, Serialize)]
struct Health {
    server: String,
    probes: usize,
    /// Not answered, or not with 200.
    failed: usize,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

pub(super) fn rows() -> Vec<String> {
    vec!["health while a score runs".to_owned()]
}

pub(super) fn measure(bench: &Bench, arguments: &Arguments) -> Result<Outcome, BenchError> {
    let seconds = arguments.busy;
    say(&format!("==> health while a score holds the interpreter's lock for {seconds} s"));
    let mut measured = Vec::new();
    for subject in bench.one_worker_each() {
        let expected = Some((subject.protocol.sum(), json!(0)));
        let running =
            Launch { script: "busy", body: r#"{"data": [0]}"#, expected, ..Launch::sum(subject) }.start(bench)?;
        let translate = subject.protocol.translation();
        let body = format!("{{\"data\": [{seconds}]}}");
        let body =
            translate.map_or(body.clone(), |translate| String::from_utf8_lossy(&translate(body.as_bytes())).into());
        let health = during(&running, subject.path, &body, subject.health, seconds)?;
        let Health { server, probes, failed, p50_ms, p99_ms, max_ms } = &health;
        say(&format!(
            "  {server}: p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms, longest {max_ms:.1} ms, {failed} of {probes} failed"
        ));
        measured.push(health);
    }
    let ours = measured.iter().find(|health| health.server == OURS);
    let verdicts = ours.map(|ours| verdict(ours, &measured)).into_iter().collect();
    Ok(Outcome { verdicts, report: json!(measured) })
}

fn verdict(ours: &Health, all: &[Health]) -> Verdict {
    let peers = all.iter().filter(|health| health.server != OURS);
    let beside: Vec<String> = peers.map(|peer| format!("{} {:.1} ms", peer.server, peer.p99_ms)).collect();
    Verdict {
        row: rows().concat(),
        goal: format!("p99 < {GOAL_MS} ms"),
        ours: format!("{:.2} ms", ours.p99_ms),
        beside: beside.join(", "),
        ratio: None,
        met: ours.failed == 0 && ours.p99_ms < GOAL_MS,
    }
}

/// Asks for health while one score runs.
fn during(running: &Running, path: &str, body: &str, health: &str, seconds: u32) -> Result<Health, BenchError> {
    let address = running.address;
    let length = Duration::from_secs(seconds.into());
    let (score, waits) = thread::scope(|scope| {
        let score = scope.spawn(|| Question { address, path, key: None, body }.ask_within(length + PATIENCE));
        let probes = scope.spawn(|| probes(address, health, length.saturating_sub(SETTLED * 2)));
        (score.join(), probes.join())
    });
    let lost = || running.server.problem("was asked by a thread that panicked");
    let waits = waits.map_err(|_| lost())??;
    match score.map_err(|_| lost())? {
        Ok(answer) if answer.status == 200 => {}
        other => return Err(running.server.problem(&format!("does not answer the long score: {other:?}"))),
    }
    let mut times: Vec<f64> = waits.iter().map(|(time, _)| time.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    Ok(Health {
        server: running.contender.name.clone(),
        probes: times.len(),
        failed: waits.iter().filter(|(_, good)| !good).count(),
        p50_ms: quantile(&times, 0.5),
        p99_ms: quantile(&times, 0.99),
        max_ms: quantile(&times, 1.0),
    })
}

/// Sends probes on the load's core at a steady pace; for each, the time since it was due and whether it was answered.
fn probes(address: SocketAddr, path: &str, length: Duration) -> Result<Vec<(Duration, bool)>, BenchError> {
    let mut cores = CpuSet::new();
    cores.set(LOAD_CORE);
    sched_setaffinity(None, &cores).map_err(|error| file("a core")(error.into()))?;
    thread::sleep(SETTLED);
    let start = Instant::now();
    let count = u32::try_from(length.as_millis() / PACE.as_millis()).unwrap_or(u32::MAX);
    let probe = |number| {
        let due = start + PACE * number;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let good = server::get(address, path, PATIENCE).is_ok_and(|answer| answer.status == 200);
        (due.elapsed(), good)
    };
    Ok((0..count).map(probe).collect())
}

/// A quantile of sorted values; NaN of nothing.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        let all = [0.5, 0.99, 1.0].map(|part| quantile(&values, part));
        assert_eq!(all.map(|value| value.to_string()), ["100", "198", "200"]);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
