//! What is known of a service: its document, and its running state.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serving::admin::{Request, Response, ServiceStatus, Status, VersionStatus};
use serving::layout;
use serving::service::{Kind, Service};
use serving::snapshot::ServiceStats;

use super::{Failure, Noun};
use crate::admin::client::{self, ClientError};
use crate::config::Config;

/// What a service is and what is known of its running state.
#[derive(Serialize)]
pub(super) struct View {
    /// The document, without the versions whose time to retire is over.
    pub(super) service: Service,
    pub(super) uri: String,
    /// Absent when no supervisor runs.
    pub(super) status: Option<ServiceStatus>,
    /// Absent when no router worker runs.
    pub(super) stats: Option<ServiceStats>,
}

impl View {
    pub(super) fn new(mut service: Service, status: Option<&Status>, counters: Option<ServiceStats>) -> Self {
        service.drop_retired(Timestamp::now());
        let uri = uri(&service, status);
        let status = status.and_then(|status| status.services.get(&service.name).cloned());
        Self { service, uri, status, stats: counters }
    }

    /// One service, and whether a supervisor runs.
    pub(super) fn look(noun: Noun, name: &str) -> Result<(Self, bool), Failure> {
        let status = status()?;
        let service = document(noun, "show", name)?;
        let counters = status.as_ref().and_then(|_| stats().remove(name));
        Ok((Self::new(service, status.as_ref(), counters), status.is_some()))
    }

    /// One word for the state.
    pub(super) fn state(&self) -> &'static str {
        let Some(status) = &self.status else { return "stopped" };
        if status.refused.is_some() {
            "refused"
        } else if self.service.kind == Kind::Endpoint && self.service.versions.is_empty() {
            "empty"
        } else if status.versions.values().any(|version| version.failure.is_some()) {
            "failing"
        } else if status.versions.values().all(VersionStatus::settled) && status.served_generation > 0 {
            "ready"
        } else {
            "updating"
        }
    }
}

/// Reads the document of a service of this kind, for a command. An error says which file and why.
pub(super) fn document(noun: Noun, command: &str, name: &str) -> Result<Service, Failure> {
    let plain = Path::new(name).file_name().is_some_and(|file| file == name);
    if !plain || !Path::new(&layout::document(name)).exists() {
        let of_kind = |name: &String| read(name).is_ok_and(|service| Noun::of(service.kind) == noun);
        let known: Vec<String> = names()?.into_iter().filter(of_kind).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let word = noun.word();
        return Err(Failure::unknown(format!("there is no {word} `{name}`; {word}s of this compute: {known}")));
    }
    let service = read(name)?;
    let actual = Noun::of(service.kind);
    if actual == noun {
        return Ok(service);
    }
    let (article, actual, word) = match actual {
        Noun::Service => ("a", "webservice", Noun::Service.word()),
        Noun::Endpoint => ("an", "endpoint", Noun::Endpoint.word()),
    };
    Err(Failure::unknown(format!("`{name}` is {article} {actual}; use `azureml-fe {word} {command} {name}`")))
}

/// Reads a document of any kind.
pub(super) fn read(name: &str) -> Result<Service, Failure> {
    let path = layout::document(name);
    let bytes = std::fs::read(&path).map_err(|error| Failure::failed(format!("{path} cannot be read: {error}")))?;
    Service::read(&bytes).map_err(|error| Failure::failed(format!("{path}: {error}")))
}

/// Names of all documents, sorted.
pub(in crate::cli) fn names() -> Result<Vec<String>, Failure> {
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
pub(in crate::cli) fn status() -> Result<Option<Status>, Failure> {
    match client::status() {
        Ok(status) => Ok(Some(status)),
        Err(ClientError::NotRunning) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The router worker's counters.
pub(super) fn stats() -> BTreeMap<String, ServiceStats> {
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
    let family = Noun::of(service.kind).word();
    format!("http://{}/api/v1/{family}/{}/score", address.as_deref().unwrap_or("?"), service.name)
}

/// What was printed comes from the files alone unless a supervisor runs.
pub(super) fn online(running: bool) -> Result<(), Failure> {
    if running { Ok(()) } else { Err(Failure::offline()) }
}
