//! How a command fails.

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::admin::client::ClientError;

/// A failed command: what to print, and the exit code.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// Exit code 1.
    pub(super) fn failed(message: String) -> Self {
        Self { code: 1, message }
    }

    /// Exit code 3: the named thing does not exist.
    pub(super) fn unknown(message: String) -> Self {
        Self { code: 3, message }
    }

    /// Exit code 4: what was printed comes from the files alone.
    pub(super) fn offline() -> Self {
        let message = "no supervisor runs for this compute, so this is what its files say; `terraform apply` starts it";
        Self { code: 4, message: message.to_owned() }
    }

    /// Prints the message.
    pub(super) fn report(self) -> ExitCode {
        if self.code != 0 {
            // With standard error gone there is nobody to tell.
            let _ = writeln!(io::stderr(), "azureml-fe: {}", self.message);
        }
        ExitCode::from(self.code)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            // The reader, `head` for example, has seen enough.
            return Self { code: 0, message: "the output was closed".to_owned() };
        }
        Self::failed(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::from(io::Error::from(error))
    }
}
