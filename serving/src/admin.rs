//! The supervisor's admin protocol on the local compute: one JSON [`Request`] a line, one JSON [`Response`] a line,
//! over the owner-only unix socket `admin.sock` in the compute directory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::snapshot::ServiceStats;

/// A question or an order to the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "op")]
pub enum Request {
    /// Read the documents again now, then answer [`Response::Status`].
    Sync,
    /// Answer [`Response::Status`].
    Status,
    /// Answer [`Response::Stats`] with the worker's counters.
    Stats,
    /// Issue a token for a service of the mode `token`; answer [`Response::Token`].
    Token {
        /// Name of the service.
        service: String,
        /// Lifetime in seconds, within the configured bounds; the usual one if none is given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lifetime: Option<u64>,
    },
    /// Replace the running program by another executable; listeners and scorers stay. Answers
    /// [`Response::Done`] before the supervisor executes the new program.
    Upgrade {
        /// Absolute path of the new `azureml-fe`.
        executable: String,
    },
    /// Drain and stop everything, then exit. Answers [`Response::Done`] when all is stopped.
    Stop,
}

/// The supervisor's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum Response {
    /// State of everything.
    Status(Status),
    /// Counters by service.
    Stats {
        /// By service name.
        services: BTreeMap<String, ServiceStats>,
    },
    /// A token.
    Token(crate::token::Issued),
    /// The order was carried out.
    Done,
    /// It could not be done.
    Error {
        /// What failed and why.
        message: String,
    },
}

/// State of the compute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the running `azureml-fe`, as `azureml-fe --version` prints it after its name.
    pub version: String,
    /// Process id of the supervisor.
    pub pid: u32,
    /// Process id of the router worker, while one runs.
    pub worker_pid: Option<u32>,
    /// `host:port` that the router answers on.
    pub address: String,
    /// By service name.
    pub services: BTreeMap<String, ServiceStatus>,
}

/// State of one service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Generation of the newest document that was read and found good.
    pub accepted_generation: u64,
    /// Generation that the worker serves.
    pub served_generation: u64,
    /// Why the document on disk was refused, while the last good one stays in force.
    pub refused: Option<String>,
    /// By version name.
    pub versions: BTreeMap<String, VersionStatus>,
}

/// State of one version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VersionStatus {
    /// [`crate::service::Template::revision`] that the document wants.
    pub revision: String,
    /// Wanted replicas.
    pub desired_replicas: u32,
    /// Replicas of the wanted revision that are ready.
    pub updated_replicas: u32,
    /// Ready replicas of any revision that take requests.
    pub available_replicas: u32,
    /// Every process of the version, old and new.
    pub replicas: Vec<ReplicaStatus>,
    /// Why the wanted revision does not become ready, from the newest failure; cleared when it is.
    pub failure: Option<Failure>,
    /// The version has a share of its endpoint's traffic and no ready replica, while another version has one: its share
    /// goes there now, to the default first.
    #[serde(default)]
    pub diverted: bool,
    /// In a cluster: what of the version's objects was removed or edited since it was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drifted: Option<String>,
}

impl VersionStatus {
    /// The wanted revision, and only it, serves with all replicas.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.updated_replicas == self.desired_replicas
            && self
                .replicas
                .iter()
                .all(|replica| replica.revision == self.revision && replica.state == ReplicaState::Ready)
    }
}

/// One scorer process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    /// As in [`crate::snapshot::Replica`].
    pub id: String,
    /// Template revision that it runs.
    pub revision: String,
    /// Process id.
    pub pid: u32,
    /// Where it stands.
    pub state: ReplicaState,
    /// How often the replica in this place was started again after it died.
    pub restarts: u32,
}

/// Life of a scorer process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    /// `init()` is running.
    Starting,
    /// Takes requests.
    Ready,
    /// Finishes its requests and exits.
    Draining,
    /// Died and waits for its next start.
    BackOff,
}

/// Why a replica failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable name of the reason.
    pub reason: FailureReason,
    /// One sentence for people: for a script, file, line and message.
    pub message: String,
    /// Traceback of the exception, if Python raised one.
    pub traceback: Option<String>,
    /// Exit code, or the negative signal number.
    pub exit_code: Option<i32>,
    /// The last lines of the replica's log, at most 50.
    pub log_tail: Vec<String>,
    /// Consecutive failures of this revision.
    pub count: u32,
    /// More of the same will not help: the script or its environment must change.
    pub terminal: bool,
}

/// Reasons of [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// The entry script could not be imported (syntax error, missing package, exception at import).
    ImportFailed,
    /// The entry script lacks `init` or `run`, or `run` has a signature that cannot be called.
    InvalidScript,
    /// `init()` raised.
    InitFailed,
    /// `init()` did not return within the progress deadline.
    InitTimeout,
    /// The process ended before it was ready, without saying why.
    Crashed,
    /// The process could not be started (no interpreter, no app directory).
    StartFailed,
    /// The cluster cannot start the container: something that the pod names is missing or wrong.
    ContainerNotStarted,
    /// The container runs, but does not answer the cluster's probes.
    ProbeFailed,
    /// Code or models could not be fetched from the workspace's storage.
    FetchFailed,
    /// The replica was killed for using more memory than it may.
    OutOfMemory,
    /// No node of the cluster takes the pod.
    Unschedulable,
    /// No node of the cluster takes the pod, and its autoscaler adds some.
    AddingNodes,
    /// The registry does not give the image.
    ImagePull,
    /// A quota of the namespace is used up.
    Quota,
    /// The cluster refuses the pod.
    Admission,
    /// The node has ended the pod.
    Evicted,
}

/// What a scorer tells its supervisor over the control descriptor, one JSON object a line. In a pod the
/// `failed` event is written to the termination log instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum ScorerEvent {
    /// `init()` returned and requests are answered.
    Ready,
    /// The scorer gives up and exits with code 3.
    Failed {
        /// Stable name of the reason.
        reason: FailureReason,
        /// One sentence: file, line and message.
        message: String,
        /// Python's traceback.
        traceback: Option<String>,
    },
}
