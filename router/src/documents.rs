//! What makes a service document good for this router, wherever documents are kept.

use serving::service::{AuthMode, KeyDigests, Service};
use serving::snapshot::Entry;

/// A document that can be served.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Good {
    /// The document.
    pub(crate) service: Service,
    /// Its key digests, if its mode has any.
    pub(crate) keys: Option<KeyDigests>,
}

/// Reads a document; `place` is where it was found, for the error.
pub(crate) fn read(bytes: &[u8], place: &str) -> Result<Service, String> {
    Service::read(bytes).map_err(|error| format!("{place}: {error}"))
}

/// Checks a document that is kept for the service `name`.
pub(crate) fn check(service: &Service, name: &str, place: &str) -> Result<(), String> {
    if service.name != name {
        return Err(format!(
            "{place} holds the service `{}`, but must hold the one that it is named after",
            service.name
        ));
    }
    let violations = serving::validate::service(service);
    if violations.is_empty() {
        return Ok(());
    }
    let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
    Err(format!("{place} breaks the rules: {}", all.join("; ")))
}

/// Generation of the keys that a document refers to.
pub(crate) fn keys_generation(service: &Service) -> Option<u64> {
    service.auth.keys.filter(|_| service.auth.mode == AuthMode::Key)
}

/// Reads the digests of a service's keys.
pub(crate) fn digests(bytes: &[u8], place: &str) -> Result<KeyDigests, String> {
    let digests: KeyDigests =
        serde_json::from_slice(bytes).map_err(|error| format!("{place} is not valid: {error}"))?;
    let hex = |digest: &String| digest.len() == 64 && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if digests.accepted.is_empty() || !digests.accepted.iter().all(hex) {
        return Err(format!("{place} is not valid: `accepted` must list SHA-256 digests in lower-case hex"));
    }
    Ok(digests)
}

/// Puts a checked document and its keys together. One service that the worker does not serve would keep it from all
/// others, too.
pub(crate) fn complete(service: Service, keys: Option<KeyDigests>, place: &str) -> Result<Good, String> {
    let entry = Entry { service, keys, hop: None, replicas: std::collections::BTreeMap::new() };
    crate::route::servable(&entry.service.name, &entry)
        .map_err(|reason| format!("{place} cannot be served: {reason}"))?;
    Ok(Good { service: entry.service, keys: entry.keys })
}

/// Versions of a service whose share goes elsewhere, because they have no ready replica while another one has.
pub(crate) fn diverted(service: &Service, ready: impl Fn(&str) -> bool) -> impl Iterator<Item = &str> {
    let shares = service.served.as_ref().map(|table| &table.shares);
    let any = shares.is_some_and(|shares| shares.keys().any(|version| ready(version)));
    shares
        .into_iter()
        .flatten()
        .filter(move |(version, share)| any && share.0 > 0 && !ready(version))
        .map(|(version, _)| version.as_str())
}
