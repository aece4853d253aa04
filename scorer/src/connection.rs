//! The server's side of one connection: heads, bodies, what is read and dropped.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::head::{self, Framing, Head, MAX_DISCARD, MAX_HEAD, MAX_HEADERS, Refused, TOO_LARGE};
use crate::socket::{Elapsed, Socket, Timer};

/// Most bytes that are read and dropped before a connection closes, so that the answer is not lost with them.
const MAX_LINGER: usize = 16 * 1024 * 1024;
/// How long a closing connection is read for.
const LINGER: Duration = Duration::from_secs(2);
/// Longest pause of a peer within a head or a body.
const PAUSE: Duration = Duration::from_secs(30);
/// Room that is made for a body because of its announced length alone.
const TRUSTED: usize = 4 * 1024 * 1024;
/// Room for what is read at once.
const ROOM: usize = 16 * 1024;

/// A connection with the bytes that were read ahead.
pub(crate) struct Connection {
    pub(crate) socket: Arc<Socket>,
    pub(crate) timer: Timer,
    buffer: Vec<u8>,
    /// How long the connection may wait for its next request; without it, only the peer closes.
    idle: Option<Duration>,
}

impl Connection {
    pub(crate) fn new(socket: Socket, idle: Option<Duration>) -> Self {
        Self { socket: Arc::new(socket), timer: Timer::new(), buffer: Vec::new(), idle }
    }

    /// Reads more, for at most `patience`.
    async fn fill(&mut self, patience: Option<Duration>) -> Result<(), Refused> {
        if self.buffer.capacity() - self.buffer.len() < ROOM / 4 {
            self.buffer.reserve(ROOM);
        }
        let until = patience.map(|patience| Instant::now() + patience);
        match self.timer.until(until, self.socket.read(&mut self.buffer)).await {
            Ok(Ok(read)) if read > 0 => Ok(()),
            _ => Err(Refused::Gone),
        }
    }

    /// Reads the next head.
    pub(crate) async fn head(&mut self) -> Result<Head, Refused> {
        loop {
            if !self.buffer.is_empty()
                && let Some((head, length)) = head::parse(&self.buffer)?
            {
                self.buffer.drain(..length);
                return Ok(head);
            }
            let patience = if self.buffer.is_empty() { self.idle } else { Some(PAUSE) };
            self.fill(patience).await?;
        }
    }

    /// Tells a caller that asked first to send its body.
    pub(crate) async fn send_continue(&mut self) -> Result<(), Refused> {
        self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await
    }

    /// Writes everything; a peer that takes nothing for a while is gone.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let until = Some(Instant::now() + PAUSE);
        let mut pieces = [IoSlice::new(bytes)];
        match self.timer.until(until, self.socket.write_all(&mut pieces)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(Elapsed) => Err(Refused::Gone),
        }
    }

    /// Reads the whole body, at most `limit` bytes.
    pub(crate) async fn body(&mut self, framing: Framing, limit: usize) -> Result<Vec<u8>, Refused> {
        match framing {
            Framing::Sized(length) if length > limit => Err(TOO_LARGE),
            Framing::Sized(length) if length <= self.buffer.len() => Ok(self.buffer.drain(..length).collect()),
            Framing::Sized(length) => {
                let mut body = Vec::with_capacity(length.min(TRUSTED));
                body.append(&mut self.buffer);
                while body.len() < length {
                    if body.len() == body.capacity() {
                        // As much again as has come.
                        body.reserve_exact(body.len().min(length - body.len()));
                    }
                    let until = Some(Instant::now() + PAUSE);
                    match self.timer.until(until, self.socket.read(&mut body)).await {
                        Ok(Ok(read)) if read > 0 => {}
                        _ => return Err(Refused::Gone),
                    }
                }
                // The memory may have had more room than was asked for.
                self.buffer.extend(body.drain(length..));
                Ok(body)
            }
            Framing::Chunked => self.chunked(limit).await,
        }
    }

    async fn chunked(&mut self, limit: usize) -> Result<Vec<u8>, Refused> {
        let mut body = Vec::new();
        loop {
            let (used, size) = loop {
                match httparse::parse_chunk_size(&self.buffer) {
                    Ok(httparse::Status::Complete(found)) => break found,
                    Ok(httparse::Status::Partial) if self.buffer.len() < 1024 => self.fill(Some(PAUSE)).await?,
                    _ => return Err(Refused::Status(400, "The body has a malformed chunk.")),
                }
            };
            self.buffer.drain(..used);
            let size = usize::try_from(size).map_err(|_| TOO_LARGE)?;
            if size == 0 {
                return self.trailers().await.map(|()| body);
            }
            if size > limit - body.len() {
                return Err(TOO_LARGE);
            }
            while self.buffer.len() < size + 2 {
                self.fill(Some(PAUSE)).await?;
            }
            body.extend_from_slice(&self.buffer[..size]);
            if &self.buffer[size..size + 2] != b"\r\n" {
                return Err(Refused::Status(400, "The body has a malformed chunk."));
            }
            self.buffer.drain(..size + 2);
        }
    }

    /// Reads and drops the trailer section.
    async fn trailers(&mut self) -> Result<(), Refused> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
            match httparse::parse_headers(&self.buffer, &mut fields) {
                Ok(httparse::Status::Complete((used, _))) => {
                    self.buffer.drain(..used);
                    return Ok(());
                }
                Ok(httparse::Status::Partial) if self.buffer.len() < MAX_HEAD => self.fill(Some(PAUSE)).await?,
                _ => return Err(Refused::Status(400, "The body has malformed trailers.")),
            }
        }
    }

    /// Reads and drops the body of a request that was answered without it, so that the next request can follow; false
    /// if the connection must close instead. A caller that still waits for `100 Continue` may send its body or not, so
    /// nothing can follow.
    pub(crate) async fn skip_body(&mut self, head: &Head) -> bool {
        head.discardable() && self.body(head.framing, MAX_DISCARD).await.is_ok()
    }

    /// Closes for writing and reads what the peer still sends: closing with unread bytes would take the answer away
    /// from the peer.
    pub(crate) async fn linger(mut self) {
        if self.socket.finish().is_err() {
            return;
        }
        let until = Some(Instant::now() + LINGER);
        let mut total = 0;
        while total < MAX_LINGER {
            self.buffer.clear();
            self.buffer.reserve(ROOM);
            match self.timer.until(until, self.socket.read(&mut self.buffer)).await {
                Ok(Ok(read)) if read > 0 => total += read,
                _ => return,
            }
        }
    }

    /// Resolves when the peer closes or sends more: used while an asker waits.
    pub(crate) async fn closed(&mut self) {
        self.buffer.reserve(1);
        let _ = self.socket.read(&mut self.buffer).await;
    }
}
