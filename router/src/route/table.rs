//! The routing table: one immutable value, built from a snapshot as a whole or not at all.
//!
//! What outlives a table (loads of replicas, queues, counters) lives in the [`Registry`], and tables point to it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serving::picker::Picker;
use serving::service::{AuthMode, Kind, Sticky};
use serving::snapshot::{Address, Entry, ServiceStats, Snapshot};
use serving::{slots, token, traffic, wire};

use super::Clock;
use super::auth::keys::{Digest, Keys};
use super::auth::tokens::{Signing, TokenRule};
use super::gate::{Gate, ReplicaSet, Shared};
use super::hop::{self, Hop};
use super::replica::Replica;
use crate::config::{Upstream, ms};

/// What every thread routes by.
#[derive(Debug, Default)]
pub(super) struct Table {
    services: HashMap<Box<str>, Arc<Service>>,
    /// Digests of every service's keys, with their latest end if all of them end.
    digests: HashMap<Digest, Option<Timestamp>>,
    /// Some service wants a credential.
    guarded: bool,
    /// What tokens are signed and verified with.
    pub(super) signing: Arc<Signing>,
    /// Keys of the replicas that are listed.
    pub(super) replicas: HashSet<u64>,
}

/// A service in the table.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: Arc<str>,
    pub(super) kind: Kind,
    pub(super) access: Access,
    /// Where a request's sticky key is.
    pub(super) sticky: Option<Sticky>,
    /// What its replicas know the router by.
    pub(super) hop: Option<Arc<Hop>>,
    /// In the order of their names.
    pub(super) versions: Vec<Arc<Version>>,
    pub(super) split: Option<Split>,
    /// Place of the service's state in each thread, below the largest number of services that there ever was at once.
    pub(super) index: usize,
}

/// Who may score a service.
#[derive(Debug)]
pub(super) enum Access {
    /// Everybody.
    Anyone,
    /// Who has one of these keys.
    Keys(Keys),
    /// Who has a token for it.
    Tokens(TokenRule),
}

/// A traffic table in force.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) table: traffic::Table,
    /// Differs between any two tables that were ever put in force.
    pub(super) activation: u64,
    /// For each share, in the order of names, the place in `versions`.
    pub(super) versions: Vec<usize>,
    /// For each slot the place of its owner among the shares, if the service is sticky.
    owners: Option<Arc<[u8]>>,
}

impl Split {
    /// The share that owns a slot.
    pub(super) fn owner(&self, slot: u16) -> Option<usize> {
        let owner = usize::from(*self.owners.as_ref()?.get(usize::from(slot))?);
        (owner < self.versions.len()).then_some(owner)
    }
}

/// A version in the table.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) name: String,
    /// `azureml-model-deployment: <name>` with its line end.
    pub(super) deployment: Vec<u8>,
    /// `max_request_wait_time`.
    pub(super) wait: Duration,
    /// `scoring_timeout_ms`.
    pub(super) timeout: Duration,
    pub(super) gate: Arc<Gate>,
    pub(super) set: Arc<ReplicaSet>,
}

/// Why a snapshot cannot be served. Nothing of it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the service {service} cannot be served: {reason}")]
pub(super) struct TableError {
    service: String,
    reason: String,
}

impl Table {
    pub(super) fn service(&self, name: &str) -> Option<&Arc<Service>> {
        self.services.get(name)
    }

    /// Some service wants a credential.
    pub(super) fn guarded(&self) -> bool {
        self.guarded
    }

    /// The key of this digest is accepted by some service.
    pub(super) fn knows(&self, digest: &Digest, now: impl FnOnce() -> Timestamp) -> bool {
        self.digests.get(digest).is_some_and(|until| until.is_none_or(|until| now() < until))
    }

    fn know(&mut self, keys: &Keys) {
        for (digest, until) in keys.all() {
            let known = self.digests.entry(digest).or_insert(until);
            *known = known.zip(until).map(|(one, other)| one.max(other));
        }
    }
}

/// State that outlives the tables. Only the control thread has it.
#[derive(Debug)]
pub(super) struct Registry {
    clock: Clock,
    upstream: Upstream,
    tokens: token::Settings,
    signing: Arc<Signing>,
    replicas: HashMap<(String, Address), Arc<Replica>>,
    services: BTreeMap<String, Kept>,
    free: Vec<usize>,
    next_index: usize,
    next_replica: u64,
    next_activation: u64,
}

#[derive(Debug)]
struct Kept {
    index: usize,
    shared: Arc<Shared>,
    gates: BTreeMap<String, Arc<Gate>>,
    split: Option<InForce>,
}

