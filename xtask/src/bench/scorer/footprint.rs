//! Rows "start" and "idle memory": from exec to the first 200 without a model, and what the server holds then.

use serde::Serialize;
use serde_json::json;

use super::super::contest::median;
use super::super::error::BenchError;
use super::super::processes::{self, Memory};
use super::super::report::say;
use super::goals::Verdict;
use super::launch::{Bench, Launch};
use super::peers::OURS;
use super::{Arguments, Outcome};

const START_GOAL_MS: f64 = 200.0;
const MEMORY_GOAL_MB: f64 = 30.0;

#[derive(Debug, Serialize)]
struct Footprint {
    server: String,
    version: String,
    start_ms: f64,
    /// All processes together; what they share counts for each.
    resident_mb: f64,
    /// What they share counts once.
    proportional_mb: f64,
}

pub(super) fn rows() -> Vec<String> {
    vec!["start to first 200".to_owned(), "idle memory".to_owned()]
}

pub(super) fn measure(bench: &Bench, arguments: &Arguments) -> Result<Outcome, BenchError> {
    say("==> start to first 200, idle memory");
    let subjects: Vec<_> = bench.one_worker_each().collect();
    let mut taken = vec![Vec::new(); subjects.len()];
    let mut versions = vec![String::new(); subjects.len()];
    // One start of each in turn, so that whatever disturbs meets all of them.
    for _ in 0..arguments.starts {
        for (at, subject) in subjects.iter().enumerate() {
            let running = Launch::sum(subject).start(bench)?;
            taken[at].push((running.start.as_secs_f64() * 1e3, processes::memory(running.server.id())?));
            versions[at] = running.contender.version.unwrap_or_default();
        }
    }
    let footprint = |((subject, taken), version): ((_, &Vec<(f64, Memory)>), _)| Footprint {
        server: super::Subject::name(subject).to_owned(),
        version,
        start_ms: median(taken.iter().map(|(start, _)| *start)),
        resident_mb: median(taken.iter().map(|(_, memory)| megabytes(memory.resident))),
        proportional_mb: median(taken.iter().map(|(_, memory)| megabytes(memory.proportional))),
    };
    let footprints: Vec<Footprint> = subjects.into_iter().zip(&taken).zip(versions).map(footprint).collect();
    for Footprint { server, version, start_ms, resident_mb, proportional_mb } in &footprints {
        say(&format!(
            "  {server} {version}: first 200 after {start_ms:.0} ms, {resident_mb:.1} MB resident, {proportional_mb:.1} MB proportional"
        ));
    }
    Ok(Outcome { verdicts: verdicts(&footprints), report: json!(footprints) })
}

/// Bytes as megabytes with decimals.
pub(super) fn megabytes(bytes: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "megabytes with a decimal")]
    let bytes = bytes as f64;
    bytes / 1e6
}

fn verdicts(footprints: &[Footprint]) -> Vec<Verdict> {
    let verdict = |at: usize, goal: String, unit: &str, most: f64, column: fn(&Footprint) -> f64| {
        let ours = footprints.iter().find(|one| one.server == OURS).map_or(f64::NAN, column);
        let peers = footprints.iter().filter(|one| one.server != OURS);
        let peers: Vec<String> = peers.map(|peer| format!("{} {:.0} {unit}", peer.server, column(peer))).collect();
        Verdict {
            row: rows().swap_remove(at),
            goal,
            ours: format!("{ours:.1} {unit}"),
            beside: peers.join(", "),
            ratio: None,
            met: ours < most,
        }
    };
    vec![
        verdict(0, format!("< {START_GOAL_MS} ms"), "ms", START_GOAL_MS, |one| one.start_ms),
        verdict(1, format!("< {MEMORY_GOAL_MB} MB resident"), "MB", MEMORY_GOAL_MB, |one| one.resident_mb),
    ]
}
