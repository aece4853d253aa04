//! A request's way to a replica: wait for a slot, send, repeat elsewhere what was not answered, deliver.

use std::pin::pin;
use std::sync::Arc;

use serving::error::RouterError;

use super::answer::After;
use super::attempt::{self, Attempt};
use super::buffer::Buffer;
use super::call::{Call, Route};
use super::connection::{Connection, micros};
use super::download::Refusal;
use super::event_loop::{Either, Instant, Reader, race};
use super::gate::{NoPlace, Slot};
use super::pick::better_elsewhere;
use super::subscribe;
use super::upload::{self, UploadError};
use crate::http1::{Framing, encode};

/// How a forwarded request ended.
#[derive(Debug)]
pub(super) enum End {
    /// The caller has a replica's response.
    Answered { status: u16, after: After },
    /// The response ended in its middle.
    Broken { status: u16 },
    /// The caller left before it had one.
    CallerLeft,
    /// The router answers.
    Failed(RouterError),
}

/// Bytes of pipelined requests that are taken off a connection while its current request runs.
const AHEAD: usize = 16 * 1024;

/// Sends a request to a replica of its version and delivers the response.
pub(super) async fn forward(connection: &mut Connection, call: &mut Call, route: &mut Route) -> End {
    let mut deadline = call.arrival + route.version.timeout;
    if let Err(end) = gather(connection, call).await {
        return end;
    }
    let queued = Instant::now();
    let mut patience = queued + route.version.wait;
    let mut age = None;
    let (mut retries, mut dropped) = (0, 0);
    loop {
        let waited = Instant::now();
        let slot = match acquire(connection, route, (deadline, patience), &mut age).await {
            Ok(slot) => slot,
            Err(Denied::LookAgain) => {
                let before = Arc::clone(&route.version.gate.service);
                if let Err(error) = again(connection, route) {
                    return End::Failed(error);
                }
                (deadline, patience) = (call.arrival + route.version.timeout, queued + route.version.wait);
                // The age counts within one service.
                age = age.filter(|_| Arc::ptr_eq(&before, &route.version.gate.service));
                continue;
            }
            Err(Denied::CallerLeft) => return End::CallerLeft,
            Err(Denied::Error(error)) => return End::Failed(error),
        };
        call.facts.queue_us += micros(waited);
        call.facts.attempts += 1;
        call.facts.replica.clone_from(&slot.replica.id);
        let failed =
            |reason| End::Failed(RouterError::ReplicaFailed { service: route.service.name.to_string(), reason });
        let config = &connection.thread.config;
        let (most, most_dropped) = (config.upstream.retries, config.upstream.dropped_retries);
        match attempt::attempt(connection, call, route, slot, deadline).await {
            Attempt::Ended(end) => return end,
            Attempt::Refused(refusal, slot) => {
                match refusal {
                    Refusal::Busy => subscribe::start(&connection.thread, &slot, route.service.hop.as_ref()),
                    Refusal::Draining => slot.failed(),
                }
                // It was not run, so it is repeated for as long as it may wait: with several routers, slots are often
                // taken by somebody else in the last moment.
                if Instant::now() >= patience {
                    return End::Failed(waited_in_vain(route));
                }
                continue;
            }
            // A replica that had closed a kept connection never saw the request.
            Attempt::Unreachable | Attempt::Dropped { stale: true } if retries < most => {}
            Attempt::Unreachable => return failed("it cannot be reached"),
            Attempt::Dropped { .. } if dropped < most_dropped => dropped += 1,
            Attempt::Dropped { .. } => return failed("it closed the connection without an answer"),
        }
        retries += 1;
    }
}

/// Gathers a body that may be kept.
async fn gather(connection: &mut Connection, call: &mut Call) -> Result<(), End> {
    let most = connection.thread.config.limits.kept_body_bytes;
    let keep = match call.body.framing {
        Framing::Sized(length) => length <= most as u64,
        _ => true,
    };
    if call.body.decoder.done() || !keep {
        return Ok(());
    }
    if std::mem::take(&mut call.expects_continue) {
        connection.out.clear();
        connection.out.extend_from_slice(encode::CONTINUE);
        connection.flush().await.ok_or(End::CallerLeft)?;
    }
    upload::gather(connection, call).await.map_err(|error| match error {
        UploadError::Caller(error) => End::Failed(error),
        _ => End::CallerLeft,
    })
}

