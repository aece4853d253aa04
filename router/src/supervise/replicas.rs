//! The life of the scorers: what the planner decides, carried out; what they say and how they end, noticed.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::process::Pid;
use serving::admin::{FailureReason, ScorerEvent};
use serving::layout;
use serving::service::Version;

use super::engine::Supervisor;
use super::launch::{Launch, Started, socket};
use super::lines::Lines;
use super::replica::{Cause, Child, Replica, Said, Stage, TAIL};
use super::rollout::{self, Action, Goal, Phase, Place};
use super::{logfile, process};

/// What a draining replica gets above its scoring time-out before it is killed.
const DRAIN_GRACE: Duration = Duration::from_secs(5);
/// What a scorer gets above the progress deadline, after which it reports by itself where `init()` hangs.
const START_GRACE: Duration = Duration::from_secs(10);
/// What a scorer gets to exit after it said that it failed, or closed its control socket.
pub(super) const EXIT_GRACE: Duration = Duration::from_secs(10);

/// What the documents want of one version.
pub(super) struct Wanted {
    /// What its replicas run.
    pub(super) launch: Arc<Launch>,
    /// How many, and how they are replaced.
    pub(super) goal: Goal,
}

impl Wanted {
    fn new(service: &str, name: &str, version: &Version) -> Self {
        let rollout = &version.rollout;
        let goal = Goal {
            desired: version.scale.least(),
            max_surge: rollout.max_surge,
            max_unavailable: rollout.max_unavailable,
            recreate: rollout.recreate,
        };
        Self { launch: Arc::new(Launch::new(service, name, version)), goal }
    }
}

impl Replica {
    /// When something has to happen to it, if nothing happens by itself.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Starting => Some(self.since + self.launch.progress_deadline + START_GRACE),
            Stage::Stopping { kill_at: at } | Stage::BackOff { until: at } => Some(at),
            Stage::Joining { .. } | Stage::Ready | Stage::Leaving { .. } => None,
        }
        .into_iter()
        .chain(self.child.as_ref().and_then(|child| child.kill_at))
        .min()
    }

    fn phase(&self, now: Instant) -> Phase {
        match self.stage {
            Stage::Starting | Stage::Joining { .. } => Phase::Starting,
            Stage::Ready => Phase::Ready,
            Stage::Leaving { .. } | Stage::Stopping { .. } => Phase::Draining,
            Stage::BackOff { until } if now >= until => Phase::Due,
            Stage::BackOff { .. } => Phase::BackOff,
        }
    }

    /// Takes in what the scorer wrote. True if it became ready.
    fn hear(&mut self, now: Instant) -> bool {
        let name = self.name();
        let Some(child) = &mut self.child else { return false };
        let mut ready = false;
        for line in child.control.take() {
            match serde_json::from_slice(&line) {
                Ok(ScorerEvent::Ready) => ready = true,
                Ok(ScorerEvent::Failed { reason, message, traceback }) => {
                    self.said = Some(Said { reason, message, traceback });
                    child.kill_at.get_or_insert(now + EXIT_GRACE);
                }
                Err(error) => tracing::warn!(replica = name, %error, "the scorer wrote something else than an event"),
            }
        }
        if child.control.closed() {
            // A scorer without it would outlive a killed supervisor.
            child.kill_at.get_or_insert(now + EXIT_GRACE);
        }
        ready && self.stage == Stage::Starting
    }
}

impl Supervisor {
    /// Derives what is wanted from the documents.
    pub(super) fn want(&mut self) {
        let now = Timestamp::now();
        let good = self.documents.services.values().filter_map(|found| found.good.as_ref());
        self.wanted = good
            .flat_map(|good| {
                let service = &good.service;
                let serving = service.versions.iter().filter(move |(_, version)| !version.retired(now));
                serving.map(|(name, version)| {
                    ((service.name.clone(), name.clone()), Wanted::new(&service.name, name, version))
                })
            })
            .collect();
        let good = self.documents.services.values().filter_map(|found| found.good.as_ref());
        let times = good.flat_map(|good| good.service.versions.values()).filter_map(Version::retires_at);
        self.retirement = times.filter(|at| *at > now).min();
        // Time-outs may change without the revision.
        for replica in &mut self.replicas {
            let key = (replica.launch.service.clone(), replica.launch.version.clone());
            if let Some(wanted) = self.wanted.get(&key)
                && wanted.launch.revision == replica.launch.revision
            {
                replica.launch = Arc::clone(&wanted.launch);
            }
        }
    }

