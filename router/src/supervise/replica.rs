//! One replica: a place of a version, its process, and why it failed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use serving::admin::{Failure, FailureReason, ReplicaState};

use super::launch::Launch;
use super::lines::Lines;
use super::process;

/// First wait before a replica that died is started again; doubles with each further death.
const BACK_OFF: Duration = Duration::from_secs(1);
/// Longest wait.
const MAX_BACK_OFF: Duration = Duration::from_mins(1);
/// A replica that was ready for so long starts its count of deaths again.
const STABLE: Duration = Duration::from_mins(1);
/// Deaths without a reason that make a failure terminal.
const TERMINAL_CRASHES: u32 = 3;
/// Lines of the log that a failure carries.
pub(super) const TAIL: usize = 50;

/// A place of a version.
pub(super) struct Replica {
    /// Counts the processes of the compute; the last part of [`Replica::name`].
    pub(super) number: u64,
    /// What runs in it.
    pub(super) launch: Arc<Launch>,
    /// Where it stands.
    pub(super) stage: Stage,
    /// When that began.
    pub(super) since: Instant,
    /// Its process; absent in back-off.
    pub(super) child: Option<Child>,
    /// How often the place was started again.
    pub(super) restarts: u32,
    /// Deaths in a row.
    pub(super) failures: u32,
    /// The newest failure, until the place is ready again.
    pub(super) failure: Option<Failure>,
    /// What the scorer said before it exits.
    pub(super) said: Option<Said>,
}

/// The running process of a place.
pub(super) struct Child {
    /// Its id, also of its process group.
    pub(super) pid: Pid,
    /// Its control socket.
    pub(super) control: Lines,
    /// It said that it gives up, or hung up: killed at that time if it is still there.
    pub(super) kill_at: Option<Instant>,
}

/// A scorer's own account of its failure.
#[derive(Clone, Debug)]
pub(super) struct Said {
    /// Reason.
    pub(super) reason: FailureReason,
    /// One sentence.
    pub(super) message: String,
    /// Python's traceback.
    pub(super) traceback: Option<String>,
}

/// Where a place stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// `init()` runs.
    Starting,
    /// Ready, in snapshots; the worker has not confirmed one yet.
    Joining {
        /// First snapshot with the replica; `None` until one is made.
        sequence: Option<u64>,
    },
    /// The worker routes to it.
    Ready,
    /// No longer in snapshots; the worker may not have noticed yet.
    Leaving {
        /// First snapshot without the replica; `None` until one is made.
        sequence: Option<u64>,
    },
    /// Told to end; killed at that time.
    Stopping {
        /// When.
        kill_at: Instant,
    },
    /// Dead; started again at that time.
    BackOff {
        /// When.
        until: Instant,
    },
}

impl Replica {
    /// A place whose process starts now.
    pub(super) fn new(number: u64, launch: Arc<Launch>, now: Instant) -> Self {
        Self {
            number,
            launch,
            stage: Stage::Starting,
            since: now,
            child: None,
            restarts: 0,
            failures: 0,
            failure: None,
            said: None,
        }
    }

    /// As in [`serving::snapshot::Replica::id`].
    pub(super) fn name(&self) -> String {
        format!("{}-{}-{}", self.launch.service, self.launch.revision, self.number)
    }

    pub(super) fn enter(&mut self, stage: Stage, now: Instant) {
        self.stage = stage;
        self.since = now;
    }

    /// Whether snapshots name it.
    pub(super) fn routed(&self) -> bool {
        matches!(self.stage, Stage::Joining { .. } | Stage::Ready)
    }

    /// For the status.
    pub(super) fn state(&self) -> ReplicaState {
        match self.stage {
            Stage::Starting | Stage::Joining { .. } => ReplicaState::Starting,
            Stage::Ready => ReplicaState::Ready,
            Stage::Leaving { .. } | Stage::Stopping { .. } => ReplicaState::Draining,
            Stage::BackOff { .. } => ReplicaState::BackOff,
        }
    }

    /// The process is dead, or was never started: notes why, and sets the time of the next start.
    pub(super) fn failed(&mut self, cause: Cause, tail: Vec<String>, now: Instant) {
        let served = matches!(self.stage, Stage::Ready | Stage::Joining { .. });
        if served && now.duration_since(self.since) >= STABLE {
            self.failures = 0;
        }
        self.failures += 1;
        self.failure = Some(self.describe(cause, served, tail));
        self.child = None;
        self.said = None;
        self.enter(Stage::BackOff { until: now + back_off(self.failures, served) }, now);
    }

