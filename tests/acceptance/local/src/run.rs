//! A run of the CLI that is still going on.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::NamedTempFile;

/// Who gets a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The provider alone.
    Provider,
    /// The CLI alone.
    Terraform,
    /// The whole process group, as a terminal's Ctrl-C does it.
    Group,
}

/// A running CLI.
#[derive(Debug)]
pub struct Run {
    child: Child,
    output: NamedTempFile,
}

impl Run {
    pub(crate) fn start(mut command: Command) -> Self {
        let output = NamedTempFile::new().expect("a file");
        let writer = || File::options().append(true).open(output.path()).expect("the file");
        let child = command.process_group(0).stdout(writer()).stderr(writer()).spawn().expect("terraform starts");
        Self { child, output }
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Waits until `condition` holds; false if the run ended before.
    pub fn until(&mut self, mut condition: impl FnMut() -> bool) -> bool {
        loop {
            if condition() {
                return true;
            }
            if self.ended() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends a signal; false if nobody of the target is there any more.
    pub fn signal(&mut self, target: Target, signal: Signal) -> bool {
        if self.ended() {
            return false;
        }
        let group = pid(self.child.id());
        match target {
            Target::Group => kill_process_group(group, signal).is_ok(),
            Target::Terraform => kill_process(group, signal).is_ok(),
            Target::Provider => {
                let sent = providers(self.child.id()).into_iter().map(|provider| kill_process(pid(provider), signal));
                sent.flatten().count() > 0
            }
        }
    }

    /// Waits for its end and gives all that it said.
    pub fn wait(mut self) -> String {
        self.child.wait().expect("a child");
        std::fs::read_to_string(self.output.path()).expect("its output")
    }
}

fn pid(id: u32) -> Pid {
    i32::try_from(id).ok().and_then(Pid::from_raw).expect("a process id")
}

/// The provider processes that a process has started.
fn providers(parent: u32) -> Vec<u32> {
    let is_provider = |id: &u32| {
        let read = |name| std::fs::read_to_string(format!("/proc/{id}/{name}")).unwrap_or_default();
        // The name in parentheses may hold anything, so fields count from its end: state, parent.
        let stat = read("stat");
        let its_parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        its_parent == Some(parent.to_string().as_str()) && read("cmdline").contains("terraform-provider-azureml")
    };
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_provider).collect()
}
