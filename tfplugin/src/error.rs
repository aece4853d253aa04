//! Why a value could not be read or written.

use crate::path::AttributePath;

/// A value that does not have the type, or does not fit the model, that it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` {message}")]
pub struct ValueError {
    /// Where the value is.
    pub path: AttributePath,
    /// What is wrong with it, as the rest of a sentence that begins with the path.
    pub message: String,
    /// Whether the only trouble is that the value is not known before apply.
    pub unknown: bool,
}

impl ValueError {
    /// A value with something wrong.
    pub fn new(path: AttributePath, message: impl Into<String>) -> Self {
        Self { path, message: message.into(), unknown: false }
    }

    /// A value that would have to be known.
    #[must_use]
    pub fn not_known(path: AttributePath) -> Self {
        Self { path, message: "is known only after apply".into(), unknown: true }
    }
}
