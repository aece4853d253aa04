//! Files that grow by whole rows, also when several processes write them.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::FlockOperation;

use super::queue::Batch;

/// Appends a batch to its file below `root`; nothing of it stays when that fails.
pub(crate) fn append(root: &Path, batch: &Batch) -> io::Result<()> {
    let path = root.join(&batch.path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = File::options().create(true).read(true).append(true).open(&path)?;
    lock(&file)?;
    let before = file.metadata()?.len();
    let mut bytes = Vec::with_capacity(batch.header.len() + 1 + batch.rows.len());
    if before == 0 {
        bytes.extend_from_slice(batch.header.as_bytes());
    } else if !ends_a_line(&file, before)? {
        // A process died while it wrote; what comes now begins a row of its own.
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(&batch.rows);
    // The lock goes with the file.
    file.write_all(&bytes).inspect_err(|_| {
        let _ = file.set_len(before);
    })
}

fn ends_a_line(file: &File, length: u64) -> io::Result<bool> {
    let mut last = [0_u8; 1];
    file.read_exact_at(&mut last, length - 1)?;
    Ok(last[0] == b'\n')
}

/// Locks against other writers. Where the file system has no locks, appending alone must do.
fn lock(file: &File) -> io::Result<()> {
    use rustix::io::Errno;
    loop {
        match rustix::fs::flock(file, FlockOperation::LockExclusive) {
            Err(Errno::INTR) => {}
            Ok(()) | Err(Errno::NOLCK | Errno::NOTSUP | Errno::NOSYS) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
