//! `show`: one service.

use std::io::{self, Write};

use serving::admin::{ReplicaState, VersionStatus};
use serving::service::{Kind, Sticky};
use serving::snapshot::{ServiceStats, VersionStats};

use super::versions::{self, latency, rate};
use super::view::{self, View};
use super::{Failure, Noun, Table};

pub(super) fn run(noun: Noun, name: &str, json: bool) -> Result<(), Failure> {
    let (view, running) = View::look(noun, name)?;
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &view)?;
        writeln!(out)?;
    } else {
        describe(&mut out, &view, None)?;
        if view.service.kind == Kind::Endpoint {
            all_replicas(&mut out, &view)?;
        }
    }
    out.flush()?;
    view::online(running)
}

/// Counters of a look some time before, and the seconds since then.
pub(super) type Before<'a> = Option<(&'a ServiceStats, f64)>;

/// Writes what people want to know.
pub(super) fn describe(out: &mut impl Write, view: &View, before: Before<'_>) -> io::Result<()> {
    let service = &view.service;
    writeln!(out, "{}  {}  {}", service.name, view.state(), view.uri)?;
    if let Some(status) = &view.status {
        let (accepted, served) = (status.accepted_generation, status.served_generation);
        writeln!(out, "generation {} (accepted {accepted}, served {served})", service.generation)?;
        if let Some(reason) = &status.refused {
            writeln!(out, "the document was refused, the last good one is in force: {reason}")?;
        }
    } else {
        writeln!(out, "generation {}", service.generation)?;
    }
    match &service.sticky {
        Some(Sticky::Header(name)) => writeln!(out, "sticky by the header `{name}`")?,
        Some(Sticky::Cookie(name)) => writeln!(out, "sticky by the cookie `{name}`")?,
        Some(Sticky::Query(name)) => writeln!(out, "sticky by the query parameter `{name}`")?,
        None => {}
    }
    if let Some(stats) = &view.stats {
        writeln!(out, "waiting requests: {}", stats.queued)?;
    }
    match service.kind {
        Kind::Webservice => webservice(out, view, before),
        Kind::Endpoint => versions::write(out, view, before),
    }
}

fn webservice(out: &mut impl Write, view: &View, before: Before<'_>) -> io::Result<()> {
    let service = &view.service;
    for (name, version) in &service.versions {
        let share = service.served.as_ref().and_then(|table| table.shares.get(name)).copied().unwrap_or_default();
        let default = service.served.as_ref().is_some_and(|table| table.default == *name);
        let running = view.status.as_ref().and_then(|status| status.versions.get(name));
        let available = running.map_or("?".to_owned(), |running| running.available_replicas.to_string());
        writeln!(
            out,
            "\nversion {name}: {share} %{}, {available}/{} replicas ready, revision {}",
            if default { " (default)" } else { "" },
            version.scale.least(),
            version.template.revision()
        )?;
        if let Some(stats) = view.stats.as_ref().and_then(|stats| stats.versions.get(name)) {
            write!(out, "  {}", counters(stats))?;
            match before {
                Some(before) => writeln!(out, ", {} requests/s", rate(name, stats, Some(before)))?,
                None => writeln!(out)?,
            }
        }
        if let Some(running) = running {
            if !running.replicas.is_empty() {
                let mut table = Table::new(["REPLICA", "STATE", "PID", "RESTARTS", "REVISION"]);
                for row in replicas(running) {
                    table.row(row);
                }
                table.write(out, "  ")?;
            }
            failure(out, running)?;
        }
    }
    Ok(())
}

fn counters(stats: &VersionStats) -> String {
    let mean = stats.latency_us_total.checked_div(stats.requests).unwrap_or(0);
    format!(
        "{} requests, {} errors, {} in flight, latency mean {}, p50 {}, p99 {} (since the router worker started)",
        stats.requests,
        stats.errors,
        stats.in_flight,
        latency(mean),
        latency(stats.latency_us_p50),
        latency(stats.latency_us_p99)
    )
}

/// Replicas of all versions of an endpoint.
fn all_replicas(out: &mut impl Write, view: &View) -> io::Result<()> {
    let Some(status) = &view.status else { return Ok(()) };
    let mut table = Table::new(["VERSION", "REPLICA", "STATE", "PID", "RESTARTS", "REVISION"]);
    let mut some = false;
    for (name, version) in &status.versions {
        for [id, state, pid, restarts, revision] in replicas(version) {
            table.row([name.clone(), id, state, pid, restarts, revision]);
            some = true;
        }
    }
    if some {
        writeln!(out)?;
        table.write(out, "")?;
    }
    Ok(())
}

fn replicas(version: &VersionStatus) -> impl Iterator<Item = [String; 5]> {
    version.replicas.iter().map(|replica| {
        let state = match replica.state {
            ReplicaState::Starting => "starting",
            ReplicaState::Ready => "ready",
            ReplicaState::Draining => "draining",
            ReplicaState::BackOff => "back-off",
        };
        let pid = if replica.pid == 0 { "-".to_owned() } else { replica.pid.to_string() };
        let old = if replica.revision == version.revision { "" } else { " (old)" };
        let revision = format!("{}{old}", replica.revision);
        [replica.id.clone(), state.to_owned(), pid, replica.restarts.to_string(), revision]
    })
}

/// Why a version does not become ready.
pub(super) fn failure(out: &mut impl Write, version: &VersionStatus) -> io::Result<()> {
    let Some(failure) = &version.failure else { return Ok(()) };
    let again = if failure.terminal { "will not help by itself" } else { "is tried again" };
    writeln!(out, "  failed {} time(s) in a row, {again}: {}", failure.count, failure.message)?;
    for line in failure.traceback.iter().flat_map(|traceback| traceback.lines()) {
        writeln!(out, "    {line}")?;
    }
    for line in &failure.log_tail {
        writeln!(out, "    | {line}")?;
    }
    Ok(())
}
