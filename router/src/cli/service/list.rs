//! `list`: all services of one kind.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use super::view::{self, View};
use super::{Failure, Noun, Table};

pub(super) fn run(noun: Noun, json: bool) -> Result<(), Failure> {
    let status = view::status()?;
    let mut counters = if status.is_some() { view::stats() } else { BTreeMap::new() };
    let mut views = Vec::new();
    let mut unreadable = Vec::new();
    for name in view::names()? {
        match view::read(&name) {
            Ok(service) if Noun::of(service.kind) == noun => {
                views.push(View::new(service, status.as_ref(), counters.remove(&name)));
            }
            Ok(_) => {}
            // Nobody knows of which kind it is.
            Err(failure) => unreadable.push(failure),
        }
    }
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &views)?;
        writeln!(out)?;
    } else {
        let mut table = Table::new(["NAME", "KIND", "AUTH", "GENERATION", "VERSIONS", "READY", "STATE", "URI"]);
        for view in &views {
            let running = view.status.as_ref().map(|status| &status.versions);
            let desired: u32 = view.service.versions.values().map(|version| version.scale.least()).sum();
            let ready = running
                .map_or("?".to_owned(), |all| all.values().map(|v| v.available_replicas).sum::<u32>().to_string());
            table.row([
                view.service.name.clone(),
                format!("{:?}", view.service.kind).to_lowercase(),
                format!("{:?}", view.service.auth.mode).to_lowercase(),
                view.service.generation.to_string(),
                view.service.versions.len().to_string(),
                format!("{ready}/{desired}"),
                view.state().to_owned(),
                view.uri.clone(),
            ]);
        }
        table.write(&mut out, "")?;
    }
    out.flush()?;
    match unreadable.into_iter().next() {
        Some(failure) => Err(failure),
        None => view::online(status.is_some()),
    }
}
