//! The data path: the router worker.
//!
//! A request's way: `connection` reads its head, `call` takes out what is needed and finds the service, `pick` its version,
//! `forward` waits for a slot of a replica at the version's `gate`, `attempt` sends it there and delivers the
//! response. Every thread does all of this for its own connections and shares with the others only the `table`, the
//! gates and the replicas' counters. `worker` owns the threads and the control channel.

mod access;
mod answer;
mod attempt;
mod auth;
mod buffer;
mod call;
mod connection;
mod counters;
mod download;
mod event_loop;
mod forward;
mod gate;
mod hop;
mod ids;
mod issuers;
mod latency;
mod pick;
mod pool;
mod replica;
mod sticky;
mod subscribe;
mod table;
mod thread;
mod token;
mod upload;
mod worker;

use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use serving::snapshot::{Entry, HopSecret};

use crate::config::Config;

/// Bytes of a connection's buffer at its start.
const BUFFER: usize = 16 * 1024;
/// Room that is made for each read of a large body.
const LARGE_BUFFER: usize = 64 * 1024;

/// The worker's clock: milliseconds since its start, from 1.
#[derive(Clone, Debug)]
struct Clock(event_loop::Instant);

impl Clock {
    fn new() -> Self {
        Self(event_loop::Instant::now())
    }

    fn now(&self) -> u64 {
        forward::milliseconds(self.0.elapsed()) + 1
    }

    fn instant(&self, at: u64) -> event_loop::Instant {
        self.0 + crate::config::ms(at - 1)
    }
}

/// Why the worker ended in failure.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// The operating system refused something.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A thread ended by a bug.
    #[error("thread {0} of the data path ended unexpectedly")]
    Thread(usize),
}

/// Gets a path of the API server; blocks. The error is for people.
pub type ApiServer = Arc<dyn Fn(&str) -> Result<Vec<u8>, String> + Send + Sync>;

/// Whether a hop secret can be sent to scorers.
pub(crate) fn hop_sendable(secret: &HopSecret) -> bool {
    hop::sendable(secret)
}

/// Why this router cannot serve a service; a snapshot with such a service is refused as a whole. `Ok` if it can.
pub(crate) fn servable(name: &str, entry: &Entry) -> Result<(), String> {
    table::check(name, entry).map(drop)
}

/// Routes until the control channel closes, or says [`Drain`](serving::snapshot::ToWorker::Drain) or
/// [`Stop`](serving::snapshot::ToWorker::Stop) and the last connection has ended. Blocks.
///
/// The worker answers on `listener`, which other processes may hold too, and reads
/// [`ToWorker`](serving::snapshot::ToWorker) lines from `control`. Before the first snapshot it knows no service. A
/// snapshot with anything in it that cannot be served is refused as a whole, with a logged reason and without a
/// confirmation, and the previous one stays in force.
///
/// Replicas' unix sockets are relative to the working directory.
#[expect(clippy::needless_pass_by_value, reason = "the channel is the worker's; it closes when the worker ends")]
pub fn run(config: Config, listener: TcpListener, control: UnixStream) -> Result<(), RouteError> {
    worker::run(config, listener, &control, None)
}

/// As [`run`], in a cluster whose API server tells the keys of its ServiceAccounts' tokens.
#[expect(clippy::needless_pass_by_value, reason = "the channel is the worker's; it closes when the worker ends")]
pub fn run_in_cluster(
    config: Config,
    listener: TcpListener,
    control: UnixStream,
    api: ApiServer,
) -> Result<(), RouteError> {
    worker::run(config, listener, &control, Some(api))
}
