//! The supervisor's state and its loop: one task that everything else reports to.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serving::admin::{Request, Response};
use serving::layout;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc};

use super::documents::Documents;
use super::replica::{Replica, Stage};
use super::replicas::Wanted;
use super::signing::Signing;
use super::startup::Announcement;
use super::workers::{Role, Worker};
use super::{SuperviseError, handover, logfile};
use crate::admin::server::{Kind, Order};
use crate::config::Config;

/// How often the documents are looked at without being told.
const RESCAN: Duration = Duration::from_secs(1);
/// How often log files are looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(30);

/// Everything that the supervisor knows.
pub(super) struct Supervisor {
    /// Absolute path of the compute directory, which is the working directory.
    pub(super) root: PathBuf,
    pub(super) config: Config,
    pub(super) address: SocketAddr,
    /// Open while callers are welcome.
    pub(super) listener: Option<TcpListener>,
    pub(super) admin: UnixListener,
    pub(super) lock: OwnedFd,
    pub(super) documents: Documents,
    pub(super) signing: Signing,
    /// What the documents want, by service and version.
    pub(super) wanted: BTreeMap<(String, String), Wanted>,
    /// When the next version retires.
    pub(super) retirement: Option<Timestamp>,
    /// Oldest first.
    pub(super) replicas: Vec<Replica>,
    pub(super) workers: Vec<Worker>,
    /// Deaths of workers in a row.
    pub(super) worker_failures: u32,
    pub(super) worker_due: Instant,
    /// The current worker runs the program of the predecessor.
    pub(super) worker_outdated: bool,
    /// Number of the next process.
    pub(super) next_number: u64,
    /// Of the newest snapshot.
    pub(super) sequence: u64,
    /// The newest snapshot is not what should be routed by.
    pub(super) dirty: bool,
    /// Generations in the snapshots that are not confirmed yet.
    pub(super) history: BTreeMap<u64, BTreeMap<String, u64>>,
    /// Generations in the newest confirmed snapshot.
    pub(super) served: BTreeMap<String, u64>,
    pub(super) questions: super::answers::Questions,
    pub(super) announcement: Option<Announcement>,
    /// Orders to stop that wait for the end; present while stopping.
    pub(super) stopping: Option<Vec<Order>>,
    /// The lock is not at its path any more: what is in the directory may be a successor's.
    disowned: bool,
    /// Woken by every control socket.
    pub(super) arrived: Arc<Notify>,
    rescan_at: Instant,
    housekeeping_at: Instant,
}

/// What a supervisor is made of, fresh or handed over.
pub(super) struct Parts {
    pub(super) root: PathBuf,
    pub(super) config: Config,
    pub(super) listener: TcpListener,
    pub(super) admin: UnixListener,
    pub(super) lock: OwnedFd,
    pub(super) announcement: Option<Announcement>,
}

