//! `azureml-fe supervise`: the one small process that holds a local compute together.
//!
//! It owns the listening socket, keeps a router worker and the scorers running, and plays for each version of each
//! service the part that a Deployment's controller plays in a cluster. It is single-threaded: one loop
//! (`engine`) to which signals, control sockets and admin clients report, and which then compares what is with what the
//! documents want (`rollout` decides, `replicas` and `workers` carry out).

mod answers;
mod documents;
mod engine;
mod handover;
mod launch;
mod lines;
pub(crate) mod logfile;
mod process;
mod replica;
mod replicas;
pub mod rollout;
mod signing;
mod startup;
mod workers;

use std::io;
use std::os::fd::RawFd;
use std::path::PathBuf;

use serde::Serialize;
use serving::layout;

use crate::config::Config;
use crate::inherit;
use engine::{Parts, Supervisor};
use handover::State;

/// What `azureml-fe supervise` was told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The compute directory.
    pub directory: PathBuf,
    /// Descriptor with the state of a predecessor that executed this program.
    pub handover: Option<RawFd>,
}

/// Why the supervisor could not start or go on.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SuperviseError {
    /// Stable name.
    pub reason: Reason,
    /// What failed, why, and what to do.
    pub message: String,
}

/// Reasons of [`SuperviseError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The port is taken.
    PortInUse,
    /// Another supervisor holds the directory.
    AlreadyRunning,
    /// `azureml-fe.toml` cannot be used.
    InvalidConfig,
    /// The operating system refused something.
    Io,
}

impl SuperviseError {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl From<io::Error> for SuperviseError {
    fn from(error: io::Error) -> Self {
        Self::new(Reason::Io, error.to_string())
    }
}

/// Runs the supervisor until it is told to stop. Changes the working directory, the session and the standard streams.
///
/// Writes one JSON line to standard output: `ready` when the router answers, else `error`.
pub fn run(options: &Options) -> Result<(), SuperviseError> {
    let result = start(options);
    if let Err(error) = &result {
        tracing::error!(reason = ?error.reason, message = error.message, "the supervisor ends");
        if options.handover.is_none() {
            startup::say(&serde_json::json!({ "error": { "reason": error.reason, "message": error.message } }));
        }
    }
    result
}

fn start(options: &Options) -> Result<(), SuperviseError> {
    let directory = &options.directory;
    let about = |error: io::Error| {
        SuperviseError::new(
            Reason::Io,
            format!("the compute directory {} cannot be used: {error}", directory.display()),
        )
    };
    let root = directory.canonicalize().map_err(about)?;
    std::env::set_current_dir(&root).map_err(about)?;
    // A predecessor's state comes first: what is not named in it is closed.
    let predecessor = options.handover.and_then(|number| match State::receive(number) {
        Ok(state) => Some(state),
        Err(error) => {
            // With its descriptors the predecessor's children end, and a fresh start brings everything back.
            tracing::error!(%error, "the predecessor's state cannot be read; starting afresh");
            None
        }
    });
    let config = Config::load(layout::CONFIG.as_ref())
        .and_then(|config| config.check_local().map(|()| config))
        .map_err(|error| SuperviseError::new(Reason::InvalidConfig, format!("{}: {error}", layout::CONFIG)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let Some(state) = predecessor {
        // Scorers run and callers wait: a configuration that went bad meanwhile must not end that.
        let config = config.unwrap_or_else(|error| {
            tracing::error!(message = error.message, "the defaults are used until the next start");
            Config::default()
        });
        let parts = state.parts(root, config)?;
        return runtime.block_on(async {
            let mut supervisor = Supervisor::new(parts)?;
            state.restore(&mut supervisor)?;
            inherit::close_rest();
            let alive: Vec<String> = supervisor.replicas.iter().map(replica::Replica::name).collect();
            startup::remove_sockets(|id| alive.iter().any(|name| name == id));
            tracing::info!(version = env!("CARGO_PKG_VERSION"), replicas = alive.len(), "took over");
            supervisor.run().await
        });
    }
    inherit::close_rest();
    startup::detach()?;
    startup::folders().map_err(about)?;
    let lock = startup::lock()?;
    let config = config?;
    let listener = startup::bind(config.listen())?;
    startup::remove_sockets(|_| false);
    let admin = startup::admin()?;
    let announcement = Some(startup::Announcement::new());
    runtime
        .block_on(async { Supervisor::new(Parts { root, config, listener, admin, lock, announcement })?.run().await })
}
