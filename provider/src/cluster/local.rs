//! The local compute: router and scorers as processes of this machine, everything else as files of one directory.
//!
//! See [`serving::layout`] for what is where. Beside that, `compute.json` says whose directory it is, and
//! `bin/azureml-fe` is a link to the program in use.

mod admin;
mod app;
mod config;
mod documents;
mod files;
mod key_files;
mod logs;
pub mod machine;
mod owner;
pub mod program;
mod supervisor;
mod tokens;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serving::admin::{Request, Response, ServiceStatus, Status};
use serving::layout;
use serving::service::{Keys, Service, Template};
use serving::token::{Issued, Issuer};

pub use config::{Listen, free_port};
pub use supervisor::Liveness;

use super::{Cluster, Error, ReplicaLog, Replicas, Router};
use crate::workspace::Catalogue;
use crate::workspace::document::ComputeLocation;
use machine::Machine;

/// Processes and files below one directory. Cheap to clone; opening touches nothing.
#[derive(Clone, Debug)]
pub struct LocalCluster {
    id: Arc<str>,
    directory: Arc<Path>,
}

impl LocalCluster {
    /// The compute of this id in this directory, an absolute path.
    #[must_use]
    pub fn new(id: &str, directory: &Path) -> Self {
        Self { id: id.into(), directory: directory.into() }
    }

    /// The compute of this id at its recorded location; an error if that is another machine.
    pub fn of(id: &str, location: &ComputeLocation) -> Result<Self, Error> {
        let (machine, host, directory) = match location {
            ComputeLocation::Local { machine, host, directory } => (machine, host, directory),
            ComputeLocation::Kubernetes { namespace, .. } => {
                return Err(Error::NotLocal { compute: id.to_owned(), namespace: namespace.clone() });
            }
        };
        let here = Machine::this();
        if *machine != here.id {
            return Err(Error::OtherMachine { compute: id.to_owned(), host: host.clone(), here: here.host });
        }
        Ok(Self::new(id, Path::new(directory)))
    }

    /// The compute's directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the directory, readable only by its owner, and marks it as this compute's. One that is there must be empty
    /// or this compute's already.
    pub async fn claim_directory(&self) -> Result<(), Error> {
        self.blocking(|cluster| owner::claim(&cluster.directory, &cluster.id)).await
    }

    /// Copies a router program below the directory and makes it the one that the next start runs. Returns the copy.
    pub async fn install(&self, program: &Path) -> Result<PathBuf, Error> {
        let program = program.to_owned();
        self.blocking(move |cluster| program::install(&cluster.directory, &program)).await
    }

    /// The installed program, if there is one.
    pub async fn installed(&self) -> Result<Option<PathBuf>, Error> {
        self.blocking(|cluster| program::installed(&cluster.directory)).await
    }

    /// Where the router is configured to listen; none if it is not configured yet.
    pub async fn listen(&self) -> Result<Option<Listen>, Error> {
        self.blocking(|cluster| config::read(&cluster.directory)).await
    }

    /// Configures where the router listens, from its next start on. Other settings in the file stay.
    pub async fn configure(&self, listen: Listen) -> Result<(), Error> {
        self.blocking(move |cluster| config::write(&cluster.directory, listen)).await
    }

    /// The issuers of access tokens that the router is configured with.
    pub async fn token_issuers(&self) -> Result<Vec<Issuer>, Error> {
        self.blocking(|cluster| config::tokens(&cluster.directory)).await.map(|settings| settings.issuers)
    }

    /// Configures the issuers of access tokens. A running router takes them over by [`LocalCluster::reload`].
    pub async fn trust(&self, issuers: Vec<Issuer>) -> Result<(), Error> {
        self.blocking(move |cluster| config::trust(&cluster.directory, &issuers)).await
    }

    /// Lets a running router take over what was configured, without a failed request. Where the router listens stays.
    pub async fn reload(&self) -> Result<(), Error> {
        supervisor::reload(self).await
    }

    /// Starts the installed program, unless one runs already. Returns the version of the running router.
    pub async fn start(&self) -> Result<String, Error> {
        supervisor::start(self).await
    }

    /// Drains and stops router and scorers. Not an error if they do not run.
    pub async fn stop(&self) -> Result<(), Error> {
        supervisor::stop(self).await
    }

    /// Replaces the running router by the installed program; listeners and scorers stay, and no request fails.
    /// Starts it if none runs. Returns the version of the running router.
    pub async fn upgrade(&self) -> Result<String, Error> {
        supervisor::upgrade(self).await
    }

    /// Removes everything that was made below the directory, and the directory if nothing else is in it. The router must
    /// be stopped.
    pub async fn remove_directory(&self) -> Result<(), Error> {
        self.blocking(|cluster| owner::remove(&cluster.directory, &cluster.id)).await
    }

    /// Whether a supervisor holds the directory, by its lock.
    pub async fn liveness(&self) -> Result<Liveness, Error> {
        self.blocking(|cluster| supervisor::liveness(&cluster.directory)).await
    }

    /// What the supervisor says. [`Error::NotRunning`] if there is none.
    pub async fn status(&self) -> Result<Status, Error> {
        self.ask_status(&Request::Status).await
    }

