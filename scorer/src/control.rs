//! What the scorer tells its supervisor, and how it learns that the supervisor is gone.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use serving::admin::{FailureReason, ScorerEvent};
use tokio::io::AsyncReadExt as _;

/// Sends an event over the control socket, and a failure also to the termination log of a pod.
pub(crate) fn send(control: Option<&UnixStream>, event: &ScorerEvent) {
    let Ok(mut line) = serde_json::to_vec(event) else { return };
    line.push(b'\n');
    if let Some(mut control) = control {
        // A supervisor that is gone ends this process through the watch below.
        let _ = control.write_all(&line);
    }
    if let (ScorerEvent::Failed { .. }, Some(path)) = (event, std::env::var_os("AZUREML_TERMINATION_LOG")) {
        let _ = std::fs::write(path, shortened(event).unwrap_or(line));
    }
}

/// Most bytes that Kubernetes reads of a termination log.
const TERMINATION_LOG: usize = 4096;

/// A failure whose JSON fits into a termination log: the beginning of its traceback is left out, which matters least.
fn shortened(event: &ScorerEvent) -> Option<Vec<u8>> {
    let ScorerEvent::Failed { reason, message, traceback } = event else { return None };
    let cut = |text: &str, keep: usize| {
        let start = text.char_indices().rev().nth(keep.max(1) - 1).map_or(0, |(at, _)| at);
        text[start..].to_owned()
    };
    let mut keep = TERMINATION_LOG;
    loop {
        let traceback = traceback.as_deref().filter(|_| keep > 0).map(|text| cut(text, keep));
        let message = message.chars().take(1000.max(keep)).collect();
        let line = serde_json::to_vec(&ScorerEvent::Failed { reason: *reason, message, traceback }).ok()?;
        if line.len() < TERMINATION_LOG || keep == 0 {
            return Some(line);
        }
        keep = keep.saturating_sub(256);
    }
}

/// Ends the process at once when the other end of the control socket closes, whatever user code does.
pub(crate) async fn die_with(control: UnixStream) {
    let mut buffer = [0_u8; 64];
    let watched = async {
        control.set_nonblocking(true)?;
        let mut control = tokio::net::UnixStream::from_std(control)?;
        while control.read(&mut buffer).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    let _ = watched.await;
    end_now();
}

/// Ends the process without running anything of Python's: user code may hold the GIL for ever.
pub(crate) fn end_now() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

/// Ends the process at once, with what it has started when it leads a process group.
fn end_group() -> ! {
    if rustix::process::getpgrp() == rustix::process::getpid() {
        let _ = rustix::process::kill_current_process_group(rustix::process::Signal::KILL);
    }
    end_now()
}

/// Ends the process with `code`, after the log is written, without running anything of Python's or of `atexit`.
pub(crate) fn exit_now(code: i32) -> ! {
    crate::collect::close();
    crate::log::flush();
    leave(code)
}

/// Ends the process with `code` and nothing else.
#[allow(unsafe_code, reason = "no safe way ends a process whose main thread does not return")]
pub(crate) fn leave(code: i32) -> ! {
    // SAFETY: `_exit` only ends the process.
    unsafe { libc::_exit(code) }
}

/// Pause between two alarms for a `run()` that is beyond its time-out.
pub(crate) const RING: Duration = Duration::from_millis(20);

/// Rings on the thread that runs user code, so that Python's handler can stop a `run()` at its time-out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alarm(libc::pthread_t);

impl Alarm {
    /// An alarm for the calling thread, which must live as long as the process.
    #[allow(unsafe_code, reason = "the standard library has no thread id that signals can be sent to")]
    pub(crate) fn of_this_thread() -> Self {
        // SAFETY: the call has no preconditions.
        Self(unsafe { libc::pthread_self() })
    }

    /// Sends SIGALRM.
    #[allow(unsafe_code, reason = "see above")]
    pub(crate) fn ring(self) {
        // SAFETY: the thread is Python's main thread, which ends only with the process.
        unsafe { libc::pthread_kill(self.0, libc::SIGALRM) };
    }
}

/// Ends this worker process when its parent is gone, on a thread of its own, whatever user code does.
pub(crate) fn die_with_parent(parent: OwnedFd) -> std::io::Result<()> {
    let watch = move || {
        loop {
            // No event is asked for: only a hang-up or an error is reported, never data.
            let mut watched = [PollFd::new(&parent, PollFlags::empty())];
            match rustix::event::poll(&mut watched, None) {
                Ok(_) => {
                    // What user code has collected is written first, which takes no longer than its settings allow.
                    crate::collect::close();
                    end_group()
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    };
    std::thread::Builder::new().name("parent".into()).spawn(watch).map(drop)
}

/// The failure of an `init()` that did not return in time, from what `faulthandler` wrote of its stack.
pub(crate) fn init_timeout(seconds: u64, trace: &str, script: &str) -> ScorerEvent {
    let frames = || trace.lines().map(str::trim).filter(|line| line.starts_with("File \""));
    let place = frames().find(|line| line.contains(script)).or_else(|| frames().next());
    let place = place.map_or_else(String::new, |line| format!(": it is at {line}"));
    ScorerEvent::Failed {
        reason: FailureReason::InitTimeout,
        message: format!("init() did not return within {seconds} s{place}"),
        traceback: Some(trace.to_owned()).filter(|trace| !trace.is_empty()),
    }
}
