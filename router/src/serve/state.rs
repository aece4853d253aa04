//! What the watches have found, and what is made of it: the snapshot to route by.
//!
//! Nothing here waits or talks to anybody; time comes in as an argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serving::cluster::{self, Confirmation, Refusal};
use serving::service::{Service, Version};
use serving::snapshot::{Address, Entry, HopSecret, Replica, Snapshot};
use serving::token::SigningKeys;
use serving::{layout, wire};

use super::watch::Update;
use crate::documents::{self, Good};

/// Keys and hop secrets are written before the document that needs them, and arrive by a watch of their own. A document
/// whose secrets have not arrived for so long is refused.
pub(super) const SECRETS_LATE: Duration = Duration::from_secs(10);

/// A change of the namespace, as one watch reports it.
#[derive(Debug)]
pub(super) enum Change {
    /// Service documents by ConfigMap: the bytes of the document, if the ConfigMap has it.
    Documents(Update<Option<Vec<u8>>>),
    /// The Secret with what routers verify and present.
    Access(Update<Secret>),
    /// The Secret with the signing keys.
    Signing(Update<Secret>),
    /// Pods of scorers; none while the pod takes no requests.
    Pods(Update<Option<Pod>>),
}

/// Data of a Secret. Never shown.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Secret(pub(super) BTreeMap<String, Vec<u8>>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A scorer's pod that takes requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) service: String,
    pub(super) version: String,
    pub(super) address: String,
}

/// What is known of the namespace.
#[derive(Debug, Default)]
pub(super) struct State {
    services: BTreeMap<String, Found>,
    access: Secret,
    signing: SigningKeys,
    pods: BTreeMap<String, Pod>,
    listed: [bool; 4],
    /// Something to route by has changed since the last snapshot.
    pub(super) dirty: bool,
}

/// Watches in the order of [`State::listed`].
const WATCHES: [&str; 4] = ["documents", "access", "signing keys", "pods"];

/// One service.
#[derive(Debug)]
struct Found {
    document: Result<Service, Refusal>,
    /// What is in force: the newest document with all that it needs.
    good: Option<Serving>,
    refused: Option<Refusal>,
    /// Since when the document waits for a secret.
    waiting: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq)]
struct Serving {
    good: Good,
    hop: HopSecret,
}

/// What a snapshot serves.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Served {
    /// Generation by service.
    pub(super) generations: BTreeMap<String, u64>,
    /// Versions by service whose share goes elsewhere.
    pub(super) diverted: BTreeMap<String, Vec<String>>,
    /// Replicas by service and version.
    pub(super) replicas: BTreeMap<String, BTreeMap<String, usize>>,
    /// When the next of its versions retires.
    retirement: Option<Timestamp>,
}

