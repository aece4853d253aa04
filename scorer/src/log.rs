//! Log lines of the Rust side, in the same form as Python's (R§15.10).
//!
//! Lines of the access log are written by a thread of their own, many at once: the IO thread must not wait for whoever
//! reads standard output.

use std::cell::RefCell;
use std::io::Write as _;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::event::PollFlags;

use crate::socket::ready_now;

/// Most bytes that wait to be written; further lines are counted and dropped.
const MAX_WAITING: usize = 1024 * 1024;
/// Pause between two writes, in which lines gather: each wakes a thread, which disturbs the one that runs user code.
const GATHER: Duration = Duration::from_millis(50);
/// How long the end of the process waits for somebody to read the last lines.
const LAST: Duration = Duration::from_secs(1);

struct Waiting {
    bytes: Vec<u8>,
    dropped: u64,
    /// The writing thread has written everything and waits for more, or has just been called.
    idle: bool,
    /// The process ends: lines gather no longer.
    ending: bool,
}

static WAITING: Mutex<Waiting> = Mutex::new(Waiting { bytes: Vec::new(), dropped: 0, idle: false, ending: false });
/// Lines have come, or the process ends.
static MORE: Condvar = Condvar::new();
/// The writing thread is idle.
static WRITTEN: Condvar = Condvar::new();
/// Held while bytes are written, so that lines keep their order.
static WRITING: Mutex<()> = Mutex::new(());

/// Starts the writing thread.
pub(crate) fn start() -> std::io::Result<()> {
    let write = || {
        loop {
            let mut waiting = waiting();
            while waiting.bytes.is_empty() {
                waiting.idle = true;
                WRITTEN.notify_all();
                waiting = MORE.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            waiting.idle = false;
            drop(MORE.wait_timeout_while(waiting, GATHER, |waiting| !waiting.ending));
            write_waiting();
        }
    };
    std::thread::Builder::new().name("log".into()).spawn(write).map(drop)
}

/// Writes a whole text, behind what waits, as far as standard output takes it now; the rest waits. Never blocks.
pub(crate) fn write(text: &[u8]) {
    let Ok(_order) = WRITING.try_lock() else { return keep(&[], text) };
    let mut bytes = std::mem::take(&mut waiting().bytes);
    bytes.extend_from_slice(text);
    let mut rest = bytes.as_slice();
    while !rest.is_empty() && ready_now(rustix::stdio::stdout(), PollFlags::OUT) {
        // What a pipe takes without blocking when it says that it takes something.
        let piece = &rest[..rest.len().min(4096)];
        match rustix::io::write(rustix::stdio::stdout(), piece) {
            Ok(written) => rest = &rest[written..],
            Err(rustix::io::Errno::INTR) => {}
            // Nobody can be told that the log is gone.
            Err(_) => return,
        }
    }
    keep(rest, &[]);
}

fn waiting() -> std::sync::MutexGuard<'static, Waiting> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets bytes wait, before and behind what waits.
fn keep(before: &[u8], behind: &[u8]) {
    if before.is_empty() && behind.is_empty() {
        return;
    }
    let mut waiting = waiting();
    if waiting.bytes.len() + before.len() + behind.len() > MAX_WAITING {
        waiting.dropped += 1;
        return;
    }
    waiting.bytes.splice(..0, before.iter().copied());
    waiting.bytes.extend_from_slice(behind);
    if waiting.idle {
        MORE.notify_one();
    }
}

/// Waits until the writing thread has written everything, but not for ever: nobody may read it. The process ends then.
pub(crate) fn flush() {
    let mut waiting = waiting();
    waiting.ending = true;
    MORE.notify_one();
    // A thread that is idle may have been called for what waits, and not have run yet.
    drop(WRITTEN.wait_timeout_while(waiting, LAST, |waiting| !waiting.idle || !waiting.bytes.is_empty()));
}

/// Writes what waits, and waits itself for whoever reads it.
fn write_waiting() {
    let _order = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let (bytes, dropped) = {
        let mut waiting = waiting();
        (std::mem::take(&mut waiting.bytes), std::mem::take(&mut waiting.dropped))
    };
    let mut out = std::io::stdout().lock();
    // Nobody can be told that the log is gone.
    let _ = out.write_all(&bytes);
    if dropped > 0 {
        let message = format!("{dropped} lines of the log were dropped, because it is read too slowly");
        let _ = out.write_all(&with_end('W', &message));
    }
    let _ = out.flush();
}

/// Adds a line to what the writing thread writes.
pub(crate) fn later(level: char, message: std::fmt::Arguments<'_>) {
    let mut waiting = waiting();
    if waiting.bytes.len() >= MAX_WAITING {
        waiting.dropped += 1;
        return;
    }
    with_prefix(level, |prefix| waiting.bytes.extend_from_slice(prefix));
    let _ = waiting.bytes.write_fmt(message);
    waiting.bytes.push(b'\n');
    if waiting.idle {
        MORE.notify_one();
    }
}

/// Writes a line at once, if standard output takes it.
pub(crate) fn line(level: char, message: &str) {
    write(&with_end(level, message));
}

fn with_end(level: char, message: &str) -> Vec<u8> {
    let mut text = Vec::with_capacity(80 + message.len());
    with_prefix(level, |prefix| text.extend_from_slice(prefix));
    text.extend_from_slice(message.as_bytes());
    text.push(b'\n');
    text
}

thread_local! {
    /// The last formatted second: formatting a date costs more than the rest of a line.
    static SECOND: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// Gives `<UTC time> <level> [<pid>] azmlinfsrv - ` to `put`.
fn with_prefix(level: char, put: impl FnOnce(&[u8])) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != now.as_secs() {
            *second = now.as_secs();
            let at = i64::try_from(*second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
            *text = at.unwrap_or_default().strftime("%Y-%m-%d %H:%M:%S").to_string();
        }
        let prefix = format!("{text},{:03} {level} [{}] azmlinfsrv - ", now.subsec_millis(), std::process::id());
        put(prefix.as_bytes());
    });
}
