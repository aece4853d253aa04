//! `bench scorer`: azureml-scorer beside its peers, each set up as its documents recommend.
//!
//! One worker process on one core, unless a row is about several. All run the same score script; those that decode JSON
//! themselves run its work on the decoded values.

mod chunks;
mod footprint;
mod goals;
mod health;
mod install;
mod launch;
mod loads;
mod memory;
mod model;
mod peers;

use serde_json::{Map, Value, json};

use self::goals::Verdict;
use self::launch::Bench;
use self::peers::Subject;
use super::contest::Turns;
use super::error::{BenchError, file};
use super::report::{self, Machine, say};
use super::{tools, wrk};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    turns: Turns,
    /// Only these peers, with commas between; none for an empty text
    #[arg(long, value_delimiter = ',', default_value = "all")]
    peers: Vec<String>,
    /// Starts of each server; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    starts: u32,
    /// Seconds of the score during which health is asked for
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=60))]
    busy: u32,
}

/// What a group of rows leaves: its part of the report, and how it stands to the goals.
struct Outcome {
    report: Value,
    verdicts: Vec<Verdict>,
}

/// A group of rows that are measured in the same way.
struct Group {
    name: &'static str,
    /// Names of its rows, for `--only`.
    rows: fn() -> Vec<String>,
    measure: fn(&Bench, &Arguments) -> Result<Outcome, BenchError>,
}

const GROUPS: [Group; 8] = [
    Group { name: "loads", rows: loads::sum_rows, measure: loads::sum },
    Group { name: "model", rows: model::rows, measure: model::measure },
    Group { name: "stream", rows: chunks::rows, measure: chunks::measure },
    Group { name: "batch", rows: loads::batch_rows, measure: loads::batch },
    Group { name: "workers", rows: loads::workers_rows, measure: loads::workers },
    Group { name: "health", rows: health::rows, measure: health::measure },
    Group { name: "servers", rows: footprint::rows, measure: footprint::measure },
    Group { name: "preload", rows: memory::rows, measure: memory::measure },
];

pub(super) fn run(arguments: &Arguments) -> Result<(), BenchError> {
    tools::require_cores()?;
    wrk::require()?;
    let known = Subject::peers();
    let names = || known.iter().map(Subject::name);
    if let Some(unknown) = arguments.peers.iter().find(|one| !names().any(|name| name == *one) && !is_group(one)) {
        let known = names().collect::<Vec<_>>().join(", ");
        return Err(BenchError::Peer { name: unknown.clone(), known });
    }
    let wanted = |peer: &Subject| arguments.peers.iter().any(|name| name == "all" || name == peer.name());
    let peers: Vec<Subject> = known.into_iter().filter(wanted).collect();
    tools::build("wheels")?;
    let directory = tempfile::tempdir().map_err(file("a temporary directory"))?;
    let bench = Bench { ours: install::all(&peers)?, peers, directory: directory.path().to_owned() };
    let mut report = Map::from_iter([("machine".to_owned(), json!(Machine::this()))]);
    let (mut verdicts, mut failures) = (Vec::new(), Vec::new());
    for group in GROUPS.iter().filter(|group| (group.rows)().iter().any(|row| arguments.turns.want(row))) {
        // What one group of rows cannot measure, the others may.
        match (group.measure)(&bench, arguments) {
            Ok(outcome) => {
                report.insert(group.name.to_owned(), outcome.report);
                verdicts.extend(outcome.verdicts);
            }
            Err(error) => {
                say(&format!("{}: {error}", group.name));
                report.insert(group.name.to_owned(), json!({ "error": error.to_string() }));
                failures.push(group.name);
            }
        }
    }
    goals::print(&verdicts);
    report.insert("goals".to_owned(), json!(verdicts));
    report::write("scorer", &report)?;
    if failures.is_empty() { Ok(()) } else { Err(BenchError::Groups(failures.join(", "))) }
}

/// Names that stand for more than one peer, or none.
fn is_group(name: &str) -> bool {
    matches!(name, "" | "all")
}
