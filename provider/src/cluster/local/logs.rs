//! Logs of replicas.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use serving::layout;

use super::files;
use crate::cluster::{Error, ReplicaLog};

/// Most bytes of one log that are read, from its end.
const MAX_BYTES: u64 = 4 << 20;
const EXTENSION: &str = ".log";

/// The last lines of every replica's log, the replicas in the order of their last line.
pub(super) fn tail(directory: &Path, service: &str, lines: usize) -> Result<Vec<ReplicaLog>, Error> {
    let folder = directory.join(layout::LOGS).join(service);
    let mut logs = Vec::new();
    for version in files::list(&folder)? {
        let folder = directory.join(layout::logs(service, &version));
        for name in files::list(&folder)? {
            let Some(replica) = name.strip_suffix(EXTENSION) else { continue };
            let path = folder.join(&name);
            let changed =
                fs::metadata(&path).and_then(|metadata| metadata.modified()).map_err(files::io("read", &path))?;
            let text = last_lines(&path, lines)?;
            logs.push((changed, ReplicaLog { version: version.clone(), replica: replica.to_owned(), text }));
        }
    }
    logs.sort_by_key(|(changed, _)| *changed);
    Ok(logs.into_iter().map(|(_, log)| log).collect())
}

/// The last lines of a file, at most [`MAX_BYTES`].
pub(super) fn last_lines(path: &Path, lines: usize) -> Result<String, Error> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(MAX_BYTES)))?;
        let mut content = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut content)?;
        Ok(content)
    };
    let content = read().map_err(files::io("read", path))?;
    let text = String::from_utf8_lossy(&content);
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    Ok(all[all.len().saturating_sub(lines)..].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_each_replica_are_found() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(tail(directory.path(), "double", 5).expect("read"), []);
        let folder = directory.path().join("logs/double/double");
        fs::create_dir_all(&folder).expect("made");
        fs::write(folder.join("double-r-1.log"), "one\ntwo\nthree\n").expect("written");
        fs::write(folder.join("other.txt"), "x").expect("written");
        let found = tail(directory.path(), "double", 2).expect("read");
        let text = "two\nthree\n".to_owned();
        assert_eq!(found, [ReplicaLog { version: "double".into(), replica: "double-r-1".into(), text }]);
        assert_eq!(tail(directory.path(), "double", 0).expect("read")[0].text, "");
    }
}
