//! Why a fetch failed, as one sentence: which object, why, and what to do.

use std::fmt;
use std::io;
use std::path::Path;

use objects::{DownloadError, Failure, Location};
use serving::digest::Digest;

/// Why a fetch failed.
#[derive(Debug)]
pub(super) struct Failed(String);

const AGAIN: &str = "run terraform apply again to put it back from its source";
/// What is there under a name is taken for its content, and is not put again.
const DELETE: &str = "delete the object of this digest from the storage, then run terraform apply again, which puts it back \
                      from its source";

impl Failed {
    /// What started this command has set a variable wrongly.
    pub(super) fn setting(variable: &str, problem: impl fmt::Display) -> Self {
        Self(format!(
            "Nothing is fetched, because the variable {variable} {problem}; it is set by whoever starts this command."
        ))
    }

    pub(super) fn machine(problem: &str, error: &io::Error) -> Self {
        Self(format!("Nothing is fetched, because {problem}: {error}."))
    }

    /// The storage cannot be used at all; the problem names the remedy.
    pub(super) fn storage(location: &Location, problem: impl fmt::Display) -> Self {
        Self(format!("Nothing is fetched from {location}: {problem}."))
    }

    /// A content did not come.
    pub(super) fn download(location: &Location, object: &str, digest: &Digest, error: DownloadError) -> Self {
        match error {
            DownloadError::Store(error) => {
                Self(format!("Cannot fetch {object} ({digest}) from {location}: {}.", Failure::of(location, &error)))
            }
            DownloadError::Write(error) => Self(format!("Cannot fetch {object} ({digest}): {}", told(&error))),
            DownloadError::Damaged => Self::content(location, object, digest, &error.to_string()),
            DownloadError::Missing => {
                Self(format!("Cannot fetch {object} ({digest}) from {location}: {error}; {AGAIN}."))
            }
        }
    }

    /// A content came, and is not what it is to be.
    pub(super) fn content(location: &Location, object: &str, digest: &Digest, problem: &str) -> Self {
        Self(format!("Cannot use {object} ({digest}) from {location}: {problem}; {DELETE}."))
    }

    pub(super) fn write(path: &Path, error: &io::Error) -> Self {
        Self(format!("Cannot write {}: {}", path.display(), told(error)))
    }

    #[expect(clippy::cast_precision_loss, reason = "for people")]
    pub(super) fn space(root: &Path, needed: u64, free: u64) -> Self {
        let gigabytes = |bytes: u64| bytes as f64 / 1e9;
        Self(format!(
            "The code and the models need {:.2} GB in {}, where {:.2} GB are free; deploy fewer or smaller models, or give \
             the nodes more local storage.",
            gigabytes(needed),
            root.display(),
            gigabytes(free)
        ))
    }

    /// The same of an object that is known further out.
    pub(super) fn of(self, object: &str, digest: &Digest) -> Self {
        Self(format!("{} This was for {object} ({digest}).", self.0))
    }
}

/// An error of the file system with what to do.
fn told(error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "give the nodes more local storage, or deploy less"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "see that the folder is a volume that this user may write to"
        }
        _ => "look at the node's disk",
    };
    format!("{error}; {remedy}.")
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
