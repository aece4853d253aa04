//! Asking a replica for its slots.
//!
//! A replica that refuses although this worker's count says that it has a slot is filled by someone else: another router,
//! or requests of a worker that is gone. As long as requests wait for the version, one subscription for each such replica
//! asks it for a slot; the replica grants freed slots to askers, oldest first. Meanwhile the worker takes no slot of it by
//! its own count.

use std::rc::Rc;
use std::sync::Arc;

use serving::wire;

use super::download::{HeadError, read_head};
use super::event_loop::{self, Either, Instant, Stream, Timer, race, sleep};
use super::gate::{Gate, Slot};
use super::hop::Hop;
use super::pool::Upstream;
use super::replica::Replica;
use super::thread::Thread;
use crate::config::ms;
use crate::http1::request::Method;
use crate::http1::{Framing, HeadLimits, encode};

/// How long a question stands before it is asked anew.
const QUESTION_MS: u64 = 30_000;
/// How often it is looked whether anyone still waits.
const LOOK_MS: u64 = 20;

/// Opens a subscription to the slot's replica unless there is one. To be called before the slot is given back, so that
/// nobody runs into the same refusal.
pub(super) fn start(thread: &Rc<Thread>, slot: &Slot, hop: Option<&Arc<Hop>>) {
    if slot.replica.subscribe() {
        let subscription = Subscription { gate: Arc::clone(&slot.gate), replica: Arc::clone(&slot.replica) };
        event_loop::spawn(run(Rc::clone(thread), subscription, slot.limit, hop.cloned()));
    }
}

/// An open subscription; its end makes the replica open to the worker's own count again.
struct Subscription {
    gate: Arc<Gate>,
    replica: Arc<Replica>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.replica.unsubscribe();
        self.gate.pump();
    }
}

async fn run(thread: Rc<Thread>, subscription: Subscription, limit: u32, hop: Option<Arc<Hop>>) {
    let Subscription { gate, replica } = &subscription;
    let failed = || replica.failed(thread.clock.now(), &thread.config.upstream);
    let mut kept = None;
    while gate.awaited() {
        let mut upstream = match kept.take() {
            Some(upstream) => upstream,
            None => match connect(&thread, replica).await {
                Some(upstream) => upstream,
                None => return failed(),
            },
        };
        let answer = match race(ask(&thread, &mut upstream, limit, hop.as_deref()), abandoned(gate)).await {
            Either::First(answer) => answer,
            // Closing the connection withdraws the question.
            Either::Second(()) => return,
        };
        match answer {
            Ok(Answer::Granted { grant, again }) => {
                if !gate.granted(replica, &grant) {
                    replica.keep(grant);
                    return;
                }
                kept = again.then_some(upstream);
            }
            // No slot in the question's time, or too many askers: then it is not asked again at once.
            Ok(Answer::Busy) => sleep(ms(LOOK_MS)).await,
            Ok(Answer::Refused) => return failed(),
            Err(_) => return,
        }
    }
}

async fn connect(thread: &Thread, replica: &Replica) -> Option<Upstream> {
    let deadline = Instant::now() + ms(thread.config.upstream.connect_ms);
    Timer::new().until(deadline, Stream::connect(&replica.address)).await.ok()?.ok().map(Upstream::new)
}

/// A replica's answer to the question for a slot.
enum Answer {
    /// The reservation. `again`: the connection takes another question.
    Granted { grant: String, again: bool },
    /// It has none to give now.
    Busy,
    /// It drains, or does not know the question.
    Refused,
}

async fn ask(thread: &Thread, upstream: &mut Upstream, limit: u32, hop: Option<&Hop>) -> Result<Answer, HeadError> {
    let mut question = format!("GET {} HTTP/1.1\r\nhost: localhost\r\n", wire::SLOT_PATH).into_bytes();
    if let Some(hop) = hop {
        question.extend_from_slice(hop.line());
    }
    encode::number(&mut question, wire::LIMIT, u64::from(limit));
    encode::number(&mut question, wire::DEADLINE, QUESTION_MS);
    question.extend_from_slice(b"\r\n");
    upstream.stream.writer.write(&question).await.map_err(|_| HeadError::Dropped)?;
    let limits = HeadLimits { bytes: thread.config.limits.head_bytes, fields: thread.config.limits.headers };
    let answer = read_head(&mut upstream.stream.reader, &mut upstream.buffer, limits, Method::Get, |response| {
        let field = |name: &str| {
            let field = response.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            field.and_then(|field| std::str::from_utf8(field.value).ok())
        };
        match (response.status, field(wire::GRANT), field(wire::REFUSED)) {
            (..200, ..) => None,
            (200, Some(grant), _) => {
                let empty = matches!(response.framing, Framing::None | Framing::Sized(0));
                Some(Answer::Granted { grant: grant.to_owned(), again: response.keep_alive && empty })
            }
            (503, _, Some("busy")) => Some(Answer::Busy),
            _ => Some(Answer::Refused),
        }
    });
    answer.await
}

/// Resolves when nobody waits any more.
async fn abandoned(gate: &Gate) {
    while gate.awaited() {
        sleep(ms(LOOK_MS)).await;
    }
}
