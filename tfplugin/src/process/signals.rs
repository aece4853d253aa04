//! Signals, and the end of the host.
//!
//! A terminal sends Ctrl-C to the host and to every plugin. The host then asks its plugins to stop, and needs their
//! answers: a plugin that dies of the signal itself loses what it has just created.

use std::io;

use tokio_util::sync::CancellationToken;

use super::stop::Stop;

/// Who started the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Starter {
    /// Terraform: interrupts are its business.
    Host,
    /// A person with `-debug`: an interrupt ends the process.
    Person,
}

/// Takes over SIGINT and SIGTERM at once, before the host learns of the process, and acts on them in a task.
#[cfg(unix)]
pub(crate) fn install(starter: Starter, stop: Stop, shutdown: CancellationToken) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                received = interrupt.recv() => match (received, starter) {
                    (Some(()), Starter::Host) => {
                        tracing::debug!("ignored an interrupt; the host decides what to stop");
                        continue;
                    }
                    (Some(()), Starter::Person) | (None, _) => {}
                },
                _ = terminate.recv() => {}
            }
            tracing::info!("ending");
            stop.stop();
            shutdown.cancel();
            return;
        }
    });
    Ok(())
}

/// Takes over Ctrl-C.
#[cfg(not(unix))]
pub(crate) fn install(starter: Starter, stop: Stop, shutdown: CancellationToken) -> io::Result<()> {
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if starter == Starter::Person {
                stop.stop();
                shutdown.cancel();
                return;
            }
        }
    });
    Ok(())
}
