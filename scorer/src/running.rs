//! What the thread of user code is at: the request, and whether its deadline counts now.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::call::Call;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Call>>> = const { RefCell::new(None) };
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// This process is a child that user code has forked: it must not go on serving.
static FORKED: AtomicBool = AtomicBool::new(false);
/// A print has left a line without its end.
static UNFINISHED: AtomicBool = AtomicBool::new(false);

/// A request is worked on until this is dropped.
pub(crate) struct Current(());

pub(crate) fn enter(call: &Arc<Call>) -> Current {
    CURRENT.set(Some(call.clone()));
    Current(())
}

impl Drop for Current {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

/// User code runs under a deadline until this is dropped.
pub(crate) struct Armed(());

pub(crate) fn arm(deadline: Instant) -> Armed {
    DEADLINE.set(Some(deadline));
    Armed(())
}

impl Drop for Armed {
    fn drop(&mut self) {
        DEADLINE.set(None);
        if FORKED.load(Ordering::Relaxed) {
            // A child that user code has forked and that has come back: the request is its parent's to answer.
            crate::control::leave(0);
        }
    }
}

/// Id of the request that this thread works on; empty outside of one.
pub(crate) fn request_id() -> String {
    CURRENT.with_borrow(|call| call.as_ref().map_or_else(String::new, |call| call.request_id.clone()))
}

/// Whether the user code that runs on this thread is beyond its deadline. An alarm can ring late, when `run()` is just
/// returning or the next request runs already, and must stop neither.
pub(crate) fn overdue() -> bool {
    DEADLINE.get().is_some_and(|deadline| Instant::now() >= deadline)
}

pub(crate) fn set_forked() {
    FORKED.store(true, Ordering::Relaxed);
}

pub(crate) fn set_unfinished() {
    UNFINISHED.store(true, Ordering::Relaxed);
}

pub(crate) fn take_unfinished() -> bool {
    UNFINISHED.load(Ordering::Relaxed) && UNFINISHED.swap(false, Ordering::Relaxed)
}
