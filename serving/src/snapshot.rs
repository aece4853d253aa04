//! What a router worker needs to route: every service with its key digests and its live replicas.
//!
//! On the local compute the supervisor sends snapshots to `azureml-fe route` as JSON lines over a socket pair; in a
//! cluster the router builds the same value from its watches.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::service::{KeyDigests, Service};
use crate::token::SigningKeys;

/// The whole routing input, replaced as one value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Counts the snapshots of one supervisor process, from 1. The worker confirms it with [`FromWorker::Serving`].
    pub sequence: u64,
    /// Services by name.
    pub services: BTreeMap<String, Entry>,
    /// Keys that tokens are signed and verified with.
    #[serde(default)]
    pub signing: SigningKeys,
}

/// One service in a [`Snapshot`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The document.
    pub service: Service,
    /// Digests of the accepted keys; `None` unless the mode is `key`.
    pub keys: Option<KeyDigests>,
    /// Hop secret of the service, which its scorers ask for; none on the local compute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hop: Option<HopSecret>,
    /// Ready replicas by version.
    pub replicas: BTreeMap<String, Vec<Replica>>,
}

/// The secret by which a scorer knows its router: visible ASCII. Never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HopSecret(pub String);

impl std::fmt::Debug for HopSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HopSecret(..)")
    }
}

/// A replica that takes requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Unique over the supervisor's life, for example `diabetes-0a1b2c3d4e5f6071-3`. Names log files and sockets.
    pub id: String,
    /// Where it listens.
    pub address: Address,
}

/// Address of a scorer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    /// Unix socket, relative to the compute directory, which is the worker's working directory.
    Unix(String),
    /// `host:port`.
    Tcp(String),
}

/// Supervisor to worker, one JSON object a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToWorker {
    /// Serve this from now on.
    Snapshot(Box<Snapshot>),
    /// Send the counters.
    Stats {
        /// Echoed in the answer.
        id: u64,
    },
    /// Another worker takes the callers over: accept no more of them, answer on open connections until each caller was
    /// told that its connection closes or has not used it for long, then exit. Snapshots and questions go on.
    Drain,
    /// Nobody answers any more: accept no more callers, finish what is in flight, close every other connection, exit.
    /// Also while draining.
    Stop,
}

/// Worker to supervisor, one JSON object a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromWorker {
    /// Every thread of the worker routes by this snapshot.
    Serving {
        /// [`Snapshot::sequence`].
        sequence: u64,
    },
    /// Answer to [`ToWorker::Stats`].
    Stats {
        /// Id of the question.
        id: u64,
        /// Counters by service.
        services: BTreeMap<String, ServiceStats>,
    },
}

/// Counters of one service since the worker started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceStats {
    /// Requests waiting for a slot now.
    pub queued: u64,
    /// By version.
    pub versions: BTreeMap<String, VersionStats>,
}

/// Counters of one version since the worker started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VersionStats {
    /// Requests that were routed to the version and answered.
    pub requests: u64,
    /// Of these, answers of status 500 and above.
    pub errors: u64,
    /// Requests in flight now.
    pub in_flight: u64,
    /// Sum of the answered requests' latency in microseconds, queueing included.
    pub latency_us_total: u64,
    /// Half of the answered requests took at most so many microseconds, within 7 %.
    #[serde(default)]
    pub latency_us_p50: u64,
    /// 99 of 100 answered requests took at most so many microseconds, within 7 %.
    #[serde(default)]
    pub latency_us_p99: u64,
    /// Requests that were the version's by weight or by their sticky key and went to another one, because it had no ready
    /// replica.
    #[serde(default)]
    pub diverted: u64,
    /// It has no ready replica while another version of its endpoint has: its share goes there now.
    #[serde(default)]
    pub diverting: bool,
}
