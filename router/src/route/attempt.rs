//! One attempt of a request on one replica.

use std::io::IoSlice;
use std::pin::pin;

use serving::error::RouterError;
use serving::wire;

use super::answer::After;
use super::call::{Call, Route};
use super::connection::Connection;
use super::download::{self, Answered, Caller, Ended, Head, HeadError, Refusal, read_head};
use super::event_loop::{Either, Instant, Stream, race};
use super::forward::{End, left, milliseconds};
use super::gate::Slot;
use super::pool::Upstream;
use super::upload::{self, UploadError};
use crate::config::ms;
use crate::http1::request::Method;
use crate::http1::{Framing, HeadLimits, encode};

/// Bodies up to this size are copied behind the head: cheaper than a second piece.
const JOINED: usize = 4 * 1024;

/// How an attempt ended.
pub(super) enum Attempt {
    /// The request is over.
    Ended(End),
    /// The replica did not run it. The slot comes back so that nobody takes it before the replica is marked.
    Refused(Refusal, Slot),
    /// There was no connection.
    Unreachable,
    /// The connection ended without an answer. `stale`: it had been kept and had ended before the request was written.
    Dropped { stale: bool },
}

/// Why there is no response.
enum Fault {
    Timeout,
    Dropped,
    Invalid(&'static str),
    CallerLeft,
    Caller(RouterError),
}

impl From<HeadError> for Fault {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Dropped => Self::Dropped,
            HeadError::Invalid(reason) => Self::Invalid(reason),
        }
    }
}

impl Fault {
    /// What becomes of the request.
    fn attempt(self, route: &Route, slot: &Slot, stale: bool) -> Attempt {
        let service = route.service.name.to_string();
        Attempt::Ended(match self {
            Self::Timeout => {
                let timeout_ms = milliseconds(route.version.timeout);
                End::Failed(RouterError::ScoringTimeout { service, timeout_ms })
            }
            Self::Dropped => {
                if !stale {
                    slot.failed();
                }
                return Attempt::Dropped { stale };
            }
            Self::Invalid(reason) => End::Failed(RouterError::ReplicaInvalid { service, reason }),
            Self::CallerLeft => End::CallerLeft,
            Self::Caller(error) => End::Failed(error),
        })
    }
}

/// Sends a request to the slot's replica and delivers the response, if there is one.
pub(super) async fn attempt(
    connection: &mut Connection,
    call: &mut Call,
    route: &Route,
    mut slot: Slot,
    deadline: Instant,
) -> Attempt {
    let kept = connection.thread.pool.borrow_mut().take(slot.replica.key);
    let mut upstream = match kept {
        Some(upstream) => upstream,
        None => match connect(connection, &slot, deadline).await {
            Ok(upstream) => upstream,
            Err(Fault::Timeout) => return Fault::Timeout.attempt(route, &slot, false),
            Err(_) => {
                slot.failed();
                return Attempt::Unreachable;
            }
        },
    };
    if slot.grant.is_none() {
        slot.grant = slot.replica.kept();
    }
    let complete = call.body.decoder.done();
    compose(call, route, &slot, deadline, &mut connection.out);
    let mut body: &[u8] = if complete { &call.body.kept } else { b"" };
    if body.len() <= JOINED {
        connection.out.extend_from_slice(body);
        body = b"";
    }
    let mut pieces = [IoSlice::new(&connection.out), IoSlice::new(body)];
    let pieces = if body.is_empty() { &mut pieces[..1] } else { &mut pieces };
    match connection.timer.until(deadline, upstream.stream.writer.write_all(pieces)).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Fault::Dropped.attempt(route, &slot, upstream.reused),
        Err(_) => return Fault::Timeout.attempt(route, &slot, false),
    }
    let first = if complete {
        first_head(connection, call, route, &mut upstream, (deadline, deadline), false).await
    } else {
        let patience = Instant::now() + ms(connection.thread.config.upstream.continue_ms);
        first_head(connection, call, route, &mut upstream, (deadline, patience), true).await
    };
    match first {
        Ok(First::Response(answered)) => {
            slot.succeeded();
            match answered.refused {
                Some(refusal) => {
                    download::keep_refusing(&connection.thread, &answered, upstream, complete, &slot.replica);
                    Attempt::Refused(refusal, slot)
                }
                None => Attempt::Ended(deliver(connection, call, route, &answered, upstream, slot, complete).await),
            }
        }
        Ok(First::Continue) => Attempt::Ended(streamed(connection, call, route, upstream, slot, deadline).await),
        // Whatever the connection's age: the request was written, so it may have run.
        Err(fault) => fault.attempt(route, &slot, false),
    }
}

