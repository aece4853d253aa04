//! How long requests took, as a distribution of bounded size.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Steps of one doubling, as a power of two. A value is reported as the middle of its step, so the relative error is at most
/// `1 / 2^(STEPS + 1)`: 6.25 %.
const STEPS: u32 = 3;
/// Doublings that are told apart: up to 2^36 µs, which is 19 hours. What is longer counts as that.
const DOUBLINGS: u32 = 36;
/// Values below `2^STEPS` have a bucket of their own; each later doubling has `2^STEPS`.
const BUCKETS: usize = ((DOUBLINGS - STEPS + 1) << STEPS) as usize;

/// A log-linear histogram of microseconds: one increment a value, 2 KiB, no lock.
#[derive(Debug)]
pub(super) struct Latencies([AtomicU64; BUCKETS]);

impl Default for Latencies {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; BUCKETS])
    }
}

impl Latencies {
    pub(super) fn add(&self, us: u64) {
        self.0[bucket(us)].fetch_add(1, Relaxed);
    }

    /// The values that so many percent of all are at or below; 0 without any value. `percents` in rising order.
    pub(super) fn percentiles<const N: usize>(&self, percents: [u64; N]) -> [u64; N] {
        let counts: Vec<u64> = self.0.iter().map(|count| count.load(Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let mut buckets = counts.iter().enumerate();
        let (mut at, mut seen) = (0, 0);
        percents.map(|percent| {
            // The nearest rank: at least one value, at most all of them.
            let rank = (total.saturating_mul(percent)).div_ceil(100).max(1);
            while seen < rank {
                let Some((index, count)) = buckets.next() else { break };
                (at, seen) = (index, seen + count);
            }
            if total == 0 { 0 } else { middle(at) }
        })
    }
}

fn bucket(us: u64) -> usize {
    let us = us.min((1 << DOUBLINGS) - 1);
    let doubling = us.max(1).ilog2();
    if doubling < STEPS {
        return usize::try_from(us).unwrap_or(0);
    }
    // The highest bits below the leading one.
    let step = (us >> (doubling - STEPS)) - (1 << STEPS);
    (((doubling - STEPS + 1) << STEPS) as usize) + usize::try_from(step).unwrap_or(0)
}

/// The middle of a bucket.
fn middle(bucket: usize) -> u64 {
    let (row, step) = ((bucket >> STEPS) as u64, (bucket & ((1 << STEPS) - 1)) as u64);
    if row == 0 {
        return step;
    }
    let width = 1_u64 << (row - 1);
    ((1 << STEPS) + step) * width + width / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_reported_within_its_relative_error() {
        let values = (0..5_000).chain((12..36).flat_map(|power| {
            let base = 1_u64 << power;
            (0..16).map(move |part| base + base / 16 * part)
        }));
        for value in values {
            let reported = middle(bucket(value));
            assert!(reported.abs_diff(value) * 16 <= value, "{value} is reported as {reported}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(bucket(0), 0);
    }

    #[test]
    fn percentiles_are_the_values_of_their_rank() {
        let latencies = Latencies::default();
        assert_eq!(latencies.percentiles([50, 99]), [0, 0]);
        for _ in 0..98 {
            latencies.add(1_000);
        }
        latencies.add(50_000);
        latencies.add(1_000_000);
        let [half, most, all] = latencies.percentiles([50, 99, 100]);
        assert!(half.abs_diff(1_000) <= 63 && most.abs_diff(50_000) <= 3_125 && all.abs_diff(1_000_000) <= 62_500);
    }

    #[test]
    fn a_single_value_is_every_percentile() {
        let latencies = Latencies::default();
        latencies.add(7);
        assert_eq!(latencies.percentiles([50, 99]), [7, 7]);
    }
}
