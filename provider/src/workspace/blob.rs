//! Immutable contents, addressed by their SHA-256.

use std::path::{Path as FilePath, PathBuf};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStoreExt, WriteMultipart};
use objects::{DownloadError, blobs};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt;

use super::error::Error;
use super::store::Catalogue;

pub use serving::digest::{Digest, NotADigest};

/// Bytes of one part of an upload, unless the file is so large that it would have too many parts.
const CHUNK: usize = 8 << 20;
/// Parts that an upload may have; S3 allows 10,000.
const MOST_PARTS: u64 = 9_000;
/// Parts of one upload that are in memory at once.
const PARTS: usize = 2;

impl Catalogue {
    /// Where a file store has a content.
    fn place(digest: &Digest) -> Path {
        let hex = digest.hex();
        Path::from_iter([blobs::FOLDER, "sha256", &hex[..2], &hex[2..]])
    }

    /// Whether a content is there, with this many bytes if the number is given.
    pub async fn has_blob(&self, digest: &Digest, size: Option<u64>) -> Result<bool, Error> {
        let right = |found: u64| size.is_none_or(|size| found == size);
        if self.is_remote() {
            return Ok(self.incarnations(digest).await?.iter().any(|found| right(found.object.size)));
        }
        let path = Self::place(digest);
        match self.store.head(&path).await {
            Ok(meta) => Ok(right(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(self.failed("read", &path, source)),
        }
    }

    /// Whether a content is there and will stay until whoever holds blobs has named it.
    async fn is_reliable(&self, digest: &Digest, size: u64) -> Result<bool, Error> {
        if !self.is_remote() {
            return self.has_blob(digest, Some(size)).await;
        }
        let found = self.incarnations(digest).await?;
        Ok(found.iter().any(|found| found.condemned.is_none() && found.object.size == size))
    }

    async fn incarnations(&self, digest: &Digest) -> Result<Vec<blobs::Incarnation>, Error> {
        let found = blobs::find(&*self.store, digest).await;
        found.map_err(|source| self.failed("list", &blobs::folder(digest), source))
    }

    /// Where to put a content: in an object store under a name that nobody has used or will use.
    fn new_place(&self, digest: &Digest) -> Path {
        if self.is_remote() {
            blobs::folder(digest).join(uuid::Uuid::new_v4().simple().to_string())
        } else {
            Self::place(digest)
        }
    }

    /// Puts a small content. Call with blobs held ([`Catalogue::hold_blobs`]) until a document names it.
    pub async fn put_blob(&self, bytes: Bytes) -> Result<Digest, Error> {
        let digest = Digest::of(&bytes);
        if !self.is_reliable(&digest, bytes.len() as u64).await? {
            let path = self.new_place(&digest);
            self.bulk.put(&path, bytes.into()).await.map_err(|source| self.failed("write", &path, source))?;
        }
        Ok(digest)
    }

    /// Puts a file of known digest and size, streamed in constant memory; a content that is there is not put again.
    /// [`Error::Changed`] if the file is no longer what it was. Call with blobs held.
    pub async fn put_file(&self, file: &FilePath, digest: &Digest, size: u64) -> Result<(), Error> {
        if self.is_reliable(digest, size).await? {
            return Ok(());
        }
        let path = self.new_place(digest);
        let changed = || Error::Changed { path: file.display().to_string() };
        let unreadable = |source| Error::Io { action: "read", path: file.display().to_string(), source };
        let mut input = tokio::fs::File::open(file).await.map_err(unreadable)?;
        if self.is_remote() && size <= CHUNK as u64 {
            // One request, where a multipart upload takes three.
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(CHUNK) + 1);
            (&mut input).take(size + 1).read_to_end(&mut bytes).await.map_err(unreadable)?;
            if bytes.len() as u64 != size || Digest::of(&bytes) != *digest {
                return Err(changed());
            }
            self.bulk.put(&path, bytes.into()).await.map_err(|source| self.failed("write", &path, source))?;
            return Ok(());
        }
        let chunk_size = CHUNK.max(usize::try_from(size.div_ceil(MOST_PARTS)).unwrap_or(usize::MAX));
        let upload = self.bulk.put_multipart(&path).await.map_err(|source| self.failed("write", &path, source))?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, chunk_size);
        let mut hasher = Sha256::new();
        let mut written = 0;
        let outcome = loop {
            let mut chunk = Vec::with_capacity(chunk_size);
            match (&mut input).take(chunk_size as u64).read_to_end(&mut chunk).await {
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
        let outcome = outcome.and_then(|()| if same { Ok(()) } else { Err(changed()) });
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
        if self.is_remote() {
            let read = self.downloads.read(&self.store, digest, serving::manifest::MAX_BYTES).await;
            return read.map_err(|error| self.not_downloaded(digest, error));
        }
        let path = Self::place(digest);
        let found = match self.store.get(&path).await {
            Ok(found) if found.meta.size <= serving::manifest::MAX_BYTES => found,
            Ok(_) | Err(object_store::Error::NotFound { .. }) => return Err(self.bad_blob(digest)),
            Err(source) => return Err(self.failed("read", &path, source)),
        };
        let bytes = found.bytes().await.map_err(|source| self.failed("read", &path, source))?;
        if Digest::of(&bytes) == *digest { Ok(bytes) } else { Err(self.bad_blob(digest)) }
    }

    /// Copies a content to a new file, streamed and checked. A failure leaves the file half-written.
    pub async fn copy_blob(&self, digest: &Digest, to: &FilePath) -> Result<(), Error> {
        let unwritable = |source| Error::Io { action: "write", path: to.display().to_string(), source };
        if self.is_remote() {
            let file = std::fs::File::create_new(to).map_err(unwritable)?;
            let keep = file.try_clone().map_err(unwritable)?;
            self.downloads.fetch(&self.bulk, digest, None, file).await.map_err(|error| match error {
                DownloadError::Write(source) => unwritable(source),
                error => self.not_downloaded(digest, error),
            })?;
            let synced = tokio::task::spawn_blocking(move || keep.sync_all()).await;
            return synced.map_err(std::io::Error::from).flatten().map_err(unwritable);
        }
        let path = Self::place(digest);
        let failed = |source| self.failed("read", &path, source);
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
        self.directory().map(|root| root.join(Self::place(digest).as_ref()))
    }

    fn not_downloaded(&self, digest: &Digest, error: DownloadError) -> Error {
        match error {
            DownloadError::Store(source) => self.failed("read", &blobs::folder(digest), source),
            DownloadError::Missing | DownloadError::Damaged => self.bad_blob(digest),
            DownloadError::Write(source) => Error::Io { action: "write", path: digest.to_string(), source },
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
