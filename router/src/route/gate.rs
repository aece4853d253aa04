//! Slots of one version, and the requests that wait for one.
//!
//! As long as nobody waits, a slot is taken and given back by one atomic operation on a replica's counter. Only a request
//! that finds no slot takes the lock, joins the queue and looks once more. Whoever gives a slot back looks at the number of
//! waiters afterwards. Both orders are sequentially consistent, so one of the two sees the other: no request waits while a
//! slot is free. While somebody waits, newcomers join the queue, and slots go to the oldest.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::{ArcSwap, Guard};

use super::counters::Counters;
use super::event_loop::oneshot;
use super::replica::Replica;
use crate::config::Upstream;

/// Ready replicas of a version, and how much each takes.
#[derive(Debug, Default)]
pub(super) struct ReplicaSet {
    /// `replica_max_concurrent_requests`.
    pub(super) limit: u32,
    pub(super) replicas: Vec<Arc<Replica>>,
}

impl ReplicaSet {
    /// Takes a slot of the least loaded replica. Ties go to the first from `start` on.
    fn take(&self, now: u64, start: usize, upstream: &Upstream) -> Option<Arc<Replica>> {
        let count = self.replicas.len();
        // Another thread may take the slot that was seen; each round means that one was taken, so this ends.
        loop {
            let mut best: Option<(u32, &Arc<Replica>)> = None;
            for offset in 0..count {
                let replica = &self.replicas[(start + offset) % count];
                if let Some(load) = replica.open(self.limit, now)
                    && best.is_none_or(|(least, _)| load < least)
                {
                    best = Some((load, replica));
                    if load == 0 {
                        break;
                    }
                }
            }
            let (_, replica) = best?;
            if replica.take(self.limit, now, upstream) {
                return Some(Arc::clone(replica));
            }
        }
    }

    /// A request may go there: some replica is well, or its pause after a failure is over, so that one request probes it.
    pub(super) fn ready(&self, clock: &super::Clock) -> bool {
        !self.down() || self.next_probe().is_some_and(|at| at <= clock.now())
    }

    /// No replica can be reached, as far as is known.
    pub(super) fn down(&self) -> bool {
        self.replicas.iter().all(|replica| replica.retry_at().is_some())
    }

    /// When the next failed replica may be probed, on the worker's clock.
    pub(super) fn next_probe(&self) -> Option<u64> {
        self.replicas.iter().filter_map(|replica| replica.retry_at()).min()
    }
}

/// What the versions of one service share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Requests of the service that wait now.
    pub(super) queued: AtomicUsize,
    /// Counts the requests that ever waited: the age of each.
    arrivals: AtomicU64,
    /// The gates of all versions.
    gates: Mutex<Vec<Weak<Gate>>>,
}

impl Shared {
    /// From now on the service has these versions.
    pub(super) fn set_gates(&self, gates: Vec<Weak<Gate>>) {
        *self.gates.lock().unwrap_or_else(PoisonError::into_inner) = gates;
        self.look_again();
    }

    /// Some version may have become ready: requests that wait for one that is not look again where they can go.
    fn look_again(&self) {
        let gates: Vec<Arc<Gate>> = {
            let known = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
            known.iter().filter_map(Weak::upgrade).collect()
        };
        if gates.len() > 1 && gates.iter().any(|gate| !gate.set().down()) {
            for gate in gates.iter().filter(|gate| gate.awaited() && gate.set().down()) {
                gate.recall();
            }
        }
    }
}

/// The entrance to a version's replicas. It outlives the tables.
#[derive(Debug)]
pub(super) struct Gate {
    clock: super::Clock,
    upstream: Upstream,
    pub(super) service: Arc<Shared>,
    pub(super) counters: Counters,
    /// The replicas in force. Not those of the table that a request was looked up in, which may be an old one.
    set: ArcSwap<ReplicaSet>,
    /// Number of `queue.waiters`.
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// By age.
    waiters: BTreeMap<u64, oneshot::Sender<Slot>>,
    closed: bool,
}

/// Why a request cannot wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// The service's queue is full.
    Full,
    /// The version is gone; look at the table again.
    Gone,
}

impl Gate {
    pub(super) fn new(clock: super::Clock, upstream: Upstream, service: Arc<Shared>) -> Self {
        Self {
            clock,
            upstream,
            service,
            counters: Counters::default(),
            set: ArcSwap::default(),
            waiting: AtomicUsize::new(0),
            queue: Mutex::new(Queue::default()),
        }
    }

    /// Takes a slot at once, unless others wait.
    pub(super) fn try_take(self: &Arc<Self>, start: usize) -> Option<Slot> {
        if self.waiting.load(SeqCst) > 0 {
            return None;
        }
        let set = self.set.load();
        set.take(self.clock.now(), start, &self.upstream).map(|replica| Slot::new(self, replica, set.limit))
    }

