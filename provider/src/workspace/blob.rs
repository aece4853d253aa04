//! Immutable contents, addressed by their SHA-256.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::str::FromStr;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt;

use super::error::Error;
use super::store::Catalogue;

const CHUNK: usize = 8 << 20;
/// Parts of one upload that are in memory at once.
const PARTS: usize = 2;
/// Manifests are read whole; one of 100,000 files with long paths is below 32 MiB.
const MAX_IN_MEMORY: u64 = 64 << 20;

/// SHA-256 of a content, written `sha256:<64 lower-case hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// A text that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a digest of the form sha256:<64 lower-case hex digits>")]
pub struct NotADigest(String);

impl Digest {
    /// Digest of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    pub(super) fn from_hasher(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }

    /// The 64 hex digits.
    #[must_use]
    pub fn hex(&self) -> String {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
        self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }

    pub(super) fn path(&self) -> Path {
        let hex = self.hex();
        Path::from_iter(["blobs", "sha256", &hex[..2], &hex[2..]])
    }
}

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let parse = || {
            let hex = text.strip_prefix("sha256:")?.as_bytes();
            let digit = |byte: u8| (byte as char).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
            let mut digest = [0; 32];
            (hex.len() == 64).then_some(())?;
            for (byte, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
                *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
            }
            Some(Self(digest))
        };
        parse().ok_or_else(|| NotADigest(text.to_owned()))
    }
}

impl TryFrom<String> for Digest {
    type Error = NotADigest;

