//! CPU time and memory of processes, from `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::error::{BenchError, file};

/// `USER_HZ`, the same on every architecture that Linux and Rust have in common.
const TICKS_PER_SECOND: f64 = 100.0;

/// What `/proc/<pid>/stat` says of one process.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    id: u32,
    parent: u32,
    /// CPU time of the process and of those of its children that it has waited for, in clock ticks.
    ticks: u64,
    /// When it began, in clock ticks since the machine did: tells it from a later one of the same id.
    began: u64,
}

impl Process {
    fn parse(stat: &str) -> Option<Self> {
        let id = stat.split(' ').next()?.parse().ok()?;
        // The name, in parentheses, may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        // utime, stime, cutime and cstime are fields 14 to 17 of proc(5), counted from the id.
        let ticks = (11..15).map(number).sum::<Option<u64>>()?;
        Some(Self { id, parent: fields.get(1)?.parse().ok()?, ticks, began: number(19)? })
    }

    /// All that there are. One that ends meanwhile is left out.
    fn all() -> Result<Vec<Self>, BenchError> {
        let entries = fs::read_dir("/proc").map_err(file("/proc"))?;
        Ok(entries
            .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok())
            .filter_map(|stat| Self::parse(&stat))
            .collect())
    }
}

/// The process itself and everything below it.
fn family(processes: &[Process], root: u32) -> BTreeSet<u32> {
    let mut members = BTreeSet::from([root]);
    loop {
        let before = members.len();
        members
            .extend(processes.iter().filter(|one| members.contains(&one.parent)).map(|one| one.id).collect::<Vec<_>>());
        if members.len() == before {
            return members;
        }
    }
}

/// CPU time of a server: all threads of the process and of its descendants.
pub(super) fn cpu(root: u32) -> Result<Duration, BenchError> {
    let mut nanoseconds = 0;
    for member in family(&Process::all()?, root) {
        let tasks = PathBuf::from(format!("/proc/{member}/task"));
        for task in fs::read_dir(&tasks).map_err(file(&tasks))?.flatten() {
            // A thread may end between the listing and the reading.
            let schedstat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            nanoseconds += schedstat.split(' ').next().and_then(|time| time.parse().ok()).unwrap_or(0);
        }
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Memory of a process and its descendants, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// What they share counts for each.
    pub(super) resident: u64,
    /// What they share counts once.
    pub(super) proportional: u64,
}

/// The processes of a server at a moment: the one that was started and all its descendants.
pub(super) struct Members(Vec<Process>);

impl Members {
    pub(super) fn of(root: u32) -> Result<Self, BenchError> {
        let mut processes = Process::all()?;
        let members = family(&processes, root);
        processes.retain(|process| members.contains(&process.id));
        Ok(Self(processes))
    }

    /// Kills those that are still there.
    pub(super) fn kill(self) {
        let now = Process::all().unwrap_or_default();
        let same = |then: &Process| now.iter().any(|one| (one.id, one.began) == (then.id, then.began));
        for member in self.0.iter().filter(|member| same(member)) {
            if let Some(id) = i32::try_from(member.id).ok().and_then(Pid::from_raw) {
                // It may have ended just now.
                let _ = kill_process(id, Signal::KILL);
            }
        }
    }
}

/// Memory of a server.
pub(super) fn memory(root: u32) -> Result<Memory, BenchError> {
    let mut memory = Memory::default();
    for member in family(&Process::all()?, root) {
        // A process may end between the listing and the reading.
        let rollup = fs::read_to_string(format!("/proc/{member}/smaps_rollup")).unwrap_or_default();
        memory.resident += kilobytes(&rollup, "Rss:").unwrap_or(0) * 1024;
        memory.proportional += kilobytes(&rollup, "Pss:").unwrap_or(0) * 1024;
    }
    Ok(memory)
}

fn kilobytes(rollup: &str, name: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Tells how much of the machine others took over a span: processes that are not below this one, and the hypervisor.
pub(super) struct ForeignMeter {
    since: Instant,
    ticks: u64,
}

impl ForeignMeter {
    pub(super) fn start() -> Result<Self, BenchError> {
        Ok(Self { since: Instant::now(), ticks: foreign_ticks()? })
    }

    /// Cores in use by others, on average since the start.
    pub(super) fn cores(&self) -> Result<f64, BenchError> {
        // When a process is waited for, its time moves to its parent: sums may be compared although processes come and
        // go. Only the time of those that nobody waits for is lost.
        let ticks = foreign_ticks()?.saturating_sub(self.ticks);
        #[allow(clippy::cast_precision_loss, reason = "ticks of a span of minutes")]
        let seconds = ticks as f64 / TICKS_PER_SECOND;
        Ok(seconds / self.since.elapsed().as_secs_f64())
    }
}

fn foreign_ticks() -> Result<u64, BenchError> {
    let processes = Process::all()?;
    let own = family(&processes, std::process::id());
    let others: u64 = processes.iter().filter(|one| !own.contains(&one.id)).map(|one| one.ticks).sum();
    let machine = fs::read_to_string("/proc/stat").map_err(file("/proc/stat"))?;
    Ok(others + stolen_ticks(&machine).unwrap_or(0))
}

/// Time that the hypervisor gave to other machines.
fn stolen_ticks(stat: &str) -> Option<u64> {
    stat.lines().find(|line| line.starts_with("cpu "))?.split_ascii_whitespace().nth(8)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "4242 (a) R (b 1 2) S 17 4242 4242 0 -1 4194304 9 8 7 6 100 20 3 4 20 0 1 0 5 6 7";

    fn process(id: u32, parent: u32) -> Process {
        Process { id, parent, ticks: 0, began: 0 }
    }

    #[test]
    fn a_process_is_read_whatever_its_name_holds() {
        assert_eq!(Process::parse(STAT), Some(Process { id: 4242, parent: 17, ticks: 127, began: 5 }));
        assert_eq!(Process::parse("4242 (cut"), None);
        assert_eq!(Process::parse(""), None);
    }

    #[test]
    fn a_family_is_the_process_and_all_its_descendants_in_any_order() {
        let processes = [process(5, 4), process(4, 3), process(3, 1), process(7, 1), process(6, 3)];
        assert_eq!(family(&processes, 3), BTreeSet::from([3, 4, 5, 6]));
    }

    #[test]
    fn memory_is_read_from_the_sum_of_the_mappings() {
        let rollup =
            "55a0-7ffd ---p 00000000 00:00 0 [rollup]\nRss:        1234 kB\nPss:         99 kB\nPss_Dirty:   7 kB\n";
        assert_eq!((kilobytes(rollup, "Rss:"), kilobytes(rollup, "Pss:")), (Some(1234), Some(99)));
        assert_eq!(kilobytes("Name:\tkthreadd\n", "Rss:"), None);
    }

    #[test]
    fn stolen_time_is_the_eighth_number_of_the_machine() {
        assert_eq!(stolen_ticks("cpu  1 2 3 4 5 6 7 88 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n"), Some(88));
        assert_eq!(stolen_ticks("cpu0 1 2 3\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_running_process_has_used_cpu_time_and_memory() {
        let own = std::process::id();
        assert!(cpu(own).expect("readable") > Duration::ZERO);
        let Memory { resident, proportional } = memory(own).expect("readable");
        assert!(100_000 < proportional && proportional <= resident, "{proportional} of {resident}");
    }
}
