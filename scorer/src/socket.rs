//! Sockets and timers over tokio's readiness.
//!
//! The calls on a socket are made here and not by the runtime's streams: the C library's wrappers, which those use, are
//! points of cancellation and cost more than all else that is done around a call. A socket can be written from any
//! thread, so that an answer leaves from the thread that made it.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

/// A time-out of [`Timer::until`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Elapsed;

/// A timer that is armed again only when it must fire earlier than it would, or has fired too early: a connection that
/// sets a new deadline for each request costs the timer wheel next to nothing.
pub(crate) struct Timer {
    sleep: Pin<Box<tokio::time::Sleep>>,
    /// The task is woken when it fires.
    armed: bool,
}

impl Timer {
    pub(crate) fn new() -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(Duration::from_hours(1))), armed: false }
    }

    /// Waits for a future, at most until `at`; without it, for ever.
    pub(crate) async fn until<T>(
        &mut self,
        at: Option<Instant>,
        future: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        let mut future = pin!(future);
        poll_fn(|context| match (future.as_mut().poll(context), at) {
            (Poll::Ready(value), _) => Poll::Ready(Ok(value)),
            (Poll::Pending, Some(at)) => self.poll(at.into(), context).map(|()| Err(Elapsed)),
            (Poll::Pending, None) => Poll::Pending,
        })
        .await
    }

    fn poll(&mut self, at: tokio::time::Instant, context: &mut Context<'_>) -> Poll<()> {
        if self.sleep.deadline() > at {
            self.sleep.as_mut().reset(at);
            self.armed = false;
        }
        if self.armed && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        while self.sleep.as_mut().poll(context).is_ready() {
            if tokio::time::Instant::now() >= at {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(at);
        }
        self.armed = true;
        Poll::Pending
    }
}

/// A connected socket that the runtime watches.
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Appends what arrives to memory, as much as there is room: the number of bytes, 0 at the end.
    pub(crate) async fn read(&self, memory: &mut Vec<u8>) -> io::Result<usize> {
        poll_fn(|context| {
            let room = memory.capacity() - memory.len();
            self.poll_call(Interest::READABLE, context, room, |socket| {
                rustix::net::recv(socket, spare_capacity(memory), RecvFlags::empty()).map(|(count, _)| count)
            })
        })
        .await
    }

    /// Writes everything.
    pub(crate) async fn write_all(&self, pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut rest = pieces;
        loop {
            let done = rest.iter().take_while(|piece| piece.is_empty()).count();
            rest = &mut rest[done..];
            if rest.is_empty() {
                return Ok(());
            }
            let length = rest.iter().map(|piece| piece.len()).sum();
            let call = |socket: BorrowedFd<'_>| send(socket, rest);
            let written = poll_fn(|context| self.poll_call(Interest::WRITABLE, context, length, call)).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut rest, written);
        }
    }

    /// Writes what the socket takes at once, from any thread: the number of bytes, 0 when it takes none now.
    pub(crate) fn write_now(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match retry_on_intr(|| send(self.as_fd(), pieces)) {
            Ok(count) => Ok(count),
            Err(Errno::AGAIN) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Blocks the calling thread until the socket takes bytes again; false when `until` has passed.
    pub(crate) fn wait_writable(&self, until: Instant) -> io::Result<bool> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let time = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut watched = [PollFd::new(self, PollFlags::OUT)];
            match rustix::event::poll(&mut watched, Some(&time)) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Ends the sending direction, so that the other end sees the end of the data.
    pub(crate) fn finish(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(self, rustix::net::Shutdown::Write)?)
    }

    /// The address of the other end; empty for a unix socket.
    pub(crate) fn peer(&self) -> String {
        match self {
            Self::Tcp(stream) => stream.peer_addr().map(|address| address.ip().to_string()).unwrap_or_default(),
            Self::Unix(_) => String::new(),
        }
    }

    fn poll_ready(&self, interest: Interest, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) if interest.is_readable() => stream.poll_read_ready(context),
            Self::Tcp(stream) => stream.poll_write_ready(context),
            Self::Unix(stream) if interest.is_readable() => stream.poll_read_ready(context),
            Self::Unix(stream) => stream.poll_write_ready(context),
        }
    }

    /// Makes a call that moves bytes as soon as the socket is ready for it. One that moved fewer than `most` has exhausted
    /// the socket, so the next one waits for an event first; to the runtime it is as if it had blocked.
    fn poll_call(
        &self,
        interest: Interest,
        context: &mut Context<'_>,
        most: usize,
        mut call: impl FnMut(BorrowedFd<'_>) -> Result<usize, Errno>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_ready(interest, context))?;
            let mut moved = None;
            let exhaust = || {
                let count = retry_on_intr(|| call(self.as_fd()))?;
                moved = Some(count);
                if count < most { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
            };
            let result = match self {
                Self::Tcp(stream) => stream.try_io(interest, exhaust),
                Self::Unix(stream) => stream.try_io(interest, exhaust),
            };
            match (result, moved) {
                (_, Some(count)) => return Poll::Ready(Ok(count)),
                (Err(error), None) if error.kind() == io::ErrorKind::WouldBlock => {}
                (result, None) => return Poll::Ready(result),
            }
        }
    }
}

/// Whether a descriptor is ready for what `flags` say, as it stands now.
pub(crate) fn ready_now(descriptor: impl AsFd, flags: PollFlags) -> bool {
    let mut watched = [PollFd::new(&descriptor, flags)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut watched, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// A peer that is gone is an error and no signal, whatever user code has done to the signal's handler.
fn send(socket: BorrowedFd<'_>, pieces: &[IoSlice<'_>]) -> Result<usize, Errno> {
    match pieces {
        [piece] => rustix::net::send(socket, piece, SendFlags::NOSIGNAL),
        _ => rustix::net::sendmsg(socket, pieces, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL),
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}
