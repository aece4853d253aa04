//! `bench apply` and `bench slots`: what users wait for on a cluster, and whether a second router costs anything.
//!
//! On the cluster of the environment (`KUBECONFIG`, `REGISTRY`, `AZUREML_IMAGES`, ...), as `make test-kubernetes` has it
//! for its tests, whose configurations these measurements share: they are examples of that package.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

use super::contest::median;
use super::error::BenchError;
use super::report::{self, Machine, say};
use crate::command;

/// Seconds that the median of an apply may take.
const GOAL_SECONDS: f64 = 12.0;
/// What two routers must manage of the throughput of one.
const GOAL_RATIO: f64 = 0.95;

#[derive(clap::Args)]
pub(crate) struct Apply {
    /// Applies; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
}

#[derive(clap::Args)]
pub(crate) struct Slots {
    /// Turns of one router and of two; the median of the rounds' ratios counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of one turn
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
}

/// Seconds of each round.
#[derive(Debug, Deserialize)]
struct Applies {
    /// Of the attachment and everything else.
    whole: Vec<f64>,
    /// Of a webservice more on an attachment that is there.
    service: Vec<f64>,
}

/// Requests per second of each round.
#[derive(Debug, Deserialize)]
struct Throughputs {
    one_router: Vec<f64>,
    two_routers: Vec<f64>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
struct ApplyReport {
    machine: Machine,
    version: &'static str,
    rounds: u32,
    whole_seconds: Spread,
    service_seconds: Spread,
    goal_seconds: f64,
}

#[derive(Debug, Serialize)]
struct SlotsReport {
    machine: Machine,
    version: &'static str,
    rounds: u32,
    one_router: Spread,
    two_routers: Spread,
    ratio: Spread,
    goal_ratio: f64,
}

pub(super) fn apply(arguments: &Apply) -> Result<(), BenchError> {
    let rounds = arguments.rounds;
    let seconds: Applies = measure("bench-apply", &[rounds])?;
    let report = ApplyReport {
        machine: Machine::this(),
        version: env!("CARGO_PKG_VERSION"),
        rounds,
        whole_seconds: Spread::of(&seconds.whole),
        service_seconds: Spread::of(&seconds.service),
        goal_seconds: GOAL_SECONDS,
    };
    let line = |Spread { min, median, max }: &Spread| format!("min {min:.1} s, median {median:.1} s, max {max:.1} s");
    say(&format!(
        "\nfrom terraform apply to the first answer, images warm, {rounds} rounds\n  attachment and all: {}\n  a service more:     \
         {}\n  goal: median below {GOAL_SECONDS} s, {}",
        line(&report.whole_seconds),
        line(&report.service_seconds),
        met(report.whole_seconds.median < GOAL_SECONDS),
    ));
    report::write("apply", &report)
}

pub(super) fn slots(arguments: &Slots) -> Result<(), BenchError> {
    let rounds = arguments.rounds;
    let throughputs: Throughputs = measure("bench-slots", &[rounds, arguments.seconds])?;
    let ratios: Vec<f64> =
        throughputs.two_routers.iter().zip(&throughputs.one_router).map(|(two, one)| two / one).collect();
    let report = SlotsReport {
        machine: Machine::this(),
        version: env!("CARGO_PKG_VERSION"),
        rounds,
        one_router: Spread::of(&throughputs.one_router),
        two_routers: Spread::of(&throughputs.two_routers),
        ratio: Spread::of(&ratios),
        goal_ratio: GOAL_RATIO,
    };
    let line =
        |Spread { min, median, max }: &Spread| format!("min {min:.1}, median {median:.1}, max {max:.1} requests/s");
    let Spread { min, median, max } = report.ratio;
    say(&format!(
        "\nreplicas with one slot each at saturation, runs of 10 ms, {rounds} rounds\n  one router:  {}\n  two routers: {}\n  ratio: \
         min {min:.3}, median {median:.3}, max {max:.3}; goal: at least {GOAL_RATIO}, {}",
        line(&report.one_router),
        line(&report.two_routers),
        met(median >= GOAL_RATIO),
    ));
    report::write("slots", &report)
}

fn met(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}

/// Runs a measurement of the acceptance tests' package, and reads the figures that it ends with.
fn measure<T: for<'de> Deserialize<'de>>(example: &str, arguments: &[u32]) -> Result<T, BenchError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = command::building(cargo);
    command.args(["run", "--release", "--quiet", "--package", "acceptance-kubernetes", "--example", example, "--"]);
    command.args(arguments.iter().map(u32::to_string));
    figures(&command::output(&mut command)?)
}

fn figures<T: for<'de> Deserialize<'de>>(output: &str) -> Result<T, BenchError> {
    let last = output.lines().last().unwrap_or_default();
    serde_json::from_str(last).map_err(|_| BenchError::Parse { what: "figures", text: output.to_owned() })
}

impl Spread {
    fn of(figures: &[f64]) -> Self {
        Self {
            min: figures.iter().copied().fold(f64::INFINITY, f64::min),
            median: median(figures.iter().copied()),
            max: figures.iter().copied().fold(0.0, f64::max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_in_the_last_line() {
        let read: Throughputs = figures("a warning\n{\"one_router\":[1.5],\"two_routers\":[1.0]}\n").expect("figures");
        assert_eq!((read.one_router, read.two_routers), (vec![1.5], vec![1.0]));
        let error = figures::<Throughputs>("nothing").expect_err("no figures");
        assert!(error.to_string().ends_with("nothing"), "{error}");
    }

    #[test]
    fn the_spread_has_the_middle_and_both_ends() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Spread { min: 1.0, median: 2.0, max: 3.0 });
    }
}
