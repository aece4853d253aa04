//! The one place where typed errors become messages to the user.
//!
//! An error says what failed, on which object, why, and what to do next. Here it gets its summary, and the attribute
//! that it is about, if there is one.

use std::error::Error;

use tfplugin::Diagnostic;

use crate::environment::error::DefinitionError;
use crate::workspace::document::Kind;
use crate::workspace::model::RegisterError;

/// An error that may be about an attribute.
pub trait Blame: Error {
    /// Name of the top-level attribute that is to be changed.
    fn attribute(&self) -> Option<&'static str> {
        None
    }
}

/// An error as a diagnostic under this summary, on the attribute that it is about.
pub fn explain(summary: impl Into<String>, error: &impl Blame) -> Diagnostic {
    let diagnostic = Diagnostic::error(summary, sentence(error));
    match error.attribute() {
        Some(attribute) => diagnostic.at_attribute(attribute),
        None => diagnostic,
    }
}

/// The warning that somebody has changed `subject`, in the ways that `changes` tells.
#[must_use]
pub fn not_as_applied(subject: &str, changes: &str) -> Diagnostic {
    let detail = format!("{changes}. The next apply puts it right, or says who else manages it.");
    Diagnostic::warning(format!("{subject} is not as it was applied"), detail)
}

/// Turns an error into a diagnostic, for use with `?`.
pub trait OrExplain<T> {
    /// See [`explain`].
    fn or_explain(self, summary: impl Into<String>) -> Result<T, Diagnostic>;
}

impl<T, E: Blame> OrExplain<T> for Result<T, E> {
    fn or_explain(self, summary: impl Into<String>) -> Result<T, Diagnostic> {
        self.map_err(|error| explain(summary, &error))
    }
}

/// The text of an error with those of its causes that it does not repeat, as a sentence.
pub fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    let mut characters = text.chars();
    let Some(first) = characters.next() else { return text };
    let mut sentence: String = first.to_uppercase().chain(characters).collect();
    // A text of several lines ends with what a program said.
    if !sentence.contains('\n') && !sentence.ends_with(['.', '!', '?', '\'']) {
        sentence.push('.');
    }
    sentence
}

impl Blame for crate::workspace::Error {
    fn attribute(&self) -> Option<&'static str> {
        match self {
            Self::Exists { kind: Kind::Workspace, .. } | Self::Unfinished { kind: Kind::Workspace, .. } => {
                Some("storage_url")
            }
            Self::Exists { .. } | Self::Unfinished { .. } => Some("name"),
            Self::Missing { kind: Kind::Workspace, .. } => Some("workspace_id"),
            _ => None,
        }
    }
}

impl Blame for RegisterError {
    fn attribute(&self) -> Option<&'static str> {
        match self {
            Self::Workspace(error) => error.attribute(),
            Self::Properties(_) => Some("properties"),
        }
    }
}

/// A model's path.
impl Blame for crate::workspace::entry::EntryError {
    fn attribute(&self) -> Option<&'static str> {
        Some("path")
    }
}

impl Blame for DefinitionError {
    fn attribute(&self) -> Option<&'static str> {
        match self {
            Self::Requirements(_) => Some("pip_requirements"),
            Self::Conda(_) | Self::Packages(_) => Some("conda_file"),
        }
    }
}

impl Blame for crate::environment::Error {
    fn attribute(&self) -> Option<&'static str> {
        match self {
            Self::Workspace(error) => error.attribute(),
            Self::Definition(error) => error.attribute(),
            Self::NoScorer { wanted: Some(_), .. } => Some("scorer_version"),
            Self::BaseImage { own: true, .. } => Some("docker"),
            Self::Image { attribute, .. } => *attribute,
            _ => None,
        }
    }
}

impl Blame for crate::workspace::id::ParseError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read {0}")]
    struct Outer(&'static str, #[source] std::io::Error);

    #[test]
    fn an_error_becomes_a_sentence_with_its_causes() {
        let error = Outer("a.json", std::io::Error::other("disk on fire"));
        assert_eq!(sentence(&error), "Cannot read a.json: disk on fire.");
    }

    #[test]
    fn an_error_is_shown_on_the_attribute_that_it_is_about() {
        let error = RegisterError::Properties(vec!["framework".into()]);
        let diagnostic = explain("Cannot update the model", &error);
        assert_eq!(diagnostic.path, Some(tfplugin::AttributePath::attribute("properties")));
        assert!(diagnostic.detail.contains("framework"), "{diagnostic}");
    }
}
