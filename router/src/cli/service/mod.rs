//! `azureml-fe service` and `azureml-fe endpoint`: what runs on a local compute, and its logs in a cluster. Both are the same commands, each for its own
//! kind of document.

mod keys;
mod list;
mod logs;
mod pods;
mod show;
mod versions;
mod view;
mod watch;

use clap::Subcommand;
use serving::service::Kind;

use super::table::Table;
use super::{Compute, Failure, token};
pub(super) use view::{names, status};

/// What a command is about. `azureml-fe service` is about webservices, `azureml-fe endpoint` about endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noun {
    /// A webservice: one version, of its own name.
    Service,
    /// An endpoint: several versions that share its traffic.
    Endpoint,
}

impl Noun {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Webservice => Self::Service,
            Kind::Endpoint => Self::Endpoint,
        }
    }

    /// The word on the command line, in texts and in the scoring path.
    fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Endpoint => "endpoint",
        }
    }
}

/// Commands about services or endpoints.
#[derive(Subcommand)]
pub(super) enum Command {
    /// List them.
    List {
        #[command(flatten)]
        compute: Compute,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one: versions, shares, replicas, counters, latencies, and why something does not run.
    Show {
        #[command(flatten)]
        compute: Compute,
        /// Its name.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Show it again every second until interrupted, with the requests per second. With --json, one object a line.
        #[arg(long)]
        watch: bool,
    },
    /// Print both keys. Only the owner of the compute can.
    Keys {
        #[command(flatten)]
        compute: Compute,
        /// Its name.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print a token for it, if its callers authenticate by tokens. Only the owner of the compute can.
    Token {
        #[command(flatten)]
        compute: Compute,
        /// Its name.
        name: String,
        /// Seconds that it is valid, within the bounds of `azureml-fe.toml`.
        #[arg(long, value_name = "SECONDS")]
        lifetime: Option<u64>,
        /// Print JSON: `accessToken`, `tokenType`, `expiryOn`, `refreshAfter`.
        #[arg(long)]
        json: bool,
    },
    /// Print the logs of its replicas, each line after the replica's id.
    Logs(logs::Args),
}

/// Runs a command.
pub(super) fn run(noun: Noun, command: Command) -> Result<(), Failure> {
    match command {
        Command::List { compute, json } => {
            compute.enter()?;
            list::run(noun, json)
        }
        Command::Show { compute, name, json, watch: false } => {
            compute.enter()?;
            show::run(noun, &name, json)
        }
        Command::Show { compute, name, json, watch: true } => {
            compute.enter()?;
            watch::run(noun, &name, json)
        }
        Command::Keys { compute, name, json } => {
            compute.enter()?;
            keys::run(noun, &name, json)
        }
        Command::Token { compute, name, lifetime, json } => {
            compute.enter()?;
            token::run(&view::document(noun, "token", &name)?, lifetime, json)
        }
        Command::Logs(args) => logs::run(noun, &args),
    }
}
