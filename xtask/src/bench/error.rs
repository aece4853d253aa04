//! Why a measurement cannot be made.

use std::io;
use std::path::PathBuf;

use crate::command::CommandError;

/// Why a measurement cannot be made, or is not valid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// Processes are read from `/proc` and pinned with `taskset`.
    #[error("measuring needs Linux")]
    NoLinux,
    /// One core is the server's, the other the load's.
    #[error("measuring needs two cores, one for the server and one for its load; there is {0}")]
    Cores(usize),
    /// A program is not on PATH.
    #[error("{program} is missing, needed {purpose}; install it, on Debian and Ubuntu with: apt-get install {package}")]
    Missing {
        /// Its name.
        program: &'static str,
        /// What for.
        purpose: &'static str,
        /// The Debian package.
        package: &'static str,
    },
    /// A program did not do its work.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// What the Makefile should have left is not there.
    #[error("{} is missing although `make` succeeded", .0.display())]
    NotBuilt(PathBuf),
    /// A server did not come up, or answers something else than its peers.
    #[error("{server} {what}\n{log}")]
    Server {
        /// Its name.
        server: String,
        /// What is wrong.
        what: String,
        /// The last of its log.
        log: String,
    },
    /// A turn with failed requests says nothing about the server.
    #[error("{server} failed requests under the load \"{load}\": {failures}")]
    Requests {
        /// The server.
        server: String,
        /// The load.
        load: String,
        /// As wrk reports them.
        failures: String,
    },
    /// Requests were answered, but not by the server.
    #[error("{0} used no CPU time under load: something else answers at its address")]
    Idle(String),
    /// Another program's output has an unknown form.
    #[error("cannot read {what} from:\n{text}")]
    Parse {
        /// What was looked for.
        what: &'static str,
        /// Where.
        text: String,
    },
    /// An argument has an unknown form.
    #[error("{0:?} is not NAME=PATH")]
    Beside(String),
    /// A name that no peer has.
    #[error("there is no peer {name:?}; there is {known}")]
    Peer {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// Some of what was to be measured could not be; each was told when it failed.
    #[error("these could not be measured, see above: {0}")]
    Groups(String),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Maps an error of the system for a file.
pub(super) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> BenchError {
    let path = path.into();
    move |source| BenchError::File { path, source }
}