    /// Takes in what scorers wrote.
    pub(super) fn hear_replicas(&mut self, now: Instant) {
        for replica in &mut self.replicas {
            if replica.hear(now) {
                tracing::info!(replica = replica.name(), "ready");
                replica.enter(Stage::Joining { sequence: None }, now);
                self.dirty = true;
            }
        }
    }

    /// Notices ends, and enforces time limits.
    pub(super) fn watch_replicas(&mut self, now: Instant) {
        let mut index = 0;
        while index < self.replicas.len() {
            let replica = &mut self.replicas[index];
            if let Some(exit) = replica.child.as_ref().and_then(|child| process::reap(child.pid)) {
                // What it wrote before it died may have come in after the last look.
                replica.hear(now);
                if self.ended(index, exit, now) {
                    continue;
                }
            } else {
                enforce(replica, now);
            }
            index += 1;
        }
    }

    /// A process has ended. True if its place is gone, too.
    fn ended(&mut self, index: usize, exit: i32, now: Instant) -> bool {
        let stopping = self.stopping.is_some();
        let replica = &mut self.replicas[index];
        let (name, launch) = (replica.name(), Arc::clone(&replica.launch));
        self.dirty |= replica.routed();
        let _ = std::fs::remove_file(socket(&name));
        let expected = matches!(replica.stage, Stage::Leaving { .. } | Stage::Stopping { .. });
        if expected || stopping {
            tracing::info!(replica = name, exit = process::describe(exit), "stopped");
            self.replicas.remove(index);
        } else {
            replica.failed(Cause::Exit(exit), logfile::tail(&launch.log(&name), TAIL), now);
            if let Some(failure) = &replica.failure {
                tracing::warn!(replica = name, reason = ?failure.reason, message = failure.message, count = failure.count, "failed");
            }
        }
        self.prune_logs(&launch);
        expected || stopping
    }

    fn prune_logs(&self, launch: &Launch) {
        let alive: BTreeSet<String> = self.replicas.iter().map(Replica::name).collect();
        let folder = layout::logs(&launch.service, &launch.version);
        logfile::prune(Path::new(&folder), |name| alive.contains(name));
    }

    /// Moves replicas on whose snapshot the worker has confirmed. True if the planner may see something new.
    pub(super) fn pass_gates(&mut self, now: Instant) -> bool {
        let everywhere = self.confirmed_everywhere();
        let served = self.current_worker().map(|worker| worker.confirmed);
        let mut moved = false;
        for replica in &mut self.replicas {
            match replica.stage {
                Stage::Joining { sequence: Some(sequence) } if served.is_some_and(|served| served >= sequence) => {
                    replica.enter(Stage::Ready, now);
                    replica.failure = None;
                    moved = true;
                }
                // Without a worker nobody routes to it.
                Stage::Leaving { sequence: Some(sequence) } if everywhere.is_none_or(|served| served >= sequence) => {
                    let patience = replica.launch.scoring_timeout + DRAIN_GRACE;
                    terminate(replica, patience, now);
                    moved = true;
                }
                _ => {}
            }
        }
        moved
    }

    /// Carries out what the planner decides. True if anything was done.
    pub(super) fn roll(&mut self, now: Instant) -> bool {
        if self.stopping.is_some() && !self.workers.is_empty() {
            // The worker still finishes requests.
            return false;
        }
        let mut keys: BTreeSet<_> = self.wanted.keys().cloned().collect();
        keys.extend(
            self.replicas.iter().map(|replica| (replica.launch.service.clone(), replica.launch.version.clone())),
        );
        let mut done = false;
        for key in keys {
            for action in self.plan(&key, now) {
                done = true;
                match action {
                    Action::Start => {
                        if let Some(wanted) = self.wanted.get(&key) {
                            let launch = Arc::clone(&wanted.launch);
                            self.start(launch, None, now);
                        }
                    }
                    Action::Restart(number) => {
                        let place = self.replicas.iter().position(|replica| replica.number == number);
                        if let Some(replica) = place.map(|place| self.replicas.remove(place)) {
                            self.start(Arc::clone(&replica.launch), Some(replica), now);
                        }
                    }
                    Action::Retire(number) => self.retire(number, now),
                }
            }
        }
        done
    }