async fn connect(connection: &mut Connection, slot: &Slot, deadline: Instant) -> Result<Upstream, Fault> {
    let until = deadline.min(Instant::now() + ms(connection.thread.config.upstream.connect_ms));
    match connection.timer.until(until, Stream::connect(&slot.replica.address)).await {
        Ok(Ok(stream)) => Ok(Upstream::new(stream)),
        Err(_) if Instant::now() >= deadline => Err(Fault::Timeout),
        _ => Err(Fault::Dropped),
    }
}

/// Writes the head of an attempt.
fn compose(call: &Call, route: &Route, slot: &Slot, deadline: Instant, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&route.head);
    if let Some(hop) = &route.service.hop {
        out.extend_from_slice(hop.line());
    }
    encode::number(out, wire::LIMIT, u64::from(slot.limit));
    let left = deadline.saturating_duration_since(Instant::now());
    encode::number(out, wire::DEADLINE, milliseconds(left).max(1));
    if let Some(grant) = &slot.grant {
        encode::field(out, wire::GRANT.as_bytes(), grant.as_bytes());
    }
    if call.body.decoder.done() {
        if call.body.framing != Framing::None || matches!(call.method, Method::Post | Method::Put | Method::Patch) {
            encode::number(out, "content-length", call.body.kept.len() as u64);
        }
    } else {
        match call.body.framing {
            Framing::Sized(length) => encode::number(out, "content-length", length),
            _ => encode::field(out, b"transfer-encoding", b"chunked"),
        }
        encode::field(out, b"expect", b"100-continue");
    }
    out.extend_from_slice(b"\r\n");
}

/// What a replica answers first.
enum First {
    Response(Answered),
    /// Send the body; also if the replica said nothing for too long.
    Continue,
}

/// Waits for the first head that matters, while the caller stays.
async fn first_head(
    connection: &mut Connection,
    call: &Call,
    route: &Route,
    upstream: &mut Upstream,
    (deadline, patience): (Instant, Instant),
    invited: bool,
) -> Result<First, Fault> {
    let Connection { thread, stream, buffer, out, timer, .. } = connection;
    let head = Head::new(call, &route.version.deployment);
    let limits = limits(thread);
    let read = read_head(&mut upstream.stream.reader, &mut upstream.buffer, limits, call.method, |response| {
        match response.status {
            100 if invited => Some(First::Continue),
            100..=199 => None,
            _ => Some(First::Response(download::take(thread, response, head, out))),
        }
    });
    match timer.until(deadline.min(patience), race(read, left(&mut stream.reader, buffer))).await {
        Ok(Either::First(first)) => Ok(first?),
        Ok(Either::Second(())) => Err(Fault::CallerLeft),
        Err(_) if Instant::now() >= deadline => Err(Fault::Timeout),
        Err(_) => Ok(First::Continue),
    }
}

fn limits(thread: &super::thread::Thread) -> HeadLimits {
    HeadLimits { bytes: thread.config.limits.head_bytes, fields: thread.config.limits.headers }
}

/// Delivers a response that came before a body was streamed.
async fn deliver(
    connection: &mut Connection,
    call: &mut Call,
    route: &Route,
    answered: &Answered,
    mut upstream: Upstream,
    slot: Slot,
    complete: bool,
) -> End {
    let mut after = if call.keep_alive && complete { connection.after() } else { After::Close };
    let Connection { thread, stream, out, timer, .. } = connection;
    let head = Head {
        deployment: &route.version.deployment,
        request_id: &call.ids.request,
        method: call.method,
        http10: call.http10,
    };
    let mut caller = Caller { writer: &mut stream.writer, timer, out, sent: &mut call.facts.sent };
    let Upstream { stream: replica, buffer, .. } = &mut upstream;
    let relayed = download::relay(thread, answered, head, &mut after, (&mut replica.reader, buffer), &mut caller).await;
    if let Err(ended) = relayed {
        return end(&ended, answered, route);
    }
    if answered.keep_alive && complete {
        thread.pool.borrow_mut().put(slot.replica.key, upstream, thread.config.upstream.idle_connections);
    }
    drop(slot);
    match download::finish(thread, &mut caller).await {
        Ok(()) => End::Answered { status: answered.status, after },
        Err(ended) => end(&ended, answered, route),
    }
}

fn end(ended: &Ended, answered: &Answered, route: &Route) -> End {
    match ended {
        Ended::NotBegun(reason) => {
            End::Failed(RouterError::ReplicaInvalid { service: route.service.name.to_string(), reason })
        }
        Ended::Broken => End::Broken { status: answered.status },
    }
}

