//! What can go wrong when a provider is driven.

use std::fmt;

use crate::path::{AttributePath, Step};
use crate::proto;
use crate::proto::attribute_path::step::Selector;
use crate::proto::diagnostic::Severity;

/// A rule of Terraform Core that a provider must keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The planned value of a configured attribute equals the configuration or the prior state.
    PlannedValue,
    /// A plan of the same configuration and state is the same the second time.
    PlanTwice,
    /// What the final plan, with more known, says of values that were known before.
    FinalPlan,
    /// What is known in a plan comes out of apply unchanged.
    AppliedValue,
    /// Nothing is unknown after apply or read.
    UnknownAfterApply,
    /// A write-only value never comes back.
    WriteOnly,
    /// A destroyed object leaves no state.
    Destroyed,
    /// After apply, a plan of the same configuration changes nothing.
    EmptyPlan,
    /// Reading right after apply finds what apply returned.
    ReadAfterApply,
}

/// Where and how a provider broke a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the provider broke the rule {rule:?} at `{path}`: {detail}")]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// The attribute.
    pub path: AttributePath,
    /// What was found there.
    pub detail: String,
}

/// A message of the provider for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Whether the operation failed because of it; a warning otherwise.
    pub is_error: bool,
    /// The headline.
    pub summary: String,
    /// The explanation.
    pub detail: String,
    /// The attribute that it is about; the root if none.
    pub path: AttributePath,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (at `{}`)", self.summary, self.detail, self.path)
    }
}

/// Why an operation of the double did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// The provider could not be started.
    #[error("cannot start the provider: {0}")]
    Start(String),
    /// The provider could not be reached, or refused the connection.
    #[error("cannot connect to the provider: {0}")]
    Connect(String),
    /// The schema is one that Core refuses.
    #[error("the provider's schema is invalid: {0}")]
    Schema(String),
    /// The provider has nothing of that name.
    #[error("the provider has no {kind} `{name}`")]
    NoSuchType {
        /// Resource, data source and so on.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// The configuration, or a value from the provider, does not fit the schema.
    #[error(transparent)]
    Value(#[from] crate::error::ValueError),
    /// The call itself failed, as it does when the provider has crashed.
    #[error("the call failed: {}", .0.message())]
    Call(#[from] tonic::Status),
    /// The provider reported errors.
    #[error("the provider reported: {}", list(.messages))]
    Failed {
        /// What it said, warnings included.
        messages: Vec<Message>,
        /// What a failed apply left behind; Terraform marks it as tainted after a create.
        state: Option<Box<super::State>>,
    },
    /// A function reported an error.
    #[error("the function failed: {text}")]
    Function {
        /// What it said.
        text: String,
        /// The argument that it is about, counted from zero.
        argument: Option<i64>,
    },
    /// The provider broke a rule of Core.
    #[error(transparent)]
    Violation(#[from] Violation),
}

impl CoreError {
    /// The broken rule, if that is what went wrong.
    #[must_use]
    pub fn violation(&self) -> Option<&Violation> {
        if let Self::Violation(violation) = self { Some(violation) } else { None }
    }

    /// What the provider reported; empty if something else went wrong.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        if let Self::Failed { messages, .. } = self { messages } else { &[] }
    }
}

fn list(messages: &[Message]) -> String {
    messages.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// An error with its causes, for a message.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Takes the messages out of an answer; errors among them are an error.
pub(super) fn check(diagnostics: &[proto::Diagnostic]) -> Result<Vec<Message>, CoreError> {
    let messages = messages(diagnostics);
    if messages.iter().any(|message| message.is_error) {
        return Err(CoreError::Failed { messages, state: None });
    }
    Ok(messages)
}

pub(super) fn messages(diagnostics: &[proto::Diagnostic]) -> Vec<Message> {
    diagnostics
        .iter()
        .map(|diagnostic| Message {
            is_error: diagnostic.severity() != Severity::Warning,
            summary: diagnostic.summary.clone(),
            detail: diagnostic.detail.clone(),
            path: diagnostic.attribute.as_ref().map(path).unwrap_or_default(),
        })
        .collect()
}

pub(super) fn path(path: &proto::AttributePath) -> AttributePath {
    path.steps.iter().filter_map(|step| step.selector.as_ref()).fold(AttributePath::root(), |path, selector| {
        path.step(match selector {
            Selector::AttributeName(name) => Step::Attribute(name.clone()),
            Selector::ElementKeyString(key) => Step::Key(key.clone()),
            Selector::ElementKeyInt(index) => Step::Index(usize::try_from(*index).unwrap_or(usize::MAX)),
        })
    })
}