    fn plan(&self, key: &(String, String), now: Instant) -> Vec<Action> {
        let gone = Goal { desired: 0, max_surge: 0, max_unavailable: 0, recreate: false };
        let wanted = self.wanted.get(key).filter(|_| self.stopping.is_none());
        let of_version = |replica: &&Replica| replica.launch.service == key.0 && replica.launch.version == key.1;
        let places: Vec<Place> = self
            .replicas
            .iter()
            .filter(of_version)
            .map(|replica| Place {
                id: replica.number,
                current: wanted.is_some_and(|wanted| wanted.launch.revision == replica.launch.revision),
                phase: replica.phase(now),
            })
            .collect();
        rollout::plan(&wanted.map_or(gone, |wanted| wanted.goal), &places)
    }

    /// Starts a process, in a new place or in the one of a process that died.
    fn start(&mut self, launch: Arc<Launch>, place: Option<Replica>, now: Instant) {
        let number = self.next_number;
        self.next_number += 1;
        let mut replica = Replica::new(number, launch, now);
        if let Some(place) = place {
            replica.restarts = place.restarts + 1;
            replica.failures = place.failures;
            replica.failure = place.failure;
        }
        let name = replica.name();
        match replica.launch.start(&name, &self.root, &self.arrived) {
            Ok(Started { pid, control }) => {
                tracing::info!(replica = name, pid = pid.as_raw_nonzero(), "started");
                replica.child = Some(Child { pid, control, kill_at: None });
            }
            Err(error) => {
                tracing::warn!(replica = name, message = error.message, "not started");
                let cause = Cause::NotStarted { message: error.message, permanent: error.permanent };
                replica.failed(cause, Vec::new(), now);
            }
        }
        self.replicas.push(replica);
    }

    fn retire(&mut self, number: u64, now: Instant) {
        let Some(index) = self.replicas.iter().position(|replica| replica.number == number) else { return };
        let replica = &mut self.replicas[index];
        if replica.child.is_none() {
            self.replicas.remove(index);
        } else if replica.routed() {
            replica.enter(Stage::Leaving { sequence: None }, now);
            self.dirty = true;
        } else {
            // Nobody has sent it anything yet.
            terminate(replica, DRAIN_GRACE, now);
        }
    }
}

fn enforce(replica: &mut Replica, now: Instant) {
    let late = replica.deadline().is_some_and(|deadline| now >= deadline);
    let Some(child) = replica.child.as_mut().filter(|_| late) else { return };
    if replica.stage == Stage::Starting && replica.said.is_none() && child.kill_at.is_none_or(|kill_at| now < kill_at) {
        let seconds = replica.launch.progress_deadline.as_secs();
        let message =
            format!("`init()` did not return within {seconds} s, and the scorer did not report where it hangs");
        replica.said = Some(Said { reason: FailureReason::InitTimeout, message, traceback: None });
    }
    if replica.said.is_none() && child.control.closed() {
        let message = "the scorer closed its control socket and went on".to_owned();
        replica.said = Some(Said { reason: FailureReason::Crashed, message, traceback: None });
    }
    process::kill_group(child.pid);
    // Until the kernel reports its end there is nothing more to do.
    let later = now + EXIT_GRACE;
    child.kill_at = Some(later);
    match replica.stage {
        Stage::Stopping { .. } => replica.stage = Stage::Stopping { kill_at: later },
        Stage::Starting => replica.since = later,
        _ => {}
    }
}

fn terminate(replica: &mut Replica, patience: Duration, now: Instant) {
    if let Some(child) = &replica.child {
        process::terminate(child.pid);
    }
    replica.enter(Stage::Stopping { kill_at: now + patience }, now);
}

/// A number above those of all earlier processes of the compute, so that a name is never used twice.
pub(super) fn first_number() -> u64 {
    let folders = |path: &Path| -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(path).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
    };
    let services = folders(Path::new(layout::LOGS));
    let versions = services.iter().flat_map(|service| folders(service));
    let logs = versions.flat_map(|version| folders(&version));
    let numbers = logs.filter_map(|log| log.file_stem()?.to_str()?.rsplit_once('-')?.1.parse::<u64>().ok());
    numbers.max().unwrap_or(0).saturating_add(1)
}

/// The child of a predecessor.
pub(super) fn adopt(pid: i32, control: Lines) -> Option<Child> {
    Some(Child { pid: Pid::from_raw(pid)?, control, kill_at: None })
}