/// A traffic table, and what was made of it.
#[derive(Debug)]
struct InForce {
    table: traffic::Table,
    activation: u64,
    /// Owners of the slots, once somebody needs them.
    owners: Option<Arc<[u8]>>,
}

impl InForce {
    fn owners(&mut self) -> Arc<[u8]> {
        let table = &self.table;
        let expand = || {
            let names: Vec<&str> = Picker::names(table).collect();
            if table.slots.is_empty() {
                // The document is of a time before slots; every router deals them the same way.
                return slots::reassign(&table.slots, &table.shares).expand(&names).into();
            }
            table.slots.expand(&names).into()
        };
        Arc::clone(self.owners.get_or_insert_with(expand))
    }
}

impl Kept {
    /// The version has a share that goes to another version now.
    fn diverts(&self, name: &str, gate: &Gate) -> bool {
        let Some(InForce { table, .. }) = &self.split else { return false };
        table.shares.get(name).is_some_and(|share| share.0 > 0)
            && gate.set().down()
            && table.shares.keys().any(|other| self.gates.get(other).is_some_and(|gate| !gate.set().down()))
    }
}

impl Registry {
    pub(super) fn new(clock: Clock, upstream: Upstream, tokens: token::Settings) -> Self {
        Self {
            clock,
            upstream,
            tokens,
            signing: Arc::default(),
            replicas: HashMap::new(),
            services: BTreeMap::new(),
            free: Vec::new(),
            next_index: 0,
            next_replica: 0,
            next_activation: 0,
        }
    }

    /// Builds the table of a snapshot. The state is touched only when all of it is good.
    pub(super) fn build(&mut self, snapshot: &Snapshot) -> Result<Table, TableError> {
        let mut accesses = HashMap::new();
        for (name, entry) in &snapshot.services {
            let accepted = check(name, entry).map_err(|reason| TableError { service: name.clone(), reason })?;
            accesses.insert(name, accepted);
        }
        if !self.signing.is_of(&snapshot.signing) {
            // The same value stays the same object, by which threads know that what they have verified still holds.
            self.signing = Arc::new(Signing::new(snapshot.signing.clone(), &self.tokens));
        }
        let mut table = Table { signing: Arc::clone(&self.signing), ..Table::default() };
        for (name, entry) in &snapshot.services {
            let Some(access) = accesses.remove(name) else { continue };
            let service = self.service(name, entry, access);
            if let Access::Keys(keys) = &service.access {
                table.know(keys);
            }
            table.guarded |= !matches!(service.access, Access::Anyone);
            table
                .replicas
                .extend(service.versions.iter().flat_map(|version| &version.set.replicas).map(|replica| replica.key));
            table.services.insert(name.as_str().into(), Arc::new(service));
        }
        Ok(table)
    }

    /// Puts a table's replicas in force for those who wait, and forgets what it does not list. Called after every thread
    /// can see the table.
    pub(super) fn commit(&mut self, table: &Table) {
        for (name, kept) in &mut self.services {
            let service = table.service(name);
            for version in
                service.into_iter().flat_map(|service| &service.versions).filter(|version| !version.set.down())
            {
                version.gate.counters.serves_again(name, &version.name);
            }
            kept.gates.retain(|version, gate| {
                let listed = service.and_then(|service| service.versions.iter().find(|known| known.name == *version));
                match listed {
                    Some(version) => gate.install(Arc::clone(&version.set)),
                    None => gate.close(),
                }
                listed.is_some()
            });
            kept.shared.set_gates(kept.gates.values().map(Arc::downgrade).collect());
        }
        let free = &mut self.free;
        self.services.retain(|name, kept| {
            let listed = table.service(name).is_some();
            if !listed {
                free.push(kept.index);
            }
            listed
        });
        self.replicas.retain(|_, replica| table.replicas.contains(&replica.key));
    }

    /// Counters by service.
    pub(super) fn stats(&self) -> BTreeMap<String, ServiceStats> {
        use std::sync::atomic::Ordering::SeqCst;

        let service = |kept: &Kept| ServiceStats {
            queued: kept.shared.queued.load(SeqCst) as u64,
            versions: kept
                .gates
                .iter()
                .map(|(name, gate)| (name.clone(), gate.counters.read(kept.diverts(name, gate))))
                .collect(),
        };
        self.services.iter().map(|(name, kept)| (name.clone(), service(kept))).collect()
    }