/// Picks again after the version was removed, or lost its last replica, while the request waited.
fn again(connection: &Connection, route: &mut Route) -> Result<(), RouterError> {
    let table = connection.thread.table();
    let name = route.service.name.to_string();
    let service = table.service(&name).filter(|service| service.kind == route.service.kind).cloned();
    let service = service.ok_or(RouterError::NoReadyReplicas { service: name, retry_after: 1 })?;
    route.version = connection.thread.version_again(&service, route)?;
    route.service = service;
    Ok(())
}

/// Why a request gets no slot.
enum Denied {
    /// The version is gone, or has no ready replica while another one has.
    LookAgain,
    CallerLeft,
    Error(RouterError),
}

/// Takes a slot, or waits for one.
async fn acquire(
    connection: &mut Connection,
    route: &Route,
    (deadline, patience): (Instant, Instant),
    age: &mut Option<u64>,
) -> Result<Slot, Denied> {
    let (thread, version) = (&connection.thread, &route.version);
    if age.is_none()
        && let Some(slot) = version.gate.try_take(thread.rotate())
    {
        return Ok(slot);
    }
    if better_elsewhere(route) {
        return Err(Denied::LookAgain);
    }
    let service = || route.service.name.to_string();
    let most = thread.config.limits.queue_length;
    let mut ticket = version.gate.enqueue(*age, most).map_err(|error| match error {
        NoPlace::Full => Denied::Error(RouterError::QueueFull { service: service(), limit: most, retry_after: 1 }),
        NoPlace::Gone => Denied::LookAgain,
    })?;
    *age = Some(ticket.age);
    // Another version may have become ready just before this request could be seen waiting.
    if better_elsewhere(route) {
        return ticket.slot.try_recv().map_err(|_| Denied::LookAgain);
    }
    let clock = version.gate.clock().clone();
    let Connection { stream, buffer, timer, .. } = connection;
    let mut left = pin!(left(&mut stream.reader, buffer));
    loop {
        // A failed replica becomes free by time alone.
        let probe = version.gate.set().next_probe().map(|at| clock.instant(at.max(clock.now() + 5)));
        let until = deadline.min(patience).min(probe.unwrap_or(deadline));
        match timer.until(until, race(&mut ticket.slot, left.as_mut())).await {
            Ok(Either::First(Ok(slot))) => return Ok(slot),
            Ok(Either::First(Err(_))) => return Err(Denied::LookAgain),
            Ok(Either::Second(())) => return Err(Denied::CallerLeft),
            Err(_) => {}
        }
        let now = Instant::now();
        if now >= deadline {
            let timeout_ms = milliseconds(version.timeout);
            return Err(Denied::Error(RouterError::ScoringTimeout { service: service(), timeout_ms }));
        }
        if now >= patience {
            return Err(Denied::Error(waited_in_vain(route)));
        }
        version.gate.pump();
    }
}

/// Why a request that has waited for as long as it may has no slot.
fn waited_in_vain(route: &Route) -> RouterError {
    let (service, version) = (route.service.name.to_string(), &route.version);
    if version.gate.set().down() {
        RouterError::NoReadyReplicas { service, retry_after: 1 }
    } else {
        RouterError::QueueTimeout { service, waited_ms: milliseconds(version.wait), retry_after: 1 }
    }
}

/// Resolves when the caller has closed its connection. What it sends ahead is kept, up to a bound.
pub(super) async fn left(reader: &mut Reader, buffer: &mut Buffer) {
    while buffer.len() < AHEAD {
        if matches!(reader.fill(buffer, 1024).await, Ok(0) | Err(_)) {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// Whole milliseconds of a setting.
pub(super) fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
