//! Waiting on conditions.

use std::time::{Duration, Instant};

/// How long a condition may take before the test fails; generous, because it only bounds a failure.
const PATIENCE: Duration = Duration::from_secs(90);

/// Polls `condition` until it gives a value.
///
/// # Panics
/// When it gave none for 90 seconds; the message names `what` was awaited.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
