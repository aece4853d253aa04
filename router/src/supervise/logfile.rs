//! Log files of child processes: appended by the child itself, bounded by the supervisor.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A log file is rotated when it is larger; one former part is kept.
pub(super) const MAX_BYTES: u64 = 16 << 20;
/// Log files of ended processes that a version keeps.
pub(super) const KEPT: usize = 10;
/// How much of the end of a file is looked at for its last lines.
const TAIL_BYTES: u64 = 64 << 10;
/// Longest line of a tail, in characters.
const TAIL_LINE: usize = 2_000;

/// Opens a log file for appending, readable by its owner only.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// The last lines of a file; empty if it cannot be read.
pub(super) fn tail(path: &Path, lines: usize) -> Vec<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| line.chars().take(TAIL_LINE).collect()).collect()
}

/// Name of the former part of a log file.
pub(crate) fn former(path: &Path) -> PathBuf {
    path.with_extension("log.1")
}

/// Moves the end of the content to [`former`] when the file is too large.
///
/// Processes keep the file open, append to it and never wait for this: it is copied and cut. What is written in the moment
/// between the last byte that is copied and the cut is lost.
pub(super) fn rotate(path: &Path) -> io::Result<()> {
    let Ok(metadata) = path.metadata() else { return Ok(()) };
    if !metadata.is_file() || metadata.len() <= MAX_BYTES {
        return Ok(());
    }
    let temporary = path.with_extension("log.part");
    let _ = std::fs::remove_file(&temporary);
    let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let mut from = OpenOptions::new().read(true).write(true).open(path)?;
    from.seek(SeekFrom::Start(metadata.len() - MAX_BYTES))?;
    // Each copy is bounded, however fast the writer is.
    io::copy(&mut (&from).take(MAX_BYTES), &mut to)?;
    std::fs::rename(temporary, former(path))?;
    // What came meanwhile.
    io::copy(&mut (&from).take(MAX_BYTES), &mut to)?;
    from.set_len(0)
}

/// Removes the oldest log files of a folder, except those of living replicas.
pub(super) fn prune(folder: &Path, alive: impl Fn(&str) -> bool) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut dead: Vec<_> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let id = path.file_name()?.to_str()?.strip_suffix(".log")?;
            (!alive(id)).then_some(())?;
            Some((path.metadata().ok()?.modified().ok()?, path))
        })
        .collect();
    dead.sort();
    let surplus = dead.len().saturating_sub(KEPT);
    for (_, path) in dead.drain(..surplus) {
        let _ = std::fs::remove_file(former(&path));
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_the_last_lines_and_tolerates_what_is_not_text() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.log");
        std::fs::write(&path, b"one\ntwo\nthr\xffee\n").expect("written");
        assert_eq!(tail(&path, 2), ["two", "thr\u{fffd}ee"]);
        assert_eq!(tail(&path, 50).len(), 3);
        assert!(tail(&folder.path().join("none.log"), 2).is_empty());
    }

    #[test]
    fn a_large_log_is_cut_while_its_writer_goes_on() {
        use std::io::Write as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.log");
        let mut writer = open(&path).expect("opened");
        writer.write_all(&vec![b'x'; usize::try_from(MAX_BYTES).expect("fits") + 1]).expect("written");
        rotate(&path).expect("rotated");
        writer.write_all(b"after\n").expect("written");
        assert_eq!(std::fs::read(&path).expect("read"), b"after\n");
        assert_eq!(former(&path).metadata().expect("kept").len(), MAX_BYTES);
    }

    #[test]
    fn of_a_log_that_grew_far_too_large_only_the_end_is_kept() {
        use std::io::Write as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.log");
        let writer = open(&path).expect("opened");
        writer.set_len(20 * MAX_BYTES).expect("grown");
        (&writer).write_all(b"last\n").expect("written");
        rotate(&path).expect("rotated");
        assert_eq!(path.metadata().expect("there").len(), 0);
        let kept = std::fs::read(former(&path)).expect("kept");
        assert_eq!((kept.len() as u64, kept.ends_with(b"last\n")), (MAX_BYTES, true));
        rotate(&path).expect("nothing to do");
        assert_eq!(former(&path).metadata().expect("kept").len(), MAX_BYTES);
    }

    #[test]
    fn pruning_keeps_the_living_and_the_newest() {
        let folder = tempfile::tempdir().expect("a folder");
        for number in 0..KEPT + 3 {
            let file = File::create(folder.path().join(format!("r-{number}.log"))).expect("created");
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000 + number as u64);
            file.set_modified(time).expect("dated");
        }
        prune(folder.path(), |id| id == "r-0");
        let left = |number: usize| folder.path().join(format!("r-{number}.log")).exists();
        assert!(left(0) && !left(1) && !left(2) && left(3) && left(KEPT + 2));
    }
}
