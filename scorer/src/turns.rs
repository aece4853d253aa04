//! Who drives the I/O: one runtime, and two threads that take turns with it.
//!
//! Python's main thread drives it between two requests, so that a short `run()` costs no change of threads. The guardian
//! takes it over when the main thread has not come back for a moment, so that health, refusals, time-outs and the heads
//! of further requests never wait for user code; it gives it back when the main thread has nothing else to do. The
//! guardian never needs the GIL.

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// How long the main thread may stay away from the I/O.
const PATIENCE: Duration = Duration::from_millis(2);
/// Looks without anything to do after which the guardian sleeps until it is called.
const QUIET: u32 = 50;

pub(crate) struct Turns {
    runtime: Runtime,
    /// Odd while the main thread is away from the I/O. Grows with each change.
    turn: AtomicU64,
    /// The guardian drives, or is about to.
    guarded: AtomicBool,
    /// Asks the guardian to give the I/O back.
    wanted: Notify,
    /// Done by the guardian when it takes over: what the main thread has left undone.
    relieve: Box<dyn Fn() + Send + Sync>,
    asleep: Mutex<bool>,
    /// Mirrors `asleep`, for a look without the lock.
    sleeps: AtomicBool,
    call: Condvar,
}

impl Turns {
    /// The calling thread, which becomes the main thread, is away until its first [`drive`](Self::drive).
    pub(crate) fn start(relieve: impl Fn() + Send + Sync + 'static) -> io::Result<Arc<Self>> {
        let turns = Arc::new(Self {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            turn: AtomicU64::new(1),
            guarded: AtomicBool::new(false),
            wanted: Notify::new(),
            relieve: Box::new(relieve),
            asleep: Mutex::new(false),
            sleeps: AtomicBool::new(false),
            call: Condvar::new(),
        });
        let guardian = turns.clone();
        std::thread::Builder::new().name("io".into()).spawn(move || guardian.guard())?;
        Ok(turns)
    }

    /// Starts a task.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(task));
    }

    /// Drives the I/O on the main thread until `future` is ready.
    pub(crate) fn drive<T>(&self, future: impl Future<Output = T>) -> T {
        // Before the look at the guardian: it looks in the opposite order.
        self.turn.fetch_add(1, Ordering::SeqCst);
        if self.guarded.load(Ordering::SeqCst) {
            self.wanted.notify_one();
        }
        let value = self.runtime.block_on(future);
        self.turn.fetch_add(1, Ordering::SeqCst);
        if self.sleeps.load(Ordering::SeqCst) {
            *self.asleep.lock().unwrap_or_else(PoisonError::into_inner) = false;
            self.call.notify_one();
        }
        value
    }

    /// Whether somebody else than the main thread drives, so that what it has done must be told at once.
    pub(crate) fn guarded(&self) -> bool {
        self.guarded.load(Ordering::SeqCst)
    }

    fn guard(&self) {
        let (mut last, mut quiet) = (0, 0);
        loop {
            let turn = self.turn.load(Ordering::SeqCst);
            if !turn.is_multiple_of(2) && turn == last {
                quiet = 0;
                self.guarded.store(true, Ordering::SeqCst);
                if self.turn.load(Ordering::SeqCst) == turn {
                    (self.relieve)();
                    self.runtime.block_on(self.wanted.notified());
                }
                self.guarded.store(false, Ordering::SeqCst);
            } else if turn.is_multiple_of(2) && turn == last {
                quiet += 1;
            } else {
                quiet = 0;
            }
            last = turn;
            if quiet >= QUIET {
                quiet = 0;
                self.sleep(turn);
            }
            std::thread::sleep(PATIENCE);
        }
    }

    /// Sleeps until the main thread leaves the I/O that it drives since `turn`.
    fn sleep(&self, turn: u64) {
        let mut asleep = self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
        *asleep = true;
        self.sleeps.store(true, Ordering::SeqCst);
        // The main thread changes its turn before it looks for a sleeper.
        while *asleep && self.turn.load(Ordering::SeqCst) == turn {
            asleep = self.call.wait(asleep).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleeps.store(false, Ordering::SeqCst);
    }
}
