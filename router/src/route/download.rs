//! Responses: a replica's head is read and written anew, its body streamed to the caller.

use std::io::IoSlice;
use std::time::Duration;

use super::answer::After;
use super::buffer::Buffer;
use super::call::Call;
use super::event_loop::{Instant, Reader, Timer, Writer};
use super::pool::Upstream;
use super::replica::Replica;
use super::thread::Thread;
use crate::config::ms;
use crate::http1::body::{Decoder, Step};
use crate::http1::field::{self, Name};
use crate::http1::request::Method;
use crate::http1::response::{self, Response};
use crate::http1::{self, Framing, HeadLimits, encode};

/// Pieces up to this size are copied behind the head, so that both leave in one write.
const JOINED: usize = 32 * 1024;

/// Why there is no response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadError {
    /// The connection ended before the first byte.
    Dropped,
    /// What came is not a response.
    Invalid(&'static str),
}

/// Why a request was refused before it ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Every slot of the replica is taken.
    Busy,
    /// The replica is stopping.
    Draining,
}

/// A response whose head was read, and composed for the caller but for its end.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) framing: Framing,
    /// The replica's connection takes another request after this response.
    pub(super) keep_alive: bool,
    pub(super) refused: Option<Refusal>,
    content_length: Option<u64>,
}

/// Reads response heads until `take` makes something of one; interim responses that it does not take are dropped.
pub(super) async fn read_head<T>(
    reader: &mut Reader,
    buffer: &mut Buffer,
    limits: HeadLimits,
    method: Method,
    mut take: impl FnMut(&Response<'_, '_>) -> Option<T>,
) -> Result<T, HeadError> {
    loop {
        if !buffer.is_empty() {
            let mut room = http1::fields();
            let parsed = response::parse(buffer, &mut room, limits, method).map_err(HeadError::Invalid)?;
            if let Some(response) = parsed {
                if response.status == 101 {
                    return Err(HeadError::Invalid("it switches protocols unasked"));
                }
                let (length, taken) = (response.length, take(&response));
                buffer.advance(length);
                match taken {
                    Some(taken) => return Ok(taken),
                    None => continue,
                }
            }
        }
        match reader.fill(buffer, super::BUFFER / 4).await {
            Ok(0) | Err(_) if buffer.is_empty() => return Err(HeadError::Dropped),
            Ok(0) | Err(_) => return Err(HeadError::Invalid("it ends within its head")),
            Ok(_) => {}
        }
    }
}

/// Takes a final response: composes the caller's head up to what depends on the connection.
pub(super) fn take(thread: &Thread, response: &Response<'_, '_>, call: Head<'_>, out: &mut Vec<u8>) -> Answered {
    out.clear();
    encode::status(out, response.status, response.reason.as_bytes());
    let mut refused = None;
    let (mut dated, mut identified) = (false, false);
    for header in response.fields {
        match field::classify(header.name.as_bytes()) {
            Name::Refused => {
                refused = Some(if header.value == b"draining" { Refusal::Draining } else { Refusal::Busy });
                continue;
            }
            Name::Date => dated = true,
            Name::RequestId => identified = true,
            Name::Other | Name::MsRequestId | Name::ClientRequestId | Name::Host | Name::Authorization => {}
            _ => continue,
        }
        if !(response.connection.names && field::listed(response.fields, header.name)) {
            encode::field(out, header.name.as_bytes(), header.value);
        }
    }
    out.extend_from_slice(call.deployment);
    if !identified {
        encode::field(out, b"x-request-id", call.request_id.as_bytes());
    }
    if !dated {
        thread.date(out);
    }
    Answered {
        status: response.status,
        framing: response.framing,
        keep_alive: response.keep_alive,
        refused: refused.filter(|_| response.status == 503),
        content_length: response.content_length,
    }
}

/// What of a call goes into the head of its response.
#[derive(Clone, Copy)]
pub(super) struct Head<'c> {
    pub(super) deployment: &'c [u8],
    pub(super) request_id: &'c str,
    pub(super) method: Method,
    pub(super) http10: bool,
}

impl<'c> Head<'c> {
    pub(super) fn new(call: &'c Call, deployment: &'c [u8]) -> Self {
        Self { deployment, request_id: &call.ids.request, method: call.method, http10: call.http10 }
    }
}

/// How a response ended too early.
#[derive(Debug)]
pub(super) enum Ended {
    /// The replica broke it off before anything was written to the caller.
    NotBegun(&'static str),
    /// It was broken off in the middle, by either side.
    Broken,
}

/// Where a response goes.
pub(super) struct Caller<'c> {
    pub(super) writer: &'c mut Writer,
    pub(super) timer: &'c mut Timer,
    /// The head as [`take`] left it; then what was not written yet.
    pub(super) out: &'c mut Vec<u8>,
    /// Counts the bytes of the body.
    pub(super) sent: &'c mut u64,
}

