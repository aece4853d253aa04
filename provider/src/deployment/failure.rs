//! What users read when replicas do not become ready.

use std::fmt::Write as _;

use serving::admin::{Failure, FailureReason, VersionStatus};
use tfplugin::Diagnostic;

use crate::cluster::deploy::Unfinished;
use crate::cluster::endpoint::ChangeError;
use crate::cluster::wait::Stopped;
use crate::diagnostics::{Blame as _, not_as_applied};

/// Lines of the log that are shown; the rest is in the log.
const LOG_LINES: usize = 20;

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Create it.
    Create,
    /// Change it.
    Update,
    /// Remove it.
    Delete,
}

/// The error of an operation on `what` (such as `webservice diabetes`) that did not reach its end.
#[must_use]
pub fn unfinished(what: &str, doing: Doing, unfinished: &Unfinished) -> Diagnostic {
    let mut diagnostic = stopped(what, doing, &unfinished.reason);
    let aftermath = match (doing, &unfinished.reason, &unfinished.left) {
        (_, Stopped::Endpoint(ChangeError::Conflicts { .. }), _) => "The version runs, and its declaration stands.",
        (_, Stopped::Endpoint(ChangeError::Cluster(_)), None) => {
            "What served before keeps serving. Run terraform apply again when the cause is gone."
        }
        (_, Stopped::Endpoint(_), None) => "Nothing was changed.",
        (Doing::Create, _, None) => "Nothing of it is left but its logs.",
        (Doing::Create, _, Some(_)) => "Its beginning is in the state; terraform apply makes it anew.",
        (Doing::Update, ..) if unfinished.rolled_back => {
            "What served before keeps serving, and the state shows it. After the correction, run terraform apply again."
        }
        (Doing::Update, Stopped::Cancelled { .. }, _) => "The change is under way; terraform apply finishes it.",
        (Doing::Update, ..) => "Run terraform apply again to finish the change.",
        (Doing::Delete, ..) => "Run terraform apply again to finish the removal.",
    };
    let _ = write!(diagnostic.detail, "\n\n{aftermath}");
    diagnostic
}

/// What a look at a version of `what` has to warn of: replicas that fail, and what somebody has changed.
pub fn warnings(what: &str, version: &VersionStatus) -> impl Iterator<Item = Diagnostic> {
    let fails = |failure| Diagnostic::warning(format!("Replicas of {what} fail"), explain(failure));
    let drifted = |changes: &String| not_as_applied(&format!("The {what}"), changes);
    let fails = version.failure.as_ref().map(fails);
    fails.into_iter().chain(version.drifted.as_ref().map(drifted))
}

/// The error for a reason to stop.
#[must_use]
pub fn stopped(what: &str, doing: Doing, reason: &Stopped) -> Diagnostic {
    let verb = match doing {
        Doing::Create => "create",
        Doing::Update => "update",
        Doing::Delete => "delete",
    };
    let summary = match reason {
        Stopped::Failed { .. } => format!("The replicas of {what} do not become ready"),
        Stopped::TimedOut { .. } => format!("Cannot {verb} {what} in time"),
        Stopped::Cancelled { .. } => {
            format!("Interrupted while {verb}ing {what}", verb = verb.trim_end_matches('e'))
        }
        Stopped::Refused(_) | Stopped::Endpoint(_) | Stopped::Cluster(_) => format!("Cannot {verb} {what}"),
    };
    let detail = match reason {
        Stopped::Failed { failure, .. } => explain(failure),
        Stopped::TimedOut { progress, failure } => {
            let mut text = format!("When the time was over, {progress}.");
            if let Some(failure) = failure {
                let _ = write!(text, "\n\nThe last failure: {}", explain(failure));
            }
            let _ = write!(text, "\n\nIf it only needs more time, raise `{verb}` in the `timeouts` block.");
            text
        }
        Stopped::Cancelled { progress } => format!("Terraform was asked to stop; {progress}."),
        Stopped::Refused(_) | Stopped::Endpoint(_) | Stopped::Cluster(_) => {
            format!("{}.", capitalised(&reason.to_string()))
        }
    };
    let diagnostic = Diagnostic::error(summary, detail);
    let attribute = match reason {
        Stopped::Endpoint(error) => error.attribute(),
        Stopped::Cluster(error) => error.attribute(),
        Stopped::Failed { failure, .. } | Stopped::TimedOut { failure: Some(failure), .. } => attribute(failure),
        _ => None,
    };
    match attribute {
        Some(attribute) => diagnostic.at_attribute(attribute),
        None => diagnostic,
    }
}

