//! Why images cannot be made.

use std::io;
use std::path::{Path, PathBuf};

use super::tool::Kind;

/// Why images cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImagesError {
    /// No program that builds images.
    #[error(
        "there is neither buildah nor podman on PATH, nor docker with a running daemon; install one, on Debian and Ubuntu with: apt-get install buildah"
    )]
    NoTool,
    /// The program that was asked for does not work.
    #[error("{0} cannot be used: {1}; install it, or leave out --tool so that whichever is there is taken")]
    Tool(Kind, String),
    /// A program is not on PATH.
    #[error("{program} is missing, needed {purpose}; on Debian and Ubuntu: apt-get install {program}")]
    Missing {
        /// Its name.
        program: &'static str,
        /// What for.
        purpose: &'static str,
    },
    /// A root file system can only be made by root.
    #[error("debootstrap must run as root; run this as root, or name base images with --router-base and --scorer-base")]
    NotRoot,
    /// There is no place for what is kept between runs.
    #[error("there is no cache directory; set HOME or XDG_CACHE_HOME")]
    NoCache,
    /// A program cannot be started.
    #[error("cannot start {command}: {source}")]
    Start {
        /// The command.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// A program ended with an error.
    #[error("{command} failed ({status})\n{output}")]
    Failed {
        /// The command.
        command: String,
        /// Its exit status.
        status: String,
        /// The last of what it said.
        output: String,
    },
    /// A program said what cannot be understood.
    #[error("cannot understand what {command} says: {why}")]
    Said {
        /// The command.
        command: String,
        /// What is wrong.
        why: String,
    },
    /// There is not exactly one wheel.
    #[error("{} holds {found} wheels of the scorer instead of one; name one with --wheel", folder.display())]
    Wheels {
        /// Where.
        folder: PathBuf,
        /// How many.
        found: usize,
    },
    /// A file.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// For `map_err` on what is done with a file.
pub(super) fn file(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> ImagesError {
    let path = path.as_ref().to_owned();
    move |source| ImagesError::File { path, source }
}
