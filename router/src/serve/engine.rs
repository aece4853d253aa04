//! The loop in the middle: changes of the namespace become snapshots, and what the data path serves becomes known.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serving::cluster::Confirmation;
use serving::snapshot::{FromWorker, ToWorker};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch as news};

use super::metrics::Facts;
use super::state::{Change, Served, State};
use super::status::Question;
use super::watch::Link;
use super::worker::Worker;
use crate::config::{Config, ms};

/// What comes so shortly after a change is part of the same snapshot.
const GATHER: Duration = Duration::from_millis(5);
/// A snapshot waits for the confirmation of the one before, but not for longer than this.
const UNCONFIRMED: Duration = Duration::from_secs(1);
/// A data path that does not confirm for so long is not ready, and not alive.
const OVERDUE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(30));
/// What the data path gets above its own drain time.
const DRAIN_GRACE: Duration = Duration::from_secs(5);
/// Answers that may be awaited of the data path; as many as there are connections to the status port.
const AWAITED: usize = 64;

/// What the loop is made of.
pub(super) struct Parts {
    pub(super) config: Config,
    pub(super) links: Vec<Arc<Link>>,
    pub(super) worker: Worker,
    pub(super) changes: mpsc::Receiver<Change>,
    pub(super) questions: mpsc::Receiver<Question>,
    pub(super) confirmed: news::Sender<Option<Confirmation>>,
}

/// How far the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Callers are still served, and told nothing, while every node hears that none should come.
    Withdrawing {
        until: Instant,
    },
    /// The data path finishes what it has.
    Draining {
        until: Instant,
    },
}

pub(super) struct Engine {
    parts: Parts,
    terminate: Signal,
    interrupt: Signal,
    state: State,
    phase: Phase,
    /// When the next snapshot is due, once something has changed.
    due: Option<Instant>,
    /// Of the newest snapshot.
    sequence: u64,
    /// Snapshots that were sent, and are not confirmed yet.
    sent: BTreeMap<u64, (Instant, Served)>,
    /// Newest snapshot that every thread routes by, and what it serves.
    confirmed: u64,
    served: Served,
    /// When a version of the newest snapshot retires.
    retirement: Option<Instant>,
    /// It has been ready.
    ready_once: bool,
    awaited: BTreeMap<u64, oneshot::Sender<Facts>>,
    next_question: u64,
}

impl Engine {
    pub(super) fn new(parts: Parts) -> io::Result<Self> {
        Ok(Self {
            parts,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            state: State::default(),
            phase: Phase::Serving,
            due: None,
            sequence: 0,
            sent: BTreeMap::new(),
            confirmed: 0,
            served: Served::default(),
            retirement: None,
            ready_once: false,
            awaited: BTreeMap::new(),
            next_question: 0,
        })
    }

    /// Runs until the data path has ended.
    pub(super) async fn run(mut self) -> Result<(), String> {
        let ended = loop {
            let now = Instant::now();
            if !self.advance(now).await {
                break false;
            }
            let until = tokio::time::Instant::from_std(self.deadline(now));
            tokio::select! {
                Some(change) = self.parts.changes.recv() => {
                    self.state.apply(change, now);
                    while let Ok(change) = self.parts.changes.try_recv() {
                        self.state.apply(change, now);
                    }
                }
                answer = self.parts.worker.answers.recv() => match answer {
                    Some(answer) => self.hear(answer),
                    None => break true,
                },
                Some(question) = self.parts.questions.recv() => self.answer(question).await,
                _ = self.terminate.recv() => self.end().await,
                _ = self.interrupt.recv() => self.end().await,
                () = tokio::time::sleep_until(until) => {}
            }
        };
        if !ended {
            return Err("the data path did not end in its time; requests in flight were cut".to_owned());
        }
        self.parts.worker.join()?;
        match self.phase {
            Phase::Draining { .. } => Ok(()),
            _ => Err("the data path has ended without an order".to_owned()),
        }
    }

    /// Does what is due; false when it is time to end.
    async fn advance(&mut self, now: Instant) -> bool {
        match self.phase {
            Phase::Withdrawing { until } if now >= until => self.drain(ToWorker::Drain).await,
            Phase::Draining { until } if now >= until => return false,
            _ => {}
        }
        self.state.tick(now);
        if self.retirement.is_some_and(|at| at <= now) {
            self.retirement = None;
            self.state.dirty = true;
        }
        if self.state.missing().is_empty() && (self.state.dirty || self.sequence == 0) {
            let due = *self.due.get_or_insert(now + GATHER);
            let free = self.sent.values().next_back().is_none_or(|(since, _)| *since + UNCONFIRMED <= now);
            if due <= now && free {
                self.due = None;
                self.publish(now).await;
            }
        }
        self.confirm();
        true
    }

    /// When something is due by time alone.
    fn deadline(&self, now: Instant) -> Instant {
        let phase = match self.phase {
            Phase::Serving => None,
            Phase::Withdrawing { until } | Phase::Draining { until } => Some(until),
        };
        let unconfirmed = self.sent.values().next_back().map(|(since, _)| *since + UNCONFIRMED);
        let due = self.due.map(|due| unconfirmed.map_or(due, |unconfirmed| due.max(unconfirmed)));
        [phase, due, self.retirement, self.state.deadline()]
            .into_iter()
            .flatten()
            .fold(now + Duration::from_mins(1), Instant::min)
    }

