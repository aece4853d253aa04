//! Code snapshots, which are zip archives.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use zip::ZipArchive;
use zip::result::{ZipError, ZipResult};

/// Bytes of all files in one snapshot.
pub const MAX_BYTES: u64 = 300_000_000;
/// Files in one snapshot.
pub const MAX_FILES: usize = 50_000;

/// Unpacks an archive into a folder that holds nothing of it yet. Nothing is written outside of the folder, and never
/// more than a snapshot may hold. Of permissions only "executable" counts.
pub fn unpack(archive: File, target: &Path) -> ZipResult<()> {
    let mut archive = ZipArchive::new(archive)?;
    if archive.len() > MAX_FILES {
        return Err(ZipError::InvalidArchive("it holds too many files".into()));
    }
    let mut left = MAX_BYTES;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let path = entry.enclosed_name().ok_or(ZipError::InvalidArchive("a path leaves the folder".into()))?;
        let path = target.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = File::create_new(&path)?;
        let written = io::copy(&mut (&mut entry).take(left + 1), &mut file)?;
        left = left.checked_sub(written).ok_or(ZipError::InvalidArchive("its files are too large".into()))?;
        #[cfg(unix)]
        if entry.unix_mode().is_some_and(|mode| mode & 0o100 != 0) {
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        }
    }
    Ok(())
}
