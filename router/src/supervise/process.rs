//! Child processes by process id: they outlive the program image that started them, so no handle of the standard
//! library can stand for them. A child is always the leader of its own process group.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

/// Starts a command as the leader of a new process group and gives its id. The descriptors that the command owns are
/// closed on this side.
pub(super) fn spawn(mut command: Command) -> io::Result<Pid> {
    command.process_group(0);
    Ok(Pid::from_child(&command.spawn()?))
}

/// If the child has ended: ends what is left of its group, reaps it, and gives its exit code or negative signal number.
pub(super) fn reap(pid: Pid) -> Option<i32> {
    // Looked at first and collected later: while the dead leader is not reaped, its group's number cannot be used again.
    match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT) {
        Ok(None) => return None,
        Ok(Some(_)) => kill_group(pid),
        // Not a child (any more): gone, and nothing is known of its end.
        Err(_) => return Some(-Signal::KILL.as_raw()),
    }
    let status = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).ok().flatten()?;
    Some(status.exit_status().unwrap_or_else(|| -status.terminating_signal().unwrap_or(Signal::KILL.as_raw())))
}

/// Asks the child itself to end.
pub(super) fn terminate(pid: Pid) {
    // It can only fail because the child has ended, which its reaping will show.
    let _ = kill_process(pid, Signal::TERM);
}

/// Ends the child and everything in its group.
pub(super) fn kill_group(pid: Pid) {
    // As above.
    let _ = kill_process_group(pid, Signal::KILL);
}

/// `exit code 3`, or `signal 9 (SIGKILL, ...)`.
pub(super) fn describe(exit: i32) -> String {
    match exit {
        -9 => "signal 9 (SIGKILL; often the kernel, because memory ran out)".to_owned(),
        -11 => "signal 11 (SIGSEGV; a crash in native code)".to_owned(),
        -15 => "signal 15 (SIGTERM)".to_owned(),
        -6 => "signal 6 (SIGABRT)".to_owned(),
        signal if signal < 0 => format!("signal {}", -signal),
        code => format!("exit code {code}"),
    }
}
