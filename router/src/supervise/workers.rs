//! The router workers: started, told what to route by, replaced, drained.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt as _, FdMapping};
use jiff::Timestamp;
use rustix::process::Pid;
use serving::layout;
use serving::snapshot::{self, Address, Entry, FromWorker, Snapshot, ToWorker};

use super::engine::Supervisor;
use super::launch::socket;
use super::lines::Lines;
use super::replica::Stage;
use super::{logfile, process};

/// Number of the listener in the worker.
pub(crate) const LISTEN_FD: i32 = 3;
/// A worker that does not confirm a snapshot for so long hangs, and is replaced.
const CONFIRM: Duration = Duration::from_secs(30);
/// What a draining worker gets above its own drain time.
const DRAIN_GRACE: Duration = Duration::from_secs(5);
/// Waits before a worker is started again: none the first time, then doubling from this.
const BACK_OFF: Duration = Duration::from_millis(100);
const MAX_BACK_OFF: Duration = Duration::from_secs(5);
/// A worker that ran for so long starts the count of deaths again.
const STABLE: Duration = Duration::from_mins(1);
/// What a worker gets of the supervisor's own environment.
const PASSED_ON: [&str; 12] = [
    "PATH",
    "HOME",
    "LANG",
    "TZ",
    "RUST_LOG",
    "RUST_BACKTRACE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
];
/// Unconfirmed snapshots whose generations are remembered.
const HISTORY: usize = 4096;

/// One `azureml-fe route` process.
pub(super) struct Worker {
    pub(super) pid: Pid,
    pub(super) lines: Lines,
    pub(super) role: Role,
    /// Newest snapshot that it routes by; 0 before the first.
    pub(super) confirmed: u64,
    /// Oldest time at which a snapshot was sent that it has not confirmed.
    pub(super) unconfirmed_since: Option<Instant>,
    /// Killed at that time.
    pub(super) kill_at: Option<Instant>,
    pub(super) since: Instant,
}

/// What a worker is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Started, has not confirmed a snapshot yet.
    Candidate,
    /// Answers callers.
    Current,
    /// Finishes its requests.
    Draining,
}

impl Worker {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.unconfirmed_since.map(|since| since + CONFIRM).into_iter().chain(self.kill_at).min()
    }

    fn retire(&mut self, patience: Duration) {
        self.role = Role::Draining;
        self.unconfirmed_since = None;
        self.kill_at = Some(Instant::now() + patience);
    }

    fn tell(&self, message: &ToWorker) {
        match serde_json::to_vec(message) {
            Ok(line) => self.lines.send(&line),
            Err(error) => tracing::error!(%error, "a message to the worker could not be written"),
        }
    }
}

impl Supervisor {
    /// Whether a worker has to be started, now or when its wait is over.
    pub(super) fn needs_worker(&self) -> bool {
        let current = self.current_worker().is_some() && !self.worker_outdated;
        let candidate = self.workers.iter().any(|worker| worker.role == Role::Candidate);
        self.listener.is_some() && !current && !candidate
    }

    /// Takes in what workers wrote.
    pub(super) fn hear_workers(&mut self, now: Instant) {
        for index in 0..self.workers.len() {
            for line in self.workers[index].lines.take() {
                match serde_json::from_slice(&line) {
                    Ok(FromWorker::Serving { sequence }) => self.confirmed(index, sequence, now),
                    Ok(FromWorker::Stats { id, services }) => self.questions.answer(id, services),
                    Err(error) => tracing::warn!(%error, "the worker wrote something else than a message"),
                }
            }
        }
    }

    fn confirmed(&mut self, index: usize, sequence: u64, now: Instant) {
        let newest = self.sequence;
        let worker = &mut self.workers[index];
        worker.confirmed = worker.confirmed.max(sequence);
        worker.unconfirmed_since = (worker.confirmed < newest && worker.role != Role::Draining).then_some(now);
        if worker.role == Role::Candidate {
            worker.role = Role::Current;
            self.worker_outdated = false;
            tracing::info!(pid = worker.pid.as_raw_nonzero(), "the worker answers");
            self.drain_workers(index);
        }
        if self.workers[index].role == Role::Current {
            let later = self.history.split_off(&(sequence + 1));
            if let Some((_, generations)) = self.history.pop_last() {
                self.served = generations;
            }
            self.history = later;
        }
    }

    /// Hands the callers of all other workers over to this one.
    fn drain_workers(&mut self, heir: usize) {
        let patience = self.drain_patience();
        for (index, worker) in self.workers.iter_mut().enumerate() {
            if index != heir && worker.role != Role::Draining {
                worker.tell(&ToWorker::Drain);
                worker.retire(patience);
            }
        }
    }

    /// Tells all workers to finish what they have.
    pub(super) fn stop_workers(&mut self) {
        let patience = self.drain_patience();
        for worker in &mut self.workers {
            worker.tell(&ToWorker::Stop);
            if worker.role != Role::Draining {
                worker.retire(patience);
            }
        }
    }

    /// What a draining worker gets before it is killed.
    pub(super) fn drain_patience(&self) -> Duration {
        crate::config::ms(self.config.timeouts.drain_ms) + DRAIN_GRACE
    }

