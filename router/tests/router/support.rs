//! A router in this process, replicas that do what a test says, and a client that says exactly what it is told.

pub(crate) mod client;
pub(crate) mod issuer;
pub(crate) mod replica;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use azureml_fe::config::Config;
use azureml_fe::route::{self, RouteError};
use serde_json::{Value, json};
use serving::service::{KeyDigests, Keys, ReplacedKey};
use serving::slots::{self, SlotMap};
use serving::snapshot::{Address, Entry, FromWorker, HopSecret, Replica, ServiceStats, Snapshot, ToWorker};
use serving::token::SigningKeys;
use serving::traffic::BasisPoints;

pub(crate) use client::Client;
pub(crate) use replica::TestReplica;

/// The key of every service that wants one.
pub(crate) const KEY: &str = "correct-horse-battery-staple";

/// Longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// A running router worker.
pub(crate) struct Router {
    pub(crate) address: SocketAddr,
    listener: TcpListener,
    control: Option<BufReader<UnixStream>>,
    thread: Option<JoinHandle<Result<(), RouteError>>>,
    sequence: u64,
    signing: SigningKeys,
}

impl Router {
    /// Starts a worker with these services.
    pub(crate) fn start(config: Config, services: &[&TestService]) -> Self {
        Self::signing(config, services, SigningKeys::default())
    }

    /// Starts a worker that signs tokens with these keys.
    pub(crate) fn signing(config: Config, services: &[&TestService], signing: SigningKeys) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").expect("a free port"), config, services, signing)
    }

    /// Starts another worker on the same socket.
    pub(crate) fn successor(&self, config: Config, services: &[&TestService]) -> Self {
        Self::on(self.listener.try_clone().expect("a descriptor"), config, services, self.signing.clone())
    }

    fn on(listener: TcpListener, config: Config, services: &[&TestService], signing: SigningKeys) -> Self {
        let address = listener.local_addr().expect("an address");
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        ours.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let shared = listener.try_clone().expect("a descriptor");
        let thread = std::thread::spawn(move || route::run(config, shared, theirs));
        let mut router =
            Self { address, listener, control: Some(BufReader::new(ours)), thread: Some(thread), sequence: 0, signing };
        router.apply(services);
        router
    }

    /// The usual configuration, with a quiet log.
    pub(crate) fn config() -> Config {
        let mut config = Config { threads: 2, ..Config::default() };
        config.log.access = false;
        config
    }

    /// Puts other signing keys in force.
    pub(crate) fn rotate(&mut self, services: &[&TestService], signing: SigningKeys) {
        self.signing = signing;
        self.apply(services);
    }

    /// Puts other services in force, and waits for the confirmation.
    pub(crate) fn apply(&mut self, services: &[&TestService]) {
        let sequence = self.offer(services);
        assert!(
            matches!(self.receive(), FromWorker::Serving { sequence: served } if served == sequence),
            "the confirmation of the snapshot"
        );
    }

    /// Sends a snapshot without waiting; its number.
    pub(crate) fn offer(&mut self, services: &[&TestService]) -> u64 {
        self.sequence += 1;
        let services = services.iter().map(|service| (service.name.clone(), service.entry())).collect();
        self.send(&ToWorker::Snapshot(Box::new(Snapshot {
            sequence: self.sequence,
            services,
            signing: self.signing.clone(),
        })));
        self.sequence
    }

    /// The worker's counters.
    pub(crate) fn stats(&mut self) -> BTreeMap<String, ServiceStats> {
        self.send(&ToWorker::Stats { id: 7 });
        match self.receive() {
            FromWorker::Stats { id: 7, services } => services,
            other => panic!("not the counters: {other:?}"),
        }
    }

    /// Asks the worker to finish and stop.
    pub(crate) fn drain(&mut self) {
        self.send(&ToWorker::Drain);
    }

    /// Asks the worker to finish what runs and stop at once.
    pub(crate) fn stop(&mut self) {
        self.send(&ToWorker::Stop);
    }

    /// Waits for the worker's end.
    pub(crate) fn join(mut self) -> Result<(), RouteError> {
        self.thread.take().expect("running").join().expect("no panic")
    }

    /// Closes the control channel, as the death of the supervisor would.
    pub(crate) fn abandon(mut self) -> Result<(), RouteError> {
        self.control = None;
        self.thread.take().expect("running").join().expect("no panic")
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    fn send(&mut self, order: &ToWorker) {
        let mut line = serde_json::to_vec(order).expect("serialises");
        line.push(b'\n');
        self.control.as_mut().expect("open").get_mut().write_all(&line).expect("the worker reads");
    }

    pub(crate) fn receive(&mut self) -> FromWorker {
        let mut line = String::new();
        self.control.as_mut().expect("open").read_line(&mut line).expect("an answer in time");
        serde_json::from_str(&line).expect("an answer")
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.control = None;
        if let Some(thread) = self.thread.take()
            && !std::thread::panicking()
        {
            thread.join().expect("no panic").expect("a good end");
        }
    }
}

