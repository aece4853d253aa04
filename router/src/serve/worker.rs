//! The data path in this process: the same worker as on the local compute, told over a socket pair.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use serving::snapshot::{FromWorker, ToWorker};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::route::{self, ApiServer, RouteError};

/// A running data path.
pub(super) struct Worker {
    orders: OwnedWriteHalf,
    /// What it says; ends with it.
    pub(super) answers: mpsc::Receiver<FromWorker>,
    thread: JoinHandle<Result<(), RouteError>>,
}

impl Worker {
    /// Starts it on the socket that callers come to. They wait there until the first snapshot.
    pub(super) fn start(config: Config, listener: TcpListener, api: ApiServer) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (lines, orders) = tokio::net::UnixStream::from_std(ours)?.into_split();
        let (told, answers) = mpsc::channel(16);
        tokio::spawn(async move {
            let mut lines = BufReader::new(lines).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                match serde_json::from_str(&line) {
                    Ok(answer) => {
                        if told.send(answer).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => tracing::error!(%error, "the data path said something else than a message"),
                }
            }
        });
        let body = move || route::run_in_cluster(config, listener, theirs, api);
        let thread = std::thread::Builder::new().name("router".to_owned()).spawn(body)?;
        Ok(Self { orders, answers, thread })
    }

    /// Tells it something. An error when it has ended.
    pub(super) async fn tell(&mut self, order: &ToWorker) -> io::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.orders.write_all(&line).await
    }

    /// How it ended; waits for its end.
    pub(super) fn join(self) -> Result<(), String> {
        match self.thread.join() {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("the control thread of the data path ended unexpectedly".to_owned()),
        }
    }
}
