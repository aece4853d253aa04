//! `azureml-fe service`: what runs on a local compute.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;
use serving::admin::{ReplicaState, Request, Response, ServiceStatus, Status, VersionStatus};
use serving::layout;
use serving::service::{AuthMode, Keys, Kind, Scale, Service, Version};
use serving::snapshot::{ServiceStats, VersionStats};
use serving::traffic::BasisPoints;

use super::table::Table;
use super::{Compute, Failure, logs, token};
use crate::admin::client::{self, ClientError};
use crate::config::Config;

/// Commands about services.
#[derive(Subcommand)]
pub(super) enum Command {
    /// List the services.
    List {
        #[command(flatten)]
        compute: Compute,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one service: versions, shares, replicas, counters, and why something does not run.
    Show {
        #[command(flatten)]
        compute: Compute,
        /// Name of the service.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print both keys of a service. Only the owner of the compute can.
    Keys {
        #[command(flatten)]
        compute: Compute,
        /// Name of the service.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print a token of a service whose callers authenticate by tokens. Only the owner of the compute can.
    Token {
        #[command(flatten)]
        compute: Compute,
        /// Name of the service.
        name: String,
        /// Seconds that it is valid, within the bounds of `azureml-fe.toml`.
        #[arg(long, value_name = "SECONDS")]
        lifetime: Option<u64>,
        /// Print JSON: `accessToken`, `tokenType`, `expiryOn`, `refreshAfter`.
        #[arg(long)]
        json: bool,
    },
    /// Print the logs of a service's replicas, each line after the replica's id.
    Logs(logs::Args),
}

/// Runs a command.
pub(super) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::List { compute, json } => {
            compute.enter()?;
            list(json)
        }
        Command::Show { compute, name, json } => {
            compute.enter()?;
            show(&name, json)
        }
        Command::Keys { compute, name, json } => {
            compute.enter()?;
            keys(&name, json)
        }
        Command::Token { compute, name, lifetime, json } => {
            compute.enter()?;
            token::run(&document(&name)?, lifetime, json)
        }
        Command::Logs(args) => {
            args.compute.enter()?;
            logs::run(&args)
        }
    }
}

/// What a service is and what is known of its running state.
#[derive(Serialize)]
struct View {
    service: Service,
    uri: String,
    /// Absent when no supervisor runs.
    status: Option<ServiceStatus>,
    /// Absent when no router worker runs.
    stats: Option<ServiceStats>,
}

/// Reads a document. An error says which file and why.
pub(super) fn document(name: &str) -> Result<Service, Failure> {
    let plain = Path::new(name).file_name().is_some_and(|file| file == name);
    let path = layout::document(name);
    if !plain || !Path::new(&path).exists() {
        let known = names()?;
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(Failure::unknown(format!("there is no service `{name}`; services of this compute: {known}")));
    }
    let bytes = std::fs::read(&path).map_err(|error| Failure::failed(format!("{path} cannot be read: {error}")))?;
    Service::read(&bytes).map_err(|error| Failure::failed(format!("{path}: {error}")))
}

/// Names of the services, sorted.
pub(super) fn names() -> Result<Vec<String>, Failure> {
    let entries = match std::fs::read_dir(layout::SERVICES) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::failed(format!("{} cannot be read: {error}", layout::SERVICES))),
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".json")?.to_owned()))
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    Ok(names)
}

/// The supervisor's status; `None` when no supervisor runs.
pub(super) fn status() -> Result<Option<Status>, Failure> {
    match client::status() {
        Ok(status) => Ok(Some(status)),
        Err(ClientError::NotRunning) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn stats() -> BTreeMap<String, ServiceStats> {
    // Counters are an extra: without a worker the rest is still worth showing.
    match client::ask(&Request::Stats, Duration::from_secs(10)) {
        Ok(Response::Stats { services }) => services,
        _ => BTreeMap::new(),
    }
}

fn uri(service: &Service, status: Option<&Status>) -> String {
    let address = status.map(|status| status.address.clone()).or_else(|| {
        let config = Config::load(layout::CONFIG.as_ref()).ok()?;
        Some(config.listen().to_string())
    });
    let family = match service.kind {
        Kind::Webservice => "service",
        Kind::Endpoint => "endpoint",
    };
    format!("http://{}/api/v1/{family}/{}/score", address.as_deref().unwrap_or("?"), service.name)
}

fn online(status: Option<&Status>) -> Result<(), Failure> {
    if status.is_some() { Ok(()) } else { Err(Failure::offline()) }
}

fn list(json: bool) -> Result<(), Failure> {
    let status = status()?;
    let counters = if status.is_some() { stats() } else { BTreeMap::new() };
    let mut views = Vec::new();
    let mut unreadable = Vec::new();
    for name in names()? {
        match document(&name) {
            Ok(service) => views.push(View {
                uri: uri(&service, status.as_ref()),
                status: status.as_ref().and_then(|status| status.services.get(&name).cloned()),
                stats: counters.get(&name).cloned(),
                service,
            }),
            Err(failure) => unreadable.push((name, failure)),
        }
    }
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &views)?;
        writeln!(out)?;
    } else {
        let mut table = Table::new(["NAME", "KIND", "AUTH", "GENERATION", "VERSIONS", "READY", "STATE", "URI"]);
        for view in &views {
            let versions = view.status.as_ref().map(|status| &status.versions);
            let desired: u32 = view.service.versions.values().map(desired).sum();
            let ready = versions
                .map_or("?".to_owned(), |all| all.values().map(|v| v.available_replicas).sum::<u32>().to_string());
            table.row([
                view.service.name.clone(),
                format!("{:?}", view.service.kind).to_lowercase(),
                format!("{:?}", view.service.auth.mode).to_lowercase(),
                view.service.generation.to_string(),
                view.service.versions.len().to_string(),
                format!("{ready}/{desired}"),
                state(view.status.as_ref()).to_owned(),
                view.uri.clone(),
            ]);
        }
        table.write(&mut out, "")?;
    }
    out.flush()?;
    if let Some((_, failure)) = unreadable.into_iter().next() {
        return Err(failure);
    }
    online(status.as_ref())
}

