//! The command line.
//!
//! Exit codes: 0 done; 1 failed, with the reason on standard error (for `supervise` before its start, as a JSON line on
//! standard output); 2 the command line itself is wrong; 3 the named service, version or replica does not exist; 4 no
//! supervisor runs, and the answer is only what the files say.

mod failure;
mod gc;
mod service;
mod table;
mod token;

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use serving::layout;

use crate::config::Config;
use crate::supervise::Options;
use crate::{inherit, route, serve, supervise};
use failure::Failure;
use service::Noun;

/// The router of azureml services, and the supervisor of a local compute.
///
/// Exit codes: 0 done, 1 failed, 2 wrong command line, 3 no such service, version or replica, 4 no supervisor runs
/// (what was printed comes from the files alone).
#[derive(Parser)]
#[command(name = "azureml-fe", version, propagate_version = false)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Hold a local compute together: the listening socket, the router worker and the scorers. Stays in the foreground.
    Supervise {
        #[command(flatten)]
        compute: Compute,
        /// Descriptor with the state of the program that executed this one.
        #[arg(long, hide = true)]
        handover: Option<RawFd>,
    },
    /// Route requests; started by `supervise`, with orders on standard input and an inherited listening socket.
    Route {
        /// Number of the inherited listening socket.
        #[arg(long)]
        listen_fd: RawFd,
    },
    /// Route requests in a cluster: watch the namespace, serve what is found, confirm it in a Lease. Runs in a pod.
    Serve {
        /// The configuration.
        #[arg(long, default_value = "/etc/azureml-fe/azureml-fe.toml", value_name = "FILE")]
        config: PathBuf,
        /// How to reach the cluster from outside of it; without it and without KUBECONFIG, as the pod's ServiceAccount.
        #[arg(long, value_name = "FILE")]
        kubeconfig: Option<PathBuf>,
        /// Namespace of the services; that of `POD_NAMESPACE`, or the pod's own, if not given.
        #[arg(long)]
        namespace: Option<String>,
        /// Port of /livez, /readyz and /metrics.
        #[arg(long, default_value_t = serving::cluster::ROUTER_STATUS_PORT)]
        status_port: u16,
    },
    /// Look at the webservices of a local compute.
    #[command(subcommand)]
    Service(service::Command),
    /// Look at the endpoints of a local compute.
    #[command(subcommand)]
    Endpoint(service::Command),
    /// Find what no service document names any more: app directories, keys, logs, sockets, programs. Only lists it,
    /// unless told to delete.
    Gc {
        #[command(flatten)]
        compute: Compute,
        /// Delete what was found.
        #[arg(long)]
        delete: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Which compute.
#[derive(Args, Clone)]
struct Compute {
    /// Directory of the local compute (`directory` of the resource `azureml_local_compute`).
    #[arg(long, short, value_name = "DIRECTORY")]
    directory: PathBuf,
}

impl Compute {
    /// Makes the compute directory the working directory, so that paths to its sockets are short.
    fn enter(&self) -> Result<(), Failure> {
        let name = self.directory.display();
        std::env::set_current_dir(&self.directory).map_err(|error| {
            Failure::failed(format!("the compute directory {name} cannot be used: {error}; check --directory"))
        })?;
        if Path::new(layout::CONFIG).exists() || Path::new(layout::SERVICES).exists() {
            Ok(())
        } else {
            Err(Failure::failed(format!(
                "{name} is not the directory of a local compute: it has neither {} nor {}; check --directory",
                layout::CONFIG,
                layout::SERVICES
            )))
        }
    }
}

/// Runs the program. `claimed` is the result of [`inherit::claim`].
#[must_use]
pub fn main(claimed: io::Result<()>) -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = claimed {
        return Failure::failed(format!("the inherited descriptors cannot be listed: {error}")).report();
    }
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Supervise { compute, handover } => {
            log("info");
            let options = Options { directory: compute.directory, handover };
            supervise::run(&options).map_err(|error| Failure::failed(error.to_string()))
        }
        Command::Route { listen_fd } => route(listen_fd),
        Command::Serve { config: path, kubeconfig, namespace, status_port } => {
            inherit::close_rest();
            let config = Config::load_in_cluster(&path)
                .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
            log(&config.log.level);
            serve::run(serve::Options { config, kubeconfig, namespace, status_port }).map_err(Failure::failed)
        }
        Command::Service(command) => service::run(Noun::Service, command),
        Command::Endpoint(command) => service::run(Noun::Endpoint, command),
        Command::Gc { compute, delete, json } => {
            compute.enter()?;
            gc::run(delete, json)
        }
    }
}

fn route(listen_fd: RawFd) -> Result<(), Failure> {
    let listener: TcpListener = inherit::take(listen_fd).map_err(|error| Failure::failed(error.to_string()))?.into();
    inherit::close_rest();
    let control = io::stdin().as_fd().try_clone_to_owned().map_err(|error| Failure::failed(error.to_string()))?;
    let config = Config::load(layout::CONFIG.as_ref())
        .map_err(|error| Failure::failed(format!("{}: {error}", layout::CONFIG)))?;
    log(&config.log.level);
    route::run(config, listener, UnixStream::from(control)).map_err(|error| Failure::failed(error.to_string()))
}

/// Messages go to standard error, which is a log file; `RUST_LOG` overrides the level.
fn log(level: &str) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().or_else(|_| EnvFilter::try_new(level));
    let mut filter = filter.unwrap_or_else(|_| EnvFilter::new("info"));
    // The client of the cluster quotes answers that it cannot read, Secrets too, and says the same at each attempt.
    for silent in ["kube_client::client=off", "kube_runtime=off"] {
        filter = filter.add_directive(silent.parse().expect("a directive"));
    }
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false).init();
}
