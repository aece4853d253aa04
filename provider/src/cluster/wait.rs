//! Waiting until a router serves what a document says.

use std::time::Duration;

use serving::admin::{Failure, FailureReason, ReplicaState, ServiceStatus, VersionStatus};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Cluster, Error};

const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// For how long a router may be unreachable before waiting for it is given up: an upgrade or a restart is shorter.
const ROUTER_PATIENCE: Duration = Duration::from_secs(15);

/// For how long what keeps a pod may pass by itself; none if only its being ready ends it.
const fn grace(reason: FailureReason) -> Option<Duration> {
    match reason {
        // Somebody adds nodes in this time, or gives others' room up.
        FailureReason::Unschedulable => Some(Duration::from_mins(5)),
        // A registry is back after a restart.
        FailureReason::ImagePull => Some(Duration::from_mins(1)),
        _ => None,
    }
}

/// Since when the same keeps a pod.
#[derive(Debug, Default)]
pub(super) struct Stranded(Option<(FailureReason, Instant)>);

impl Stranded {
    /// Whether what is known now has been so for longer than its grace.
    pub(super) fn for_good(&mut self, failure: Option<&Failure>) -> bool {
        let reason = failure.map(|failure| failure.reason).filter(|reason| grace(*reason).is_some());
        self.0 = reason.map(|reason| match self.0 {
            Some(same @ (before, _)) if before == reason => same,
            _ => (reason, Instant::now()),
        });
        self.0.is_some_and(|(reason, since)| grace(reason).is_some_and(|grace| since.elapsed() >= grace))
    }
}

/// How far to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal<'a> {
    /// Every router routes by the document. Enough when no replica changes.
    Served,
    /// Also, every version runs all its replicas of the wanted template, and no others.
    Settled,
    /// As [`Goal::Settled`] for the version of this name only.
    VersionSettled(&'a str),
}

impl Goal<'_> {
    /// Whether the replicas of a version matter.
    fn waits_for(self, version: &str) -> bool {
        match self {
            Self::Served => false,
            Self::Settled => true,
            Self::VersionSettled(name) => name == version,
        }
    }
}

/// Until when to wait.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The end of the operation's time.
    pub deadline: Instant,
    /// Cancelled when the user interrupts the run.
    pub cancel: CancellationToken,
}

impl Limits {
    /// From now on for `time`, unless cancelled.
    #[must_use]
    pub fn new(time: Duration, cancel: CancellationToken) -> Self {
        Self { deadline: Instant::now() + time, cancel }
    }

    /// What is left of the time.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Sleeps for `pause`, and makes the next one longer, unless the limits are reached.
    async fn pause(
        &self,
        pause: &mut Duration,
        progress: String,
        failure: Option<Box<Failure>>,
    ) -> Result<(), Stopped> {
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(self.deadline) => Err(Stopped::TimedOut { progress, failure }),
            // The token may also be that of a time limit.
            () = self.cancel.cancelled() => Err(if Instant::now() >= self.deadline {
                Stopped::TimedOut { progress, failure }
            } else {
                Stopped::Cancelled { progress }
            }),
            () = tokio::time::sleep(*pause) => {
                *pause = (*pause * 2).min(LONGEST_PAUSE);
                Ok(())
            }
        }
    }
}

