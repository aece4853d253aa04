//! Pauses between attempts on an API server that does not answer.

use std::time::{Duration, Instant};

use kube::runtime::utils::Backoff;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);
/// Who has not failed for so long starts with the first pause again.
const SOUND: Duration = Duration::from_secs(15);

/// Pauses that double up to five seconds, each cut by up to a half at random, so that routers do not come all at once.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    failures: u32,
    last: Option<Instant>,
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.last.is_some_and(|last| last.elapsed() > SOUND) {
            self.failures = 0;
        }
        self.last = Some(Instant::now());
        let pause = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let mut random = [0];
        // Without random numbers there is no jitter.
        let _ = getrandom::fill(&mut random);
        Some(pause.mul_f64(1.0 - f64::from(random[0]) / 510.0))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound_and_begin_anew_after_a_success() {
        let mut pauses = Pauses::default();
        let mut next = || pauses.next().expect("endless");
        let first = next();
        assert!((FIRST / 2..=FIRST).contains(&first), "{first:?}");
        for _ in 0..10 {
            next();
        }
        let late = next();
        assert!((LONGEST / 2..=LONGEST).contains(&late), "{late:?}");
        pauses.reset();
        assert!(pauses.next().expect("endless") <= FIRST);
    }
}
