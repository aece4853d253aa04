//! Rows that are loads of wrk alone: the score that adds, batches of a model, several workers.

use std::process::Command;

use serde_json::json;

use super::super::contest::{self, Heat, Load};
use super::super::error::BenchError;
use super::super::tools;
use super::goals::{Measure, Verdict};
use super::launch::{self, BOTH_CORES, Bench, Launch, Running};
use super::peers::{GRANIAN, ORIGINAL, OURS};
use super::{Arguments, Outcome};
use crate::command;

pub(super) const BODY: &str = r#"{"data": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}"#;

fn titles(loads: &[Load]) -> Vec<String> {
    loads.iter().map(Load::title).collect()
}

/// Measures servers that run already.
pub(super) fn heats(running: Vec<Running>, loads: &[Load], of: &Arguments) -> Result<Vec<Heat>, BenchError> {
    let (_servers, contenders) = launch::apart(running);
    contest::run(&contenders, loads, &of.turns)
}

fn sum_loads() -> Vec<Load> {
    let small = |connections| Load { name: "small POST", connections, body: BODY.into() };
    // One long string: the cost of a large body, and not that of a large list in Python.
    let large = format!("{{\"data\": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], \"text\": \"{}\"}}", "x".repeat(1 << 20));
    vec![small(1), small(16), small(64), Load { name: "1 MB POST", connections: 16, body: large.into() }]
}

pub(super) fn sum_rows() -> Vec<String> {
    titles(&sum_loads())
}

/// `json.loads` and a sum, on every server.
pub(super) fn sum(bench: &Bench, arguments: &Arguments) -> Result<Outcome, BenchError> {
    let running = bench.one_worker_each().map(|subject| Launch::sum(subject).start(bench));
    let heats = heats(running.collect::<Result<_, _>>()?, &sum_loads(), arguments)?;
    let goals = |heat: &Heat| -> &[(&'static str, Measure, f64)] {
        match (heat.connections, heat.body_bytes > 1 << 20) {
            (1, _) => &[(GRANIAN, Measure::Time, 0.9)],
            (16, false) => &[(GRANIAN, Measure::Rate, 1.2)],
            (64, _) => &[(ORIGINAL, Measure::Rate, 35.0), (GRANIAN, Measure::Rate, 1.3)],
            _ => &[(GRANIAN, Measure::Rate, 1.0)],
        }
    };
    let verdicts = heats.iter().flat_map(|heat| {
        let verdict = move |&(peer, measure, goal): &_| Verdict::of_heat(heat, OURS, peer, measure, goal);
        goals(heat).iter().filter_map(verdict).collect::<Vec<_>>()
    });
    Ok(Outcome { verdicts: verdicts.collect(), report: json!(heats) })
}

/// One row of the features that the model was trained on.
pub(super) fn row() -> String {
    let features: Vec<f64> = (1..=30).map(|number| f64::from(number) * 0.37).collect();
    json!({ "data": [features] }).to_string()
}

/// Trains the model into the directory of the models.
pub(super) fn train(bench: &Bench) -> Result<(), BenchError> {
    let mut train = Command::new(bench.ours.environment()?.join("bin/python"));
    train.arg(tools::inputs().join("scorer/train.py")).arg(bench.directory.join("model.joblib"));
    command::output(&mut train)?;
    Ok(())
}

fn batch_loads() -> Vec<Load> {
    vec![Load { name: "scikit-learn predict in batches", connections: 64, body: row().into() }]
}

pub(super) fn batch_rows() -> Vec<String> {
    titles(&batch_loads())
}

/// The model with `@batch` beside the one without.
pub(super) fn batch(bench: &Bench, arguments: &Arguments) -> Result<Outcome, BenchError> {
    train(bench)?;
    let body = row();
    let launch =
        |name, script| Launch { name, script, body: &body, expected: None, ..Launch::sum(&bench.ours) }.start(bench);
    let running = vec![launch(OURS, "batched")?, launch("unbatched", "predict")?];
    against_ourselves(running, &batch_loads(), arguments, "unbatched", 5.0)
}

fn workers_loads() -> Vec<Load> {
    vec![Load { name: "pure Python on 4 workers", connections: 16, body: BODY.into() }]
}

pub(super) fn workers_rows() -> Vec<String> {
    titles(&workers_loads())
}

/// Four workers beside one, on all cores.
pub(super) fn workers(bench: &Bench, arguments: &Arguments) -> Result<Outcome, BenchError> {
    let launch = |name, count| {
        let environment = &[("WORKER_COUNT", count)];
        Launch { name, script: "compute", cores: BOTH_CORES, environment, ..Launch::sum(&bench.ours) }.start(bench)
    };
    let running = vec![launch(OURS, "4")?, launch("one worker", "1")?];
    against_ourselves(running, &workers_loads(), arguments, "one worker", 1.9)
}

/// An arrangement of ours beside another one.
fn against_ourselves(
    running: Vec<Running>,
    loads: &[Load],
    arguments: &Arguments,
    other: &str,
    goal: f64,
) -> Result<Outcome, BenchError> {
    let heats = heats(running, loads, arguments)?;
    let verdicts = heats.iter().filter_map(|heat| Verdict::of_heat(heat, OURS, other, Measure::Rate, goal)).collect();
    Ok(Outcome { verdicts, report: json!(heats) })
}
