//! Between a scorer and its worker processes: frames over a socket pair.
//!
//! A frame is three 8-byte big-endian numbers - a row and two lengths -, a JSON header and a body. The rows of a batch are
//! counted down, so that the last is 0, as is a request that comes alone; answers name the row that they are for.

use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use rustix::event::PollFlags;
use serde::{Deserialize, Serialize};

use crate::call::{Kind, Reply};
use crate::socket::ready_now;

/// Largest header of a frame in bytes.
pub(crate) const MAX_HEADER: u64 = 16 * 1024 * 1024;
/// Bodies up to this size are copied behind their header: one piece wakes the other end once.
pub(crate) const JOINED: usize = 64 * 1024;

/// Header of a request for a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(crate) kind: Kind,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) request_id: String,
    /// What is left of the time-out.
    pub(crate) left_ms: u64,
    pub(crate) timeout_ms: u64,
}

/// Header of what a worker says. Every request gets one `Answer`, or `Begin`, any number of `Piece`s and `End`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "snake_case")]
pub(crate) enum Said {
    Answer(Reply),
    Begin(Reply),
    Piece,
    End { whole: bool },
}

/// A frame but for its body, of which the beginning may already stand in it: the number of the body's bytes that do.
pub(crate) fn frame(row: u64, header: &impl Serialize, body: &[u8]) -> io::Result<(Vec<u8>, usize)> {
    let header = serde_json::to_vec(header)?;
    let joined = if body.len() <= JOINED { body } else { b"" };
    let mut frame = Vec::with_capacity(24 + header.len() + joined.len());
    frame.extend_from_slice(&row.to_be_bytes());
    frame.extend_from_slice(&(header.len() as u64).to_be_bytes());
    frame.extend_from_slice(&(body.len() as u64).to_be_bytes());
    frame.extend_from_slice(&header);
    frame.extend_from_slice(joined);
    Ok((frame, joined.len()))
}

/// A worker's end of the socket.
#[derive(Debug)]
pub(crate) struct Parent(Mutex<UnixStream>);

impl Parent {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self(Mutex::new(stream))
    }

    /// The next request with its row and body; `None` when the parent has closed the socket.
    pub(crate) fn next(&self) -> Option<(u64, Question, Vec<u8>)> {
        // Nothing is written while a request is waited for.
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut numbers = [[0; 8]; 3];
        stream.read_exact(numbers.as_flattened_mut()).ok()?;
        let [row, header, body] = numbers.map(u64::from_be_bytes);
        if header > MAX_HEADER {
            return None;
        }
        let mut part = |length: u64| {
            let mut bytes = Vec::with_capacity(usize::try_from(length).ok()?);
            (&mut *stream).take(length).read_to_end(&mut bytes).ok()?;
            (bytes.len() as u64 == length).then_some(bytes)
        };
        Some((row, serde_json::from_slice(&part(header)?).ok()?, part(body)?))
    }

    /// Another descriptor of the socket.
    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).try_clone()?.into())
    }

    /// A request has begun to arrive, or the parent has closed the socket.
    pub(crate) fn readable(&self) -> bool {
        ready_now(&*self.0.lock().unwrap_or_else(PoisonError::into_inner), PollFlags::IN)
    }

    /// Sends a header that is JSON already.
    pub(crate) fn say(&self, header: &str) -> io::Result<()> {
        let header: &serde_json::value::RawValue = serde_json::from_str(header)?;
        self.send(0, &header, &[])
    }

    pub(crate) fn answer(&self, row: u64, reply: &Reply, body: &[u8]) {
        let _ = self.send(row, &Said::Answer(reply.clone()), body);
    }

    pub(crate) fn begin(&self, row: u64, reply: &Reply) {
        let _ = self.send(row, &Said::Begin(reply.clone()), &[]);
    }

    /// Waits for the parent to take the piece: nothing is kept here. `None` when the parent is gone.
    pub(crate) fn send_piece(&self, row: u64, piece: &[u8]) -> Option<usize> {
        self.send(row, &Said::Piece, piece).ok().map(|()| 0)
    }

    pub(crate) fn end(&self, row: u64, whole: bool) {
        let _ = self.send(row, &Said::End { whole }, &[]);
    }

    /// A parent that is gone ends this process, see [`crate::control::die_with_parent`].
    fn send(&self, row: u64, said: &impl Serialize, body: &[u8]) -> io::Result<()> {
        let (frame, joined) = frame(row, said, body)?;
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stream.write_all(&frame)?;
        stream.write_all(&body[joined..])
    }
}