/// The argument that a failure is about.
fn attribute(failure: &Failure) -> Option<&'static str> {
    let message = failure.message.to_lowercase();
    let first_of = |words: &[(&str, &'static str)]| {
        words.iter().find(|(word, _)| message.contains(word)).map(|(_, attribute)| *attribute)
    };
    match failure.reason {
        FailureReason::ImportFailed
        | FailureReason::InvalidScript
        | FailureReason::InitFailed
        | FailureReason::Crashed
        | FailureReason::StartFailed
        | FailureReason::ImagePull => Some("inference_config"),
        FailureReason::InitTimeout => Some("rollout"),
        FailureReason::FetchFailed => first_of(&[("of model ", "model_ids"), ("model version", "model_ids")]),
        FailureReason::OutOfMemory => Some("memory_gb_limit"),
        FailureReason::Quota => Some("num_replicas"),
        FailureReason::Unschedulable | FailureReason::AddingNodes => first_of(&[
            ("insufficient cpu", "cpu_cores"),
            ("insufficient memory", "memory_gb"),
            ("insufficient nvidia.com/gpu", "gpu_cores"),
            ("insufficient ephemeral-storage", "model_ids"),
            ("insufficient", "extended_resources"),
            ("affinity", "node_selector"),
            ("taint", "tolerations"),
        ]),
        FailureReason::Admission => first_of(&[
            ("serviceaccount", "service_account"),
            ("service account", "service_account"),
            ("priorityclass", "priority_class"),
        ]),
        FailureReason::ContainerNotStarted | FailureReason::ProbeFailed | FailureReason::Evicted => None,
    }
}

/// Reason, traceback, exit code and the end of the log, and what to do about it.
#[must_use]
pub fn explain(failure: &Failure) -> String {
    let mut text = capitalised(failure.message.trim_end());
    if let Some(traceback) = &failure.traceback {
        let _ = write!(text, "\n\n{}", traceback.trim_end());
    }
    if let Some(code) = failure.exit_code {
        let how = if code < 0 { "was ended by signal" } else { "ended with exit code" };
        let _ = write!(text, "\n\nThe process {how} {}.", code.unsigned_abs());
    }
    let skipped = failure.log_tail.len().saturating_sub(LOG_LINES);
    // A script's traceback is also the end of its log.
    if failure.traceback.is_none() && !failure.log_tail.is_empty() {
        let _ = write!(text, "\n\nIts last log lines:");
        for line in &failure.log_tail[skipped..] {
            let _ = write!(text, "\n  {line}");
        }
    }
    let advice = match failure.reason {
        FailureReason::ImportFailed => "Correct the script, or add what it imports to the environment's requirements.",
        FailureReason::InvalidScript => "The entry script must define init() and run(); correct it.",
        FailureReason::InitFailed => "Correct init(), or what it loads.",
        FailureReason::InitTimeout => {
            "Make init() return sooner, or give it more time with rollout.progress_deadline_seconds."
        }
        FailureReason::Crashed => {
            "The log says more: a crash without a traceback is often a lack of memory or a native library."
        }
        FailureReason::StartFailed => "Apply the environment again, which builds it when it is missing.",
        FailureReason::ContainerNotStarted => {
            "Put right what it names. A Secret that the attachment had made comes back with its next apply."
        }
        FailureReason::ProbeFailed => {
            "Let the script leave time for others, give the replica more of what it is short of (cpu_cores_limit, \
             memory_gb_limit), or let the probes wait longer."
        }
        FailureReason::FetchFailed => {
            "Check that pods may reach the workspace's storage, and that the storage credentials of the attachment are valid."
        }
        FailureReason::OutOfMemory => "Raise memory_gb_limit (and memory_gb with it), or make the model smaller.",
        FailureReason::Unschedulable => {
            "Ask for less (cpu_cores, memory_gb, gpu_cores, num_replicas), loosen node_selector and tolerations, or add nodes."
        }
        FailureReason::AddingNodes => {
            "Wait until the nodes are there, with a longer time in timeouts, and apply again."
        }
        FailureReason::ImagePull => {
            "Check that the image is in the registry and that the cluster may pull it: image_pull_secret of the attachment."
        }
        FailureReason::Quota => "Raise the ResourceQuota of the namespace, or ask for less.",
        FailureReason::Admission => "Change what the policy of the cluster refuses, or the policy.",
        FailureReason::Evicted => "The node was short of memory or disk; ask for what the replica needs, or add nodes.",
    };
    let _ = write!(text, "\n\n{advice}");
    text
}

