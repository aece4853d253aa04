//! Runs a program with its output in a log.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::process::Command;

/// Lines of a log that an error shows.
const TAIL_LINES: usize = 25;
const TAIL_BYTES: u64 = 64 << 10;
const LINE_CHARACTERS: usize = 400;

/// Where a program's output goes.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// A new, empty log, readable only by its owner.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        let mut options = File::options();
        // Replaced, not emptied: a program of a killed run may still write to the old one.
        let _ = std::fs::remove_file(path);
        options.create_new(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(Self { path: path.to_owned(), file: options.open(path)? })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its last lines.
    #[must_use]
    pub fn tail(&self) -> String {
        tail(&self.path)
    }

    /// Bytes that it has now.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    /// The whole lines after this many bytes, which are counted on. Of a flood only the last ones.
    pub fn lines_since(&self, bytes: &mut u64) -> Vec<String> {
        use std::io::{Read, Seek, SeekFrom};
        let mut read = Vec::new();
        *bytes = (*bytes).max(self.length().saturating_sub(TAIL_BYTES));
        if let Ok(mut file) = File::open(&self.path) {
            let _ = file.seek(SeekFrom::Start(*bytes));
            let _ = file.take(TAIL_BYTES).read_to_end(&mut read);
        }
        read.truncate(read.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        *bytes += read.len() as u64;
        lines(&String::from_utf8_lossy(&read))
    }
}

fn tail(path: &Path) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(path) {
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let _ = file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)));
        let _ = file.take(TAIL_BYTES).read_to_end(&mut bytes);
    }
    let lines = lines(&String::from_utf8_lossy(&bytes));
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// Lines that say something, short and plain.
fn lines(text: &str) -> Vec<String> {
    let plain = |line: &str| line.chars().filter(|character| !character.is_control()).take(LINE_CHARACTERS).collect();
    text.lines().filter(|line| !line.trim().is_empty()).map(plain).collect()
}

/// Runs a program to its end, with its output in the log. Dropping the future kills the program and its children.
///
/// `lock` becomes the program's standard input. So a lock on that file is held until the program has ended, even if
/// this process is killed before; the program finds an empty input.
pub async fn run(mut command: Command, log: &Log, lock: Option<&File>) -> std::io::Result<ExitStatus> {
    let stdin = lock.map(File::try_clone).transpose()?.map_or_else(Stdio::null, Stdio::from);
    command
        .stdin(stdin)
        .stdout(log.file.try_clone()?)
        .stderr(log.file.try_clone()?)
        // What a shell of the user's has set for another Python must not reach this one.
        .env_remove("PYTHONHOME")
        .env_remove("PYTHONPATH")
        .env_remove("VIRTUAL_ENV")
        .kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn()?;
    #[cfg(unix)]
    let _group = Group::of(&child);
    child.wait().await
}

/// Runs a short program and returns what it prints, at most 64 KiB.
pub async fn output(mut command: Command) -> std::io::Result<String> {
    command.stdin(Stdio::null()).stderr(Stdio::piped()).env_remove("PYTHONHOME").env_remove("PYTHONPATH");
    let output = command.kill_on_drop(true).output().await?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).chars().take(64 << 10).collect());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim();
    Err(std::io::Error::other(format!("{} ({last})", output.status)))
}

/// Kills a process group when it is dropped before its leader has been waited for.
#[cfg(unix)]
struct Group(Option<rustix::process::Pid>);

#[cfg(unix)]
impl Group {
    fn of(child: &tokio::process::Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw))
    }
}

#[cfg(unix)]
impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Also after a regular end: a build tool may have left children behind. No such group is no failure.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn the_tail_of_a_log_is_short_and_plain() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = Log::create(&folder.path().join("log")).expect("made");
        let status = run(
            shell("i=0; while [ $i -lt 99 ]; do echo line $i; i=$((i+1)); done; printf '\\033[1mlast\\n'; exit 3"),
            &log,
            None,
        );
        assert_eq!(status.await.expect("run").code(), Some(3));
        let lines: Vec<_> = log.tail().lines().map(str::to_owned).collect();
        assert_eq!((lines.len(), lines[0].as_str()), (TAIL_LINES, "line 75"));
        assert_eq!(lines[TAIL_LINES - 1], "[1mlast");
    }

    #[test]
    fn new_lines_of_a_log_are_told_once_and_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = Log::create(&folder.path().join("log")).expect("made");
        let write = |text: &str| std::io::Write::write_all(&mut &log.file, text.as_bytes()).expect("written");
        let mut told = 0;
        write("one\ntw");
        assert_eq!(log.lines_since(&mut told), ["one"]);
        write("o\n\nthree\n");
        assert_eq!(log.lines_since(&mut told), ["two", "three"]);
        assert_eq!(log.lines_since(&mut told), [""; 0]);
    }

    #[tokio::test]
    async fn a_lock_outlives_its_holder_until_the_program_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, fifo) = (folder.path().join("lock"), folder.path().join("fifo"));
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).expect("made");
        let held = File::create(&path).expect("made");
        held.lock().expect("locked");
        // As after a kill of this process: the program lives on, and only it still has the lock's file.
        let mut orphan = {
            let mut command = shell(&format!("read line < {}", fifo.display()));
            command.stdin(held.try_clone().expect("cloned")).spawn().expect("started")
        };
        drop(held);
        let other = File::open(&path).expect("opened");
        assert!(other.try_lock().is_err());
        std::fs::write(&fifo, "go\n").expect("written");
        orphan.wait().await.expect("ended");
        // A process that another test is just starting may have the file for a moment, so this waits.
        other.lock().expect("free");
    }
}
