//! The service documents on disk: found, checked, and remembered in their last good form.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serving::document::MAX_DOCUMENT_BYTES;
use serving::layout;
use serving::service::KeyDigests;

use crate::documents::{self, Good};

/// What the folder of documents says.
#[derive(Debug)]
pub(super) struct Documents {
    root: PathBuf,
    /// By service name.
    pub(super) services: BTreeMap<String, Found>,
    /// There are no last good documents of removed services.
    tidy: bool,
}

/// One service on disk.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The newest good document.
    pub(super) good: Option<Good>,
    /// Why the document on disk is not the good one.
    pub(super) refused: Option<String>,
    /// The file that `good` or `refused` came from.
    seen: Option<Stamp>,
}

/// Identifies a file's content without reading it; documents are replaced by renaming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Documents {
    /// Nothing is read before [`Documents::scan`].
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), services: BTreeMap::new(), tidy: false }
    }

    /// Reads what has changed since the last scan; with `again`, everything. True if something is different now.
    pub(super) fn scan(&mut self, again: bool) -> io::Result<bool> {
        let found = self.list()?;
        let before = self.services.len();
        self.services.retain(|name, _| found.contains_key(name));
        if !self.tidy || self.services.len() != before {
            self.forget_removed(&found);
            self.tidy = true;
        }
        let mut changed = self.services.len() != before;
        for (name, stamp) in found {
            let first = !self.services.contains_key(&name);
            let entry = self.services.entry(name.clone()).or_default();
            // A refused document is read again each time: what it lacks may be another file.
            if first || again || entry.refused.is_some() || entry.seen != Some(stamp) {
                let (good, refused) = match load(&self.root, &name, &layout::document(&name)) {
                    Ok((good, bytes)) => {
                        if entry.good.as_ref() != Some(&good)
                            && let Err(error) = keep(&self.root.join(accepted(&name)), &bytes)
                        {
                            tracing::warn!(service = name, %error, "the accepted document could not be kept");
                        }
                        (Some(good), None)
                    }
                    Err(reason) => {
                        let last = entry.good.clone();
                        (last.or_else(|| Some(load(&self.root, &name, &accepted(&name)).ok()?.0)), Some(reason))
                    }
                };
                if entry.refused != refused
                    && let Some(reason) = &refused
                {
                    tracing::warn!(
                        service = name,
                        reason,
                        "the document was refused; the last good one stays in force"
                    );
                }
                changed |= first || good != entry.good || refused != entry.refused;
                *entry = Found { good, refused, seen: Some(stamp) };
            }
        }
        Ok(changed)
    }

    /// The last good document of a removed service must not come back to life when the name is used again.
    fn forget_removed(&self, found: &BTreeMap<String, Stamp>) {
        for entry in std::fs::read_dir(self.root.join(layout::ACCEPTED)).into_iter().flatten().flatten() {
            let path = entry.path();
            if !path.file_stem().and_then(|name| name.to_str()).is_some_and(|name| found.contains_key(name)) {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    fn list(&self) -> io::Result<BTreeMap<String, Stamp>> {
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir(self.root.join(layout::SERVICES))? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
            // Temporary files of writers start with a dot. A file that vanished meanwhile is not there.
            let Ok(metadata) = entry.metadata() else { continue };
            if name.starts_with('.') || !metadata.is_file() {
                continue;
            }
            let modified = (metadata.mtime(), metadata.mtime_nsec());
            found.insert(name.to_owned(), Stamp { inode: metadata.ino(), length: metadata.len(), modified });
        }
        Ok(found)
    }
}

fn accepted(service: &str) -> String {
    format!("{}/{service}.json", layout::ACCEPTED)
}

fn load(root: &Path, name: &str, path: &str) -> Result<(Good, Vec<u8>), String> {
    let bytes =
        read(&root.join(path), MAX_DOCUMENT_BYTES).map_err(|error| format!("{path} cannot be read: {error}"))?;
    let service = documents::read(&bytes, path)?;
    documents::check(&service, name, path)?;
    let keys = match documents::keys_generation(&service) {
        Some(generation) => Some(digests(root, &service.name, generation)?),
        None => None,
    };
    documents::complete(service, keys, path).map(|good| (good, bytes))
}

fn digests(root: &Path, service: &str, generation: u64) -> Result<KeyDigests, String> {
    let path = layout::key_digests(service, generation);
    let bytes = read(&root.join(&path), 64 << 10).map_err(|error| format!("{path} cannot be read: {error}"))?;
    documents::digests(&bytes, &path)
}

/// Reads a file, and one byte more than the limit if it is longer.
pub(super) fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more, so that a file above the limit is seen to be one.
    File::open(path)?.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Replaces a file by these bytes, durably, readable only by its owner.
pub(super) fn keep(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("json.tmp");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    // A mere file name has the empty path as its parent.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
#[path = "documents_tests.rs"]
mod tests;
