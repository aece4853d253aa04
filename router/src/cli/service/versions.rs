//! The table of an endpoint's versions.

use std::io::{self, Write};

use serving::admin::{ReplicaState, VersionStatus};
use serving::service::{Service, Version};
use serving::snapshot::VersionStats;

use super::Table;
use super::show::{Before, failure};
use super::view::View;

/// Writes the table, what keeps the declared shares from being served, and why versions fail.
pub(super) fn write(out: &mut impl Write, view: &View, before: Before<'_>) -> io::Result<()> {
    writeln!(out)?;
    let service = &view.service;
    if service.versions.is_empty() {
        return writeln!(out, "no version; requests get a 503 until an azureml_endpoint_version is added");
    }
    if let Err(conflicts) = service.clone().settle() {
        writeln!(out, "the declared traffic is not served, the table before it stays in force: {conflicts}\n")?;
    }
    let mut table = Table::new([
        "VERSION",
        "SHARE",
        "ROLE",
        "REPLICAS",
        "STATE",
        "REQUESTS",
        "REQ/S",
        "ERRORS",
        "IN FLIGHT",
        "MEAN",
        "P50",
        "P99",
    ]);
    let stats = |name: &str| view.stats.as_ref().and_then(|stats| stats.versions.get(name));
    let running = |name: &str| view.status.as_ref().and_then(|status| status.versions.get(name));
    for (name, version) in &service.versions {
        let (stats, running) = (stats(name), running(name));
        let count = |of: fn(&VersionStats) -> u64| stats.map_or("?".to_owned(), |stats| of(stats).to_string());
        let time = |of: fn(&VersionStats) -> u64| match stats {
            Some(stats) if stats.requests > 0 => latency(of(stats)),
            _ => "-".to_owned(),
        };
        let available = running.map_or("?".to_owned(), |running| running.available_replicas.to_string());
        table.row([
            name.clone(),
            share(service, name),
            role(service, name),
            format!("{available}/{}", version.scale.least()),
            state(version, running, stats),
            count(|stats| stats.requests),
            stats.map_or("-".to_owned(), |stats| rate(name, stats, before)),
            count(|stats| stats.errors),
            count(|stats| stats.in_flight),
            time(|stats| stats.latency_us_total / stats.requests),
            time(|stats| stats.latency_us_p50),
            time(|stats| stats.latency_us_p99),
        ]);
    }
    table.write(out, "")?;
    writeln!(out, "\nrequests and latencies since the router worker started")?;
    for (name, running) in service.versions.keys().filter_map(|name| Some((name, running(name)?))) {
        if running.failure.is_some() {
            writeln!(out, "\nversion {name}:")?;
            failure(out, running)?;
        }
    }
    Ok(())
}

/// What is served, and what is declared where that differs.
fn share(service: &Service, name: &str) -> String {
    let served = service.served.as_ref().and_then(|table| table.shares.get(name)).copied().unwrap_or_default();
    match service.declared().get(name).map(|declared| declared.declaration.traffic) {
        Some(declared) if declared != served => format!("{served} % (declared {declared} %)"),
        _ => format!("{served} %"),
    }
}

fn role(service: &Service, name: &str) -> String {
    let default = service.served.as_ref().is_some_and(|table| table.default == *name);
    let control = service.declared().get(name).is_some_and(|declared| declared.declaration.is_control);
    match (default, control) {
        (true, true) => "DEFAULT CONTROL",
        (true, false) => "DEFAULT",
        (false, true) => "CONTROL",
        (false, false) => "-",
    }
    .to_owned()
}

/// Where a version stands, the most important first.
fn state(version: &Version, running: Option<&VersionStatus>, stats: Option<&VersionStats>) -> String {
    let Some(running) = running else { return "stopped".to_owned() };
    let starting = running.replicas.iter().any(|replica| replica.state == ReplicaState::Starting);
    let mut parts = vec![
        if running.failure.is_some() {
            "failing"
        } else if running.settled() {
            "ready"
        } else if running.available_replicas == 0 && starting {
            "starting"
        } else {
            "updating"
        }
        .to_owned(),
    ];
    if running.diverted || stats.is_some_and(|stats| stats.diverting) {
        let diverted = stats.map_or(0, |stats| stats.diverted);
        parts.push(format!("share goes elsewhere ({diverted} requests so far)"));
    }
    if !version.committed {
        parts.push("not created yet".to_owned());
    }
    if let Some(until) = &version.retiring_until {
        parts.push(format!("retiring until {until}"));
    }
    parts.join(", ")
}

/// Requests per second since a look before; `-` if there was none, or another worker counts since.
pub(super) fn rate(name: &str, now: &VersionStats, before: Before<'_>) -> String {
    let before = before.and_then(|(before, seconds)| Some((before.versions.get(name)?.requests, seconds)));
    match before {
        Some((before, seconds)) if before <= now.requests && seconds > 0.0 => {
            #[expect(clippy::cast_precision_loss, reason = "requests of about a second")]
            let rate = (now.requests - before) as f64 / seconds;
            format!("{rate:.1}")
        }
        _ => "-".to_owned(),
    }
}

/// Microseconds for people: three digits or so.
pub(super) fn latency(us: u64) -> String {
    match us {
        0..10_000 => format!("{}.{:02} ms", us / 1_000, us % 1_000 / 10),
        10_000..1_000_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        _ => format!("{}.{:02} s", us / 1_000_000, us % 1_000_000 / 10_000),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serving::snapshot::ServiceStats;

    use super::*;

    #[test]
    fn latencies_have_a_unit_that_fits() {
        let shown = [0, 999, 1_234, 12_345, 999_999, 1_234_567].map(latency);
        assert_eq!(shown, ["0.00 ms", "0.99 ms", "1.23 ms", "12.3 ms", "999.9 ms", "1.23 s"]);
    }

    #[test]
    fn a_rate_is_the_difference_of_counters_and_unknown_across_workers() {
        let counted = |requests| VersionStats { requests, ..VersionStats::default() };
        let versions = BTreeMap::from([("blue".to_owned(), counted(100))]);
        let before = ServiceStats { versions, ..ServiceStats::default() };
        assert_eq!(rate("blue", &counted(151), Some((&before, 2.0))), "25.5");
        assert_eq!(rate("blue", &counted(3), Some((&before, 2.0))), "-", "the counters began anew");
        assert_eq!(rate("green", &counted(3), Some((&before, 2.0))), "-");
        assert_eq!(rate("blue", &counted(3), None), "-");
    }
}
