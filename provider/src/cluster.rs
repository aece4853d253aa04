//! Where services run.
//!
//! [`Cluster`] is what the resources of services need of a place, whatever it is made of. How its router is installed
//! and upgraded differs too much between places for one signature (a port and a program here, a namespace and replicas
//! there), so each implementation offers that to its own resource.

pub mod deploy;
pub mod endpoint;
mod error;
mod id;
pub mod keys;
pub mod kubernetes;
#[cfg(unix)]
pub mod local;
mod tokens;
pub mod wait;

use std::fmt::Debug;

use async_trait::async_trait;
use serving::admin::ServiceStatus;
use serving::pod::Pod;
use serving::service::{Keys, Service, Template, Version};
use serving::token::Issued;

pub use error::{Error, StartProblem};
pub use id::{EndpointId, EndpointVersionId, ServiceId, ServiceIdError, TrafficId, open};

use crate::workspace::Catalogue;

/// A place that runs services.
///
/// Names are checked names of services (see [`serving::name::webservice`]); they become file and object names as they
/// are.
#[async_trait]
pub trait Cluster: Debug + Send + Sync {
    /// Id of the compute, for messages.
    fn id(&self) -> &str;

    /// What replicas are here.
    fn replicas(&self) -> Replicas;

    /// Whether the router runs, and which.
    async fn router(&self) -> Result<Router, Error>;

    /// URL that the router answers on, without a trailing slash. Known also while the router is down.
    async fn base_url(&self) -> Result<String, Error>;

    /// Names of all services, sorted.
    async fn services(&self) -> Result<Vec<String>, Error>;

    /// A service's document; none if there is no such service.
    async fn service(&self, name: &str) -> Result<Option<Service>, Error>;

    /// Writes a document if the present one still has the generation `expected` (`None`: if there is none), else fails
    /// with [`Error::Conflict`]. The router learns of it at once.
    async fn put_service(&self, service: &Service, expected: Option<u64>) -> Result<(), Error>;

    /// Removes a document, whatever its generation. Not an error if there is none.
    async fn delete_service(&self, name: &str) -> Result<(), Error>;

    /// Removes what else belongs to a service that has no document any more: its keys and, unless `keep_logs`, its logs.
    /// May fail with [`Error::Conflict`] if it has one.
    async fn forget_service(&self, name: &str, keep_logs: bool) -> Result<(), Error>;

    /// A service's keys of a generation; none if they are not there.
    async fn keys(&self, service: &str, generation: u64) -> Result<Option<Keys>, Error>;

    /// Stores keys, for good, under the next free generation, which it returns. They are in force when a document names
    /// it.
    async fn put_keys(&self, service: &str, keys: &Keys) -> Result<u64, Error>;

    /// Issues a token for a service of the mode `token`, valid for the `lifetime` in seconds, else for the usual one. Needs no
    /// running router, and changes nothing.
    async fn issue_token(&self, service: &Service, lifetime: Option<u64>) -> Result<Issued, Error>;

    /// Removes all generations of keys but `keep`.
    async fn retire_keys(&self, service: &str, keep: u64) -> Result<(), Error>;

    /// Gets ready what replicas of the template need before they can start.
    async fn prepare(&self, catalogue: &Catalogue, template: &Template) -> Result<(), Error>;

    /// Whether changing the version of this name of a service to `wanted` replaces replicas or changes their number.
    fn moves_replicas(&self, service: &Service, name: &str, wanted: &Version) -> bool {
        let replicas = |version: &Version| (version.template.revision(), version.scale.clone());
        service.versions.get(name).map(replicas) != Some(replicas(wanted))
    }

    /// What the router says of a service: none if it does not know it (yet, or any more).
    ///
    /// Fails with [`Error::NotRunning`] when there is no router.
    async fn observe(&self, name: &str) -> Result<Option<ServiceStatus>, Error>;

    /// What replicas with these settings ask for and nothing in the cluster has.
    async fn shortage(&self, _pod: &Pod) -> Result<Option<Shortage>, Error> {
        Ok(None)
    }

    /// The last lines that each replica of the service logged.
    async fn logs(&self, name: &str, lines: usize) -> Result<Vec<ReplicaLog>, Error>;

    /// Removes what no document and no replica uses any more.
    async fn sweep(&self) -> Result<(), Error>;
}

/// What replicas are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replicas {
    /// Processes of this machine, in virtual environments.
    Processes,
    /// Pods, from images.
    Pods,
}

/// What is asked for and not to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The attribute that asks for it, or for the first of several.
    pub attribute: &'static str,
    /// What is short, as a clause.
    pub reason: String,
}

/// State of a compute's router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Router {
    /// It answers.
    Running {
        /// Version of the running program.
        version: String,
    },
    /// It does not run.
    Stopped,
}

/// Log of one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaLog {
    /// Version of the service.
    pub version: String,
    /// Id of the replica.
    pub replica: String,
    /// Its last lines, with line breaks.
    pub text: String,
}
