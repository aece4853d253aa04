//! The seam to the event loop: everything of the data path that waits goes through here, and nothing else of it names
//! the runtime's types. Under it is one tokio `current_thread` runtime for each thread.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags};
use serving::snapshot::Address;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream, UnixStream};
pub(super) use tokio::sync::{mpsc, oneshot};
pub(super) use tokio::time::Instant;

use super::buffer::Buffer;

/// A time-out of [`Timer::until`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Elapsed;

/// Runs one thread's work to its end.
pub(super) fn run_thread<F: Future>(main: F) -> io::Result<F::Output> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_io().enable_time().build_local(tokio::runtime::LocalOptions::default())?;
    Ok(runtime.block_on(main))
}

/// A task of this thread that can be ended from outside.
pub(super) struct Task(tokio::task::AbortHandle);

impl Task {
    /// Ends the task at the place where it waits.
    pub(super) fn abort(&self) {
        self.0.abort();
    }
}

/// Starts a task on this thread.
pub(super) fn spawn(task: impl Future<Output = ()> + 'static) -> Task {
    Task(tokio::task::spawn_local(task).abort_handle())
}

/// Waits.
pub(super) async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// One of two futures' results; the first wins a tie.
pub(super) enum Either<A, B> {
    First(A),
    Second(B),
}

/// Waits for the first of two.
pub(super) async fn race<A, B>(first: impl Future<Output = A>, second: impl Future<Output = B>) -> Either<A, B> {
    tokio::select! {
        biased;
        result = first => Either::First(result),
        result = second => Either::Second(result),
    }
}

/// A timer that is armed again only when it must fire earlier than it would, or has fired too early. A connection that
/// sets a new deadline for each request so costs the timer wheel next to nothing. It belongs to one task.
pub(super) struct Timer {
    sleep: Pin<Box<tokio::time::Sleep>>,
    /// The task is woken when it fires.
    armed: bool,
}

impl Timer {
    pub(super) fn new() -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(Duration::from_hours(1))), armed: false }
    }

    /// Waits for a future, at most until the deadline.
    pub(super) async fn until<T>(&mut self, at: Instant, future: impl Future<Output = T>) -> Result<T, Elapsed> {
        let mut future = std::pin::pin!(future);
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => self.poll(at, context).map(|()| Err(Elapsed)),
        })
        .await
    }

    fn poll(&mut self, at: Instant, context: &mut Context<'_>) -> Poll<()> {
        if self.sleep.deadline() > at {
            self.sleep.as_mut().reset(at);
            self.armed = false;
        }
        if self.armed && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        while self.sleep.as_mut().poll(context).is_ready() {
            if Instant::now() >= at {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(at);
        }
        self.armed = true;
        Poll::Pending
    }
}

/// Wakes a task of this thread out of a wait that allows it.
#[derive(Default)]
pub(super) struct Bell {
    rung: Cell<bool>,
    waiting: Cell<Option<Waker>>,
}

impl Bell {
    /// Ends the present wait, or the next one.
    pub(super) fn ring(&self) {
        self.rung.set(true);
        if let Some(task) = self.waiting.take() {
            task.wake();
        }
    }

    /// Waits for a future; `None` if the bell was rung before it was ready.
    pub(super) async fn unless_rung<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if self.rung.replace(false) => Poll::Ready(None),
            Poll::Pending => {
                let task = self.waiting.take().filter(|task| task.will_wake(context.waker()));
                self.waiting.set(Some(task.unwrap_or_else(|| context.waker().clone())));
                Poll::Pending
            }
        })
        .await
    }
}

/// A socket that the runtime watches. The calls on it are made here and not by the runtime's streams: the C library's
/// wrappers, which those use, are points of cancellation and cost more than all else that is done around a call.
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
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

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

/// A connection, in halves that can be used at the same time.
pub(super) struct Stream {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
}

/// The half that is read.
pub(super) struct Reader(Rc<Socket>);

/// The half that is written.
pub(super) struct Writer(Rc<Socket>);

impl Stream {
    fn new(socket: Socket) -> Self {
        let socket = Rc::new(socket);
        Self { reader: Reader(Rc::clone(&socket)), writer: Writer(socket) }
    }

    fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self::new(Socket::Tcp(stream)))
    }

    /// Connects to a replica.
    pub(super) async fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Unix(path) => Ok(Self::new(Socket::Unix(connect_unix(path).await?))),
            Address::Tcp(address) => Self::tcp(TcpStream::connect(address).await?),
        }
    }

    /// Nothing has arrived and the other end is still there, as far as is known without asking the kernel.
    pub(super) fn quiet(&self) -> bool {
        let mut byte = [0];
        let result = match &*self.reader.0 {
            Socket::Tcp(stream) => stream.try_read(&mut byte),
            Socket::Unix(stream) => stream.try_read(&mut byte),
        };
        matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl Reader {
    /// Appends what arrives to the buffer, for which room for at least so much is made: the number of bytes, 0 at the end.
    pub(super) async fn fill(&mut self, buffer: &mut Buffer, room: usize) -> io::Result<usize> {
        self.append(buffer.room(room)).await
    }

    /// Appends what arrives to memory, as much as there is room: the number of bytes, 0 at the end.
    pub(super) async fn append(&mut self, memory: &mut Vec<u8>) -> io::Result<usize> {
        poll_fn(|context| {
            let room = memory.capacity() - memory.len();
            self.0.poll_call(Interest::READABLE, context, room, |socket| {
                rustix::net::recv(socket, spare_capacity(memory), RecvFlags::empty()).map(|(count, _)| count)
            })
        })
        .await
    }

    /// Bytes have arrived, also if only the kernel knows it yet.
    pub(super) fn waiting(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        rustix::net::recv(&*self.0, &mut [0_u8; 1], flags).is_ok_and(|(_, count)| count > 0)
    }
}

impl Writer {
    /// Writes everything.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(&mut [IoSlice::new(bytes)]).await
    }

    /// Writes several pieces, with as few calls as the kernel allows.
    pub(super) async fn write_all(&mut self, pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut rest = pieces;
        loop {
            let done = rest.iter().take_while(|piece| piece.is_empty()).count();
            rest = &mut rest[done..];
            if rest.is_empty() {
                return Ok(());
            }
            let written = poll_fn(|context| self.poll_write(context, rest)).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut rest, written);
        }
    }

    /// A caller that is gone is an error and no signal: the standard library's start-up turns that off.
    fn poll_write(&mut self, context: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let length = pieces.iter().map(|piece| piece.len()).sum();
        self.0.poll_call(Interest::WRITABLE, context, length, |socket| match pieces {
            [piece] => rustix::net::send(socket, piece, SendFlags::empty()),
            _ => rustix::io::writev(socket, pieces),
        })
    }

    /// Ends the sending direction, so that the other end sees the end of the data.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&*self.0, rustix::net::Shutdown::Write)?)
    }
}

/// Connects to a unix socket. A full backlog is no failure: its owner is busy, so it is tried again in a moment, until the
/// caller's time is over.
async fn connect_unix(path: &str) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(Duration::from_millis(1)).await,
            result => return result,
        }
    }
}

/// The shared listening socket, as one thread sees it.
pub(super) struct Listener(TcpListener);

impl Listener {
    /// Must be called on a thread of the event loop.
    pub(super) fn new(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self(TcpListener::from_std(listener)?))
    }

    pub(super) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        Ok((Stream::tcp(stream)?, peer))
    }
}

/// Reads and drops what the other end still sends after the last answer, so that the kernel does not throw the answer
/// away with a reset. Bounded in time and bytes.
pub(super) async fn linger(stream: &mut Stream, buffer: &mut Buffer) {
    const MOST: usize = 1 << 20;
    let drain = async {
        stream.writer.finish()?;
        let mut total = 0;
        loop {
            buffer.clear();
            match stream.reader.fill(buffer, super::BUFFER).await? {
                0 => return io::Result::Ok(()),
                count => total += count,
            }
            if total > MOST {
                return Ok(());
            }
        }
    };
    let mut timer = Timer::new();
    // The peer is being left; how it takes that is of no interest.
    let _ = timer.until(Instant::now() + Duration::from_secs(1), drain).await;
    buffer.clear();
}

/// Counts something of one thread for as long as it lives.
pub(super) struct Counted(Rc<Cell<usize>>);

impl Counted {
    pub(super) fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
