//! The replica's own count of its slots: the authority of the slot protocol ([`serving::wire`]).
//!
//! One value on the IO thread; callers tell it the time, so it needs no clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a granted slot stays reserved for the asker.
pub(crate) const RESERVATION: Duration = Duration::from_millis(100);
/// Askers that may wait at once; further ones are refused.
const MAX_WAITING: usize = 1024;

/// Why a request or a question is refused. Both are retryable: nothing has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Every slot is taken or reserved.
    Busy,
    /// The scorer finishes what it has and exits.
    Draining,
}

impl Refusal {
    /// Value of the `x-azureml-refused` header.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Draining => "draining",
        }
    }
}

/// Slots of one replica. `W` is what wakes an asker: it takes a grant and says whether the asker was still there.
pub(crate) struct Slots<W> {
    busy: u32,
    reserved: Vec<(u64, Instant)>,
    waiting: VecDeque<(u64, u32, W)>,
    next_ticket: u64,
    next_grant: u64,
    draining: bool,
    busy_since: Option<Instant>,
    busy_time: Duration,
}

impl<W: FnOnce(u64) -> bool> Slots<W> {
    pub(crate) fn new() -> Self {
        Self {
            busy: 0,
            reserved: Vec::new(),
            waiting: VecDeque::new(),
            next_ticket: 0,
            next_grant: 1,
            draining: false,
            busy_since: None,
            busy_time: Duration::ZERO,
        }
    }

    /// Takes a slot for a request that states `limit`, or that holds a reservation.
    ///
    /// Without a limit (a caller that is not a router) there is always a slot.
    pub(crate) fn take(&mut self, limit: Option<u32>, grant: Option<u64>, now: Instant) -> Result<(), Refusal> {
        if self.draining {
            return Err(Refusal::Draining);
        }
        self.expire(now);
        let reservation = grant.and_then(|grant| self.reserved.iter().position(|(id, _)| *id == grant));
        if let Some(reservation) = reservation {
            self.reserved.swap_remove(reservation);
        } else if limit.is_some_and(|limit| self.taken() >= limit) {
            return Err(Refusal::Busy);
        }
        self.account(now);
        self.busy += 1;
        Ok(())
    }

    /// Gives a slot back and grants it to the oldest asker.
    pub(crate) fn give_back(&mut self, now: Instant) {
        self.account(now);
        self.busy -= 1;
        self.grant(now);
    }

    /// Registers an asker; it is woken at once when a slot is free. The ticket is what [`withdraw`](Self::withdraw)
    /// takes.
    pub(crate) fn ask(&mut self, limit: u32, wake: W, now: Instant) -> Result<u64, Refusal> {
        if self.draining {
            return Err(Refusal::Draining);
        }
        if self.waiting.len() >= MAX_WAITING {
            return Err(Refusal::Busy);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.push_back((ticket, limit, wake));
        self.grant(now);
        Ok(ticket)
    }

    /// Forgets an asker that does not wait any more.
    pub(crate) fn withdraw(&mut self, ticket: u64) {
        self.waiting.retain(|(waiting, ..)| *waiting != ticket);
    }

    /// Drops reservations that have lapsed and grants their slots anew.
    pub(crate) fn grant(&mut self, now: Instant) {
        self.expire(now);
        while let Some((_, limit, _)) = self.waiting.front() {
            if self.taken() >= *limit {
                return;
            }
            let Some((.., wake)) = self.waiting.pop_front() else { return };
            let grant = self.next_grant;
            self.next_grant += 1;
            if wake(grant) {
                self.reserved.push((grant, now + RESERVATION));
            }
        }
    }

    /// Refuses everything from now on; askers are dropped, which wakes them.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
        self.waiting.clear();
        self.reserved.clear();
    }

    /// Nothing runs any more after [`drain`](Self::drain).
    pub(crate) fn drained(&self) -> bool {
        self.draining && self.busy == 0
    }

    /// Whether [`drain`](Self::drain) was called.
    pub(crate) fn draining(&self) -> bool {
        self.draining
    }

    /// Time integral of the busy slots since the start.
    pub(crate) fn busy_time(&mut self, now: Instant) -> Duration {
        self.account(now);
        self.busy_time
    }

    fn taken(&self) -> u32 {
        self.busy + u32::try_from(self.reserved.len()).unwrap_or(u32::MAX)
    }

    fn expire(&mut self, now: Instant) {
        self.reserved.retain(|(_, until)| *until > now);
    }

    fn account(&mut self, now: Instant) {
        if let Some(since) = self.busy_since {
            self.busy_time += now.saturating_duration_since(since) * self.busy;
        }
        self.busy_since = Some(now);
    }
}
