//! The host's wish that running operations end.

use std::sync::{Arc, Mutex, PoisonError};

pub use tokio_util::sync::CancellationToken;

/// Hands out the token that `StopProvider` cancels.
///
/// Clones share one state. The host sends `StopProvider` when the user interrupts it; operations that run then must
/// return soon, with what they have achieved so far. Operations that start afterwards get a new token, because a
/// provider in debug mode outlives many runs.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    current: Arc<Mutex<CancellationToken>>,
}

impl Stop {
    /// A handle that nobody has stopped yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The token for an operation that starts now.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Cancels every token handed out so far.
    pub fn stop(&self) {
        let running = std::mem::take(&mut *self.current.lock().unwrap_or_else(PoisonError::into_inner));
        running.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_cancels_what_runs_and_not_what_starts_later() {
        let stop = Stop::new();
        let running = stop.token();
        let shared = stop.clone();
        shared.stop();
        assert!(running.is_cancelled());
        assert!(!stop.token().is_cancelled());
    }
}
