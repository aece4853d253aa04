//! Requests on their way to user code: first in, first out.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::sync::Notify;

use crate::call::Job;

/// Its length is bounded by the number of connections.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    more: Notify,
    /// Made readable by every new job, for a loop of Python's.
    bell: OnceLock<OwnedFd>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    closed: bool,
}

impl Queue {
    pub(crate) fn push(&self, job: Job) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).waiting.push_back(job);
        self.more.notify_one();
        self.ring();
    }

    /// The next job, as soon as there is one; `None` when the queue is closed and empty.
    pub(crate) async fn taken(&self) -> Option<Job> {
        loop {
            // Made before the look, so that nothing comes unnoticed between the two.
            let more = self.more.notified();
            let (job, closed) = {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                (state.waiting.pop_front(), state.closed)
            };
            if job.is_some() || closed {
                return job;
            }
            more.await;
        }
    }

    /// The next job if there is one.
    pub(crate) fn try_pop(&self) -> Option<Job> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).waiting.pop_front()
    }

    /// Takes a job back that nobody has popped yet; false if it is gone.
    pub(crate) fn withdraw(&self, id: u64) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let place = state.waiting.iter().position(|job| job.id == id);
        place.and_then(|place| state.waiting.remove(place)).is_some()
    }

    /// Lets every waiting [`taken`](Self::taken) return.
    pub(crate) fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.more.notify_waiters();
        // A later look must find it, too.
        self.more.notify_one();
        self.ring();
    }

    /// Nothing waits, and nothing will.
    pub(crate) fn ended(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed && state.waiting.is_empty()
    }

    /// From now on `bell`, an event descriptor, is written for every new job and at the end.
    pub(crate) fn set_bell(&self, bell: OwnedFd) {
        let _ = self.bell.set(bell);
        self.ring();
    }

    fn ring(&self) {
        if let Some(bell) = self.bell.get() {
            // It can only be full, and then it is readable.
            let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
        }
    }
}