fn desired(version: &Version) -> u32 {
    match &version.scale {
        Scale::Fixed(replicas) => *replicas,
        Scale::Auto(policy) => policy.min_replicas,
    }
}

/// One word for the state.
fn state(status: Option<&ServiceStatus>) -> &'static str {
    let Some(status) = status else { return "stopped" };
    if status.refused.is_some() {
        "refused"
    } else if status.versions.values().any(|version| version.failure.is_some()) {
        "failing"
    } else if status.versions.values().all(VersionStatus::settled) && status.served_generation > 0 {
        "ready"
    } else {
        "updating"
    }
}

fn show(name: &str, json: bool) -> Result<(), Failure> {
    let status = status()?;
    let service = document(name)?;
    let view = View {
        uri: uri(&service, status.as_ref()),
        stats: status.as_ref().and_then(|_| stats().remove(name)),
        status: status.as_ref().and_then(|status| status.services.get(name).cloned()),
        service,
    };
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &view)?;
        writeln!(out)?;
    } else {
        describe(&mut out, &view)?;
    }
    out.flush()?;
    online(status.as_ref())
}

fn describe(out: &mut impl Write, view: &View) -> io::Result<()> {
    let service = &view.service;
    writeln!(out, "{}  {}  {}", service.name, state(view.status.as_ref()), view.uri)?;
    if let Some(status) = &view.status {
        let (accepted, served) = (status.accepted_generation, status.served_generation);
        writeln!(out, "generation {} (accepted {accepted}, served {served})", service.generation)?;
        if let Some(reason) = &status.refused {
            writeln!(out, "the document was refused, the last good one is in force: {reason}")?;
        }
    } else {
        writeln!(out, "generation {}", service.generation)?;
    }
    if let Some(stats) = &view.stats {
        writeln!(out, "waiting requests: {}", stats.queued)?;
    }
    for (name, version) in &service.versions {
        let share = service.served.as_ref().and_then(|table| table.shares.get(name)).copied().unwrap_or_default();
        let default = service.served.as_ref().is_some_and(|table| table.default == *name);
        let running = view.status.as_ref().and_then(|status| status.versions.get(name));
        let available = running.map_or("?".to_owned(), |running| running.available_replicas.to_string());
        writeln!(
            out,
            "\nversion {name}: {}{}, {available}/{} replicas ready, revision {}",
            percent(share),
            if default { " (default)" } else { "" },
            desired(version),
            version.template.revision()
        )?;
        if let Some(stats) = view.stats.as_ref().and_then(|stats| stats.versions.get(name)) {
            writeln!(out, "  {}", counters(stats))?;
        }
        if let Some(running) = running {
            replicas(out, running)?;
        }
    }
    Ok(())
}

fn percent(share: BasisPoints) -> String {
    let (whole, hundredths) = (share.0 / 100, share.0 % 100);
    if hundredths == 0 { format!("{whole} %") } else { format!("{whole}.{hundredths:02} %") }
}

fn counters(stats: &VersionStats) -> String {
    let mean = stats.latency_us_total.checked_div(stats.requests).unwrap_or(0);
    format!(
        "{} requests, {} errors, {} in flight, mean latency {}.{:03} ms (since the router worker started)",
        stats.requests,
        stats.errors,
        stats.in_flight,
        mean / 1000,
        mean % 1000
    )
}

fn replicas(out: &mut impl Write, version: &VersionStatus) -> io::Result<()> {
    if !version.replicas.is_empty() {
        let mut table = Table::new(["REPLICA", "STATE", "PID", "RESTARTS", "REVISION"]);
        for replica in &version.replicas {
            let state = match replica.state {
                ReplicaState::Starting => "starting",
                ReplicaState::Ready => "ready",
                ReplicaState::Draining => "draining",
                ReplicaState::BackOff => "back-off",
            };
            let pid = if replica.pid == 0 { "-".to_owned() } else { replica.pid.to_string() };
            let old = if replica.revision == version.revision { "" } else { " (old)" };
            let revision = format!("{}{old}", replica.revision);
            table.row([replica.id.clone(), state.to_owned(), pid, replica.restarts.to_string(), revision]);
        }
        table.write(out, "  ")?;
    }
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

#[derive(Serialize)]
struct PlainKeys<'a> {
    primary: &'a str,
    secondary: &'a str,
}

fn keys(name: &str, json: bool) -> Result<(), Failure> {
    let service = document(name)?;
    let (AuthMode::Key, Some(generation)) = (service.auth.mode, service.auth.keys) else {
        return Err(Failure::failed(format!("the service `{name}` has no keys: its authentication is switched off")));
    };
    let path = layout::keys(name, generation);
    let bytes = std::fs::read(&path).map_err(|error| {
        Failure::failed(format!("{path} cannot be read: {error}; only the owner of the compute may read keys"))
    })?;
    // The parser's own message could quote a key.
    let keys: Keys = serde_json::from_slice(&bytes)
        .map_err(|_| Failure::failed(format!("{path} does not hold keys; apply again with a higher key version")))?;
    let plain = PlainKeys { primary: &keys.primary.key, secondary: &keys.secondary.key };
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &plain)?;
        writeln!(out)?;
    } else {
        writeln!(out, "primary    {}", plain.primary)?;
        writeln!(out, "secondary  {}", plain.secondary)?;
    }
    Ok(())
}