    async fn ask_status(&self, request: &Request) -> Result<Status, Error> {
        match self.ask(request, "tell its state", admin::ANSWER_TIME).await? {
            Response::Status(status) => Ok(status),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Asks the supervisor; an error answer becomes [`Error::Refused`] for the `order`.
    async fn ask(&self, request: &Request, order: &'static str, time: std::time::Duration) -> Result<Response, Error> {
        let answer = match admin::ask(&self.directory, request, time).await {
            Ok(answer) => answer,
            Err(problem) => {
                // A socket file may outlive its supervisor; the lock does not.
                return Err(match self.liveness().await? {
                    Liveness::Dead => Error::NotRunning { compute: self.id.to_string() },
                    Liveness::Alive => self.silent(&problem),
                });
            }
        };
        match answer {
            Response::Error { message } => Err(Error::Refused { compute: self.id.to_string(), order, message }),
            answer => Ok(answer),
        }
    }

    fn silent(&self, problem: &std::io::Error) -> Error {
        let socket = self.directory.join(layout::ADMIN_SOCKET).display().to_string();
        Error::Admin { compute: self.id.to_string(), socket, problem: problem.to_string() }
    }

    fn unexpected(&self, answer: &Response) -> Error {
        let kind = match answer {
            Response::Status(_) => "a status",
            Response::Stats { .. } => "counters",
            Response::Token(_) => "a token",
            Response::Done => "done",
            Response::Error { .. } => "an error",
        };
        self.silent(&std::io::Error::other(format!("the answer to another question came: {kind}")))
    }

    /// Lets the supervisor read the documents now. It reads them every second anyway, so a failure costs only time.
    async fn nudge(&self) {
        if let Err(error) = self.ask_status(&Request::Sync).await {
            tracing::debug!(compute = %self.id, "cannot tell the router about a changed document: {error}");
        }
    }

    /// Runs file operations off the async threads.
    async fn blocking<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    {
        let cluster = self.clone();
        match tokio::task::spawn_blocking(move || work(&cluster)).await {
            Ok(outcome) => outcome,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(cancelled) => Err(files::io("use", &self.directory)(cancelled.into())),
            },
        }
    }
}

#[async_trait]
impl Cluster for LocalCluster {
    fn id(&self) -> &str {
        &self.id
    }

    fn replicas(&self) -> Replicas {
        Replicas::Processes
    }

    async fn router(&self) -> Result<Router, Error> {
        match self.status().await {
            Ok(status) => Ok(Router::Running { version: status.version }),
            Err(Error::NotRunning { .. }) => Ok(Router::Stopped),
            Err(error) => Err(error),
        }
    }

    async fn base_url(&self) -> Result<String, Error> {
        let listen = self.listen().await?;
        listen.map(Listen::url).ok_or_else(|| Error::NotRunning { compute: self.id.to_string() })
    }

    async fn services(&self) -> Result<Vec<String>, Error> {
        self.blocking(|cluster| documents::names(&cluster.directory)).await
    }

    async fn service(&self, name: &str) -> Result<Option<Service>, Error> {
        let name = name.to_owned();
        self.blocking(move |cluster| documents::read(&cluster.directory, &name)).await
    }

    async fn put_service(&self, service: &Service, expected: Option<u64>) -> Result<(), Error> {
        let service = service.clone();
        self.blocking(move |cluster| documents::put(&cluster.directory, &service, expected)).await?;
        self.nudge().await;
        Ok(())
    }

    async fn delete_service(&self, name: &str) -> Result<(), Error> {
        let name = name.to_owned();
        self.blocking(move |cluster| documents::remove(&cluster.directory, &name)).await?;
        self.nudge().await;
        Ok(())
    }

    async fn forget_service(&self, name: &str, keep_logs: bool) -> Result<(), Error> {
        let name = name.to_owned();
        self.blocking(move |cluster| documents::forget(&cluster.directory, &name, keep_logs)).await
    }

    async fn keys(&self, service: &str, generation: u64) -> Result<Option<Keys>, Error> {
        let service = service.to_owned();
        self.blocking(move |cluster| key_files::read(&cluster.directory, &service, generation)).await
    }

    async fn issue_token(&self, service: &Service, lifetime: Option<u64>) -> Result<Issued, Error> {
        let service = service.clone();
        self.blocking(move |cluster| tokens::issue((&cluster.directory, &cluster.id), &service, lifetime)).await
    }

    async fn put_keys(&self, service: &str, keys: &Keys) -> Result<u64, Error> {
        let (service, keys) = (service.to_owned(), keys.clone());
        self.blocking(move |cluster| key_files::put(&cluster.directory, &service, &keys)).await
    }

    async fn retire_keys(&self, service: &str, keep: u64) -> Result<(), Error> {
        let service = service.to_owned();
        self.blocking(move |cluster| key_files::retire(&cluster.directory, &service, keep)).await
    }

    async fn prepare(&self, catalogue: &Catalogue, template: &Template) -> Result<(), Error> {
        let revision = template.revision();
        match self.blocking(move |cluster| app::stage(&cluster.directory, &revision)).await? {
            Some(staging) => app::assemble(&self.directory, catalogue, template, staging).await,
            None => Ok(()),
        }
    }

    async fn observe(&self, name: &str) -> Result<Option<ServiceStatus>, Error> {
        Ok(self.status().await?.services.remove(name))
    }

    async fn logs(&self, name: &str, lines: usize) -> Result<Vec<ReplicaLog>, Error> {
        let name = name.to_owned();
        self.blocking(move |cluster| logs::tail(&cluster.directory, &name, lines)).await
    }

    async fn sweep(&self) -> Result<(), Error> {
        // Replicas may still run what no document names any more. Without a supervisor there are no replicas.
        let running: BTreeSet<String> = match self.status().await {
            Ok(status) => status
                .services
                .values()
                .flat_map(|service| service.versions.values())
                .flat_map(|version| version.replicas.iter().map(|replica| replica.revision.clone()))
                .collect(),
            Err(Error::NotRunning { .. }) => BTreeSet::new(),
            Err(error) => return Err(error),
        };
        self.blocking(move |cluster| app::sweep(&cluster.directory, &running)).await
    }
}

#[cfg(test)]
#[path = "local/tests.rs"]
mod tests;
