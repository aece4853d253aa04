//! Failed credentials, counted by the address that they come from, and slowed when they are too many.
//!
//! Nothing here is touched by a request whose credential is valid, so nobody who has one is ever slowed, not even behind the
//! same address as those who guess. What is slowed is the answer: it comes late, as a 429, and ends the connection.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::config::{Attempts as Config, ms};

/// Failures of all threads.
#[derive(Debug)]
pub(in super::super) struct Attempts {
    config: Config,
    sources: Mutex<Sources>,
}

/// Two halves of bounded size: what fails is in the newer one, and when that is full, the older one is forgotten. So it
/// costs the same however many sources there are.
#[derive(Debug, Default)]
struct Sources {
    newer: HashMap<IpAddr, Debt>,
    older: HashMap<IpAddr, Debt>,
}

/// Failures of a source that are not forgiven yet.
#[derive(Clone, Copy, Debug, Default)]
struct Debt {
    failures: u32,
    /// Time of the worker's clock up to which failures were forgiven.
    since: u64,
}

impl Attempts {
    pub(in super::super) fn new(config: &Config) -> Self {
        Self { config: config.clone(), sources: Mutex::default() }
    }

    /// Counts a failure. `Some` if it is one too many: how long until one is forgiven.
    pub(super) fn failed(&self, source: IpAddr, now: u64) -> Option<Duration> {
        let source = network(source);
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sources.newer.remove(&source).or_else(|| sources.older.remove(&source));
        let mut debt = known.unwrap_or(Debt { failures: 0, since: now });
        let forgiven = now.saturating_sub(debt.since) / self.config.forgive_ms;
        let forgiven_now = u32::try_from(forgiven).unwrap_or(u32::MAX);
        debt.since = if forgiven_now >= debt.failures { now } else { debt.since + forgiven * self.config.forgive_ms };
        debt.failures = debt.failures.saturating_sub(forgiven_now);
        let excess = debt.failures >= self.config.failures;
        if !excess {
            debt.failures += 1;
        }
        if sources.newer.len() >= self.config.sources.div_ceil(2) {
            sources.older = std::mem::take(&mut sources.newer);
        }
        sources.newer.insert(source, debt);
        excess.then(|| ms(self.config.forgive_ms.saturating_sub(now.saturating_sub(debt.since))))
    }

    /// How long the answer to one failure too many is held back, unless too many of a thread's already are.
    pub(super) fn delay<'w>(&self, waiting: &'w Cell<usize>) -> Option<(Duration, Waiting<'w>)> {
        (waiting.get() < self.config.delayed_per_thread).then(|| {
            waiting.set(waiting.get() + 1);
            (ms(self.config.delay_ms), Waiting(waiting))
        })
    }
}

/// One answer that is held back.
pub(super) struct Waiting<'w>(&'w Cell<usize>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What counts as one source: an IPv4 address, or the /64 of an IPv6 address, which is what one customer gets at least.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(sources: usize) -> Attempts {
        Attempts::new(&Config { failures: 3, forgive_ms: 1000, sources, ..Config::default() })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn failures_above_the_allowance_are_too_many_until_time_forgives_them() {
        let (attempts, source) = (attempts(10), ip("192.0.2.1"));
        assert_eq!([1, 2, 3].map(|now| attempts.failed(source, now)), [None; 3]);
        assert_eq!(attempts.failed(source, 501), Some(ms(500)));
        assert_eq!(attempts.failed(ip("192.0.2.2"), 501), None, "another source");
        assert_eq!(attempts.failed(source, 1001), None, "one was forgiven");
        assert_eq!(attempts.failed(source, 1001), Some(ms(1000)));
        assert_eq!([1_000_000; 3].map(|now| attempts.failed(source, now)), [None; 3], "all were forgiven");
        assert!(attempts.failed(source, 1_000_000).is_some());
    }

    #[test]
    fn an_ipv6_source_is_its_network_and_a_mapped_address_is_the_ipv4_one() {
        assert_eq!(network(ip("2001:db8:1:2:3:4:5:6")), network(ip("2001:db8:1:2::1")));
        assert_ne!(network(ip("2001:db8:1:2::1")), network(ip("2001:db8:1:3::1")));
        assert_eq!(network(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }

    #[test]
    fn memory_is_bounded_however_many_sources_fail_and_a_busy_one_is_not_forgotten() {
        let (attempts, busy) = (attempts(100), ip("198.51.100.1"));
        for _ in 0..3 {
            attempts.failed(busy, 1);
        }
        for number in 0..10_000_u32 {
            attempts.failed(IpAddr::V4(number.into()), 1);
            if number % 20 == 0 {
                assert!(attempts.failed(busy, 1).is_some());
            }
        }
        let sources = attempts.sources.lock().expect("not poisoned");
        assert!(sources.newer.len() + sources.older.len() <= 100);
    }

    #[test]
    fn answers_that_are_held_back_are_counted() {
        let attempts = Attempts::new(&Config { delayed_per_thread: 1, ..Config::default() });
        let waiting = Cell::new(0);
        let held = attempts.delay(&waiting).expect("room");
        assert!(attempts.delay(&waiting).is_none());
        drop(held);
        assert!(attempts.delay(&waiting).is_some());
    }
}