/// Streams a large body to the replica, and its response, whenever it comes, to the caller.
async fn streamed(
    connection: &mut Connection,
    call: &mut Call,
    route: &Route,
    mut upstream: Upstream,
    slot: Slot,
    deadline: Instant,
) -> End {
    if std::mem::take(&mut call.expects_continue) {
        connection.out.clear();
        connection.out.extend_from_slice(encode::CONTINUE);
        if connection.flush().await.is_none() {
            return End::CallerLeft;
        }
    }
    let (answered, after, taken) = match duplex(connection, call, route, &mut upstream, &slot, deadline).await {
        Ok(delivered) => delivered,
        Err(end) => return end,
    };
    let Connection { thread, stream, out, timer, .. } = connection;
    if answered.keep_alive && taken {
        thread.pool.borrow_mut().put(slot.replica.key, upstream, thread.config.upstream.idle_connections);
    }
    drop(slot);
    let mut caller = Caller { writer: &mut stream.writer, timer, out, sent: &mut call.facts.sent };
    match download::finish(thread, &mut caller).await {
        Ok(()) => End::Answered { status: answered.status, after },
        Err(ended) => end(&ended, &answered, route),
    }
}

/// Sends the body and relays the response at the same time, until the replica has sent everything. True if the whole body
/// was sent.
async fn duplex(
    connection: &mut Connection,
    call: &mut Call,
    route: &Route,
    upstream: &mut Upstream,
    slot: &Slot,
    deadline: Instant,
) -> Result<(Answered, After, bool), End> {
    let Call { ids, body, facts, method, http10, keep_alive, .. } = call;
    let head =
        Head { deployment: &route.version.deployment, request_id: &ids.request, method: *method, http10: *http10 };
    let Connection { thread, stream, buffer, out, timer, .. } = connection;
    let Upstream { stream: replica, buffer: arrived, .. } = upstream;
    let mut upload = pin!(upload::stream(&mut stream.reader, buffer, body, &mut replica.writer, &thread.config));
    let mut progress = Progress::Running;
    let answered = {
        let read = read_head(&mut replica.reader, arrived, limits(thread), *method, |response| {
            (response.status >= 200).then(|| download::take(thread, response, head, out))
        });
        let both = async {
            let mut read = pin!(read);
            match race(read.as_mut(), upload.as_mut()).await {
                Either::First(result) => Ok(result?),
                Either::Second(Err(UploadError::CallerLeft)) => Err(Fault::CallerLeft),
                Either::Second(Err(UploadError::Caller(error))) => Err(Fault::Caller(error)),
                Either::Second(result) => {
                    progress = if result.is_ok() { Progress::Done } else { Progress::Stopped };
                    Ok(read.await?)
                }
            }
        };
        timer.until(deadline, both).await.unwrap_or(Err(Fault::Timeout))
    };
    let answered = answered.map_err(|fault| unanswered(fault, route, slot))?;
    slot.succeeded();
    if answered.refused.is_some() {
        // Part of the body is gone, so it cannot be repeated here; the caller can.
        let service = route.service.name.to_string();
        return Err(End::Failed(RouterError::NoReadyReplicas { service, retry_after: 1 }));
    }
    let taken = matches!(progress, Progress::Done);
    let mut after = if *keep_alive && taken && thread.stopping.get().is_none() { After::Keep } else { After::Close };
    let mut caller = Caller { writer: &mut stream.writer, timer, out, sent: &mut facts.sent };
    let relayed = {
        let source = (&mut replica.reader, arrived);
        let mut relay = pin!(download::relay(thread, &answered, head, &mut after, source, &mut caller));
        if matches!(progress, Progress::Running) {
            match race(relay.as_mut(), upload.as_mut()).await {
                Either::First(relayed) => relayed,
                Either::Second(_) => relay.await,
            }
        } else {
            relay.await
        }
    };
    match relayed {
        Ok(()) => Ok((answered, after, taken)),
        Err(ended) => Err(end(&ended, &answered, route)),
    }
}

/// How far a streamed body has come.
enum Progress {
    Running,
    Done,
    /// The replica takes no more; it may have answered before.
    Stopped,
}

/// A streamed request cannot be repeated.
fn unanswered(fault: Fault, route: &Route, slot: &Slot) -> End {
    match fault.attempt(route, slot, false) {
        Attempt::Ended(end) => end,
        _ => End::Failed(RouterError::ReplicaFailed {
            service: route.service.name.to_string(),
            reason: "it closed the connection within the request's body",
        }),
    }
}
