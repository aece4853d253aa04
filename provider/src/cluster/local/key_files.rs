//! Keys as files: one generation is written once and never changed.

use std::path::{Path, PathBuf};

use serving::layout;
use serving::service::Keys;

use super::files::{self, Mode};
use crate::cluster::Error;

/// Folder of a service's keys.
pub(super) fn folder(directory: &Path, service: &str) -> PathBuf {
    let path = directory.join(layout::keys(service, 1));
    path.parent().map(Path::to_owned).unwrap_or(path)
}

/// Generation that a file name belongs to.
fn generation(name: &str) -> Option<u64> {
    let stem = name.strip_suffix(".digests.json").or_else(|| name.strip_suffix(".json"))?;
    stem.parse().ok()
}

/// Keys of a generation.
pub(super) fn read(directory: &Path, service: &str, generation: u64) -> Result<Option<Keys>, Error> {
    let path = directory.join(layout::keys(service, generation));
    let Some(content) = files::read(&path)? else { return Ok(None) };
    // The reason would quote the content.
    let bad = |_| Error::BadFile { path: path.display().to_string(), problem: "it does not hold two keys".to_owned() };
    serde_json::from_slice(&content).map(Some).map_err(bad)
}

/// Writes keys and their digests under the next free generation.
pub(super) fn put(directory: &Path, service: &str, keys: &Keys) -> Result<u64, Error> {
    let _lock = files::lock(directory)?;
    let names = files::list(&folder(directory, service))?;
    let next = names.iter().filter_map(|name| generation(name)).max().unwrap_or(0) + 1;
    // Digests first: whoever sees the keys also finds these.
    for (path, content) in [
        (layout::key_digests(service, next), serde_json::to_vec(&keys.digests())),
        (layout::keys(service, next), serde_json::to_vec(keys)),
    ] {
        let path = directory.join(path);
        let content = content.map_err(|error| files::io("write", &path)(error.into()))?;
        if !files::put(&path, &content, Mode::Create)? {
            let problem = "it appeared although this program holds the lock".to_owned();
            return Err(Error::BadFile { path: path.display().to_string(), problem });
        }
    }
    Ok(next)
}

/// Removes all generations but one, and what killed writers left.
pub(super) fn retire(directory: &Path, service: &str, keep: u64) -> Result<(), Error> {
    let _lock = files::lock(directory)?;
    let folder = folder(directory, service);
    for name in files::list(&folder)? {
        if generation(&name) != Some(keep) {
            files::remove(&folder.join(name))?;
        }
    }
    Ok(())
}
