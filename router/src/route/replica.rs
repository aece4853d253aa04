//! A replica as every thread of the worker sees it: its load, and whether it can be reached.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use serving::snapshot::Address;

use crate::config::Upstream;

/// How long a scorer keeps a reservation, less a margin for the way there.
const GRANT_LIFE: Duration = Duration::from_millis(80);

/// One replica. It outlives the tables that list it, for as long as requests run on it.
#[derive(Debug)]
pub(super) struct Replica {
    /// Unique in this worker.
    pub(super) key: u64,
    /// The supervisor's id.
    pub(super) id: String,
    pub(super) address: Address,
    /// Requests that this worker has on the replica.
    in_flight: AtomicU32,
    /// The replica refused although the count above said that it had a slot: someone else fills it. A subscription is
    /// open, and slots come from it alone.
    subscribed: AtomicBool,
    failures: AtomicU32,
    /// While it has failed: milliseconds on the worker's clock from when on one request may probe it. 0 while it is well.
    retry_at: AtomicU64,
    /// A reservation that came when nobody waited any more.
    spare: Mutex<Option<(Instant, String)>>,
    /// There may be one; spares the lock.
    has_spare: AtomicBool,
}

impl Replica {
    pub(super) fn new(key: u64, id: String, address: Address) -> Self {
        Self {
            key,
            id,
            address,
            in_flight: AtomicU32::new(0),
            subscribed: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            retry_at: AtomicU64::new(0),
            spare: Mutex::new(None),
            has_spare: AtomicBool::new(false),
        }
    }

    /// Requests on it, if it may get another one now.
    pub(super) fn open(&self, limit: u32, now: u64) -> Option<u32> {
        let load = self.in_flight.load(SeqCst);
        let open = load < limit && !self.subscribed.load(SeqCst) && self.retry_at.load(SeqCst) <= now;
        open.then_some(load)
    }

    /// Takes a slot unless another thread was faster. A replica that has failed lets one request through as its probe.
    pub(super) fn take(&self, limit: u32, now: u64, upstream: &Upstream) -> bool {
        let retry_at = self.retry_at.load(SeqCst);
        if retry_at > now {
            return false;
        }
        if self.in_flight.fetch_update(SeqCst, SeqCst, |load| (load < limit).then_some(load + 1)).is_err() {
            return false;
        }
        if retry_at == 0 {
            return true;
        }
        let next = now + pause(self.failures.load(SeqCst), upstream);
        let probe = self.retry_at.compare_exchange(retry_at, next, SeqCst, SeqCst).is_ok();
        if !probe {
            self.release();
        }
        probe
    }

    /// Takes a slot that the replica itself has granted. False if this worker's own requests fill it.
    pub(super) fn take_granted(&self, limit: u32) -> bool {
        self.in_flight.fetch_update(SeqCst, SeqCst, |load| (load < limit).then_some(load + 1)).is_ok()
    }

    pub(super) fn release(&self) {
        self.in_flight.fetch_sub(1, SeqCst);
    }

    /// It answered. True if that is news.
    pub(super) fn succeeded(&self) -> bool {
        if self.retry_at.load(SeqCst) == 0 {
            return false;
        }
        self.failures.store(0, SeqCst);
        self.retry_at.store(0, SeqCst);
        true
    }

    /// It could not be reached, or dropped a request: leave it alone for a while.
    pub(super) fn failed(&self, now: u64, upstream: &Upstream) {
        let failures = self.failures.fetch_add(1, SeqCst);
        self.retry_at.store(now + pause(failures, upstream), SeqCst);
    }

    /// When a request may try it, on the worker's clock; `None` while it is well.
    pub(super) fn retry_at(&self) -> Option<u64> {
        Some(self.retry_at.load(SeqCst)).filter(|at| *at != 0)
    }

    /// Marks the replica as filled by others. True for the one caller that has to open the subscription.
    pub(super) fn subscribe(&self) -> bool {
        !self.subscribed.swap(true, SeqCst)
    }

    /// The subscription has ended.
    pub(super) fn unsubscribe(&self) {
        self.subscribed.store(false, SeqCst);
    }

    /// Keeps a reservation that nobody waits for.
    pub(super) fn keep(&self, grant: String) {
        *self.spare.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((Instant::now(), grant));
        self.has_spare.store(true, SeqCst);
    }

    /// The kept reservation, if it still holds.
    pub(super) fn kept(&self) -> Option<String> {
        if !self.has_spare.load(SeqCst) || !self.has_spare.swap(false, SeqCst) {
            return None;
        }
        let (since, grant) = self.spare.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()?;
        (since.elapsed() < GRANT_LIFE).then_some(grant)
    }
}

/// Milliseconds of the pause after so many failures before the last one.
fn pause(failures: u32, upstream: &Upstream) -> u64 {
    upstream.backoff_ms.saturating_mul(1 << failures.min(20)).min(upstream.backoff_max_ms).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica() -> Replica {
        Replica::new(1, "r-1".into(), Address::Unix("sockets/r-1.sock".into()))
    }

    #[test]
    fn never_more_slots_are_taken_than_the_limit() {
        let replica = replica();
        let upstream = Upstream::default();
        assert!(replica.take(2, 0, &upstream) && replica.take(2, 0, &upstream));
        assert!(!replica.take(2, 0, &upstream));
        assert_eq!(replica.open(2, 0), None);
        replica.release();
        assert_eq!(replica.open(2, 0), Some(1));
    }

    #[test]
    fn pauses_double_up_to_their_bound_and_end_with_one_probe() {
        let replica = replica();
        let upstream = Upstream { backoff_ms: 100, backoff_max_ms: 300, ..Upstream::default() };
        replica.failed(1000, &upstream);
        assert_eq!(replica.retry_at(), Some(1100));
        assert!(!replica.take(8, 1099, &upstream));
        assert!(replica.take(8, 1100, &upstream), "the probe");
        assert!(!replica.take(8, 1100, &upstream), "nobody else");
        replica.failed(1100, &upstream);
        assert_eq!(replica.retry_at(), Some(1300));
        replica.failed(1300, &upstream);
        assert_eq!(replica.retry_at(), Some(1600));
        assert!(replica.succeeded());
        assert!(replica.take(8, 1301, &upstream));
    }
}