    /// Joins the queue. A request that returns to it brings its age along.
    pub(super) fn enqueue(self: &Arc<Self>, age: Option<u64>, most: usize) -> Result<Ticket, NoPlace> {
        if self.service.queued.fetch_add(1, SeqCst) >= most && age.is_none() {
            self.service.queued.fetch_sub(1, SeqCst);
            return Err(NoPlace::Full);
        }
        let age = age.unwrap_or_else(|| self.service.arrivals.fetch_add(1, SeqCst));
        let (sender, slot) = oneshot::channel();
        let ticket = Ticket { gate: Arc::clone(self), age, slot };
        let mut queue = self.lock();
        if queue.closed {
            drop(queue);
            return Err(NoPlace::Gone);
        }
        queue.waiters.insert(age, sender);
        self.waiting.store(queue.waiters.len(), SeqCst);
        self.serve(queue);
        Ok(ticket)
    }

    /// Hands free slots to waiting requests, oldest first.
    pub(super) fn pump(self: &Arc<Self>) {
        if self.waiting.load(SeqCst) > 0 {
            self.serve(self.lock());
        }
    }

    fn serve(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue>) {
        let mut spare: Option<Slot> = None;
        let set = self.set.load();
        while !queue.waiters.is_empty() {
            let slot = match spare.take() {
                Some(slot) => slot,
                None => match set.take(self.clock.now(), 0, &self.upstream) {
                    Some(replica) => Slot::new(self, replica, set.limit),
                    None => break,
                },
            };
            spare = self.hand(&mut queue, slot);
        }
        // Giving a slot back takes the lock again.
        drop(queue);
        drop(spare);
    }

    /// Gives a slot to the oldest waiter; it comes back if that one has just left.
    fn hand(&self, queue: &mut Queue, slot: Slot) -> Option<Slot> {
        let Some((_, waiter)) = queue.waiters.pop_first() else { return Some(slot) };
        self.waiting.store(queue.waiters.len(), SeqCst);
        waiter.send(slot).err()
    }

    /// Uses a slot that a replica has granted. False if nobody waits any more.
    pub(super) fn granted(self: &Arc<Self>, replica: &Arc<Replica>, grant: &str) -> bool {
        let mut queue = self.lock();
        let limit = self.set.load().limit;
        let mut spare = None;
        while !queue.waiters.is_empty() {
            let slot = match spare.take() {
                Some(slot) => slot,
                None if replica.take_granted(limit) => {
                    let mut slot = Slot::new(self, Arc::clone(replica), limit);
                    slot.grant = Some(grant.to_owned());
                    slot
                }
                None => return false,
            };
            spare = self.hand(&mut queue, slot);
            if spare.is_none() {
                return true;
            }
        }
        drop(queue);
        drop(spare);
        false
    }

    /// Someone waits.
    pub(super) fn awaited(&self) -> bool {
        self.waiting.load(SeqCst) > 0
    }

    /// From now on these replicas take the version's requests.
    pub(super) fn install(self: &Arc<Self>, set: Arc<ReplicaSet>) {
        let mut queue = self.lock();
        self.set.store(set);
        queue.closed = false;
        self.serve(queue);
    }

    /// The version is gone: those who wait look at the table again.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.set.store(Arc::default());
        self.recall();
    }

    /// Those who wait look again where they can go; who has no other place comes back to its own.
    fn recall(&self) {
        let mut queue = self.lock();
        let waiters = std::mem::take(&mut queue.waiters);
        self.waiting.store(0, SeqCst);
        drop(queue);
        drop(waiters);
    }

    /// The replicas in force.
    pub(super) fn set(&self) -> Guard<Arc<ReplicaSet>> {
        self.set.load()
    }

    pub(super) fn clock(&self) -> &super::Clock {
        &self.clock
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue, left by dropping it.
#[derive(Debug)]
pub(super) struct Ticket {
    gate: Arc<Gate>,
    pub(super) age: u64,
    pub(super) slot: oneshot::Receiver<Slot>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.gate.service.queued.fetch_sub(1, SeqCst);
        let mut queue = self.gate.lock();
        if queue.waiters.remove(&self.age).is_some() {
            self.gate.waiting.store(queue.waiters.len(), SeqCst);
        }
    }
}

/// The right to have one request on a replica, given back by dropping it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) gate: Arc<Gate>,
    pub(super) replica: Arc<Replica>,
    /// What the replica is told.
    pub(super) limit: u32,
    /// The replica's reservation, if it made one.
    pub(super) grant: Option<String>,
}

impl Slot {
    fn new(gate: &Arc<Gate>, replica: Arc<Replica>, limit: u32) -> Self {
        gate.counters.begun();
        Self { gate: Arc::clone(gate), replica, limit, grant: None }
    }

    /// The replica answered: it is well.
    pub(super) fn succeeded(&self) {
        if self.replica.succeeded() {
            self.gate.pump();
            self.gate.service.look_again();
        }
    }

    /// The replica failed: leave it alone for a while.
    pub(super) fn failed(&self) {
        self.replica.failed(self.gate.clock.now(), &self.gate.upstream);
        if self.gate.awaited() && self.gate.set().down() {
            self.gate.recall();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.gate.counters.ended();
        self.replica.release();
        self.gate.pump();
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
