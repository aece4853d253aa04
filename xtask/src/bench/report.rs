//! Results for people, as a table, and for programs, as JSON.

use std::fmt::Write as _;
use std::fs;

use serde::Serialize;

use super::contest::{Contender, Heat, QUIET, Row};
use super::error::{BenchError, file};
use super::tools;

/// How many peers have columns of their own; more have a row each.
const MANY: usize = 2;

/// What was measured on.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
}

impl Machine {
    pub(super) fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            processor: processor(&read("/proc/cpuinfo")).unwrap_or("unknown processor").to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

fn processor(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

/// Says who is measured.
pub(super) fn introduce(contenders: &[Contender]) {
    let versions = contenders.iter().map(|contender| match &contender.version {
        Some(version) => format!("{} {version}", contender.name),
        None => contender.name.clone(),
    });
    say(&versions.collect::<Vec<_>>().join(", "));
}

/// Prints a heat, with the ratios to each peer, and warns when others disturbed it.
pub(super) fn print(heat: &Heat) {
    say(&table(heat));
    note_foreign(heat.foreign_cores);
}

/// Says how much others used the machine, if it was more than a measurement bears.
pub(super) fn note_foreign(cores: f64) {
    if cores > QUIET {
        say(&format!(
            "Other programs used {cores:.2} cores meanwhile, more than {QUIET}: trust only ratios, and repeat on a quiet machine."
        ));
    }
}

fn table(heat: &Heat) -> String {
    let mut peers: Vec<&String> = heat.rows.iter().flat_map(|row| row.ratio_to.keys()).collect();
    peers.sort();
    peers.dedup();
    let mut lines = vec![vec!["server".to_owned(), "CPU us/request".to_owned(), "requests/s".to_owned()]];
    lines[0].extend(["p50 us", "p99 us"].map(str::to_owned));
    // Of many peers, each has the ratios in its own row.
    let own = heat.rows.iter().find(|row| peers.len() > MANY && !peers.contains(&&row.server));
    if let Some(own) = own {
        lines[0].extend(["CPU", "rate"].map(|what| format!("{what} of {}/this", own.server)));
        lines.extend(heat.rows.iter().map(|row| [figures(row), ratios(own, &row.server)].concat()));
    } else {
        lines[0].extend(peers.iter().flat_map(|peer| ["CPU", "rate"].map(|what| format!("{what}/{peer}"))));
        let row = |row| peers.iter().fold(figures(row), |cells, peer| [cells, ratios(row, peer)].concat());
        lines.extend(heat.rows.iter().map(row));
    }
    let widths: Vec<usize> =
        (0..lines[0].len()).map(|column| lines.iter().map(|line| line[column].len()).max().unwrap_or(0)).collect();
    let Heat { load, body_bytes, foreign_cores, foreign_cores_max, .. } = heat;
    let mut text = format!(
        "\n{load}, {body_bytes} bytes; others used {foreign_cores:.2} cores (at most \
         {foreign_cores_max:.2})\n"
    );
    for line in &lines {
        // Writing to a string cannot fail.
        let _ = write!(text, "  {:<width$}", line[0], width = widths[0]);
        for (cell, width) in line.iter().zip(&widths).skip(1) {
            let _ = write!(text, "  {cell:>width$}");
        }
        text.push('\n');
    }
    text.pop();
    text
}

fn figures(row: &Row) -> Vec<String> {
    let figures = &row.figures;
    let mut cells = vec![row.server.clone(), format!("{:.1}", figures.cpu_us)];
    cells.extend([figures.requests_per_second, figures.p50_us, figures.p99_us].map(|figure| format!("{figure:.0}")));
    cells
}

/// What a server needs of the CPU, and what it manages, by the same of a peer.
fn ratios(row: &Row, peer: &str) -> Vec<String> {
    match row.ratio_to.get(peer) {
        Some(ratio) => [ratio.cpu, ratio.requests_per_second].map(|ratio| format!("{ratio:.2}")).to_vec(),
        None => ["1", "1"].map(str::to_owned).to_vec(),
    }
}

/// Writes `<target>/bench/<name>.json`.
pub(super) fn write(name: &str, report: &impl Serialize) -> Result<(), BenchError> {
    let path = tools::directory()?.join(name).with_extension("json");
    let written = serde_json::to_string_pretty(report)
        .map_err(std::io::Error::from)
        .and_then(|text| fs::write(&path, text + "\n"));
    written.map_err(file(&path))?;
    say(&format!("Written to {}", path.display()));
    Ok(())
}

/// Tells the person at the terminal.
pub(super) fn say(text: &str) {
    #[allow(clippy::print_stdout, reason = "a measurement shows its progress and its results")]
    {
        println!("{text}");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::contest::{Figures, Ratio};
    use super::*;

    #[test]
    fn the_processor_is_read_from_the_first_core() {
        let cpuinfo = "processor\t: 0\nmodel name\t: AMD EPYC: 2.6 GHz\n\nprocessor\t: 1\nmodel name\t: other\n";
        assert_eq!(processor(cpuinfo), Some("AMD EPYC: 2.6 GHz"));
        assert_eq!(processor("CPU implementer : 0x41\n"), None);
    }

    #[test]
    fn a_table_has_a_column_for_each_peer_and_one_for_itself() {
        let figures = Figures { cpu_us: 10.04, requests_per_second: 35_800.2, p50_us: 700.0, p99_us: 22_000.4 };
        let ratio = Ratio { cpu: 0.8, requests_per_second: 1.226 };
        let rows = vec![
            Row { server: "nginx".to_owned(), figures, ratio_to: BTreeMap::new() },
            Row { server: "azureml-fe".to_owned(), figures, ratio_to: BTreeMap::from([("nginx".to_owned(), ratio)]) },
        ];
        let load = "small over 64 connections".to_owned();
        let heat = Heat { load, connections: 64, body_bytes: 38, foreign_cores: 0.02, foreign_cores_max: 0.5, rows };
        let expected = "
small over 64 connections, 38 bytes; others used 0.02 cores (at most 0.50)
  server      CPU us/request  requests/s  p50 us  p99 us  CPU/nginx  rate/nginx
  nginx                 10.0       35800     700   22000          1           1
  azureml-fe            10.0       35800     700   22000       0.80        1.23";
        assert_eq!(table(&heat), expected);
    }
}
