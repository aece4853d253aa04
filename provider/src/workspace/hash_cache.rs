//! Remembers the SHA-256 of files between plans, so that a large model is not read again at each of them.
//!
//! A remembered sum counts only while size, modification time, change time, device and inode are the same, and only
//! if the file was left alone for a while before it was hashed: file systems stamp times in steps, so a file that was
//! written twice within one step looks unchanged. Everything works without the cache, only slower.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::blob::Digest;

/// Times of the coarsest file systems in use have two-second steps.
const SETTLED: Duration = Duration::from_secs(3);

/// What identifies a state of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    modified_ns: u128,
    changed_ns: i128,
    device: u64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Option<Self> {
        let modified_ns = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        #[cfg(unix)]
        let (changed_ns, device, inode) = {
            use std::os::unix::fs::MetadataExt;
            let changed = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
            (changed, metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let (changed_ns, device, inode) = (0, 0, 0);
        Some(Self { size: metadata.len(), modified_ns, changed_ns, device, inode })
    }

    /// Neither contents nor attributes were touched lately.
    fn settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        let touched = self.modified_ns.max(u128::try_from(self.changed_ns).unwrap_or(0));
        touched + SETTLED.as_nanos() < now
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Entry {
    stamp: Stamp,
    digest: Digest,
}

/// The sums of the files below one path.
#[derive(Debug, Default)]
pub struct HashCache {
    file: Option<PathBuf>,
    known: BTreeMap<String, Entry>,
    used: BTreeMap<String, Entry>,
    hashed: usize,
}

impl HashCache {
    /// The cache for a model's or folder's path, in the user's cache directory; empty and without a place to be saved
    /// if there is no such directory.
    #[must_use]
    pub fn for_path(path: &Path) -> Self {
        crate::user_cache::directory().map_or_else(Self::default, |directory| Self::within(&directory, path))
    }

    /// As [`HashCache::for_path`], in this cache directory.
    #[must_use]
    pub fn within(directory: &Path, path: &Path) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let name = Digest::of(path.as_os_str().as_encoded_bytes()).hex();
        let file = directory.join("hashes").join(format!("{}.json", &name[..32]));
        let known = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self { file: Some(file), known, ..Self::default() }
    }

    /// The digest and size of a file, remembered or computed.
    pub fn digest(&mut self, path: &Path) -> std::io::Result<(Digest, u64)> {
        let key = path.to_string_lossy().into_owned();
        let mut file = File::open(path)?;
        let stamp = Stamp::of(&file.metadata()?);
        if let (Some(stamp), Some(entry)) = (stamp, self.known.get(&key))
            && entry.stamp == stamp
        {
            self.used.insert(key, *entry);
            return Ok((entry.digest, stamp.size));
        }
        let started = SystemTime::now();
        let (digest, size) = hash(&mut file)?;
        self.hashed += 1;
        let after = Stamp::of(&file.metadata()?);
        if let Some(stamp) = stamp.filter(|stamp| after == Some(*stamp) && stamp.settled(started)) {
            self.used.insert(key, Entry { stamp, digest });
        }
        Ok((digest, size))
    }

    /// How many files had to be read.
    #[must_use]
    pub fn hashed(&self) -> usize {
        self.hashed
    }

    /// Saves what was used. A failure only costs time at the next plan.
    pub fn save(self) {
        let Some(file) = self.file.filter(|_| self.hashed > 0) else { return };
        let result = (|| {
            let directory = file.parent().ok_or(std::io::ErrorKind::NotFound)?;
            super::store::create_private_directory(directory)?;
            let temporary = tempfile::NamedTempFile::new_in(directory)?;
            serde_json::to_writer(std::io::BufWriter::new(temporary.as_file()), &self.used)?;
            temporary.persist(&file).map_err(|error| error.error)?;
            Ok::<_, std::io::Error>(())
        })();
        if let Err(error) = result {
            tracing::debug!(%error, "File sums could not be remembered.");
        }
    }
}

fn hash(file: &mut File) -> std::io::Result<(Digest, u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((Digest::from_hasher(hasher), size)),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                size += count as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aged(path: &Path, text: &str) {
        std::fs::write(path, text).expect("writable");
    }

    /// Waits until the file's change time, which no program can set, is old enough to be believed.
    fn settle(path: &Path) {
        while !Stamp::of(&path.metadata().expect("there")).expect("stamped").settled(SystemTime::now()) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[test]
    fn an_unchanged_file_is_read_once_and_a_changed_one_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let (cache, file) = (folder.path().join("cache"), folder.path().join("model.bin"));
        aged(&file, "one");
        settle(&file);
        let mut first = HashCache::within(&cache, &file);
        assert_eq!(first.digest(&file).expect("readable"), (Digest::of(b"one"), 3));
        assert_eq!(first.hashed(), 1);
        first.save();

        let mut second = HashCache::within(&cache, &file);
        assert_eq!(second.digest(&file).expect("readable"), (Digest::of(b"one"), 3));
        assert_eq!(second.hashed(), 0);

        aged(&file, "two");
        let mut third = HashCache::within(&cache, &file);
        assert_eq!(third.digest(&file).expect("readable"), (Digest::of(b"two"), 3));
        assert_eq!(third.hashed(), 1);
    }

    #[test]
    fn a_file_that_was_just_written_is_not_remembered() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("model.bin");
        aged(&file, "one");
        let mut cache = HashCache::within(folder.path(), &file);
        cache.digest(&file).expect("readable");
        assert!(cache.used.is_empty());
    }

    #[test]
    fn a_damaged_or_missing_cache_only_costs_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("model.bin");
        aged(&file, "one");
        let place = HashCache::within(folder.path(), &file).file.expect("a place");
        std::fs::create_dir_all(place.parent().expect("a parent")).expect("writable");
        std::fs::write(&place, "{").expect("writable");
        for mut cache in [HashCache::within(folder.path(), &file), HashCache::default()] {
            assert_eq!(cache.digest(&file).expect("readable").0, Digest::of(b"one"));
            cache.save();
        }
    }
}