    fn describe(&self, cause: Cause, served: bool, log_tail: Vec<String>) -> Failure {
        let count = self.failures;
        let repeated = count >= TERMINAL_CRASHES;
        let (reason, message, traceback, exit_code, terminal) = match (cause, self.said.clone()) {
            (Cause::NotStarted { message, permanent }, _) => {
                (FailureReason::StartFailed, message, None, None, permanent || repeated)
            }
            (Cause::Exit(exit), Some(said)) => {
                let terminal = repeated || !matches!(said.reason, FailureReason::Crashed | FailureReason::StartFailed);
                (said.reason, said.message, said.traceback, Some(exit), terminal)
            }
            (Cause::Exit(exit), None) => {
                let when = if served { "while it served" } else { "before it was ready" };
                let message = format!("the scorer ended {when} with {}", process::describe(exit));
                (FailureReason::Crashed, message, None, Some(exit), repeated)
            }
        };
        Failure { reason, message, traceback, exit_code, log_tail, count, terminal }
    }
}

/// How a replica failed.
pub(super) enum Cause {
    /// The process ended with this exit code or negative signal number.
    Exit(i32),
    /// There was no process.
    NotStarted {
        /// Why.
        message: String,
        /// It will not go away by itself.
        permanent: bool,
    },
}

/// One that served is back at once the first time; everything else waits longer each time.
fn back_off(failures: u32, served: bool) -> Duration {
    let doublings = failures.saturating_sub(if served { 2 } else { 1 });
    if served && failures <= 1 {
        return Duration::ZERO;
    }
    BACK_OFF.saturating_mul(1 << doublings.min(10)).min(MAX_BACK_OFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(stage: Stage, since: Instant) -> Replica {
        let template = serde_json::from_value(serde_json::json!({
            "models": [],
            "code": { "digest": "sha256:0", "directory": "src", "entry_script": "score.py" },
            "environment": { "id": "e", "version": 1, "hash": "h", "build_key": "b" },
        }));
        let launch = Launch {
            service: "s".to_owned(),
            version: "v".to_owned(),
            revision: "r".to_owned(),
            template: template.expect("a template"),
            progress_deadline: Duration::from_mins(10),
            scoring_timeout: Duration::from_mins(1),
        };
        let mut replica = Replica::new(1, Arc::new(launch), since);
        replica.stage = stage;
        replica
    }

    fn wait(replica: &Replica, now: Instant) -> Duration {
        let Stage::BackOff { until } = replica.stage else { panic!("not in back-off") };
        until - now
    }

    #[test]
    fn waits_double_up_to_a_minute_and_the_third_crash_is_terminal() {
        let now = Instant::now();
        let mut replica = replica(Stage::Starting, now);
        let mut waits = Vec::new();
        for count in 1..=9 {
            replica.stage = Stage::Starting;
            replica.failed(Cause::Exit(-9), Vec::new(), now);
            waits.push(wait(&replica, now).as_secs());
            let failure = replica.failure.as_ref().expect("a failure");
            assert_eq!((failure.count, failure.terminal), (count, count >= 3));
            assert_eq!(failure.exit_code, Some(-9));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn one_that_served_is_back_at_once_and_stable_service_forgives() {
        let start = Instant::now();
        let mut replica = replica(Stage::Ready, start);
        replica.failed(Cause::Exit(-9), Vec::new(), start);
        assert_eq!(wait(&replica, start), Duration::ZERO);
        replica.enter(Stage::Ready, start);
        replica.failed(Cause::Exit(-9), Vec::new(), start);
        assert_eq!(wait(&replica, start), BACK_OFF);
        replica.enter(Stage::Ready, start);
        let later = start + STABLE;
        replica.failed(Cause::Exit(-9), Vec::new(), later);
        assert_eq!(wait(&replica, later), Duration::ZERO);
    }

    #[test]
    fn what_the_scorer_says_is_the_reason_and_terminal_at_once() {
        let now = Instant::now();
        for reason in [
            FailureReason::ImportFailed,
            FailureReason::InvalidScript,
            FailureReason::InitFailed,
            FailureReason::InitTimeout,
        ] {
            let mut replica = replica(Stage::Starting, now);
            replica.said = Some(Said { reason, message: "score.py:3: no".to_owned(), traceback: Some("t".to_owned()) });
            replica.failed(Cause::Exit(3), vec!["last".to_owned()], now);
            let failure = replica.failure.expect("a failure");
            assert_eq!((failure.reason, failure.exit_code, failure.terminal), (reason, Some(3), true));
            assert_eq!(failure.message, "score.py:3: no");
            assert_eq!(failure.log_tail, ["last"]);
        }
    }
}
