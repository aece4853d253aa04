//! What waits to be written: bounded by bytes, and a push never waits for the writer.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a batch costs beside its bytes.
const OVERHEAD: usize = 256;

/// Bounds of a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Most bytes that wait or are being written.
    pub(crate) bytes: usize,
    /// Most pushes that wait; the original's measure.
    pub(crate) events: Option<usize>,
    /// So many bytes are written at once, before their interval is over.
    pub(crate) enough: usize,
}

/// Rows of one file.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Path of the file below the root.
    pub(crate) path: String,
    /// First line of a new file, with its line end; may be empty.
    pub(crate) header: String,
    /// Whole lines.
    pub(crate) rows: Vec<u8>,
    /// How many lines.
    pub(crate) count: u64,
}

#[derive(Default)]
struct State {
    batches: HashMap<String, Batch>,
    bytes: usize,
    events: usize,
    /// Lines that wait or are being written.
    rows: u64,
    /// Bytes of the batches that were taken and are not done with.
    in_flight: usize,
    first: Option<Instant>,
    dropped: u64,
    closing: bool,
    done: bool,
}

/// The queue between user code and the writer.
pub(crate) struct Queue {
    limits: Limits,
    state: Mutex<State>,
    /// For the writer.
    more: Condvar,
    /// For who closes.
    done: Condvar,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It will be written.
    Waits,
    /// The queue is full or closed; `first` since rows were last counted as lost.
    Dropped {
        /// No other row was lost before it.
        first: bool,
    },
}

impl Queue {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::default(), more: Condvar::new(), done: Condvar::new() }
    }

    /// Adds `count` whole lines of one file.
    pub(crate) fn push(&self, path: &str, header: &str, rows: &[u8], count: u64) -> Pushed {
        let key = format!("{path}\0{header}");
        let mut state = self.lock();
        let known = state.batches.contains_key(&key);
        let cost = rows.len() + if known { 0 } else { OVERHEAD + 2 * key.len() };
        let full = state.bytes + state.in_flight + cost > self.limits.bytes
            || self.limits.events.is_some_and(|most| state.events >= most);
        if full || state.done {
            let first = state.dropped == 0;
            state.dropped += count;
            return Pushed::Dropped { first };
        }
        let before = state.bytes;
        state.bytes += cost;
        state.events += 1;
        state.rows += count;
        let batch = state.batches.entry(key).or_default();
        if !known {
            path.clone_into(&mut batch.path);
            header.clone_into(&mut batch.header);
        }
        batch.rows.extend_from_slice(rows);
        batch.count += count;
        let (was, is) = (before >= self.limits.enough, state.bytes >= self.limits.enough);
        let wake = before == 0 || was != is;
        if before == 0 {
            state.first = Some(Instant::now());
        }
        drop(state);
        // The writer sleeps through all pushes that change nothing for it.
        if wake {
            self.more.notify_one();
        }
        Pushed::Waits
    }

    /// What waits, once it has waited for `interval`, is enough or the queue closes; `None` when it has closed and is
    /// empty.
    pub(crate) fn take(&self, interval: Duration) -> Option<Vec<Batch>> {
        let mut state = self.lock();
        loop {
            let Some(first) = state.first else {
                if state.closing {
                    return None;
                }
                state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = (first + interval).saturating_duration_since(Instant::now());
            if left.is_zero() || state.closing || state.bytes >= self.limits.enough {
                state.in_flight = std::mem::take(&mut state.bytes);
                state.events = 0;
                state.first = None;
                return Some(std::mem::take(&mut state.batches).into_values().collect());
            }
            state = self.more.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// `count` lines are written or given up.
    pub(crate) fn settle(&self, count: u64) {
        self.lock().rows -= count;
    }

    /// All that was taken last is settled; gives the lines that were dropped since the last call.
    pub(crate) fn settled(&self) -> u64 {
        let mut state = self.lock();
        state.in_flight = 0;
        std::mem::take(&mut state.dropped)
    }

    /// Waits for `pause`; when the queue closes, no longer than `hurry`.
    pub(crate) fn pause(&self, pause: Duration, hurry: Duration) {
        let state = self.lock();
        if state.closing {
            drop(state);
            return std::thread::sleep(pause.min(hurry));
        }
        let open = |state: &mut State| !state.closing;
        drop(self.more.wait_timeout_while(state, pause, open));
    }

    /// The writer has ended.
    pub(crate) fn end(&self) {
        self.lock().done = true;
        self.done.notify_all();
    }

    /// Has everything written that waits; gives the lines that are left after `patience`.
    pub(crate) fn close(&self, patience: Duration) -> u64 {
        let mut state = self.lock();
        state.closing = true;
        self.more.notify_all();
        let working = |state: &mut State| !state.done;
        self.done.wait_timeout_while(state, patience, working).unwrap_or_else(PoisonError::into_inner).0.rows
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
