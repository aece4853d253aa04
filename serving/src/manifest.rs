//! What a model version consists of: its files with their digests. The digest of the manifest is the digest of the model.

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Files in one model.
pub const MAX_FILES: usize = 100_000;
/// Bytes of a stored manifest; one of 100,000 files with long paths is below 32 MiB.
pub const MAX_BYTES: u64 = 64 << 20;

/// The files of a model version, in the order of their paths.
///
/// Paths start with the base name of what was registered, because scripts find it under that name:
/// `ridge.joblib`, or `bert/config.json`. Permissions are not part of a model, nor are folders without files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format of the manifest.
    pub format: u32,
    /// The files.
    pub files: Vec<ManifestFile>,
}

/// One file of a [`Manifest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Path with `/` between folders.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Digest of the content.
    pub digest: Digest,
}

impl Manifest {
    /// The manifest as it is stored; equal manifests give equal bytes.
    ///
    /// # Panics
    /// Never: a manifest serialises.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a manifest serialises")
    }

    /// Digest of the manifest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.write())
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).fold(0, u64::saturating_add)
    }
}

impl ManifestFile {
    /// The path, if it stays in its folder: relative, without `.`, `..` and the like.
    #[must_use]
    pub fn relative(&self) -> Option<&Path> {
        let path = Path::new(&self.path);
        let inside = path.components().all(|component| matches!(component, Component::Normal(_)));
        (inside && path.components().next().is_some()).then_some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leaves_its_folder_is_no_path() {
        let file = |path: &str| ManifestFile { path: path.into(), size: 0, digest: Digest::of(b"") };
        for path in ["", "/etc/passwd", "../x", "a/../../x", "."] {
            assert_eq!(file(path).relative(), None, "{path}");
        }
        assert_eq!(file("bert/config.json").relative(), Some(Path::new("bert/config.json")));
    }
}