/// Why the goal was not reached.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// The replicas do not become ready, and waiting longer would not help.
    #[error("{}", failure.message)]
    Failed {
        /// The version.
        version: String,
        /// What the router says.
        failure: Box<Failure>,
    },
    /// The router does not accept the document.
    #[error("the router refuses the document: {0}")]
    Refused(String),
    /// The time is over.
    #[error("it was not done in time: {progress}")]
    TimedOut {
        /// How far it got.
        progress: String,
        /// The newest failure, which by itself was no reason to give up.
        failure: Option<Box<Failure>>,
    },
    /// The user interrupted the run.
    #[error("the run was interrupted: {progress}")]
    Cancelled {
        /// How far it got.
        progress: String,
    },
    /// The endpoint does not allow the change.
    #[error(transparent)]
    Endpoint(#[from] super::endpoint::ChangeError),
    /// The cluster cannot be asked.
    #[error(transparent)]
    Cluster(#[from] Error),
}

/// What a status means for a goal.
#[derive(Debug, PartialEq)]
enum Verdict {
    Reached,
    Pending(String),
    Failed(String, Box<Failure>),
    Refused(String),
}

fn judge(status: Option<&ServiceStatus>, generation: u64, goal: Goal<'_>) -> Verdict {
    let Some(status) = status else {
        return Verdict::Pending("the router has not read the document yet".to_owned());
    };
    if status.accepted_generation < generation {
        return status
            .refused
            .clone()
            .map_or_else(|| Verdict::Pending("the router has not read the document yet".to_owned()), Verdict::Refused);
    }
    let awaited = || status.versions.iter().filter(|(name, _)| goal.waits_for(name));
    for (name, version) in awaited() {
        if let Some(failure) = version.failure.as_ref().filter(|failure| failure.terminal) {
            return Verdict::Failed(name.clone(), Box::new(failure.clone()));
        }
    }
    if let Some((_, version)) = awaited().find(|(_, version)| !version.settled()) {
        return Verdict::Pending(progress(version));
    }
    if status.served_generation < generation {
        return Verdict::Pending("the router does not route by the document yet".to_owned());
    }
    Verdict::Reached
}

/// One clause about a version that is not settled.
fn progress(version: &VersionStatus) -> String {
    // Writing to a string cannot fail.
    use std::fmt::Write as _;

    let count = |state| version.replicas.iter().filter(|replica| replica.state == state).count();
    let mut text = format!("{} of {} new replicas are ready", version.updated_replicas, version.desired_replicas);
    for (state, words) in [
        (ReplicaState::Starting, "run init()"),
        (ReplicaState::BackOff, "wait for their next start after a failure"),
        (ReplicaState::Draining, "finish their last requests"),
    ] {
        let count = count(state);
        if count > 0 {
            let _ = write!(text, ", {count} {words}");
        }
    }
    if let Some(failure) = &version.failure {
        let _ = write!(text, "; {} failed start(s), the last: {}", failure.count, failure.message);
    }
    text
}

/// Waits until the router reaches the goal for this generation of a service's document.
pub async fn until(
    cluster: &dyn Cluster,
    name: &str,
    generation: u64,
    goal: Goal<'_>,
    limits: &Limits,
) -> Result<ServiceStatus, Stopped> {
    let mut pause = FIRST_PAUSE;
    let (mut away, mut stranded) = (Away::default(), Stranded::default());
    let mut told = String::new();
    loop {
        let mut failure = None;
        let progress = match cluster.observe(name).await {
            Ok(status) => {
                away = Away::default();
                let newest = status.as_ref().and_then(|status| newest_failure(status, goal));
                if stranded.for_good(newest.as_ref().map(|(_, failure)| &**failure))
                    && let Some((version, failure)) = newest
                {
                    return Err(Stopped::Failed { version, failure });
                }
                failure = newest.map(|(_, failure)| failure);
                match (judge(status.as_ref(), generation, goal), status) {
                    (Verdict::Reached, Some(status)) => return Ok(status),
                    (Verdict::Reached, None) => "the router has not read the document yet".to_owned(),
                    (Verdict::Pending(progress), _) => progress,
                    (Verdict::Refused(reason), _) => return Err(Stopped::Refused(reason)),
                    (Verdict::Failed(version, failure), _) => return Err(Stopped::Failed { version, failure }),
                }
            }
            Err(error) => {
                let patience = patience(&error);
                away.endure(error, patience)?
            }
        };
        if progress != told {
            tracing::info!(service = name, generation, "{progress}");
            told.clone_from(&progress);
        }
        limits.pause(&mut pause, progress, failure).await?;
    }
}

/// Waits until the router does not know the service any more, or only those of its versions that are not `gone`:
/// everything of it has ended.
pub async fn until_gone(
    cluster: &dyn Cluster,
    name: &str,
    gone: Option<&[String]>,
    limits: &Limits,
) -> Result<(), Stopped> {
    let mut pause = FIRST_PAUSE;
    let mut away = Away::default();
    loop {
        let progress = match cluster.observe(name).await {
            // Without a router there are no replicas.
            Ok(None) | Err(Error::NotRunning { .. }) => return Ok(()),
            Ok(Some(status)) => {
                away = Away::default();
                let ending = |version: &&String| gone.is_none_or(|gone| gone.contains(*version));
                let versions: Vec<&String> = status.versions.keys().filter(ending).collect();
                if gone.is_some() && versions.is_empty() {
                    return Ok(());
                }
                let replicas: usize = versions.iter().map(|version| status.versions[*version].replicas.len()).sum();
                format!("{replicas} replicas finish their last requests")
            }
            Err(error) => {
                let patience = patience(&error);
                away.endure(error, patience)?
            }
        };
        limits.pause(&mut pause, progress, None).await?;
    }
}

/// Since when nobody answers.
#[derive(Debug, Default)]
pub(super) struct Away(Option<Instant>);

impl Away {
    /// What to tell of an error that may pass by itself within its patience. It ends the wait if it has none, or has come
    /// for longer.
    pub(super) fn endure<E: std::fmt::Display>(&mut self, error: E, patience: Duration) -> Result<String, E> {
        if patience.is_zero() || self.0.get_or_insert_with(Instant::now).elapsed() > patience {
            return Err(error);
        }
        Ok(error.to_string())
    }
}

/// For how long the same error may come again before it ends the wait.
fn patience(error: &Error) -> Duration {
    match error {
        Error::NotRunning { .. } | Error::Admin { .. } => ROUTER_PATIENCE,
        Error::Api(error) => error.patience(),
        _ => Duration::ZERO,
    }
}

fn newest_failure(status: &ServiceStatus, goal: Goal<'_>) -> Option<(String, Box<Failure>)> {
    let mut awaited = status.versions.iter().filter(|(name, _)| goal.waits_for(name));
    awaited.find_map(|(name, version)| Some((name.clone(), Box::new(version.failure.clone()?))))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serving::admin::ReplicaStatus;

    use super::*;

    fn replica(revision: &str, state: ReplicaState) -> ReplicaStatus {
        ReplicaStatus { id: "r-1".into(), revision: revision.into(), pid: 1, state, restarts: 0 }
    }

    fn status(served: u64, version: VersionStatus) -> ServiceStatus {
        let versions = BTreeMap::from([("double".to_owned(), version)]);
        ServiceStatus { accepted_generation: 2, served_generation: served, refused: None, versions }
    }

    fn settled() -> VersionStatus {
        VersionStatus {
            revision: "new".into(),
            desired_replicas: 1,
            updated_replicas: 1,
            available_replicas: 1,
            replicas: vec![replica("new", ReplicaState::Ready)],
            failure: None,
            diverted: false,
            drifted: None,
        }
    }

    fn failure(terminal: bool) -> Failure {
        Failure {
            reason: FailureReason::InitFailed,
            message: "init() raised ValueError".into(),
            traceback: None,
            exit_code: Some(3),
            log_tail: Vec::new(),
            count: 1,
            terminal,
        }
    }

    #[test]
    fn a_goal_is_reached_only_at_the_generation_and_without_old_replicas() {
        assert_eq!(judge(Some(&status(2, settled())), 2, Goal::Settled), Verdict::Reached);
        assert!(matches!(judge(Some(&status(1, settled())), 2, Goal::Settled), Verdict::Pending(_)));
        assert!(matches!(judge(Some(&status(2, settled())), 3, Goal::Settled), Verdict::Pending(_)));
        assert!(matches!(judge(None, 1, Goal::Served), Verdict::Pending(_)));

        let mut rolling = settled();
        rolling.replicas.push(replica("old", ReplicaState::Draining));
        let verdict = judge(Some(&status(2, rolling.clone())), 2, Goal::Settled);
        assert_eq!(verdict, Verdict::Pending("1 of 1 new replicas are ready, 1 finish their last requests".to_owned()));
        assert_eq!(judge(Some(&status(2, rolling)), 2, Goal::Served), Verdict::Reached);
    }

    #[test]
    fn a_terminal_failure_ends_the_wait_and_a_passing_one_does_not() {
        let failed = |terminal| VersionStatus {
            updated_replicas: 0,
            replicas: vec![replica("new", ReplicaState::BackOff)],
            failure: Some(failure(terminal)),
            ..settled()
        };
        let verdict = judge(Some(&status(2, failed(true))), 2, Goal::Settled);
        assert_eq!(verdict, Verdict::Failed("double".into(), Box::new(failure(true))));
        let Verdict::Pending(text) = judge(Some(&status(2, failed(false))), 2, Goal::Settled) else { panic!() };
        assert!(text.contains("init() raised ValueError"), "{text}");
    }

    #[test]
    fn a_refused_document_ends_the_wait_unless_it_is_an_older_one() {
        let refused = ServiceStatus { refused: Some("bad".into()), ..status(2, settled()) };
        assert_eq!(judge(Some(&refused), 3, Goal::Served), Verdict::Refused("bad".into()));
        assert_eq!(judge(Some(&refused), 2, Goal::Served), Verdict::Reached);
    }
}
