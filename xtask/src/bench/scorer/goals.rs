//! Goals, and how the figures of a run stand to them.

use serde::Serialize;

use super::super::contest::{Heat, Ratio};
use super::super::report::say;

/// A goal with both figures of the same run.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Verdict {
    pub(super) row: String,
    pub(super) goal: String,
    pub(super) ours: String,
    /// The figure beside it: a peer's, or that of another arrangement of ours.
    pub(super) beside: String,
    pub(super) ratio: Option<f64>,
    pub(super) met: bool,
}

/// What must be at least so many times the other's.
#[derive(Clone, Copy)]
pub(super) enum Measure {
    /// Requests per second, or as many rows, chunks, ... as a request has.
    Rate,
    /// Time of a request where there is one connection only; at most so many times the other's.
    Time,
}

impl Verdict {
    /// Ours against one peer under a load; none where the peer was not measured.
    pub(super) fn of_heat(heat: &Heat, ours: &str, peer: &str, measure: Measure, goal: f64) -> Option<Self> {
        let row = |name: &str| heat.rows.iter().find(|row| row.server == name);
        let (our, their) = (row(ours)?, row(peer)?);
        let &Ratio { requests_per_second: rate, .. } = our.ratio_to.get(peer)?;
        let figure = |rate: f64| match measure {
            Measure::Rate => format!("{rate:.0}/s"),
            Measure::Time => format!("{:.1} us", 1e6 / rate),
        };
        let (ratio, met, bound) = match measure {
            Measure::Rate => (rate, rate >= goal, ">="),
            Measure::Time => (1.0 / rate, 1.0 / rate <= goal, "<="),
        };
        Some(Self {
            row: heat.load.clone(),
            goal: format!("{bound} {goal} x {peer}"),
            ours: figure(our.figures.requests_per_second),
            beside: format!("{peer} {}", figure(their.figures.requests_per_second)),
            ratio: Some(ratio),
            met,
        })
    }
}

/// Shows all goals with their figures.
pub(super) fn print(verdicts: &[Verdict]) {
    if verdicts.is_empty() {
        return;
    }
    say("\nGoals");
    for Verdict { row, goal, ours, beside, ratio, met } in verdicts {
        let ratio = ratio.map(|ratio| format!(", ratio {ratio:.2}")).unwrap_or_default();
        let beside = if beside.is_empty() { String::new() } else { format!(", {beside}") };
        say(&format!("  {} {row}: {goal}; ours {ours}{beside}{ratio}", if *met { "met   " } else { "MISSED" }));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::super::contest::{Figures, Row};
    use super::*;

    fn heat(ours: f64, theirs: f64) -> Heat {
        let figures = |requests_per_second| Figures { cpu_us: 1.0, requests_per_second, p50_us: 1.0, p99_us: 1.0 };
        let ratio = Ratio { cpu: 1.0, requests_per_second: ours / theirs };
        let rows = vec![
            Row { server: "ours".into(), figures: figures(ours), ratio_to: BTreeMap::from([("peer".into(), ratio)]) },
            Row { server: "peer".into(), figures: figures(theirs), ratio_to: BTreeMap::new() },
        ];
        let load = "small".to_owned();
        Heat { load, connections: 1, body_bytes: 1, foreign_cores: 0.0, foreign_cores_max: 0.0, rows }
    }

    #[test]
    fn a_rate_meets_its_goal_from_below_and_a_time_from_above() {
        let met = |ours, measure, goal| Verdict::of_heat(&heat(ours, 10_000.0), "ours", "peer", measure, goal);
        assert_eq!(met(13_000.0, Measure::Rate, 1.3).map(|verdict| verdict.met), Some(true));
        assert_eq!(met(12_900.0, Measure::Rate, 1.3).map(|verdict| verdict.met), Some(false));
        let time = met(12_500.0, Measure::Time, 0.9).expect("both were measured");
        assert!(time.met, "{time:?}");
        assert_eq!((time.ours.as_str(), time.beside.as_str()), ("80.0 us", "peer 100.0 us"));
        assert_eq!(met(11_000.0, Measure::Time, 0.9).map(|verdict| verdict.met), Some(false));
    }

    #[test]
    fn a_peer_that_was_left_out_decides_nothing() {
        assert_eq!(Verdict::of_heat(&heat(1.0, 1.0), "ours", "granian", Measure::Rate, 1.0), None);
    }
}
