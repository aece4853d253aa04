//! Servers under the same loads, in turn: what each costs, and how it compares with its peers in the same run.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::error::{BenchError, file};
use super::processes::{self, ForeignMeter};
use super::report::{self, say};
use super::wrk;

/// Other use of the machine, in cores, from which on figures are doubtful.
pub(super) const QUIET: f64 = 0.1;

/// How long and how often each server is measured under each load.
#[derive(Clone, clap::Args)]
pub(crate) struct Turns {
    /// Only what has this in its name, such as "256"
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Seconds of one turn of one server under one load
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Turns of each server under each load; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Longest wait before a turn, in seconds, for other programs to be quiet
    #[arg(long, default_value_t = 0)]
    patience: u64,
}

/// Turns a load's body into one that a server understands.
pub(super) type Translation = fn(&[u8]) -> Vec<u8>;

/// A running server.
pub(super) struct Contender {
    pub(super) name: String,
    /// Its own version, if it says one.
    pub(super) version: Option<String>,
    /// Process whose family is the server.
    pub(super) process: u32,
    pub(super) url: String,
    /// What grows with each request, and is emptied after each turn.
    pub(super) log: PathBuf,
    /// Whether the others are compared with it.
    pub(super) peer: bool,
    /// Puts a load's body as this server wants it.
    pub(super) translate: Option<Translation>,
}

/// What is asked of every server.
pub(super) struct Load {
    pub(super) name: &'static str,
    pub(super) connections: u32,
    pub(super) body: Vec<u8>,
}

impl Turns {
    /// Whether something of this name is to be measured.
    pub(super) fn want(&self, title: &str) -> bool {
        title.contains(&self.only)
    }

    /// Seconds of all turns of one server under one load.
    pub(super) fn seconds(&self) -> u32 {
        self.seconds * self.rounds
    }
}

impl Load {
    pub(super) fn title(&self) -> String {
        let plural = if self.connections == 1 { "" } else { "s" };
        format!("{} over {} connection{plural}", self.name, self.connections)
    }
}

/// One turn of one server, or medians of several.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Figures {
    /// CPU time of the whole server for one request, in microseconds.
    pub(super) cpu_us: f64,
    pub(super) requests_per_second: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

/// A server compared with a peer: medians of the rounds' ratios, so that what disturbs a round disturbs both sides.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Ratio {
    pub(super) cpu: f64,
    pub(super) requests_per_second: f64,
}

/// One server under one load.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) server: String,
    #[serde(flatten)]
    pub(super) figures: Figures,
    /// By the peer's name.
    pub(super) ratio_to: BTreeMap<String, Ratio>,
}

/// All servers under one load.
#[derive(Debug, Serialize)]
pub(super) struct Heat {
    pub(super) load: String,
    pub(super) connections: u32,
    pub(super) body_bytes: usize,
    /// Cores that others used meanwhile, the median and the highest of all turns.
    pub(super) foreign_cores: f64,
    pub(super) foreign_cores_max: f64,
    pub(super) rows: Vec<Row>,
}

/// Measures every server under every load.
pub(super) fn run(contenders: &[Contender], loads: &[Load], turns: &Turns) -> Result<Vec<Heat>, BenchError> {
    let mut heats = Vec::new();
    report::introduce(contenders);
    for load in loads.iter().filter(|load| turns.want(&load.title())) {
        say(&format!("==> {}", load.title()));
        // Connections, caches and the interpreters' specialised code are warm before it counts.
        for contender in contenders {
            turn(contender, load, 1)?;
        }
        let mut figures = vec![Vec::new(); contenders.len()];
        let mut foreign = Vec::new();
        for round in 0..turns.rounds as usize {
            // Each begins in turn, so that nobody always follows the same one.
            for place in 0..contenders.len() {
                let at = (round + place) % contenders.len();
                wait_for_quiet(Duration::from_secs(turns.patience))?;
                let (one, others) = turn(&contenders[at], load, turns.seconds)?;
                figures[at].push(one);
                foreign.push(others);
            }
        }
        let heat = Heat {
            load: load.title(),
            connections: load.connections,
            body_bytes: load.body.len(),
            foreign_cores: median(foreign.iter().copied()),
            foreign_cores_max: foreign.iter().copied().fold(0.0, f64::max),
            rows: rows(contenders, &figures),
        };
        report::print(&heat);
        heats.push(heat);
    }
    Ok(heats)
}

