//! Whose directory it is.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serving::layout;

use super::files::{self, Mode};
use crate::cluster::Error;

const MARKER: &str = "compute.json";

/// Content of the marker.
#[derive(Serialize, Deserialize)]
struct Marker {
    /// Id of the compute.
    compute: String,
}

/// Everything that the provider and the router make in a compute directory.
const OURS: [&str; 14] = [
    layout::SIGNING_KEYS,
    "signing-keys.json.tmp",
    layout::SERVICES,
    "keys",
    layout::ACCEPTED,
    layout::APPS,
    layout::SOCKETS,
    layout::LOGS,
    layout::BIN,
    layout::ADMIN_SOCKET,
    layout::CONFIG,
    "tmp",
    layout::SUPERVISOR_LOCK,
    MARKER,
];

/// The compute that a directory belongs to.
fn marked(directory: &Path) -> Result<Option<String>, Error> {
    let path = directory.join(MARKER);
    let Some(content) = files::read(&path)? else { return Ok(None) };
    let bad =
        |error: serde_json::Error| Error::BadFile { path: path.display().to_string(), problem: error.to_string() };
    serde_json::from_slice::<Marker>(&content).map(|marker| Some(marker.compute)).map_err(bad)
}

fn foreign(directory: &Path, problem: String) -> Error {
    Error::ForeignDirectory { path: directory.display().to_string(), problem }
}

/// Makes the directory if it is missing, and marks it.
pub(super) fn claim(directory: &Path, compute: &str) -> Result<(), Error> {
    mark(directory, compute).map_err(|error| match error {
        Error::Io { action, path, source } => Error::UnusableDirectory { action, path, source },
        other => other,
    })
}

fn mark(directory: &Path, compute: &str) -> Result<(), Error> {
    files::create_directory(directory)?;
    check(directory, compute)?;
    // A claim that was killed leaves its marker unfinished.
    if marked(directory)?.is_none() && !files::list(directory)?.iter().all(|name| files::is_temporary(name)) {
        return Err(foreign(directory, "is not empty".to_owned()));
    }
    restrict(directory)?;
    let marker = serde_json::to_vec(&Marker { compute: compute.to_owned() });
    let marker = marker.map_err(|error| files::io("write", directory)(error.into()))?;
    files::put(&directory.join(MARKER), &marker, Mode::Create)?;
    check(directory, compute)?;
    files::remove_temporary(directory)
}

fn check(directory: &Path, compute: &str) -> Result<(), Error> {
    match marked(directory)? {
        Some(other) if other != compute => Err(foreign(directory, format!("belongs to compute {other}"))),
        _ => Ok(()),
    }
}

fn restrict(directory: &Path) -> Result<(), Error> {
    let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(directory, owner_only).map_err(files::io("restrict access to", directory))
}

/// Removes what was made, the marker last, so that a killed removal can be repeated; then the directory, if it is empty.
pub(super) fn remove(directory: &Path, compute: &str) -> Result<(), Error> {
    match marked(directory)? {
        Some(other) if other == compute => {}
        // Not ours, or nothing is left of it.
        _ => return Ok(()),
    }
    files::remove_temporary(directory)?;
    for name in OURS {
        files::remove(&directory.join(name))?;
    }
    // What the user keeps here stays.
    let _ = std::fs::remove_dir(directory);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_directory_is_claimed_once_and_by_one_compute() {
        let root = tempfile::tempdir().expect("a directory");
        let directory = root.path().join("a/b");
        claim(&directory, "one").expect("claimed");
        assert_eq!(directory.metadata().expect("there").permissions().mode() & 0o777, 0o700);
        claim(&directory, "one").expect("claimed again");
        let error = claim(&directory, "two").expect_err("refused").to_string();
        assert!(error.contains("belongs to compute one"), "{error}");
        remove(&directory, "two").expect("nothing to do");
        assert!(directory.exists());
        remove(&directory, "one").expect("removed");
        assert!(!directory.exists());
    }

    #[test]
    fn a_claim_or_a_change_that_was_killed_half_way_is_in_nobodys_way() {
        let root = tempfile::tempdir().expect("a directory");
        let directory = root.path().join("compute");
        std::fs::create_dir(&directory).expect("made");
        std::fs::write(directory.join(".put-killed.tmp"), "{").expect("written");
        claim(&directory, "one").expect("claimed");
        assert_eq!(files::list(&directory).expect("listed"), [MARKER]);
        std::fs::write(directory.join(".put-again.tmp"), "{").expect("written");
        remove(&directory, "one").expect("removed");
        assert!(!directory.exists());
    }

    #[test]
    fn a_directory_with_other_files_is_refused_and_files_of_others_survive_the_removal() {
        let root = tempfile::tempdir().expect("a directory");
        std::fs::write(root.path().join("thesis.tex"), "x").expect("written");
        assert!(matches!(claim(root.path(), "one"), Err(Error::ForeignDirectory { .. })));

        let directory = root.path().join("compute");
        claim(&directory, "one").expect("claimed");
        std::fs::write(directory.join("notes.txt"), "x").expect("written");
        std::fs::create_dir(directory.join("services")).expect("made");
        remove(&directory, "one").expect("removed");
        assert_eq!(files::list(&directory).expect("listed"), ["notes.txt"]);
    }
}