impl State {
    /// Names of the watches that have not delivered their first list.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        WATCHES.into_iter().zip(self.listed).filter_map(|(name, listed)| (!listed).then_some(name)).collect()
    }

    /// Takes in what a watch has seen.
    pub(super) fn apply(&mut self, change: Change, now: Instant) {
        match change {
            Change::Documents(update) => {
                self.listed[0] |= update.is_list();
                self.documents(update, now);
            }
            Change::Access(update) => {
                self.listed[1] |= update.is_list();
                self.access = update.only(cluster::ACCESS).unwrap_or_default();
                for name in self.services.keys().cloned().collect::<Vec<_>>() {
                    self.join(&name, now);
                }
            }
            Change::Signing(update) => {
                self.listed[2] |= update.is_list();
                self.signing(update.only(cluster::SIGNING_KEYS).as_ref());
            }
            Change::Pods(update) => {
                self.listed[3] |= update.is_list();
                self.pods(update);
            }
        }
    }

    fn documents(&mut self, update: Update<Option<Vec<u8>>>, now: Instant) {
        match update {
            Update::Listed(all) => {
                let named = all.into_iter().filter_map(|(object, bytes)| Some((service_of(&object)?, bytes)));
                let found: BTreeMap<String, Option<Vec<u8>>> = named.collect();
                let gone = self.services.keys().filter(|name| !found.contains_key(*name));
                for name in gone.cloned().collect::<Vec<_>>() {
                    self.remove(&name);
                }
                for (name, bytes) in found {
                    self.document(&name, bytes.as_deref(), now);
                }
            }
            Update::Set(object, bytes) => {
                if let Some(name) = service_of(&object) {
                    self.document(&name, bytes.as_deref(), now);
                }
            }
            Update::Gone(object) => {
                if let Some(name) = service_of(&object) {
                    self.remove(&name);
                }
            }
        }
    }

    fn remove(&mut self, name: &str) {
        let removed = self.services.remove(name);
        self.dirty |= removed.is_some_and(|found| found.good.is_some());
    }

    fn document(&mut self, name: &str, bytes: Option<&[u8]>, now: Instant) {
        let document = read(name, bytes);
        if let Some(found) = self.services.get_mut(name) {
            found.document = document;
        } else {
            let found = Found { document, good: None, refused: None, waiting: None };
            self.services.insert(name.to_owned(), found);
        }
        self.join(name, now);
    }

    /// Puts a service's document in force if all that it needs is there.
    fn join(&mut self, name: &str, now: Instant) {
        let Some(found) = self.services.get_mut(name) else { return };
        let joined = match &found.document {
            Err(refusal) => Err(Lack::Bad(refusal.clone())),
            Ok(service) => join(service, &self.access),
        };
        if !matches!(joined, Err(Lack::Late(_))) {
            found.waiting = None;
        }
        let refused = match joined {
            Ok(serving) => {
                if found.good.as_ref() != Some(&serving) {
                    found.good = Some(serving);
                    self.dirty = true;
                }
                None
            }
            Err(Lack::Bad(refusal)) => Some(refusal),
            Err(Lack::Late(refusal)) => {
                let since = *found.waiting.get_or_insert(now);
                (now.duration_since(since) >= SECRETS_LATE).then_some(refusal)
            }
        };
        if let Some(Refusal { generation, reason }) = &refused
            && found.refused != refused
        {
            let what = if found.good.is_some() { "the last good one stays in force" } else { "there was none before" };
            tracing::warn!(service = name, generation, reason, "the document was refused; {what}");
        }
        found.refused = refused;
    }

    fn signing(&mut self, secret: Option<&Secret>) {
        let keys = match secret.map(|secret| secret.0.get(layout::SIGNING_KEYS)) {
            // The parser's own message could quote a key.
            Some(Some(bytes)) => serde_json::from_slice(bytes).map_err(|_| "does not hold signing keys"),
            Some(None) => Err("has no key signing-keys.json"),
            None => Ok(SigningKeys::default()),
        };
        match keys {
            Ok(keys) => {
                self.dirty |= self.signing != keys;
                self.signing = keys;
            }
            Err(reason) => {
                let secret = cluster::SIGNING_KEYS;
                tracing::error!(secret, reason, "the Secret was refused; the former signing keys stay in force");
            }
        }
    }

    fn pods(&mut self, update: Update<Option<Pod>>) {
        match update {
            Update::Listed(all) => {
                let pods = all.into_iter().filter_map(|(name, pod)| Some((name, pod?))).collect();
                self.dirty |= self.pods != pods;
                self.pods = pods;
            }
            Update::Set(name, Some(pod)) => {
                self.dirty |= self.pods.get(&name) != Some(&pod);
                self.pods.insert(name, pod);
            }
            Update::Set(name, None) | Update::Gone(name) => self.dirty |= self.pods.remove(&name).is_some(),
        }
    }

    /// When [`State::tick`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let late = self.services.values().filter(|found| found.refused.is_none());
        late.filter_map(|found| Some(found.waiting? + SECRETS_LATE)).min()
    }

    /// Does what only the time has brought about.
    pub(super) fn tick(&mut self, now: Instant) {
        for name in self.waiting().into_iter().map(str::to_owned).collect::<Vec<_>>() {
            self.join(&name, now);
        }
    }

    /// Services whose documents wait for a secret, and have not done so for long.
    pub(super) fn waiting(&self) -> Vec<&str> {
        let waiting = self.services.iter().filter(|(_, found)| found.waiting.is_some() && found.refused.is_none());
        waiting.map(|(name, _)| name.as_str()).collect()
    }

    fn good(&self) -> impl Iterator<Item = (&String, &Serving)> {
        self.services.iter().filter_map(|(name, found)| Some((name, found.good.as_ref()?)))
    }

    /// What to route by now.
    pub(super) fn snapshot(&mut self, sequence: u64, clock: Timestamp) -> (Snapshot, Served) {
        self.dirty = false;
        let entry = |serving: &Serving| {
            let mut service = serving.good.service.clone();
            service.drop_retired(clock);
            let (keys, hop) = (serving.good.keys.clone(), Some(serving.hop.clone()));
            Entry { service, keys, hop, replicas: BTreeMap::new() }
        };
        let mut services: BTreeMap<String, Entry> =
            self.good().map(|(name, serving)| (name.clone(), entry(serving))).collect();
        for (id, pod) in &self.pods {
            if let Some(entry) = services.get_mut(&pod.service)
                && entry.service.versions.contains_key(&pod.version)
            {
                let of_version = entry.replicas.entry(pod.version.clone()).or_default();
                of_version.push(Replica { id: id.clone(), address: Address::Tcp(pod.address.clone()) });
            }
        }
        let served = Served::of(&services);
        (Snapshot { sequence, services, signing: self.signing.clone() }, served)
    }

    /// Why documents are not served, by service.
    pub(super) fn refused(&self) -> BTreeMap<String, Refusal> {
        self.services.iter().filter_map(|(name, found)| Some((name.clone(), found.refused.clone()?))).collect()
    }

    /// What the router's Lease says.
    pub(super) fn confirmation(&self, served: &Served) -> Confirmation {
        Confirmation {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            served: served.generations.clone(),
            refused: self.refused(),
            diverted: served.diverted.clone(),
        }
    }
}

