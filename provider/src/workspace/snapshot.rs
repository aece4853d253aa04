//! Code snapshots: the source directory of a service as a deterministic zip.
//!
//! Equal files give equal bytes on every machine: entries are sorted, times and modes are fixed (only "executable"
//! is kept), and nothing is compressed, because the output of a compressor may change with its version, and then
//! every service would roll.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
pub use objects::archive::{MAX_BYTES, MAX_FILES};
use serving::name::EntryScriptViolation;
use sha2::{Digest as _, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::blob::Digest;
use super::entry::{EntryError, inspect, inspect_entry, unreadable};
use super::error::Error;
use super::store::Catalogue;

/// What is never part of a snapshot: it changes by itself and no service needs it.
const NEVER: [&str; 3] = [".git", "__pycache__", AMLIGNORE];
const AMLIGNORE: &str = ".amlignore";
const GITIGNORE: &str = ".gitignore";

/// Why a source directory cannot become a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A file or folder is missing, unreadable, special, or there is too much of it.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// A rule in an ignore file is not understood.
    #[error("{} cannot be used: {message}", directory.display())]
    Ignore {
        /// The source directory.
        directory: PathBuf,
        /// What is wrong, with file and line.
        message: String,
    },
    /// A file that was listed could not be read to its end.
    #[error("cannot read the files of {}: {source}", directory.display())]
    Read {
        /// The source directory.
        directory: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
}

/// Why an entry script cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EntryScriptError {
    /// Its name breaks the rule.
    #[error(transparent)]
    Name(#[from] EntryScriptViolation),
    /// It is not there.
    #[error("entry script {script:?} does not exist in {}", directory.display())]
    Missing {
        /// The entry script.
        script: String,
        /// The source directory.
        directory: PathBuf,
    },
    /// It is there, but an ignore file keeps it out of the snapshot.
    #[error("entry script {script:?} is ignored by the {ignore_file} in {}; exclude it from the rule with !{script}", directory.display())]
    Ignored {
        /// The entry script.
        script: String,
        /// The source directory.
        directory: PathBuf,
        /// `.amlignore` or `.gitignore`.
        ignore_file: &'static str,
    },
}

/// The files of a source directory that belong to a snapshot.
#[derive(Clone, Debug)]
pub struct Snapshot {
    directory: PathBuf,
    ignore_file: &'static str,
    files: Vec<SnapshotFile>,
    bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SnapshotFile {
    path: String,
    source: PathBuf,
    executable: bool,
}

impl Snapshot {
    /// Lists a source directory. Skips what its `.amlignore` names, or without one its `.gitignore`, each also in
    /// folders below, and always `.git` and `__pycache__`.
    pub fn of(directory: &Path) -> Result<Self, SnapshotError> {
        if !inspect(directory)?.is_dir() {
            return Err(EntryError::NotAFolder(directory.to_owned()).into());
        }
        let ignore_file = if directory.join(AMLIGNORE).exists() { AMLIGNORE } else { GITIGNORE };
        let mut walk = WalkBuilder::new(directory);
        walk.standard_filters(false).add_custom_ignore_filename(ignore_file).follow_links(false);
        // The root itself may have any name.
        walk.filter_entry(|entry| {
            entry.depth() == 0 || !NEVER.iter().any(|name| entry.file_name() == OsStr::new(name))
        });
        let (mut files, mut total) = (Vec::new(), 0);
        for entry in walk.build() {
            let entry = entry.map_err(|error| walk_error(directory, error))?;
            if let Some(error) = entry.error() {
                return Err(SnapshotError::Ignore { directory: directory.to_owned(), message: error.to_string() });
            }
            if entry.depth() == 0 {
                continue;
            }
            let source = entry.into_path();
            let metadata = inspect_entry(&source)?;
            if metadata.is_dir() {
                continue;
            }
            total += metadata.len();
            if total > MAX_BYTES {
                return Err(EntryError::TooLarge { path: directory.to_owned(), limit: MAX_BYTES }.into());
            }
            if files.len() == MAX_FILES {
                return Err(EntryError::TooMany { path: directory.to_owned(), limit: MAX_FILES }.into());
            }
            let path = relative(directory, &source).ok_or_else(|| EntryError::Name(source.clone()))?;
            files.push(SnapshotFile { path, source, executable: executable(&metadata) });
        }
        files.sort_unstable();
        Ok(Self { directory: directory.to_owned(), ignore_file, files, bytes: total })
    }

    /// Size of all files together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Paths of the files, with `/` between folders, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.path.as_str())
    }

    /// Checks that `script` can be the entry script: a well-formed name, and one of the files.
    pub fn check_entry_script(&self, script: &str) -> Result<(), EntryScriptError> {
        serving::name::entry_script(script)?;
        if self.paths().any(|path| path == script) {
            return Ok(());
        }
        let (script, directory) = (script.to_owned(), self.directory.clone());
        Err(if directory.join(&script).is_file() {
            EntryScriptError::Ignored { script, directory, ignore_file: self.ignore_file }
        } else {
            EntryScriptError::Missing { script, directory }
        })
    }

    /// Base name of the source directory: what the folder is called where the service runs.
    pub fn directory_name(&self) -> Result<String, EntryError> {
        let name = |path: &Path| path.file_name().and_then(OsStr::to_str).map(str::to_owned);
        // `.` and the like get the name of what they lead to.
        name(&self.directory)
            .or_else(|| self.directory.canonicalize().ok().as_deref().and_then(name))
            .ok_or_else(|| EntryError::Name(self.directory.clone()))
    }

    /// Digest of the zip. Reads every file, stores nothing.
    pub fn digest(&self) -> Result<Digest, SnapshotError> {
        self.write(io::sink())
    }

    /// Writes the zip and returns its digest.
    fn write(&self, output: impl Write) -> Result<Digest, SnapshotError> {
        let failed = |source| SnapshotError::Read { directory: self.directory.clone(), source };
        let mut zip = ZipWriter::new_stream(Hashing { hasher: Sha256::new(), output });
        for file in &self.files {
            let options = SimpleFileOptions::default()
                .compression_method(CompressionMethod::Stored)
                .last_modified_time(DateTime::default())
                .unix_permissions(if file.executable { 0o755 } else { 0o644 });
            let mut input = File::open(&file.source).map_err(|error| unreadable(&file.source, error))?;
            zip.start_file(&file.path, options).map_err(|error| failed(error.into()))?;
            // A file that grows while it is read must not fill the disk.
            io::copy(&mut (&mut input).take(MAX_BYTES), &mut zip).map_err(failed)?;
        }
        let output = zip.finish().map_err(|error| failed(error.into()))?.into_inner();
        Ok(Digest::from_hasher(output.hasher))
    }
}

impl Catalogue {
    /// Puts a snapshot and returns the digest of what was put. Call with blobs held ([`Catalogue::hold_blobs`]).
    pub async fn put_code(&self, snapshot: &Snapshot) -> Result<Digest, PutCodeError> {
        let snapshot = snapshot.clone();
        let (file, digest) = tokio::task::spawn_blocking(move || {
            let failed = |source| SnapshotError::Read { directory: snapshot.directory.clone(), source };
            let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
            let digest = snapshot.write(io::BufWriter::new(file.as_file_mut()))?;
            Ok::<_, SnapshotError>((file, digest))
        })
        .await
        .map_err(|source| Error::Io {
            action: "read",
            path: "the source directory".to_owned(),
            source: source.into(),
        })??;
        let size = file.path().metadata().map_err(|source| Error::Io {
            action: "read",
            path: file.path().display().to_string(),
            source,
        })?;
        self.put_file(file.path(), &digest, size.len()).await?;
        Ok(digest)
    }
}

/// Why a snapshot could not be put.
#[derive(Debug, thiserror::Error)]
pub enum PutCodeError {
    /// The source directory.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The workspace.
    #[error(transparent)]
    Workspace(#[from] Error),
}

struct Hashing<W> {
    hasher: Sha256,
    output: W,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.output.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

fn relative(directory: &Path, path: &Path) -> Option<String> {
    let parts = path.strip_prefix(directory).ok()?.iter().map(OsStr::to_str).collect::<Option<Vec<_>>>()?;
    Some(parts.join("/"))
}

fn walk_error(directory: &Path, error: ignore::Error) -> SnapshotError {
    let path = match &error {
        ignore::Error::WithPath { path, .. } => path.clone(),
        _ => directory.to_owned(),
    };
    let message = error.to_string();
    match error.into_io_error() {
        Some(source) => EntryError::Unreadable { path, source }.into(),
        None => SnapshotError::Ignore { directory: directory.to_owned(), message },
    }
}

#[cfg(unix)]
fn executable(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o100 != 0
}

#[cfg(not(unix))]
fn executable(_: &std::fs::Metadata) -> bool {
    false
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