/// A service document with its replicas.
#[derive(Clone)]
pub(crate) struct TestService {
    pub(crate) name: String,
    pub(crate) endpoint: bool,
    pub(crate) keyed: bool,
    pub(crate) tokens: bool,
    /// Keys that are accepted for a while.
    pub(crate) replaced: Vec<ReplacedKey>,
    pub(crate) versions: Vec<TestVersion>,
    /// The version of the largest share if not given.
    pub(crate) default: Option<String>,
    /// As in the document, for example `{"header": "x-user"}`.
    pub(crate) sticky: Option<Value>,
    /// Owners of the slots; dealt by the order of names if empty.
    pub(crate) slots: SlotMap,
    /// The hop secret of its replicas.
    pub(crate) hop: Option<String>,
}

#[derive(Clone)]
pub(crate) struct TestVersion {
    pub(crate) name: String,
    /// Hundredths of a percent.
    pub(crate) share: u16,
    pub(crate) limit: u32,
    pub(crate) wait_ms: u64,
    pub(crate) timeout_ms: u64,
    pub(crate) replicas: Vec<Replica>,
}

impl TestService {
    /// A webservice with a key and one version.
    pub(crate) fn new(name: &str, replicas: &[&TestReplica]) -> Self {
        Self {
            name: name.into(),
            endpoint: false,
            keyed: true,
            tokens: false,
            replaced: vec![],
            versions: vec![TestVersion::new(name, 10_000, replicas)],
            default: None,
            sticky: None,
            slots: SlotMap::default(),
            hop: None,
        }
    }

    /// An endpoint without a key.
    pub(crate) fn endpoint(name: &str, versions: Vec<TestVersion>) -> Self {
        Self {
            name: name.into(),
            endpoint: true,
            keyed: false,
            tokens: false,
            replaced: vec![],
            versions,
            default: None,
            sticky: None,
            slots: SlotMap::default(),
            hop: None,
        }
    }

    /// The version that gets what no other can serve.
    pub(crate) fn default(mut self, version: &str) -> Self {
        self.default = Some(version.into());
        self
    }

    /// Keeps callers on one version.
    pub(crate) fn sticky(mut self, sticky: Value) -> Self {
        self.sticky = Some(sticky);
        self
    }

    /// Changes the shares, moving the fewest slots.
    pub(crate) fn shares(mut self, shares: &[u16]) -> Self {
        for (version, share) in self.versions.iter_mut().zip(shares) {
            version.share = *share;
        }
        let shares = self.versions.iter().map(|version| (version.name.clone(), BasisPoints(version.share))).collect();
        self.slots = slots::reassign(&self.slots, &shares);
        self
    }

