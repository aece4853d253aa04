//! What happens when provider code panics.
//!
//! Inside an operation the panic is caught and becomes a [`PanicReport`], so that the user is told where the bug is and
//! the host keeps its state. Anywhere else the process prints `panic: ...`, which makes the host show the trace as a
//! crash of the plugin, and aborts.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::fmt;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll, ready};

thread_local! {
    static GUARD: RefCell<Guard> = const { RefCell::new(Guard::Off) };
}

/// Whether guarded code runs on this thread, and what became of it.
enum Guard {
    Off,
    On,
    Panicked(PanicReport),
}

/// Where and why provider code panicked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanicReport {
    /// The panic's message.
    pub message: String,
    /// `file:line:column` of the panic; empty if the process runs without [`install`]ed hook.
    pub location: String,
    /// The calls that led there, as the standard library prints them; empty without hook.
    pub backtrace: String,
}

impl fmt::Display for PanicReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.location.is_empty() {
            write!(f, "\n\nat {}", self.location)?;
        }
        if !self.backtrace.is_empty() {
            write!(f, "\n\n{}", self.backtrace)?;
        }
        Ok(())
    }
}

impl std::error::Error for PanicReport {}

/// What to do with a panic outside guarded code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unguarded {
    /// Print `panic: ...` and abort the process: for a plugin process.
    Abort,
    /// Leave it to the hook that was there before: for tests, where other threads panic in their own right.
    Delegate,
}

/// Installs the panic hook, once per process: the first caller's wish stands.
pub fn install(unguarded: Unguarded) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if note(info) {
                return;
            }
            match unguarded {
                Unguarded::Delegate => previous(info),
                Unguarded::Abort => crash(&report(info)),
            }
        }));
    });
}

/// Runs an operation; its panic comes back as an error.
pub async fn catch<F: Future>(operation: F) -> Result<F::Output, PanicReport> {
    Caught { operation: Box::pin(operation) }.await
}

/// Runs blocking code; its panic comes back as an error.
///
/// For closures on threads of their own (as in `spawn_blocking`), which the guard around the operation does not reach.
pub fn catch_blocking<T>(operation: impl FnOnce() -> T) -> Result<T, PanicReport> {
    guarded(AssertUnwindSafe(operation))
}

struct Caught<F> {
    operation: Pin<Box<F>>,
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, PanicReport>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let operation = self.operation.as_mut();
        match guarded(AssertUnwindSafe(|| operation.poll(context))) {
            Ok(polled) => Poll::Ready(Ok(ready!(polled))),
            Err(report) => Poll::Ready(Err(report)),
        }
    }
}

fn guarded<T>(run: AssertUnwindSafe<impl FnOnce() -> T>) -> Result<T, PanicReport> {
    let outer = GUARD.replace(Guard::On);
    let result = catch_unwind(run);
    let noted = GUARD.replace(outer);
    result.map_err(|payload| match noted {
        Guard::Panicked(report) => report,
        Guard::On | Guard::Off => {
            PanicReport { message: message(payload.as_ref()), location: String::new(), backtrace: String::new() }
        }
    })
}

/// Keeps the report for the guard of this thread; `false` if there is none.
fn note(info: &PanicHookInfo<'_>) -> bool {
    GUARD.with(|guard| {
        let Ok(mut guard) = guard.try_borrow_mut() else {
            return false;
        };
        if matches!(*guard, Guard::Off) {
            return false;
        }
        *guard = Guard::Panicked(report(info));
        true
    })
}

fn report(info: &PanicHookInfo<'_>) -> PanicReport {
    PanicReport {
        message: message(info.payload()),
        location: info.location().map(ToString::to_string).unwrap_or_default(),
        backtrace: Backtrace::force_capture().to_string(),
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is no text".to_owned())
}

fn crash(report: &PanicReport) -> ! {
    let _ = writeln!(std::io::stderr().lock(), "panic: {report}");
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_after_an_await_is_reported_with_its_place() {
        install(Unguarded::Delegate);
        let report = catch(async {
            tokio::task::yield_now().await;
            panic!("no {}", "luck");
        })
        .await
        .unwrap_err();
        assert_eq!(report.message, "no luck");
        assert!(report.location.contains("panic.rs:"), "{report}");
        assert!(!report.backtrace.is_empty());
    }

    #[tokio::test]
    async fn an_operation_that_ends_well_gives_its_result() {
        assert_eq!(catch(async { 5 }).await, Ok(5));
    }

    #[test]
    fn a_guard_inside_a_guard_leaves_the_outer_one_in_place() {
        install(Unguarded::Delegate);
        let outer = catch_blocking(|| {
            let inner = catch_blocking(|| panic!("inner"));
            assert_eq!(inner.unwrap_err().message, "inner");
            panic!("outer");
        });
        assert_eq!(outer.unwrap_err().message, "outer");
    }
}
