//! Answers to HTTP/1.1 connections, written by the thread that made them.

use std::cell::RefCell;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::call::{Call, Reply};
use crate::encode::{self, Length};
use crate::server::{Server, Slot};
use crate::socket::Socket;

/// Answers up to this size are written in one piece with their head; larger ones are not copied.
const JOINED: usize = 16 * 1024;

/// What becomes of the connection after an answer.
pub(crate) enum Sent {
    /// The answer is written, but for these bytes.
    Whole(Vec<u8>),
    /// Nothing more can be sent on the connection.
    Broken,
}

/// Tells the task of a connection that its answer is made.
pub(crate) type Done = oneshot::Sender<Sent>;

/// The way back to a connection.
pub(crate) struct HttpReply {
    server: Arc<Server>,
    socket: Arc<Socket>,
    done: Option<Done>,
    /// Bytes of a streamed answer that the socket did not take yet.
    kept: Vec<u8>,
    length: Length,
    broken: bool,
    /// Given back when user code has returned and its answer is written.
    _slot: Slot,
}

thread_local! {
    /// Answers are put together here.
    static OUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl HttpReply {
    pub(crate) fn new(server: Arc<Server>, socket: Arc<Socket>, done: Done, slot: Slot) -> Self {
        Self { server, socket, done: Some(done), kept: Vec::new(), length: Length::Open, broken: false, _slot: slot }
    }

    /// Address of the other end.
    pub(crate) fn peer(&self) -> String {
        self.socket.peer()
    }

    pub(crate) fn answer(&mut self, call: &Call, reply: &Reply, body: &[u8]) {
        let rest = OUT.with_borrow_mut(|out| {
            out.clear();
            self.server.encode(out, call, reply, Length::Known(body.len()));
            let body = if call.head.method() == "HEAD" || matches!(reply.status, 204 | 304) { &[] } else { body };
            if body.len() <= JOINED {
                out.extend_from_slice(body);
                return write(&self.socket, out, &[]);
            }
            write(&self.socket, out, body)
        });
        self.server.log(call, reply.status, body.len());
        self.finish(rest.map_or(Sent::Broken, Sent::Whole));
    }

    pub(crate) fn begin(&mut self, call: &Call, reply: &Reply) {
        self.length = if call.head.chunks { Length::Chunked } else { Length::Open };
        let mut out = Vec::with_capacity(512);
        self.server.encode(&mut out, call, reply, self.length);
        self.server.log(call, reply.status, 0);
        self.put(&out, &[]);
    }

    pub(crate) fn send(&mut self, piece: &[u8]) -> Option<usize> {
        if piece.is_empty() {
            // An empty chunk would end the body: only what was kept is tried again.
            self.put(&[], &[]);
            return (!self.broken).then_some(self.kept.len());
        }
        OUT.with_borrow_mut(|out| {
            out.clear();
            if self.length == Length::Chunked {
                encode::chunk(out, piece.len());
            }
            if piece.len() > JOINED {
                self.put(out, piece);
                out.clear();
            } else {
                out.extend_from_slice(piece);
            }
            if self.length == Length::Chunked {
                out.extend_from_slice(b"\r\n");
            }
            self.put(out, &[]);
        });
        (!self.broken).then_some(self.kept.len())
    }

    /// Writes, or keeps what the socket does not take.
    fn put(&mut self, first: &[u8], second: &[u8]) {
        if !self.kept.is_empty() {
            let kept = std::mem::take(&mut self.kept);
            self.keep(write(&self.socket, &kept, &[]));
        }
        if self.kept.is_empty() && !self.broken {
            self.keep(write(&self.socket, first, second));
        } else {
            self.kept.extend_from_slice(first);
            self.kept.extend_from_slice(second);
        }
    }

    fn keep(&mut self, written: Option<Vec<u8>>) {
        match written {
            Some(rest) => self.kept = rest,
            None => self.broken = true,
        }
    }

    pub(crate) fn drain(&mut self, until: Instant) -> bool {
        while !self.broken && !self.kept.is_empty() {
            if !matches!(self.socket.wait_writable(until), Ok(true)) {
                self.broken = true;
                break;
            }
            self.put(&[], &[]);
        }
        !self.broken
    }

    /// Waits until everything that was kept is sent; false when the peer is gone.
    pub(crate) async fn flush(&mut self) -> bool {
        let kept = std::mem::take(&mut self.kept);
        self.broken |= self.socket.write_all(&mut [IoSlice::new(&kept)]).await.is_err();
        !self.broken
    }

    pub(crate) fn end(&mut self, whole: bool) {
        if whole && self.length == Length::Chunked && !self.broken {
            self.put(b"0\r\n\r\n", &[]);
        }
        let sent = if self.broken || !whole { Sent::Broken } else { Sent::Whole(std::mem::take(&mut self.kept)) };
        self.finish(sent);
    }

    fn finish(&mut self, sent: Sent) {
        if let Some(done) = self.done.take() {
            self.server.done(done, sent);
        }
    }
}

/// Writes two pieces as far as the socket takes them: the rest, or `None` when the peer is gone.
fn write(socket: &Socket, first: &[u8], second: &[u8]) -> Option<Vec<u8>> {
    let pieces = [IoSlice::new(first), IoSlice::new(second)];
    let pieces = if second.is_empty() { &pieces[..1] } else { &pieces[..] };
    let written = if first.is_empty() && second.is_empty() { 0 } else { socket.write_now(pieces).ok()? };
    if written >= first.len() + second.len() {
        return Some(Vec::new());
    }
    let mut rest = first.get(written..).unwrap_or_default().to_vec();
    rest.extend_from_slice(&second[written.saturating_sub(first.len())..]);
    Some(rest)
}
