//! Requests on their way from the IO thread to Python's main thread, or to worker processes.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, oneshot};

/// One request for `run()`.
pub(crate) struct Job {
    /// Names the job in its [`Queue`].
    pub(crate) id: u64,
    pub(crate) method: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) request_id: String,
    pub(crate) deadline: Instant,
    /// The time-out that the deadline comes from, for the answer's text.
    pub(crate) timeout_ms: u64,
    pub(crate) reply: oneshot::Sender<Reply>,
    pub(crate) replies: Arc<Replies>,
}

impl Job {
    /// Answers the request; a caller that has gone does not need its answer.
    pub(crate) fn answer(self, reply: Reply) {
        self.replies.push(self.reply, reply);
    }
}

/// Answers on their way back to the IO thread. Waking that thread is a system call, so it is woken once for all the
/// answers that it has not seen.
#[derive(Default)]
pub(crate) struct Replies {
    waiting: Mutex<Vec<(oneshot::Sender<Reply>, Reply)>>,
    more: Notify,
}

impl Replies {
    fn push(&self, to: oneshot::Sender<Reply>, reply: Reply) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let first = waiting.is_empty();
        waiting.push((to, reply));
        drop(waiting);
        if first {
            self.more.notify_one();
        }
    }

    /// Hands the answers out, on the IO thread.
    pub(crate) async fn deliver(self: Arc<Self>) {
        loop {
            self.more.notified().await;
            let answers = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            for (to, reply) in answers {
                let _ = to.send(reply);
            }
        }
    }
}

/// What `run()` made of it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// `None` for a JSON body without other headers.
    pub(crate) headers: Option<Vec<(String, String)>>,
    pub(crate) body: Vec<u8>,
    /// `x-ms-run-function-failed`.
    pub(crate) failed: bool,
    /// `x-ms-run-fn-exec-ms`, when `run()` returned.
    pub(crate) run_ms: Option<f64>,
}

/// First in, first out; its length is bounded by the number of connections.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// For tasks that wait for a job.
    more: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    /// Threads that wait for a job: only they need the system call that wakes them.
    idle: usize,
    closed: bool,
}

impl Queue {
    pub(crate) fn push(&self, job: Job) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting.push_back(job);
        let idle = state.idle > 0;
        drop(state);
        if idle {
            self.changed.notify_one();
        }
        self.more.notify_one();
    }

    /// The next job; `None` when the queue is closed and empty.
    pub(crate) fn pop(&self) -> Option<Job> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = state.waiting.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state.idle += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// As [`pop`](Self::pop), for tasks.
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

    /// Lets every waiting [`pop`](Self::pop) and [`taken`](Self::taken) return.
    pub(crate) fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_all();
        self.more.notify_waiters();
    }
}