    /// Notices ends, enforces time limits, and starts a worker when there is none.
    pub(super) fn watch_workers(&mut self, now: Instant) {
        let mut index = 0;
        while index < self.workers.len() {
            let worker = &mut self.workers[index];
            if worker.lines.closed() && worker.role != Role::Draining {
                worker.kill_at.get_or_insert(now);
            }
            if let Some(exit) = process::reap(worker.pid) {
                let worker = self.workers.remove(index);
                self.worker_ended(&worker, exit, now);
                continue;
            }
            if worker.deadline().is_some_and(|deadline| now >= deadline) {
                tracing::warn!(pid = worker.pid.as_raw_nonzero(), role = ?worker.role, "the worker is killed: it is overdue");
                process::kill_group(worker.pid);
                worker.unconfirmed_since = None;
                worker.kill_at = Some(now + DRAIN_GRACE);
            }
            index += 1;
        }
        if self.needs_worker() && now >= self.worker_due {
            match self.start_worker(now) {
                Ok(worker) => {
                    tracing::info!(pid = worker.pid.as_raw_nonzero(), "the worker was started");
                    self.workers.push(worker);
                    // Its first snapshot.
                    self.dirty = true;
                }
                Err(error) => {
                    tracing::error!(%error, "the worker cannot be started");
                    self.worker_failed(now, Duration::ZERO);
                }
            }
        }
    }

    fn worker_ended(&mut self, worker: &Worker, exit: i32, now: Instant) {
        let role = worker.role;
        if role == Role::Current {
            self.served.clear();
        }
        self.questions.nobody_answers();
        if role == Role::Draining {
            tracing::info!(pid = worker.pid.as_raw_nonzero(), "the drained worker ended");
            return;
        }
        tracing::error!(pid = worker.pid.as_raw_nonzero(), ?role, exit = process::describe(exit), "the worker ended");
        self.worker_failed(now, now.duration_since(worker.since));
    }

    fn worker_failed(&mut self, now: Instant, ran: Duration) {
        self.worker_failures = if ran >= STABLE { 1 } else { self.worker_failures + 1 };
        self.worker_due = match self.worker_failures {
            0 | 1 => now,
            more => now + BACK_OFF.saturating_mul(1 << (more - 2).min(10)).min(MAX_BACK_OFF),
        };
    }

    fn start_worker(&self, now: Instant) -> io::Result<Worker> {
        let Some(listener) = &self.listener else { return Err(io::ErrorKind::NotConnected.into()) };
        let (ours, theirs) = UnixStream::pair()?;
        let log = logfile::open(&Path::new(layout::LOGS).join("router.log"))?;
        let mut command = Command::new(own_executable()?);
        command.arg("route").args(["--listen-fd", &LISTEN_FD.to_string()]);
        command.env_clear();
        command.envs(PASSED_ON.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(log.try_clone()?).stderr(log);
        let mapping = FdMapping { parent_fd: listener.try_clone()?.into(), child_fd: LISTEN_FD };
        command.fd_mappings(vec![mapping]).map_err(io::Error::other)?;
        // First, so that nothing can fail once there is a process.
        let lines = Lines::new(ours, Vec::new(), Vec::new(), Arc::clone(&self.arrived))?;
        Ok(Worker {
            pid: process::spawn(command)?,
            lines,
            role: Role::Candidate,
            confirmed: 0,
            unconfirmed_since: Some(now),
            kill_at: None,
            since: now,
        })
    }

    /// What every worker that may still send requests has confirmed; `None` if there is no worker. Draining ones count:
    /// their callers may use their connections once more.
    pub(super) fn confirmed_everywhere(&self) -> Option<u64> {
        self.workers.iter().map(|worker| worker.confirmed).min()
    }

    /// Sends what should be routed by.
    pub(super) fn publish(&mut self, now: Instant) {
        self.dirty = false;
        self.sequence += 1;
        let sequence = self.sequence;
        for replica in &mut self.replicas {
            match &mut replica.stage {
                Stage::Joining { sequence: first } | Stage::Leaving { sequence: first } => {
                    first.get_or_insert(sequence);
                }
                _ => {}
            }
        }
        if self.workers.is_empty() {
            self.history.clear();
            return;
        }
        let services = self.entries();
        let generations = services.iter().map(|(name, entry)| (name.clone(), entry.service.generation)).collect();
        self.history.insert(sequence, generations);
        if self.history.len() > HISTORY {
            self.history.pop_first();
        }
        let message = serde_json::to_vec(&ToWorker::Snapshot(Box::new(Snapshot {
            sequence,
            services,
            signing: self.signing.keys.clone(),
        })));
        let Ok(line) = message.inspect_err(|error| tracing::error!(%error, "a snapshot could not be written")) else {
            return;
        };
        for worker in &mut self.workers {
            worker.lines.send(&line);
            if worker.role != Role::Draining {
                worker.unconfirmed_since.get_or_insert(now);
            }
        }
    }

    fn entries(&self) -> BTreeMap<String, Entry> {
        let now = Timestamp::now();
        let good = self.documents.services.values().filter_map(|found| found.good.as_ref());
        let mut entries: BTreeMap<String, Entry> = good
            .map(|good| {
                let mut service = good.service.clone();
                service.drop_retired(now);
                let entry = Entry { service, keys: good.keys.clone(), hop: None, replicas: BTreeMap::new() };
                (good.service.name.clone(), entry)
            })
            .collect();
        for replica in self.replicas.iter().filter(|replica| replica.routed()) {
            let id = replica.name();
            let address = Address::Unix(socket(&id));
            if let Some(entry) = entries.get_mut(&replica.launch.service)
                && entry.service.versions.contains_key(&replica.launch.version)
            {
                let of_version = entry.replicas.entry(replica.launch.version.clone()).or_default();
                of_version.push(snapshot::Replica { id, address });
            }
        }
        entries
    }
}

/// The program that runs now, even if its file was replaced or removed meanwhile.
fn own_executable() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    let own = Path::new("/proc/self/exe");
    Ok(if path.exists() || !own.exists() { path } else { own.to_owned() })
}
