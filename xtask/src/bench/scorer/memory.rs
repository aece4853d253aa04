//! Row "preload": memory of four workers with a model of 300 MB, forked after `init()` or each with its own.

use serde::Serialize;
use serde_json::json;

use super::super::contest::{self, Load};
use super::super::error::BenchError;
use super::super::processes;
use super::super::report::say;
use super::footprint::megabytes;
use super::goals::Verdict;
use super::launch::{BOTH_CORES, Bench, Launch};
use super::loads::BODY;
use super::{Arguments, Outcome};

const WORKERS: &str = "4";
/// Of the memory that workers of their own need.
const GOAL: f64 = 0.4;

#[derive(Debug, Serialize)]
struct Held {
    preload: bool,
    resident_mb: f64,
    proportional_mb: f64,
}

fn load() -> Load {
    Load { name: "300 MB model on 4 workers with preload", connections: 16, body: BODY.into() }
}

pub(super) fn rows() -> Vec<String> {
    vec![load().title()]
}

pub(super) fn measure(bench: &Bench, arguments: &Arguments) -> Result<Outcome, BenchError> {
    let mut held = Vec::new();
    for preload in [true, false] {
        let preloading = if preload { "true" } else { "false" };
        let environment = &[("WORKER_COUNT", WORKERS), ("WORKER_PRELOAD", preloading)];
        let name = if preload { "preload" } else { "no preload" };
        let launch = Launch { name, script: "large", cores: BOTH_CORES, environment, ..Launch::sum(&bench.ours) };
        let running = launch.start(bench)?;
        // Every worker has scored, and has looked at the whole model.
        contest::run(std::slice::from_ref(&running.contender), &[load()], &arguments.turns)?;
        let memory = processes::memory(running.server.id())?;
        let one =
            Held { preload, resident_mb: megabytes(memory.resident), proportional_mb: megabytes(memory.proportional) };
        say(&format!("  {name}: {:.0} MB proportional ({:.0} MB resident)", one.proportional_mb, one.resident_mb));
        held.push(one);
    }
    let (with, without) = (held[0].proportional_mb, held[1].proportional_mb);
    let verdict = Verdict {
        row: load().title(),
        goal: format!("<= {GOAL} x what workers without preload hold"),
        ours: format!("{with:.0} MB"),
        beside: format!("without preload {without:.0} MB"),
        ratio: Some(with / without),
        met: with <= without * GOAL,
    };
    Ok(Outcome { verdicts: vec![verdict], report: json!(held) })
}