/// The first letter in upper case, unless the text begins with a name such as `init()`.
fn capitalised(text: &str) -> String {
    if text.split(' ').next().is_some_and(|word| !word.chars().all(char::is_alphabetic)) {
        return text.to_owned();
    }
    let mut characters = text.chars();
    characters.next().into_iter().flat_map(char::to_uppercase).chain(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> Failure {
        Failure {
            reason: FailureReason::InitFailed,
            message: "init() raised ValueError: no weights (score.py, line 2)".into(),
            traceback: Some("Traceback (most recent call last):\n  ...\nValueError: no weights\n".into()),
            exit_code: Some(3),
            log_tail: (1..=30).map(|line| format!("line {line}")).collect(),
            count: 1,
            terminal: true,
        }
    }

    #[test]
    fn a_failed_script_is_explained_by_reason_traceback_and_exit_code() {
        let text = explain(&failure());
        assert!(text.starts_with("init() raised ValueError: no weights (score.py, line 2)\n\nTraceback"), "{text}");
        assert!(text.contains("exit code 3") && !text.contains("line 30"), "{text}");
    }

    #[test]
    fn a_crash_without_a_traceback_shows_the_end_of_the_log() {
        let crash = Failure { reason: FailureReason::Crashed, traceback: None, exit_code: Some(-11), ..failure() };
        let text = explain(&crash);
        assert!(text.contains("signal 11") && text.contains("  line 30") && !text.contains("line 10\n"), "{text}");
    }

    #[test]
    fn the_aftermath_of_a_failed_update_is_that_the_old_version_serves() {
        let reason = Stopped::Failed { version: "double".into(), failure: Box::new(failure()) };
        let failed = Unfinished { reason, left: None, rolled_back: true };
        let diagnostic = unfinished("webservice double", Doing::Update, &failed);
        assert_eq!(diagnostic.summary, "The replicas of webservice double do not become ready");
        assert!(diagnostic.detail.contains("What served before keeps serving"), "{}", diagnostic.detail);
    }

    #[test]
    fn a_failure_stands_on_the_argument_that_it_is_about() {
        let about = |reason, message: &str| attribute(&Failure { reason, message: message.into(), ..failure() });
        let short =
            "no node takes pod p: 0/2 nodes are available: 1 Insufficient memory, 1 node(s) had untolerated taint";
        assert_eq!(about(FailureReason::Unschedulable, short), Some("memory_gb"));
        let labels = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.";
        assert_eq!(about(FailureReason::Unschedulable, labels), Some("node_selector"));
        let account = "error looking up service account t/reader: serviceaccount \"reader\" not found";
        assert_eq!(about(FailureReason::Admission, account), Some("service_account"));
        assert_eq!(about(FailureReason::Admission, "denied by policy"), None);
        assert_eq!(about(FailureReason::InitFailed, "init() raised"), Some("inference_config"));
    }

    #[test]
    fn an_interruption_is_named_after_what_was_being_done() {
        let reason = Stopped::Cancelled { progress: "0 of 1 new replicas are ready".into() };
        assert_eq!(
            stopped("webservice double", Doing::Create, &reason).summary,
            "Interrupted while creating webservice double"
        );
    }
}