    fn try_from(text: String) -> Result<Self, NotADigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Catalogue {
    /// Whether a content is there, with this many bytes if the number is given.
    pub async fn has_blob(&self, digest: &Digest, size: Option<u64>) -> Result<bool, Error> {
        let path = digest.path();
        match self.store.head(&path).await {
            Ok(meta) => Ok(size.is_none_or(|size| meta.size == size)),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(self.failed("read", &path, source)),
        }
    }

    /// Puts a small content. Call with blobs held ([`Catalogue::hold_blobs`]) until a document names it.
    pub async fn put_blob(&self, bytes: Bytes) -> Result<Digest, Error> {
        let digest = Digest::of(&bytes);
        if !self.has_blob(&digest, Some(bytes.len() as u64)).await? {
            let path = digest.path();
            self.store.put(&path, bytes.into()).await.map_err(|source| self.failed("write", &path, source))?;
        }
        Ok(digest)
    }

    /// Puts a file of known digest and size, streamed in constant memory; a content that is there is not put again.
    /// [`Error::Changed`] if the file is no longer what it was. Call with blobs held.
    pub async fn put_file(&self, file: &FilePath, digest: &Digest, size: u64) -> Result<(), Error> {
        if self.has_blob(digest, Some(size)).await? {
            return Ok(());
        }
        let path = digest.path();
        let name = || file.display().to_string();
        let unreadable = |source| Error::Io { action: "read", path: name(), source };
        let mut input = tokio::fs::File::open(file).await.map_err(unreadable)?;
        let upload = self.store.put_multipart(&path).await.map_err(|source| self.failed("write", &path, source))?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, CHUNK);
        let mut hasher = Sha256::new();
        let mut written = 0;
        let outcome = loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            match (&mut input).take(CHUNK as u64).read_to_end(&mut chunk).await {
                Ok(0) => break Ok(()),
                Ok(count) => written += count as u64,
                Err(source) => break Err(unreadable(source)),
            }
            let (chunk, advanced) = tokio::task::spawn_blocking(move || {
                hasher.update(&chunk);
                (chunk, hasher)
            })
            .await
            .map_err(|source| unreadable(source.into()))?;
            hasher = advanced;
            if let Err(source) = upload.wait_for_capacity(PARTS).await {
                break Err(self.failed("write", &path, source));
            }
            upload.put(chunk.into());
        };
        let same = written == size && Digest::from_hasher(hasher) == *digest;
        let outcome = outcome.and_then(|()| if same { Ok(()) } else { Err(Error::Changed { path: name() }) });
        if let Err(error) = outcome {
            // What was uploaded is invisible without its end; that it cannot be removed is no further failure.
            let _ = upload.abort().await;
            return Err(error);
        }
        upload.finish().await.map_err(|source| self.failed("write", &path, source))?;
        Ok(())
    }

    /// Reads a content whole and checks it. For manifests and the like, at most 64 MiB.
    pub async fn read_blob(&self, digest: &Digest) -> Result<Bytes, Error> {
        let path = digest.path();
        let found = match self.store.get(&path).await {
            Ok(found) if found.meta.size <= MAX_IN_MEMORY => found,
            Ok(_) | Err(object_store::Error::NotFound { .. }) => return Err(self.bad_blob(digest)),
            Err(source) => return Err(self.failed("read", &path, source)),
        };
        let bytes = found.bytes().await.map_err(|source| self.failed("read", &path, source))?;
        if Digest::of(&bytes) == *digest { Ok(bytes) } else { Err(self.bad_blob(digest)) }
    }

    /// Copies a content to a new file, streamed and checked. A failure leaves the file half-written.
    pub async fn copy_blob(&self, digest: &Digest, to: &FilePath) -> Result<(), Error> {
        let path = digest.path();
        let failed = |source| self.failed("read", &path, source);
        let unwritable = |source| Error::Io { action: "write", path: to.display().to_string(), source };
        let found = match self.store.get(&path).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Err(self.bad_blob(digest)),
            Err(source) => return Err(failed(source)),
        };
        let mut stream = found.into_stream();
        let mut output = tokio::fs::File::create_new(to).await.map_err(unwritable)?;
        let mut hasher = Sha256::new();
        while let Some(chunk) = stream.try_next().await.map_err(failed)? {
            hasher.update(&chunk);
            tokio::io::AsyncWriteExt::write_all(&mut output, &chunk).await.map_err(unwritable)?;
        }
        output.sync_all().await.map_err(unwritable)?;
        if Digest::from_hasher(hasher) == *digest { Ok(()) } else { Err(self.bad_blob(digest)) }
    }

    /// The file that holds a content, if the workspace is a directory of this machine. It must never be written to.
    #[must_use]
    pub fn blob_file(&self, digest: &Digest) -> Option<PathBuf> {
        self.directory().map(|root| root.join(digest.path().as_ref()))
    }

    /// Removes every content that no document names, neither in the catalogue nor on a compute, and returns how many.
    ///
    /// Nothing is removed while a compute cannot be read or another run puts blobs; a later call will do it.
    pub async fn sweep(&self) -> Result<usize, Error> {
        let Some(_guard) = self.stop_writers().await? else { return Ok(0) };
        let Some(named) = self.named_blobs().await? else { return Ok(0) };
        let named: BTreeSet<Path> = named.iter().map(Digest::path).collect();
        let prefix = Path::from("blobs");
        let all: Vec<_> = self
            .store
            .list(Some(&prefix))
            .map_ok(|meta| meta.location)
            .try_collect()
            .await
            .map_err(|source| self.failed("list", &prefix, source))?;
        let unnamed: Vec<_> = all.into_iter().filter(|path| !named.contains(path)).collect();
        for path in &unnamed {
            self.remove_file(path).await?;
        }
        self.remove_halves();
        Ok(unnamed.len())
    }

    /// Removes what killed writers left half-written: a store of files keeps it beside its place as `<name>#<n>`, and
    /// does not list it.
    fn remove_halves(&self) {
        let Some(root) = self.directory() else { return };
        let folders = std::fs::read_dir(root.join("blobs").join("sha256")).into_iter().flatten().flatten();
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten().flatten());
        for file in files.filter(|file| file.file_name().to_string_lossy().contains('#')) {
            let _ = std::fs::remove_file(file.path());
        }
    }

    /// [`Catalogue::sweep`] after something else has succeeded, which must not fail for it.
    pub(super) async fn sweep_later(&self) {
        if let Err(error) = self.sweep().await {
            tracing::warn!(%error, "Contents that nothing names were left in the workspace.");
        }
    }

    pub(super) fn bad_blob(&self, digest: &Digest) -> Error {
        let hint = "; run terraform apply again to put it back from its source";
        Error::BadBlob { workspace: self.workspace.clone(), digest: digest.to_string(), hint }
    }
}

#[cfg(test)]
#[path = "blob_tests.rs"]
mod tests;