    fn service(&mut self, name: &str, entry: &Entry, access: Access) -> Service {
        let sets: Vec<Arc<ReplicaSet>> = entry
            .service
            .versions
            .iter()
            .map(|(version, document)| {
                let replicas = entry.replicas.get(version).into_iter().flatten();
                Arc::new(ReplicaSet {
                    limit: document.replica_max_concurrent_requests,
                    replicas: replicas.map(|replica| self.replica(&replica.id, &replica.address)).collect(),
                })
            })
            .collect();
        let (clock, upstream) = (&self.clock, &self.upstream);
        let (free, next) = (&mut self.free, &mut self.next_index);
        let kept = self.services.entry(name.to_owned()).or_insert_with(|| {
            let index = free.pop().unwrap_or_else(|| {
                *next += 1;
                *next - 1
            });
            Kept { index, shared: Arc::default(), gates: BTreeMap::new(), split: None }
        });
        let versions = entry.service.versions.iter().zip(sets).map(|((version, document), set)| {
            let gate = kept.gates.entry(version.clone()).or_insert_with(|| {
                let gate = Arc::new(Gate::new(clock.clone(), upstream.clone(), Arc::clone(&kept.shared)));
                // Nobody waits there yet, and the first who comes may come before the commit.
                gate.install(Arc::clone(&set));
                gate
            });
            Arc::new(Version {
                name: version.clone(),
                deployment: format!("{}: {version}\r\n", wire::DEPLOYMENT).into_bytes(),
                wait: ms(document.max_request_wait_time),
                timeout: ms(document.scoring_timeout_ms),
                gate: Arc::clone(gate),
                set,
            })
        });
        let versions: Vec<Arc<Version>> = versions.collect();
        if entry.service.served.is_none() {
            kept.split = None;
        }
        let split = entry.service.served.as_ref().map(|served| {
            if kept.split.as_ref().is_none_or(|in_force| in_force.table != *served) {
                self.next_activation += 1;
                let activation = self.next_activation;
                kept.split = Some(InForce { table: served.clone(), activation, owners: None });
            }
            let owners = kept.split.as_mut().filter(|_| entry.service.sticky.is_some()).map(InForce::owners);
            let place = |name: &str| versions.iter().position(|version| version.name == name);
            Split {
                table: served.clone(),
                activation: kept.split.as_ref().map_or(0, |in_force| in_force.activation),
                owners,
                versions: Picker::names(served).filter_map(place).collect(),
            }
        });
        let sticky = entry.service.sticky.clone();
        let hop = entry.hop.as_ref().map(|secret| Arc::new(Hop::new(secret)));
        Service { name: name.into(), kind: entry.service.kind, access, sticky, hop, versions, split, index: kept.index }
    }

    fn replica(&mut self, id: &str, address: &Address) -> Arc<Replica> {
        let next = &mut self.next_replica;
        let replica = self.replicas.entry((id.to_owned(), address.clone())).or_insert_with(|| {
            *next += 1;
            Arc::new(Replica::new(*next, id.to_owned(), address.clone()))
        });
        Arc::clone(replica)
    }
}

/// Whether an entry can be served, and to whom.
pub(super) fn check(name: &str, entry: &Entry) -> Result<Access, String> {
    let service = &entry.service;
    if service.name != name {
        return Err(format!("its document names it {}", service.name));
    }
    for (version, document) in &service.versions {
        if document.replica_max_concurrent_requests == 0 {
            return Err(format!("its version {version} allows no request"));
        }
        if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it has a version whose name cannot be a header's value".to_owned());
        }
    }
    if let Some(version) = entry.replicas.keys().find(|version| !service.versions.contains_key(*version)) {
        return Err(format!("it lists replicas of the version {version}, which it does not have"));
    }
    if let Some(served) = &service.served {
        if Picker::for_table(served).is_none() {
            return Err("the default of its traffic table has no share".to_owned());
        }
        if let Some(version) = Picker::names(served).find(|version| !service.versions.contains_key(*version)) {
            return Err(format!("its traffic table names the version {version}, which it does not have"));
        }
    }
    if entry.hop.as_ref().is_some_and(|secret| !hop::sendable(secret)) {
        return Err("its hop secret is not one line of visible ASCII characters".to_owned());
    }
    match (service.auth.mode, &entry.keys) {
        (AuthMode::None, _) => Ok(Access::Anyone),
        (AuthMode::Token, _) => Ok(Access::Tokens(TokenRule::of(service))),
        (AuthMode::Key, None) => Err("it wants keys, but the snapshot brings none".to_owned()),
        (AuthMode::Key, Some(keys)) => Keys::read(keys).map(Access::Keys),
    }
}
