//! Row "scikit-learn predict": a real model on every server, and ours beside the same `run()` in a bare loop.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::json;

use super::super::contest::{self, Contender, Load, median};
use super::super::error::{BenchError, file};
use super::super::report::say;
use super::super::tools;
use super::goals::Verdict;
use super::launch::{self, Bench, Launch};
use super::loads::{row, train};
use super::{Arguments, Outcome};
use crate::command;

/// What a score may cost beyond its `run()`, in microseconds.
const OVERHEAD_US: f64 = 15.0;

fn load() -> Load {
    Load { name: "scikit-learn predict", connections: 16, body: row().into() }
}

pub(super) fn rows() -> Vec<String> {
    vec![load().title()]
}

pub(super) fn measure(bench: &Bench, arguments: &Arguments) -> Result<Outcome, BenchError> {
    train(bench)?;
    let body = row();
    let subjects = bench.one_worker_each().filter(|subject| subject.models);
    let start =
        |subject| Launch { script: "predict", body: &body, expected: None, ..Launch::sum(subject) }.start(bench);
    let running: Vec<_> = subjects.map(start).collect::<Result<_, _>>()?;
    let (_servers, contenders) = launch::apart(running);
    let heats = contest::run(&contenders, &[load()], &arguments.turns)?;
    // Ours comes first.
    let turns = beside_bare_loop(bench, arguments, &body, &contenders[0])?;
    let middle = |value: fn(&(f64, f64)) -> f64| median(turns.iter().map(value));
    let (bare, served) = (middle(|turn| turn.0), middle(|turn| turn.1));
    let more = middle(|(bare, served)| served - bare);
    let verdict = Verdict {
        row: load().title(),
        goal: format!("<= run() in a bare loop + {OVERHEAD_US} us"),
        ours: format!("{served:.1} us"),
        beside: format!("bare loop {bare:.1} us; {more:.1} us more, the median of {} pairs", turns.len()),
        ratio: Some(middle(|(bare, served)| served / bare)),
        met: more <= OVERHEAD_US,
    };
    Ok(Outcome { verdicts: vec![verdict], report: json!({ "loads": heats, "bare_and_served_us": turns }) })
}

/// Microseconds of one `run()` in a bare loop and of one request served, in pairs of turns of a second: what changes
/// the machine's pace changes both.
fn beside_bare_loop(
    bench: &Bench,
    arguments: &Arguments,
    body: &str,
    ours: &Contender,
) -> Result<Vec<(f64, f64)>, BenchError> {
    let mut bare = BareLoop::start(bench, body)?;
    bare.turn(1)?;
    let pair = |_| {
        let bare = bare.turn(1)?;
        let (served, _) = contest::turn(ours, &load(), 1)?;
        let served = 1e6 / served.requests_per_second;
        say(&format!("  bare loop {bare:.1} us, served {served:.1} us"));
        Ok((bare, served))
    };
    (0..arguments.turns.seconds()).map(pair).collect()
}

/// A Python process that calls `run()` of the model while it is asked to.
struct BareLoop {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl BareLoop {
    fn start(bench: &Bench, body: &str) -> Result<Self, BenchError> {
        let path = bench.directory.join("row.json");
        std::fs::write(&path, body).map_err(file(&path))?;
        let mut command = tools::pinned(tools::SERVER_CORE, bench.ours.environment()?.join("bin/python"));
        command.arg(tools::inputs().join("scorer/bare.py")).arg("predict").arg(path);
        command.env("PYTHONPATH", tools::inputs().join("scorer/scripts")).env("AZUREML_MODEL_DIR", &bench.directory);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let started = command.spawn();
        let mut process = started.map_err(command::starting(&command))?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (questions, answers) = pipes.expect("both are piped");
        Ok(Self { process, questions, answers: BufReader::new(answers) })
    }

    /// Microseconds of one call, of so many seconds.
    fn turn(&mut self, seconds: u32) -> Result<f64, BenchError> {
        let pipe = file("the pipe of a bare loop");
        let mut said = String::new();
        writeln!(self.questions, "{seconds}").and_then(|()| self.answers.read_line(&mut said)).map_err(pipe)?;
        said.trim().parse().map_err(|_| BenchError::Parse { what: "the time of a bare loop", text: said })
    }
}

impl Drop for BareLoop {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
