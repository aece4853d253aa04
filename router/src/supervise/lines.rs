//! Lines over a socket pair, in buffers that can be handed over to another program image at any byte.
//!
//! A task moves bytes between the socket and the buffers; the supervisor's loop takes lines out and puts lines in. So
//! nothing is ever held in a place that an `exec` would lose.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::Interest;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Bound of what may wait to be read, so of one line, too: a worker's counters or a scorer's traceback.
const MAX_INPUT: usize = 4 << 20;
/// Bound of what may wait to be written; a peer that lets so much pile up does not read any more.
const MAX_OUTPUT: usize = 256 << 20;

/// One end of a socket pair.
pub(super) struct Lines {
    shared: Arc<Shared>,
    stream: UnixStream,
    task: JoinHandle<()>,
}

struct Shared {
    buffers: Mutex<Buffers>,
    /// Wakes the task when there is something to write.
    written: Notify,
    /// Wakes the supervisor's loop when something arrived or the stream ended.
    arrived: Arc<Notify>,
}

#[derive(Default)]
struct Buffers {
    input: Vec<u8>,
    output: Vec<u8>,
    closed: bool,
}

impl Shared {
    fn buffers(&self) -> MutexGuard<'_, Buffers> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// Serves a stream, with what a predecessor had read and not yet written. `arrived` is notified of news.
    pub(super) fn new(stream: UnixStream, input: Vec<u8>, output: Vec<u8>, arrived: Arc<Notify>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let pumped = tokio::net::UnixStream::from_std(stream.try_clone()?)?;
        let buffers = Mutex::new(Buffers { input, output, closed: false });
        let shared = Arc::new(Shared { buffers, written: Notify::new(), arrived });
        shared.arrived.notify_one();
        let task = tokio::spawn(pump(pumped, Arc::clone(&shared)));
        Ok(Self { shared, stream, task })
    }

    /// The complete lines that have arrived, without their ends.
    pub(super) fn take(&self) -> Vec<Vec<u8>> {
        let mut buffers = self.shared.buffers();
        let Some(end) = buffers.input.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let rest = buffers.input.split_off(end + 1);
        let complete = std::mem::replace(&mut buffers.input, rest);
        complete[..end].split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    }

    /// Queues one line.
    pub(super) fn send(&self, line: &[u8]) {
        let mut buffers = self.shared.buffers();
        if buffers.output.len() + line.len() > MAX_OUTPUT {
            buffers.closed = true;
            self.shared.arrived.notify_one();
            return;
        }
        buffers.output.extend_from_slice(line);
        buffers.output.push(b'\n');
        drop(buffers);
        self.shared.written.notify_one();
    }

    /// The peer is gone, or broke the protocol's bounds.
    pub(super) fn closed(&self) -> bool {
        self.shared.buffers().closed
    }

    /// The socket, and what was read and not taken, and queued and not written. Valid until the runtime runs again.
    pub(super) fn state(&self) -> io::Result<(OwnedFd, Vec<u8>, Vec<u8>)> {
        let stream = self.stream.try_clone()?.into();
        let buffers = self.shared.buffers();
        Ok((stream, buffers.input.clone(), buffers.output.clone()))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pump(stream: tokio::net::UnixStream, shared: Arc<Shared>) {
    loop {
        let interest = if shared.buffers().output.is_empty() {
            Interest::READABLE
        } else {
            Interest::READABLE | Interest::WRITABLE
        };
        let ready = tokio::select! {
            ready = stream.ready(interest) => ready,
            () = shared.written.notified() => continue,
        };
        let moved = ready.and_then(|ready| {
            if ready.is_readable() {
                read(&stream, &shared)?;
            }
            if ready.is_writable() { write(&stream, &shared) } else { Ok(()) }
        });
        if moved.is_err() {
            shared.buffers().closed = true;
            shared.arrived.notify_one();
            return;
        }
    }
}

fn read(stream: &tokio::net::UnixStream, shared: &Shared) -> io::Result<()> {
    let mut chunk = [0; 16 * 1024];
    match stream.try_read(&mut chunk) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(length) => {
            let mut buffers = shared.buffers();
            if buffers.input.len() + length > MAX_INPUT {
                return Err(io::Error::other("a line is too long"));
            }
            buffers.input.extend_from_slice(&chunk[..length]);
            shared.arrived.notify_one();
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}

fn write(stream: &tokio::net::UnixStream, shared: &Shared) -> io::Result<()> {
    // The lock is held over the call, which does not block, so that no byte is ever both written and queued.
    let mut buffers = shared.buffers();
    if buffers.output.is_empty() {
        return Ok(());
    }
    match stream.try_write(&buffers.output) {
        Ok(length) => {
            buffers.output.drain(..length);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}
