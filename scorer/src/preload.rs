//! Workers that are forked from one process which has run `init()`, so that they share its memory.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::Pid;
use serving::admin::ScorerEvent;
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use crate::process::{apart, cannot_start, spawn, started};

/// How long the process may take to fork.
const PATIENCE: Duration = Duration::from_secs(30);

/// Orders to the process, one byte each.
const FORK: u8 = b'F';
const REAP: u8 = b'R';

/// The process that is forked. It is started when a worker is wanted, and anew when it has ended.
pub(crate) struct Preloaded {
    python: String,
    running: Mutex<Option<Running>>,
}

struct Running {
    child: Child,
    orders: Arc<StdStream>,
}

impl Preloaded {
    pub(crate) fn new(python: String) -> Arc<Self> {
        Arc::new(Self { python, running: Mutex::new(None) })
    }

    /// Forks a worker with this socket: its process id.
    pub(crate) async fn fork(&self, socket: OwnedFd) -> Result<u32, ScorerEvent> {
        let mut running = self.running.lock().await;
        if running.is_none() {
            *running = Some(self.start().await?);
        }
        let Some(Running { orders, .. }) = running.as_ref() else {
            return Err(cannot_start(&io::Error::other("nothing is preloaded")));
        };
        let orders = orders.clone();
        let forked = apart(move || order(&orders, &[FORK], Some(&socket))).await;
        match forked {
            Ok(pid) => Ok(pid),
            Err(error) => {
                if let Some(mut gone) = running.take() {
                    let _ = apart(move || gone.child.kill().and_then(|()| gone.child.wait())).await;
                }
                Err(cannot_start(&error))
            }
        }
    }

    /// Takes note of the end of a worker that was forked; it waits for that end.
    pub(crate) async fn reap(&self, pid: Pid) {
        let running = self.running.lock().await;
        if let Some(Running { orders, .. }) = running.as_ref() {
            let orders = orders.clone();
            let mut message = [REAP, 0, 0, 0, 0];
            message[1..].copy_from_slice(&pid.as_raw_nonzero().get().to_le_bytes());
            let _ = apart(move || order(&orders, &message, None)).await;
        }
    }

    async fn start(&self) -> Result<Running, ScorerEvent> {
        let python = self.python.clone();
        let spawned = apart(move || {
            let (ours, theirs) = StdStream::pair()?;
            let child = spawn(&python, "azureml_scorer.preload", theirs.into())?;
            let watched = ours.try_clone()?;
            watched.set_nonblocking(true)?;
            Ok((child, ours, watched))
        });
        let (child, orders, watched) = spawned.await.map_err(|error| cannot_start(&error))?;
        let mut watched = BufReader::new(UnixStream::from_std(watched).map_err(|error| cannot_start(&error))?);
        let mut running = Running { child, orders: Arc::new(orders) };
        let ready = started(&mut watched).await;
        drop(watched);
        // Descriptors of one socket share whether they block.
        let blocking =
            running.orders.set_nonblocking(false).and_then(|()| running.orders.set_read_timeout(Some(PATIENCE)));
        match ready.and_then(|_| blocking.map_err(|error| cannot_start(&error))) {
            Ok(()) => Ok(running),
            Err(event) => {
                let _ = apart(move || running.child.kill().and_then(|()| running.child.wait())).await;
                Err(event)
            }
        }
    }
}

/// Gives an order, perhaps with a descriptor, and waits for its answer, a process id.
fn order(mut orders: &StdStream, message: &[u8], socket: Option<&OwnedFd>) -> io::Result<u32> {
    if let Some(socket) = socket {
        let descriptors = [socket.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        rustix::net::sendmsg(orders, &[IoSlice::new(message)], &mut ancillary, SendFlags::NOSIGNAL)?;
    } else {
        orders.write_all(message)?;
    }
    let mut answer = [0; 4];
    orders.read_exact(&mut answer)?;
    Ok(u32::from_le_bytes(answer))
}
