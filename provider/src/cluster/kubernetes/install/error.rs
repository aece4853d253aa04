use serving::cluster::Ownership;

use super::super::api::{ApiError, Problem};
use super::ready::NotReady;
use crate::cluster::Error;
use crate::diagnostics::Blame;

/// Why a namespace was not attached, or not detached.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// It is another's.
    #[error(
        "the namespace {namespace} of connection {connection} belongs to compute {} of workspace {}, attached by {}; choose another `namespace`, or destroy that attachment first",
        found.compute, found.workspace, found.owner
    )]
    Foreign {
        /// The namespace.
        namespace: String,
        /// The connection.
        connection: String,
        /// Whose it is.
        found: Ownership,
    },
    /// Somebody removes what is made.
    #[error(
        "something removes or changes what is made in namespace {namespace} at the same time; run terraform apply again"
    )]
    Vanished {
        /// The namespace.
        namespace: String,
    },
    /// The router does not get ready.
    #[error(transparent)]
    NotReady(#[from] Box<NotReady>),
    /// It cannot be told how callers reach the router.
    #[error("it cannot be told how callers reach the router: {problem}; set `external_url` to the URL that they use")]
    NoAddress {
        /// Why.
        problem: String,
    },
    /// The cluster is too small.
    #[error(
        "the cluster has {found} cores on {nodes} nodes, but {purpose} wants {wanted}; add nodes, choose another `cluster_purpose`, or do not set `enforce_capacity`"
    )]
    TooSmall {
        /// Cores of all nodes.
        found: f64,
        /// Their number.
        nodes: usize,
        /// The purpose.
        purpose: &'static str,
        /// What it wants.
        wanted: f64,
    },
    /// Objects do not go.
    #[error("these objects of namespace {namespace} were deleted, but are still there: {}; whoever set their finalizers has to remove them", left.join(", "))]
    StillThere {
        /// The namespace.
        namespace: String,
        /// What is left, with the finalizers.
        left: Vec<String>,
    },
    /// The operation was interrupted.
    #[error("it was interrupted while {doing}; run terraform apply again to go on")]
    Interrupted {
        /// What was being done.
        doing: String,
    },
    /// The API server did not do what it was asked to.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The workspace's storage cannot be read by pods.
    #[error(transparent)]
    Storage(#[from] crate::storage::StorageError),
    /// Anything else.
    #[error(transparent)]
    Cluster(#[from] Error),
}

impl From<NotReady> for InstallError {
    fn from(error: NotReady) -> Self {
        Self::NotReady(Box::new(error))
    }
}

impl Blame for InstallError {
    fn attribute(&self) -> Option<&'static str> {
        match self {
            Self::Foreign { .. } => Some("namespace"),
            Self::NoAddress { .. } => Some("external_url"),
            Self::TooSmall { .. } => Some("cluster_purpose"),
            Self::Cluster(error) => error.attribute(),
            Self::Api(error) => match &error.problem {
                Problem::Forbidden(_)
                | Problem::Unauthorized
                | Problem::Credentials(_)
                | Problem::Unreachable(_)
                | Problem::Unserved
                | Problem::Certificate(_) => Some("connection"),
                Problem::Terminating | Problem::Absent(_) => Some("namespace"),
                Problem::Conflict(_) => Some("force_conflicts"),
                Problem::Refused(message) if message.contains("nodePort") => Some("router"),
                _ => None,
            },
            _ => None,
        }
    }
}
