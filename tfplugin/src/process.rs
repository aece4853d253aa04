//! A provider as a process: how a host starts it, connects to it, stops it and reads its log.
//!
//! [`serve`] is all that a provider's `main` calls. The rest of this module is what it is made of.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::proto::provider_server::Provider as Service;
use crate::server::ProviderServer;

mod arguments;
mod environment;
mod handshake;
mod listener;
pub mod logging;
pub mod panic;
mod reattach;
pub(crate) mod server;
mod services;
mod signals;
mod stdio;
mod stop;
pub(crate) mod tls;

use arguments::Mode;
pub use environment::{Environment, MAGIC_COOKIE};
pub use handshake::{Address, Handshake, HandshakeError, PROTOCOL_VERSION};
#[cfg(feature = "testing")]
pub(crate) use listener::Connection;
pub use listener::{ListenError, Network};
use server::Plugin;
use signals::Starter;
pub use stop::{CancellationToken as StopToken, Stop};
pub use tls::TlsError;

const NOT_FOR_PEOPLE: &str = "\
This binary is a plugin. These are not meant to be executed directly.
Please execute the program that consumes these plugins, which will
load any plugins automatically";

/// How long operations may take to return once the process has been told to end: they save what they have done. A host
/// that asked for the end has none running, and waits two seconds.
const GRACE: Duration = Duration::from_secs(10);

/// Who a provider is.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// Its source address, as in `registry.terraform.io/acme/thing`; the last part is the provider's name.
    pub address: &'a str,
    /// The version of this build, without a leading `v`.
    pub version: &'a str,
}

impl<'a> Identity<'a> {
    /// The provider's name: the last part of its address.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.address.rsplit('/').next().unwrap_or(self.address)
    }
}

/// Why a provider cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is nothing to listen on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A call of the system failed.
    #[error("cannot start the provider: {0}")]
    Io(#[from] io::Error),
    /// The gRPC server failed.
    #[error("the provider's server failed: {0}")]
    Server(#[from] tonic::transport::Error),
}

/// Serves a provider to the host that started this process; the whole of a provider's `main`.
///
/// `version` is the version of this build, without a leading `v`. Flags of the process: `-debug`, `--version`, `--help`.
/// Failures are printed to stderr; the exit code is 0 when the host, or in debug mode a person, has ended the process.
///
/// ```no_run
/// # use tfplugin::Provider;
/// # fn example<P: Provider>(provider: P) -> std::process::ExitCode {
/// tfplugin::serve(provider, env!("CARGO_PKG_VERSION"))
/// # }
/// ```
pub fn serve<P: crate::Provider>(provider: P, version: &str) -> ExitCode {
    let provider = ProviderServer::new(provider);
    let stop = provider.stop();
    serve_service(Identity { address: P::ADDRESS, version }, provider, &stop)
}

/// Serves any implementation of the protocol. `stop` is the handle that the implementation's `StopProvider` uses; the
/// process uses it when it is told to end by a signal or by the death of its host.
pub fn serve_service<P: Service>(identity: Identity<'_>, provider: P, stop: &Stop) -> ExitCode {
    let environment = Environment::from_process();
    let name = identity.name();
    let starter = match arguments::parse(std::env::args().skip(1)) {
        Ok(Mode::Version) => {
            return print(&format!("terraform-provider-{name} v{}\n", identity.version));
        }
        Ok(Mode::Help) => {
            return print(&format!("terraform-provider-{name}\n\n{}", arguments::HELP));
        }
        Ok(Mode::Debug) => Starter::Person,
        Ok(Mode::Serve) => Starter::Host,
        Err(argument) => {
            return fail(&format!("unknown argument {argument:?}\n\n{}", arguments::HELP));
        }
    };
    if starter == Starter::Host && !environment.is_host() {
        return fail(NOT_FOR_PEOPLE);
    }
    logging::install(&format!("provider.{name}"), logging::level(&environment, name));
    panic::install(panic::Unguarded::Abort);
    match run(identity, starter, &environment, provider, stop) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn run<P: Service>(
    identity: Identity<'_>,
    starter: Starter,
    environment: &Environment,
    provider: P,
    stop: &Stop,
) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        // Before the host learns of the process: from then on an interrupt may come.
        signals::install(starter, stop.clone(), shutdown.clone())?;
        let plugin = match starter {
            Starter::Host => announce_to_host(environment, stop, &shutdown)?,
            Starter::Person => announce_to_person(identity)?,
        };
        plugin.serve(provider, shutdown, GRACE).await
    });
    // What still runs was told to stop and had its time; a blocked thread must not keep the process.
    runtime.shutdown_background();
    served
}

fn announce_to_host(
    environment: &Environment,
    stop: &Stop,
    shutdown: &CancellationToken,
) -> Result<Plugin, ServeError> {
    let plugin = Plugin::bind(environment, Network::Platform)?;
    let spoken = environment.protocol_versions();
    if !spoken.is_empty() && !spoken.contains(&PROTOCOL_VERSION) {
        // The host reads the version in the line and says what is wrong better than this process could.
        tracing::error!(?spoken, "the host does not speak protocol {PROTOCOL_VERSION}");
    }
    stdio::announce(&plugin.handshake().to_string())?;
    stdio::hand_over(stop.clone(), shutdown.clone())?;
    Ok(plugin)
}

fn announce_to_person(identity: Identity<'_>) -> Result<Plugin, ServeError> {
    // Without the host's certificate there is no TLS; the socket is still the user's alone.
    let plugin = Plugin::bind(&Environment::default(), Network::Platform)?;
    let value = reattach::value(identity.address, std::process::id(), plugin.address());
    let mut stdout = io::stdout().lock();
    stdout.write_all(reattach::instructions(&value).as_bytes())?;
    stdout.flush()?;
    Ok(plugin)
}

fn print(text: &str) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn fail(message: &str) -> ExitCode {
    let _ = writeln!(io::stderr().lock(), "{message}");
    ExitCode::FAILURE
}