    /// Sends what should be routed by.
    async fn publish(&mut self, now: Instant) {
        self.sequence += 1;
        let clock = Timestamp::now();
        let (snapshot, served) = self.state.snapshot(self.sequence, clock);
        self.retirement = served.holds(clock).map(|time| now + time);
        tracing::debug!(sequence = self.sequence, services = snapshot.services.len(), "snapshot");
        if let Err(error) = self.parts.worker.tell(&ToWorker::Snapshot(Box::new(snapshot))).await {
            // Its end is noticed by its silence.
            tracing::error!(%error, "the data path takes no snapshot");
        }
        self.sent.insert(self.sequence, (now, served));
    }

    fn hear(&mut self, answer: FromWorker) {
        match answer {
            FromWorker::Serving { sequence } => {
                let later = self.sent.split_off(&(sequence + 1));
                if let Some((_, (_, served))) = std::mem::replace(&mut self.sent, later).pop_last() {
                    self.served = served;
                }
                if self.confirmed == 0 {
                    let services = self.served.generations.len();
                    tracing::info!(services, "the first snapshot is served; callers are answered");
                }
                self.confirmed = self.confirmed.max(sequence);
            }
            FromWorker::Stats { id, services } => {
                if let Some(reply) = self.awaited.remove(&id) {
                    let facts = Facts { services, ..self.facts() };
                    // Who has asked may have gone.
                    let _ = reply.send(facts);
                }
            }
        }
    }

    /// Tells what is served, if that is news.
    fn confirm(&mut self) {
        if self.confirmed == 0 {
            return;
        }
        let confirmation = Some(self.state.confirmation(&self.served));
        self.parts.confirmed.send_if_modified(|known| {
            let news = *known != confirmation;
            if news {
                *known = confirmation;
            }
            news
        });
    }

    async fn answer(&mut self, question: Question) {
        match question {
            Question::Live(reply) => drop(reply.send(self.live())),
            Question::Ready(reply) => {
                let ready = self.ready();
                self.ready_once |= ready.is_ok();
                let _ = reply.send(ready);
            }
            Question::Metrics(reply) => {
                self.next_question += 1;
                let id = self.next_question;
                self.awaited.retain(|_, reply| !reply.is_closed());
                if self.awaited.len() < AWAITED && self.parts.worker.tell(&ToWorker::Stats { id }).await.is_ok() {
                    self.awaited.insert(id, reply);
                }
            }
        }
    }

    /// How long the oldest unconfirmed snapshot has waited.
    fn unconfirmed(&self) -> Duration {
        self.sent.values().next().map_or(Duration::ZERO, |(since, _)| since.elapsed())
    }

    fn live(&self) -> Result<(), String> {
        let waited = self.unconfirmed();
        if waited >= OVERDUE.1 {
            return Err(format!("the data path has not taken a snapshot for {} s", waited.as_secs()));
        }
        Ok(())
    }

    /// Whether callers may come. A lost API server is no reason against it: others know no more.
    fn ready(&self) -> Result<(), String> {
        if self.phase != Phase::Serving {
            return Err("the router is ending".to_owned());
        }
        let missing = self.state.missing();
        if !missing.is_empty() {
            return Err(format!("waiting for the first list of {}", missing.join(", ")));
        }
        if self.confirmed == 0 {
            return Err("waiting for the data path to serve the first snapshot".to_owned());
        }
        let waited = self.unconfirmed();
        if waited >= OVERDUE.0 {
            return Err(format!("the data path has not taken a snapshot for {} s", waited.as_secs()));
        }
        if self.ready_once {
            return Ok(());
        }
        let waiting = self.state.waiting();
        if !waiting.is_empty() {
            return Err(format!("waiting for the secrets of {}", waiting.join(", ")));
        }
        if self.state.dirty || !self.sent.is_empty() {
            return Err("waiting for the data path to serve the newest snapshot".to_owned());
        }
        Ok(())
    }

    /// All numbers but those of the data path.
    fn facts(&self) -> Facts {
        Facts {
            services: BTreeMap::new(),
            served: self.served.clone(),
            refused: self.state.refused().into_keys().collect(),
            sequences: (self.sequence, self.confirmed),
            links: self.parts.links.iter().map(|link| (link.name, link.connected())).collect(),
            ready: self.ready().is_ok(),
        }
    }

    /// Begins to end. Further signals hurry it: the second one drains at once, the third closes unused connections, too.
    async fn end(&mut self) {
        match self.phase {
            Phase::Serving => {
                let time = ms(self.parts.config.timeouts.withdraw_ms);
                tracing::info!(
                    withdraw_ms = time.as_millis(),
                    "ending: not ready any more, and serving on until that is known"
                );
                self.phase = Phase::Withdrawing { until: Instant::now() + time };
            }
            Phase::Withdrawing { .. } => self.drain(ToWorker::Drain).await,
            Phase::Draining { .. } => self.drain(ToWorker::Stop).await,
        }
    }

    async fn drain(&mut self, order: ToWorker) {
        tracing::info!("draining: finishing the requests in flight");
        if !matches!(self.phase, Phase::Draining { .. }) {
            let until = Instant::now() + ms(self.parts.config.timeouts.drain_ms) + DRAIN_GRACE;
            self.phase = Phase::Draining { until };
        }
        // One that has ended already needs no order.
        let _ = self.parts.worker.tell(&order).await;
    }
}