impl Supervisor {
    pub(super) fn new(parts: Parts) -> std::io::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            address: parts.listener.local_addr()?,
            documents: Documents::new(Path::new(".")),
            signing: Signing::load(),
            root: parts.root,
            config: parts.config,
            listener: Some(parts.listener),
            admin: parts.admin,
            lock: parts.lock,
            wanted: BTreeMap::new(),
            retirement: None,
            replicas: Vec::new(),
            workers: Vec::new(),
            worker_failures: 0,
            worker_due: now,
            worker_outdated: false,
            next_number: super::replicas::first_number(),
            sequence: 0,
            dirty: true,
            history: BTreeMap::new(),
            served: BTreeMap::new(),
            questions: super::answers::Questions::default(),
            announcement: parts.announcement,
            stopping: None,
            disowned: false,
            arrived: Arc::new(Notify::new()),
            rescan_at: now,
            housekeeping_at: now + HOUSEKEEPING,
        })
    }

    /// Runs until everything is stopped.
    pub(super) async fn run(mut self) -> Result<(), SuperviseError> {
        let mut children = signal(SignalKind::child())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // Received so that it does not end the process; the supervisor belongs to no terminal.
        let mut hangup = signal(SignalKind::hangup())?;
        let (orders, mut received) = mpsc::channel(16);
        self.admin.set_nonblocking(true)?;
        let admin = tokio::net::UnixListener::from_std(self.admin.try_clone()?)?;
        tokio::spawn(crate::admin::server::serve(admin, orders));
        let arrived = Arc::clone(&self.arrived);
        loop {
            self.rescan(false);
            self.retire_versions();
            self.reconcile();
            self.announce()?;
            if self.stopped() {
                return self.farewell().await;
            }
            let pause = self.next_deadline().saturating_duration_since(Instant::now());
            tokio::select! {
                _ = children.recv() => {}
                _ = hangup.recv() => {}
                _ = terminate.recv() => self.stop(None),
                _ = interrupt.recv() => self.stop(None),
                () = arrived.notified() => {}
                () = tokio::time::sleep(pause) => {}
                Some(order) = received.recv() => self.carry_out(order),
            }
        }
    }

    fn carry_out(&mut self, order: Order) {
        match &order.kind {
            Kind::Replace(executable) => {
                let message = handover::replace(self, executable);
                tracing::error!(message, "the upgrade failed; the running supervisor goes on");
                let _ = order.reply.send(Response::Error { message });
            }
            Kind::Request(Request::Stop) => self.stop(Some(order)),
            Kind::Request(Request::Stats) => self.ask_worker(order.reply),
            Kind::Request(Request::Token { service, lifetime }) => {
                let _ = order.reply.send(self.issue_token(service, *lifetime));
            }
            Kind::Request(request) => {
                if *request == Request::Sync {
                    self.rescan(true);
                    self.reconcile();
                }
                // A client that does not wait for its answer is no concern of ours.
                let _ = order.reply.send(Response::Status(self.status()));
            }
        }
    }

    fn rescan(&mut self, told: bool) {
        let now = Instant::now();
        if !told && now < self.rescan_at {
            return;
        }
        self.rescan_at = now + RESCAN;
        if self.stopping.is_some() {
            return;
        }
        if super::startup::lock_is_lost(&self.lock, &self.root) {
            tracing::error!(directory = %self.root.display(), "{} is gone or another one; ending", layout::SUPERVISOR_LOCK);
            self.disowned = true;
            self.stop(None);
            return;
        }
        self.rotate_signing_keys();
        match self.documents.scan(told) {
            Ok(true) => {
                self.want();
                self.dirty = true;
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "the folder {} cannot be read; everything stays as it is", layout::SERVICES);
            }
        }
        if now >= self.housekeeping_at {
            self.housekeeping_at = now + HOUSEKEEPING;
            self.rotate_logs();
        }
    }

    /// Wants no more what has retired since the last look.
    fn retire_versions(&mut self) {
        if self.stopping.is_none() && self.retirement.is_some_and(|at| at <= Timestamp::now()) {
            self.want();
            self.dirty = true;
        }
    }

    fn rotate_logs(&self) {
        let mut logs = vec![Path::new(layout::LOGS).join("router.log"), Path::new(layout::LOGS).join("supervisor.log")];
        let running = self.replicas.iter().filter(|replica| replica.child.is_some());
        logs.extend(running.map(|replica| replica.launch.log(&replica.name())));
        for log in logs {
            if let Err(error) = logfile::rotate(&log) {
                tracing::warn!(log = %log.display(), %error, "the log could not be rotated");
            }
        }
    }

    /// Brings what is there closer to what is wanted, until nothing more can be done now.
    pub(super) fn reconcile(&mut self) {
        let now = Instant::now();
        self.hear_workers(now);
        self.watch_workers(now);
        self.hear_replicas(now);
        self.watch_replicas(now);
        // Each round needs a change of the one before, and every change moves a place on: it ends.
        loop {
            if self.dirty {
                self.publish(now);
            }
            let moved = self.pass_gates(now);
            let planned = self.roll(now);
            if !moved && !planned && !self.dirty {
                break;
            }
        }
        self.watch_questions(now);
    }

    fn next_deadline(&self) -> Instant {
        let replicas = self.replicas.iter().filter_map(Replica::deadline);
        let workers = self.workers.iter().filter_map(Worker::deadline);
        let questions = self.questions.deadline();
        let due = self.needs_worker().then_some(self.worker_due);
        let retirement = self.retirement.filter(|_| self.stopping.is_none()).map(|at| {
            let left = Timestamp::now().duration_until(at);
            Instant::now() + Duration::try_from(left).unwrap_or_default()
        });
        let start = self.announcement.as_ref().map(|announcement| announcement.deadline);
        replicas
            .chain(workers)
            .chain(questions)
            .chain(due)
            .chain(start)
            .chain(retirement)
            .fold(self.rescan_at, Instant::min)
    }

    /// Begins to stop; a second signal ends everything at once.
    fn stop(&mut self, order: Option<Order>) {
        let signalled_again = order.is_none() && self.stopping.is_some();
        let first = self.stopping.is_none();
        self.stopping.get_or_insert_default().extend(order);
        if first {
            tracing::info!("stopping: draining the worker, then the replicas");
            // From here on a caller is refused instead of waiting for a worker that will not come.
            self.listener = None;
            self.announcement = None;
            // Nothing is started any more.
            self.replicas.retain(|replica| replica.child.is_some());
            self.stop_workers();
        }
        if signalled_again {
            self.kill_everything();
        }
    }

    fn stopped(&self) -> bool {
        self.stopping.is_some() && self.workers.is_empty() && self.replicas.is_empty()
    }

    fn kill_everything(&mut self) {
        for child in self.replicas.iter().filter_map(|replica| replica.child.as_ref()) {
            super::process::kill_group(child.pid);
        }
        for worker in &self.workers {
            super::process::kill_group(worker.pid);
        }
        let now = Instant::now();
        for replica in self.replicas.iter_mut().filter(|replica| replica.child.is_some()) {
            replica.enter(Stage::Stopping { kill_at: now }, now);
        }
    }

    async fn farewell(mut self) -> Result<(), SuperviseError> {
        if !self.disowned {
            let _ = std::fs::remove_file(layout::ADMIN_SOCKET);
            super::startup::remove_sockets(|_| false);
        }
        tracing::info!("stopped");
        for order in self.stopping.take().unwrap_or_default() {
            if order.reply.send(Response::Done).is_ok() {
                let _ = tokio::time::timeout(Duration::from_secs(1), order.written).await;
            }
        }
        Ok(())
    }

    /// The worker that answers callers.
    pub(super) fn current_worker(&self) -> Option<&Worker> {
        self.workers.iter().find(|worker| worker.role == Role::Current)
    }
}
