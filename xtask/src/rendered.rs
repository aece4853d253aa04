//! Files that are made from the code and committed: written, or compared with what is there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// A file's path below the repository's root, and its text.
pub(crate) struct Rendered {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// Why rendered files are not what they should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenderError {
    /// Files differ from the code that they are made from.
    #[error("{} differ from the code: run the same command without --check and commit", list(.0))]
    Differ(Vec<PathBuf>),
    /// Something is documented without an example.
    #[error("{} is needed for the documentation: {source}", path.display())]
    Example {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Writes the files, or with `check` only compares them.
pub(crate) fn settle(files: &[Rendered], check: bool) -> Result<(), RenderError> {
    let root = root();
    let differing =
        files.iter().filter(|file| fs::read_to_string(root.join(&file.path)).ok().as_ref() != Some(&file.text));
    if check {
        let differing = differing.map(|file| file.path.clone()).collect::<Vec<_>>();
        return if differing.is_empty() { Ok(()) } else { Err(RenderError::Differ(differing)) };
    }
    for file in differing {
        let path = root.join(&file.path);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, &file.text));
        written.map_err(|source| RenderError::Write { path: file.path.clone(), source })?;
    }
    Ok(())
}

/// Root of the repository that this runs in, which may have moved since this was built; elsewhere `.`.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let here = std::env::current_dir().unwrap_or_default();
        here.ancestors().find(|folder| folder.join("Cargo.lock").exists()).unwrap_or(Path::new(".")).to_owned()
    });
    &ROOT
}
