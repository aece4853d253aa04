//! What the scorer tells its supervisor, and how it learns that the supervisor is gone.

use std::io::Write as _;
use std::os::unix::net::UnixStream;

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
        let _ = std::fs::write(path, &line);
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