/// Streams a response to the caller until the replica has sent everything. What is left in `out` then is for [`finish`]:
/// a small response is there as a whole, so that its slot can be given back before it is written.
pub(super) async fn relay(
    thread: &Thread,
    answered: &Answered,
    head: Head<'_>,
    after: &mut After,
    (reader, buffer): (&mut Reader, &mut Buffer),
    caller: &mut Caller<'_>,
) -> Result<(), Ended> {
    let body_time = ms(thread.config.timeouts.body_ms);
    let unsized_body = matches!(answered.framing, Framing::Chunked | Framing::UntilClose);
    let chunked = unsized_body && !head.http10;
    if unsized_body && head.http10 {
        *after = After::Close;
    }
    end_head(answered, head, chunked, *after, caller.out);
    let mut decoder = Decoder::new(answered.framing);
    let mut begun = false;
    let broken = |begun, reason| if begun { Ended::Broken } else { Ended::NotBegun(reason) };
    loop {
        match decoder.step(buffer).map_err(|error| broken(begun, error.0))? {
            Step::Data { skip, length } => {
                buffer.advance(skip);
                *caller.sent += length as u64;
                if caller.out.len() + length <= JOINED {
                    join(caller.out, &buffer[..length], chunked);
                } else {
                    begun = true;
                    caller.send(&buffer[..length], chunked, body_time).await?;
                }
                buffer.advance(length);
            }
            Step::More { skip } => {
                buffer.advance(skip);
                if !caller.out.is_empty() {
                    begun = true;
                    caller.write(body_time).await?;
                }
                let read = reader.fill(buffer, super::LARGE_BUFFER);
                match caller.timer.until(Instant::now() + body_time, read).await {
                    Ok(Ok(0)) if decoder.closed().is_ok() => {}
                    Ok(Ok(count)) if count > 0 => {}
                    _ => return Err(broken(begun, "it ends within its body")),
                }
            }
            Step::End { skip } => {
                buffer.advance(skip);
                if chunked {
                    caller.out.extend_from_slice(encode::LAST_CHUNK);
                }
                return Ok(());
            }
        }
    }
}

/// Writes the rest of a response.
pub(super) async fn finish(thread: &Thread, caller: &mut Caller<'_>) -> Result<(), Ended> {
    caller.write(ms(thread.config.timeouts.body_ms)).await
}

impl Caller<'_> {
    /// Writes what was composed.
    async fn write(&mut self, time: Duration) -> Result<(), Ended> {
        let written = self.timer.until(Instant::now() + time, self.writer.write(self.out)).await;
        self.out.clear();
        if matches!(written, Ok(Ok(()))) { Ok(()) } else { Err(Ended::Broken) }
    }

    /// Writes what was composed, and a piece of the body.
    async fn send(&mut self, data: &[u8], chunked: bool, time: Duration) -> Result<(), Ended> {
        if chunked {
            encode::chunk_head(self.out, data.len());
        }
        let end = if chunked { encode::CHUNK_END } else { b"" };
        let mut pieces = [IoSlice::new(self.out), IoSlice::new(data), IoSlice::new(end)];
        let written = self.timer.until(Instant::now() + time, self.writer.write_all(&mut pieces)).await;
        self.out.clear();
        if matches!(written, Ok(Ok(()))) { Ok(()) } else { Err(Ended::Broken) }
    }
}

/// Appends what of the head depends on the connection, and its end.
fn end_head(answered: &Answered, head: Head<'_>, chunked: bool, after: After, out: &mut Vec<u8>) {
    match answered.framing {
        Framing::Sized(length) => encode::number(out, "content-length", length),
        Framing::Chunked | Framing::UntilClose if chunked => encode::field(out, b"transfer-encoding", b"chunked"),
        // The length that GET would have had, or that the caller's copy has.
        Framing::None if head.method == Method::Head || answered.status == 304 => {
            if let Some(length) = answered.content_length {
                encode::number(out, "content-length", length);
            }
        }
        _ => {}
    }
    after.field(head.http10, out);
    out.extend_from_slice(b"\r\n");
}

fn join(out: &mut Vec<u8>, data: &[u8], chunked: bool) {
    if chunked {
        encode::chunk_head(out, data.len());
    }
    out.extend_from_slice(data);
    if chunked {
        out.extend_from_slice(encode::CHUNK_END);
    }
}

/// Keeps the connection of a refusal whose small body has arrived with it. Not if a body was announced and never sent.
pub(super) fn keep_refusing(
    thread: &Thread,
    answered: &Answered,
    mut upstream: Upstream,
    complete: bool,
    replica: &Replica,
) {
    let mut decoder = Decoder::new(answered.framing);
    while let Ok(Step::Data { skip, length }) = decoder.step(&upstream.buffer) {
        upstream.buffer.advance(skip + length);
    }
    if complete && answered.keep_alive && decoder.done() {
        thread.pool.borrow_mut().put(replica.key, upstream, thread.config.upstream.idle_connections);
    }
}