/// One turn of one server: its figures, and the cores that others used meanwhile.
pub(super) fn turn(contender: &Contender, load: &Load, seconds: u32) -> Result<(Figures, f64), BenchError> {
    let body = tempfile::NamedTempFile::new().map_err(file("a temporary file"))?;
    let translated = contender.translate.map(|translate| translate(&load.body));
    fs::write(body.path(), translated.as_deref().unwrap_or(&load.body)).map_err(file(body.path()))?;
    let foreign = ForeignMeter::start()?;
    let before = processes::cpu(contender.process)?;
    let sample = wrk::run(&contender.url, body.path(), load.connections, seconds)?;
    let cpu = processes::cpu(contender.process)?.saturating_sub(before);
    let foreign = foreign.cores()?;
    fs::File::create(&contender.log).map_err(file(&contender.log))?;
    if let Some(failures) = sample.failures {
        return Err(BenchError::Requests { server: contender.name.clone(), load: load.title(), failures });
    }
    if cpu.is_zero() {
        return Err(BenchError::Idle(contender.name.clone()));
    }
    #[allow(clippy::cast_precision_loss, reason = "requests of a span of minutes")]
    let cpu_us = cpu.as_secs_f64() * 1e6 / sample.requests.max(1) as f64;
    let wrk::Sample { requests_per_second, p50_us, p99_us, .. } = sample;
    Ok((Figures { cpu_us, requests_per_second, p50_us, p99_us }, foreign))
}

/// Returns when others have left the machine alone for a second, or after `patience`.
fn wait_for_quiet(patience: Duration) -> Result<(), BenchError> {
    let end = Instant::now() + patience;
    while Instant::now() < end {
        let foreign = ForeignMeter::start()?;
        thread::sleep(Duration::from_secs(1));
        if foreign.cores()? < QUIET {
            break;
        }
    }
    Ok(())
}

/// Medians of each contender's rounds, and ratios round by round.
fn rows(contenders: &[Contender], figures: &[Vec<Figures>]) -> Vec<Row> {
    let peers = || contenders.iter().zip(figures).filter(|(contender, _)| contender.peer);
    let row = |(contender, own): (&Contender, &Vec<Figures>)| {
        let middle = |column: fn(&Figures) -> f64| median(own.iter().map(column));
        let against = |peers: &[Figures], column: fn(&Figures) -> f64| {
            median(own.iter().zip(peers).map(|(own, peer)| column(own) / column(peer)))
        };
        let ratios = peers().filter(|(peer, _)| peer.name != contender.name).map(|(peer, theirs)| {
            let ratio = Ratio {
                cpu: against(theirs, |figures| figures.cpu_us),
                requests_per_second: against(theirs, |figures| figures.requests_per_second),
            };
            (peer.name.clone(), ratio)
        });
        Row {
            server: contender.name.clone(),
            figures: Figures {
                cpu_us: middle(|figures| figures.cpu_us),
                requests_per_second: middle(|figures| figures.requests_per_second),
                p50_us: middle(|figures| figures.p50_us),
                p99_us: middle(|figures| figures.p99_us),
            },
            ratio_to: ratios.collect(),
        }
    };
    contenders.iter().zip(figures).map(row).collect()
}

/// The middle value, or the mean of the two in the middle; NaN of nothing.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (count, half) if count % 2 == 0 => f64::midpoint(sorted[half - 1], sorted[half]),
        (_, half) => sorted[half],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contender(name: &str, peer: bool) -> Contender {
        Contender {
            name: name.to_owned(),
            version: None,
            process: 0,
            url: String::new(),
            log: PathBuf::new(),
            peer,
            translate: None,
        }
    }

    fn figures(cpu_us: f64, requests_per_second: f64) -> Figures {
        Figures { cpu_us, requests_per_second, p50_us: 1.0, p99_us: 2.0 }
    }

    #[test]
    fn the_median_is_the_middle_in_whatever_order() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 3.0, 2.0].into_iter()) - 2.5).abs() < 1e-9);
        assert!(median(std::iter::empty()).is_nan());
    }

    #[test]
    fn ratios_compare_the_two_sides_of_the_same_round() {
        let contenders = [contender("nginx", true), contender("azureml-fe", false)];
        // The second round was disturbed: both took twice as long.
        let measured = [
            vec![figures(10.0, 100.0), figures(20.0, 50.0), figures(10.0, 100.0)],
            vec![figures(8.0, 120.0), figures(16.0, 60.0), figures(8.0, 120.0)],
        ];
        let rows = rows(&contenders, &measured);
        assert!(rows[0].ratio_to.is_empty());
        let ratio = rows[1].ratio_to["nginx"];
        assert!((ratio.cpu - 0.8).abs() < 1e-9 && (ratio.requests_per_second - 1.2).abs() < 1e-9, "{ratio:?}");
        assert!((rows[1].figures.cpu_us - 8.0).abs() < 1e-9);
    }

    #[test]
    fn peers_are_compared_with_one_another_but_with_nothing_else() {
        let contenders = [contender("granian", true), contender("original", true), contender("ours", false)];
        let measured = vec![vec![figures(1.0, 1.0)]; 3];
        let compared = rows(&contenders, &measured).into_iter().map(|row| row.ratio_to.into_keys().collect::<Vec<_>>());
        let compared: Vec<_> = compared.collect();
        assert_eq!(compared, [vec!["original"], vec!["granian"], vec!["granian", "original"]]);
    }
}