    /// Changes the only version.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut TestVersion)) -> Self {
        change(&mut self.versions[0]);
        self
    }

    pub(crate) fn anonymous(mut self) -> Self {
        self.keyed = false;
        self
    }

    /// Presents this secret to its replicas.
    pub(crate) fn hop(mut self, secret: &str) -> Self {
        self.hop = Some(secret.into());
        self
    }

    /// Wants tokens instead of a key.
    pub(crate) fn tokens(mut self) -> Self {
        (self.keyed, self.tokens) = (false, true);
        self
    }

    /// Its scoring path.
    pub(crate) fn path(&self) -> String {
        format!("/api/v1/{}/{}/score", if self.endpoint { "endpoint" } else { "service" }, self.name)
    }

    pub(crate) fn entry(&self) -> Entry {
        let shares: BTreeMap<&str, u16> =
            self.versions.iter().map(|version| (version.name.as_str(), version.share)).collect();
        let largest = || self.versions.iter().max_by_key(|version| version.share).map(|version| version.name.clone());
        let default = self.default.clone().or_else(largest);
        let versions: BTreeMap<&str, Value> = (self.versions.iter().zip(1..))
            .map(|(version, sequence)| (version.name.as_str(), version.document(sequence)))
            .collect();
        let document = json!({
            "schema_version": 1, "generation": 1, "name": self.name,
            "kind": if self.endpoint { "endpoint" } else { "webservice" },
            "workspace": "file:///workspace", "owner": "test", "committed": true,
            "created_time": "2026-01-01T00:00:00Z", "updated_time": "2026-01-01T00:00:00Z",
            "auth": match (self.keyed, self.tokens) {
                (true, _) => json!({"mode": "key", "keys": 1}),
                (false, true) => json!({"mode": "token"}),
                (false, false) => json!({"mode": "none"}),
            },
            "versions": versions,
            "served": default.map(|default| json!({"default": default, "shares": shares, "slots": self.slots})),
            "sticky": self.sticky,
        });
        let keys: Keys = serde_json::from_value(json!({
            "primary": {"key": KEY, "version": 1}, "secondary": {"key": "another-key-that-is-long", "version": 1},
        }))
        .expect("keys");
        let mut digests: KeyDigests = keys.digests();
        digests.expiring.clone_from(&self.replaced);
        Entry {
            service: serde_json::from_value(document).expect("a service document"),
            keys: self.keyed.then_some(digests),
            hop: self.hop.clone().map(HopSecret),
            replicas: self.versions.iter().map(|version| (version.name.clone(), version.replicas.clone())).collect(),
        }
    }
}

impl TestVersion {
    pub(crate) fn new(name: &str, share: u16, replicas: &[&TestReplica]) -> Self {
        Self {
            name: name.into(),
            share,
            limit: 1,
            wait_ms: 10_000,
            timeout_ms: 15_000,
            replicas: replicas.iter().map(|replica| replica.listed()).collect(),
        }
    }

    fn document(&self, sequence: u64) -> Value {
        json!({
            "sequence": sequence, "declared": {"traffic": self.share}, "scale": {"fixed": self.replicas.len().max(1)},
            "replica_max_concurrent_requests": self.limit, "max_request_wait_time": self.wait_ms,
            "scoring_timeout_ms": self.timeout_ms,
            "template": {
                "models": [],
                "code": {"digest": format!("sha256:{}", "0".repeat(64)), "directory": "source", "entry_script": "score.py"},
                "environment": {
                    "id": "file:///workspace/environments/e", "version": 1, "hash": "h", "build_key": "b", "prefix": "/venv",
                },
            },
        })
    }
}

/// A replica whose socket nobody listens on.
pub(crate) fn dead_replica(id: &str) -> Replica {
    Replica { id: id.into(), address: Address::Unix(format!("/nonexistent/{id}.sock")) }
}

/// Waits until a condition holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    until(what, || condition().then_some(()));
}

/// Waits until something is found.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
