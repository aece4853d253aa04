//! Row "chunks": an answer of a thousand pieces, from a generator; Granian with an ASGI application beside it.

use serde_json::json;

use super::super::contest::Load;
use super::super::error::BenchError;
use super::super::report::say;
use super::super::server::Question;
use super::goals::{Measure, Verdict};
use super::launch::{Bench, Launch, Running};
use super::loads::{BODY, heats};
use super::peers::{GRANIAN_ASGI, OURS};
use super::{Arguments, Outcome};

/// What `scripts/stream.py` yields.
const CHUNKS: usize = 1000;
const CHUNK: &str = "piece of text, ";

fn loads() -> Vec<Load> {
    vec![Load { name: "1,000 chunks", connections: 16, body: BODY.into() }]
}

pub(super) fn rows() -> Vec<String> {
    loads().iter().map(Load::title).collect()
}

pub(super) fn measure(bench: &Bench, arguments: &Arguments) -> Result<Outcome, BenchError> {
    let subjects = std::iter::once(&bench.ours).chain(bench.peer(GRANIAN_ASGI));
    let launch = |subject| Launch { script: "stream", expected: None, ..Launch::sum(subject) }.start(bench);
    let running: Vec<Running> = subjects.map(launch).collect::<Result<_, _>>()?;
    let counted = running.iter().map(check).collect::<Result<Vec<_>, _>>()?;
    let heats = heats(running, &loads(), arguments)?;
    for row in heats.iter().flat_map(|heat| &heat.rows) {
        #[allow(clippy::cast_precision_loss, reason = "a thousand")]
        let chunks = row.figures.requests_per_second * CHUNKS as f64;
        say(&format!("  {}: {chunks:.0} chunks/s", row.server));
    }
    let verdicts = heats.iter().filter_map(|heat| Verdict::of_heat(heat, OURS, GRANIAN_ASGI, Measure::Rate, 1.0));
    Ok(Outcome { verdicts: verdicts.collect(), report: json!({ "chunks": counted, "loads": heats }) })
}

/// Makes sure that a server sends all pieces, each as a chunk of its own.
fn check(running: &Running) -> Result<usize, BenchError> {
    let question = Question { address: running.address, path: "/score", key: None, body: BODY };
    let answer = question.ask().map_err(|error| running.server.problem(&format!("does not stream: {error}")))?;
    let chunks = split(&answer.body).unwrap_or_default();
    if chunks.concat() != CHUNK.repeat(CHUNKS) {
        return Err(running.server.problem(&format!("streams {} chunks with another text", chunks.len())));
    }
    if chunks.len() < CHUNKS {
        say(&format!("  {} joins pieces: {} chunks for {CHUNKS}", running.contender.name, chunks.len()));
    }
    Ok(chunks.len())
}

/// The chunks of a body in chunked coding; none if it is cut short.
fn split(mut body: &str) -> Option<Vec<&str>> {
    let mut chunks = Vec::new();
    loop {
        let (size, rest) = body.split_once("\r\n")?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(chunks);
        }
        chunks.push(rest.get(..size)?);
        body = rest.get(size..)?.strip_prefix("\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chunks_of_a_body_are_told_apart() {
        assert_eq!(split("3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"), Some(vec!["abc", "0123456789"]));
    }

    #[test]
    fn a_body_that_was_cut_short_has_none() {
        assert_eq!(split("3\r\nabc\r\nA\r\n0123"), None);
        assert_eq!(split("3\r\nabc\r\n"), None);
    }
}
