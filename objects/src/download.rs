//! Contents as files: read in parallel ranges, in bounded memory, and checked.

use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use serving::digest::Digest;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::blobs;

/// Bytes of one range.
const RANGE: u64 = 4 << 20;
/// Ranges that are in memory at once, over all files: 64 MiB.
const RANGES: usize = 16;
/// Ranges of one file that are asked for at once.
const AHEAD: usize = 8;

/// Why a content did not become a file.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] object_store::Error),
    /// It is not in the store.
    #[error("it is not in the store")]
    Missing,
    /// What the store has is something else.
    #[error("what the store has is not what its name says")]
    Damaged,
    /// The file could not be written.
    #[error("the file cannot be written: {0}")]
    Write(#[source] std::io::Error),
}

/// Downloads that share a bound on the memory that they take.
#[derive(Clone, Debug)]
pub struct Downloads {
    permits: Arc<Semaphore>,
    fetched: Arc<AtomicU64>,
}

impl Default for Downloads {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(RANGES)), fetched: Arc::default() }
    }
}

impl Downloads {
    /// Bytes that came so far.
    #[must_use]
    pub fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    /// Reads a content whole and checks it. For manifests and the like, at most `limit` bytes.
    pub async fn read(
        &self,
        store: &Arc<dyn ObjectStore>,
        digest: &Digest,
        limit: u64,
    ) -> Result<Bytes, DownloadError> {
        let object = blobs::readable(&**store, digest).await?.ok_or(DownloadError::Missing)?;
        if object.size > limit {
            return Err(DownloadError::Damaged);
        }
        let bytes = store.get(&object.location).await?.bytes().await?;
        if Digest::of(&bytes) == *digest { Ok(bytes) } else { Err(DownloadError::Damaged) }
    }

    /// Writes a content into an empty file. `size` is checked if it is known. A failure leaves the file half-written.
    pub async fn fetch(
        &self,
        store: &Arc<dyn ObjectStore>,
        digest: &Digest,
        size: Option<u64>,
        file: File,
    ) -> Result<(), DownloadError> {
        let keep = file.try_clone().map_err(DownloadError::Write)?;
        match self.attempt(store, digest, size, file).await {
            // Its incarnation has just given way to another one.
            Err(DownloadError::Store(object_store::Error::NotFound { .. })) => {
                rewind(&keep).map_err(DownloadError::Write)?;
                self.attempt(store, digest, size, keep).await
            }
            outcome => outcome,
        }
    }

    async fn attempt(
        &self,
        store: &Arc<dyn ObjectStore>,
        digest: &Digest,
        size: Option<u64>,
        file: File,
    ) -> Result<(), DownloadError> {
        let object = blobs::readable(&**store, digest).await?.ok_or(DownloadError::Missing)?;
        if size.is_some_and(|size| size != object.size) {
            return Err(DownloadError::Damaged);
        }
        let ranges = (0..object.size.div_ceil(RANGE)).map(|index| {
            let start = index * RANGE;
            self.range(store.clone(), object.location.clone(), start..object.size.min(start + RANGE))
        });
        // In order, because the digest is of the whole; so the first of a file's ranges always has its permit.
        let mut ranges = futures_util::stream::iter(ranges).buffered(AHEAD);
        let mut state = (file, Sha256::new());
        while let Some((bytes, permit)) = ranges.try_next().await? {
            let written = tokio::task::spawn_blocking(move || {
                let (mut file, mut hasher) = state;
                hasher.update(&bytes);
                file.write_all(&bytes)?;
                drop((bytes, permit));
                Ok((file, hasher))
            });
            state = written.await.map_err(std::io::Error::from).flatten().map_err(DownloadError::Write)?;
        }
        if Digest::from_hasher(state.1) == *digest { Ok(()) } else { Err(DownloadError::Damaged) }
    }

    async fn range(
        &self,
        store: Arc<dyn ObjectStore>,
        path: Path,
        range: Range<u64>,
    ) -> Result<(Bytes, OwnedSemaphorePermit), DownloadError> {
        // Held until the range is written.
        let permit = self.permits.clone().acquire_owned().await.map_err(std::io::Error::other);
        let permit = permit.map_err(DownloadError::Write)?;
        let bytes = store.get_range(&path, range.clone()).await?;
        self.fetched.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if bytes.len() as u64 == range.end - range.start { Ok((bytes, permit)) } else { Err(DownloadError::Damaged) }
    }
}

fn rewind(mut file: &File) -> std::io::Result<()> {
    file.set_len(0)?;
    std::io::Seek::rewind(&mut file)
}
