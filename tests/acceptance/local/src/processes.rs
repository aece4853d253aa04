//! Processes that belong to a directory, read from `/proc`.

use std::fs;
use std::path::Path;

/// A running process.
#[derive(Clone, Debug)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Arguments, separated by spaces.
    pub command: String,
}

impl Process {
    /// Kills it at once.
    ///
    /// # Panics
    /// When it cannot be killed, other than because it is gone.
    pub fn kill(&self) {
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
        match rustix::process::kill_process(pid, rustix::process::Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => panic!("cannot kill {}: {error}", self.pid),
        }
    }
}

/// Every process whose working directory or command line lies below `directory`.
///
/// # Panics
/// When `/proc` cannot be read.
#[must_use]
pub fn processes_of(directory: &Path) -> Vec<Process> {
    let own = std::process::id();
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let wanted = directory.to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&arguments).replace('\0', " ");
        let inside = fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&directory));
        if pid != own && !command.is_empty() && (inside || command.contains(&wanted)) {
            found.push(Process { pid, command: command.trim().to_owned() });
        }
    }
    found
}

/// Kills what [`processes_of`] finds.
pub(crate) fn kill_processes_of(directory: &Path) {
    for process in processes_of(directory) {
        process.kill();
    }
}
