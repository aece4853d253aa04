//! What the supervisor tells its admin clients.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serving::admin::{ReplicaState, ReplicaStatus, Response, ServiceStatus, Status, VersionStatus};
use serving::service::Service;
use serving::snapshot::{ServiceStats, ToWorker};
use tokio::sync::oneshot;

use super::engine::Supervisor;
use super::replica::{Replica, Stage};
use crate::documents;

/// How long the worker may take to send its counters.
const PATIENCE: Duration = Duration::from_secs(5);

/// Questions that the worker has not answered yet; as many as there are admin clients.
#[derive(Default)]
pub(super) struct Questions {
    next: u64,
    open: BTreeMap<u64, (Instant, oneshot::Sender<Response>)>,
}

impl Questions {
    fn ask(&mut self, reply: oneshot::Sender<Response>) -> u64 {
        self.next += 1;
        self.open.insert(self.next, (Instant::now() + PATIENCE, reply));
        self.next
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.open.values().map(|(deadline, _)| *deadline).min()
    }

    pub(super) fn answer(&mut self, id: u64, services: BTreeMap<String, ServiceStats>) {
        if let Some((_, reply)) = self.open.remove(&id) {
            let _ = reply.send(Response::Stats { services });
        }
    }

    /// A worker has ended, and with it the counters that were asked for.
    pub(super) fn nobody_answers(&mut self) {
        self.refuse(|_| true, "the router worker ended before it answered; ask again");
    }

    fn refuse(&mut self, select: impl Fn(Instant) -> bool, why: &str) {
        for (_, (_, reply)) in self.open.extract_if(.., |_, (deadline, _)| select(*deadline)) {
            let _ = reply.send(Response::Error { message: why.to_owned() });
        }
    }
}

impl Supervisor {
    /// Asks the worker for its counters; the answer goes to `reply`.
    pub(super) fn ask_worker(&mut self, reply: oneshot::Sender<Response>) {
        let Some(line) = self.current_worker().map(|worker| &worker.lines) else {
            let message = "no router worker runs at the moment; ask again".to_owned();
            let _ = reply.send(Response::Error { message });
            return;
        };
        let id = self.questions.next + 1;
        match serde_json::to_vec(&ToWorker::Stats { id }) {
            Ok(question) => line.send(&question),
            Err(error) => tracing::error!(%error, "a question could not be written"),
        }
        self.questions.ask(reply);
    }

    pub(super) fn watch_questions(&mut self, now: Instant) {
        self.questions.refuse(|deadline| now >= deadline, "the router worker did not answer in time; ask again");
    }

    /// State of everything.
    pub(super) fn status(&self) -> Status {
        let mut services: BTreeMap<String, ServiceStatus> = BTreeMap::new();
        for (name, found) in &self.documents.services {
            let status = ServiceStatus {
                accepted_generation: found.good.as_ref().map_or(0, |good| good.service.generation),
                served_generation: self.served.get(name).copied().unwrap_or(0),
                refused: found.refused.clone(),
                versions: BTreeMap::new(),
            };
            services.insert(name.clone(), status);
        }
        for ((service, version), wanted) in &self.wanted {
            let status = services.entry(service.clone()).or_default();
            let of_version = VersionStatus {
                revision: wanted.launch.revision.clone(),
                desired_replicas: wanted.goal.desired,
                ..VersionStatus::default()
            };
            status.versions.insert(version.clone(), of_version);
        }
        for (name, found) in &self.documents.services {
            if let (Some(good), Some(status)) = (&found.good, services.get_mut(name)) {
                self.note_diverted(&good.service, status);
            }
        }
        // Replicas of removed services and versions are named until they are gone, too.
        for replica in &self.replicas {
            let service = services.entry(replica.launch.service.clone()).or_default();
            add(service.versions.entry(replica.launch.version.clone()).or_default(), replica);
        }
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            worker_pid: self.current_worker().map(|worker| worker.pid.as_raw_nonzero().get().unsigned_abs()),
            address: self.address.to_string(),
            services,
        }
    }
}

impl Supervisor {
    /// Marks the versions whose share goes elsewhere, because no replica of theirs takes requests.
    fn note_diverted(&self, service: &Service, status: &mut ServiceStatus) {
        let ready = |name: &str| {
            self.replicas.iter().any(|replica| {
                replica.routed() && replica.launch.service == service.name && replica.launch.version == name
            })
        };
        for name in documents::diverted(service, ready) {
            if let Some(version) = status.versions.get_mut(name) {
                version.diverted = true;
            }
        }
    }
}

fn add(version: &mut VersionStatus, replica: &Replica) {
    let current = replica.launch.revision == version.revision;
    if replica.state() == ReplicaState::Ready {
        version.available_replicas += 1;
        version.updated_replicas += u32::from(current);
    }
    // Replicas come from the oldest to the newest.
    if current && replica.failure.is_some() && !matches!(replica.stage, Stage::Stopping { .. } | Stage::Leaving { .. })
    {
        version.failure.clone_from(&replica.failure);
    }
    version.replicas.push(ReplicaStatus {
        id: replica.name(),
        revision: replica.launch.revision.clone(),
        pid: replica.child.as_ref().map_or(0, |child| child.pid.as_raw_nonzero().get().unsigned_abs()),
        state: replica.state(),
        restarts: replica.restarts,
    });
}