impl Served {
    fn of(services: &BTreeMap<String, Entry>) -> Self {
        let mut served = Self::default();
        for (name, entry) in services {
            served.generations.insert(name.clone(), entry.service.generation);
            let count = |version: &str| entry.replicas.get(version).map_or(0, Vec::len);
            let diverted: Vec<String> =
                documents::diverted(&entry.service, |version| count(version) > 0).map(str::to_owned).collect();
            if !diverted.is_empty() {
                served.diverted.insert(name.clone(), diverted);
            }
            let versions = &entry.service.versions;
            let counts = versions.keys().map(|version| (version.clone(), count(version))).collect();
            served.replicas.insert(name.clone(), counts);
            let retirements = versions.values().filter_map(Version::retires_at);
            served.retirement = served.retirement.into_iter().chain(retirements).min();
        }
        served
    }

    /// How long it holds, if a version retires.
    pub(super) fn holds(&self, clock: Timestamp) -> Option<Duration> {
        self.retirement.map(|at| Duration::try_from(clock.duration_until(at)).unwrap_or_default())
    }
}

/// Why a document is not in force.
enum Lack {
    /// It cannot be.
    Bad(Refusal),
    /// A secret that it needs is not there, and may be on its way.
    Late(Refusal),
}

fn read(name: &str, bytes: Option<&[u8]>) -> Result<Service, Refusal> {
    let place = place(name);
    let refusal = |generation, reason| Refusal { generation, reason };
    let bytes = bytes.ok_or_else(|| refusal(0, format!("{place} has no key {}", cluster::DOCUMENT_KEY)))?;
    let service = documents::read(bytes, &place).map_err(|reason| refusal(0, reason))?;
    documents::check(&service, name, &place).map_err(|reason| refusal(service.generation, reason))?;
    Ok(service)
}

fn join(service: &Service, access: &Secret) -> Result<Serving, Lack> {
    let (name, generation, place) = (&service.name, service.generation, place(&service.name));
    let bad = |reason: String| Lack::Bad(Refusal { generation, reason });
    let of = |key: &str| format!("the key {key} of the Secret {}", cluster::ACCESS);
    let secret = |key: &str| {
        let late = || format!("{place} needs {}, which is not there", of(key));
        access.0.get(key).ok_or_else(|| Lack::Late(Refusal { generation, reason: late() }))
    };
    let keys = match documents::keys_generation(service).map(|keys| cluster::key_digests(name, keys)) {
        Some(key) => Some(documents::digests(secret(&key)?, &of(&key)).map_err(bad)?),
        None => None,
    };
    let key = cluster::hop(name);
    let hop = String::from_utf8(secret(&key)?.trim_ascii_end().to_vec()).map(HopSecret);
    let hop = hop.ok().filter(crate::route::hop_sendable);
    let hop = hop.ok_or_else(|| bad(format!("{} is not one line of visible ASCII characters", of(&key))))?;
    let good = documents::complete(service.clone(), keys, &place).map_err(bad)?;
    Ok(Serving { good, hop })
}

fn place(service: &str) -> String {
    format!("the ConfigMap {}", cluster::document(service))
}

/// Service whose document a ConfigMap holds.
fn service_of(object: &str) -> Option<String> {
    let name = object.strip_prefix(cluster::document("").as_str());
    if name.is_none() {
        let expected = cluster::document("<service>");
        tracing::warn!(object, expected, "a ConfigMap is labelled as a document, but not named as one; it is ignored");
    }
    name.map(str::to_owned)
}

/// Address of a scorer in a pod.
pub(super) fn address(ip: &str) -> String {
    let port = wire::SCORER_PORT;
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
