//! Removing contents that nothing names.
//!
//! **In a directory** a file lock keeps writers and sweeps apart: a writer holds it, shared, from putting or finding a
//! content until a document names it, and a sweep holds it alone.
//!
//! **In an object store** there are no locks, so that a sweep must be harmless beside writers, beside other sweeps, and
//! when any of them is killed, or stopped for a day and then goes on. The rules:
//!
//! 1. A content is an *incarnation*: an object whose name is never used again (see [`objects::blobs`]).
//! 2. A sweep *condemns* an incarnation that nothing names and that is older than [`GRACE`], by a mark beside it. A later
//!    sweep removes it once the mark is older than `GRACE`, if then still nothing names the content.
//! 3. A writer relies only on an incarnation without a mark, else it puts a new one. From that look to the document that
//!    names the content it takes at most [`PATIENCE`], half of `GRACE`; else it fails ([`Guard::check`](super::store::Guard::check)).
//! 4. Ages are differences of two times of the store. Names are read after the marks.
//!
//! Suppose that an incarnation was condemned at *t*. Who relied on it looked before *t*, and so has named it, or given up,
//! by *t* + `PATIENCE`. A sweep that removes it read the names after *t* + `GRACE`, so it would have seen that. Nobody
//! relies on it after *t*. So a removal is right however late it reaches the store, and as the name is not used again it
//! cannot hit what somebody put since. A mark that was made late, for a content that was named meanwhile, only makes
//! writers put a second incarnation; the sweep takes such a mark away when the content has no other incarnation: nobody
//! can be about to remove it then, since its name was there before *t* + `PATIENCE`, and is still there, or somebody
//! who saw the mark put another incarnation. Of several incarnations, as two applies at once make them, all but the newest
//! are condemned in the same way.
//!
//! What a clock of this machine says matters only as a difference, for `PATIENCE`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use objects::blobs::{self, Incarnation};

use super::blob::Digest;
use super::error::Error;
use super::store::Catalogue;

/// How long what nothing names is kept in an object store, before and after it is condemned.
pub const GRACE: Duration = Duration::from_hours(24);
/// How long a writer may rely on a content that no document names yet.
pub const PATIENCE: Duration = Duration::from_hours(12);
/// Requests at once.
pub(super) const AT_ONCE: usize = 16;

impl Catalogue {
    /// Removes every content that no document names, neither in the catalogue nor on a compute, and returns how many.
    /// In an object store that takes two sweeps and two days.
    ///
    /// Nothing is removed while a compute cannot be read or another run puts blobs in the same directory; a later call
    /// will do it.
    pub async fn sweep(&self) -> Result<usize, Error> {
        if self.is_remote() {
            return self.sweep_objects(GRACE).await;
        }
        let Some(_guard) = self.stop_writers().await? else { return Ok(0) };
        let Some(named) = self.named_blobs().await? else { return Ok(0) };
        let named: BTreeSet<_> = named.iter().filter_map(|digest| self.blob_file(digest)).collect();
        let Some(root) = self.directory() else { return Ok(0) };
        let all: Vec<_> = self.list_blobs().await?;
        let unnamed: Vec<_> = all.into_iter().filter(|path| !named.contains(&root.join(path.as_ref()))).collect();
        for path in &unnamed {
            self.remove_file(path).await?;
        }
        self.remove_halves();
        Ok(unnamed.len())
    }

    /// [`Catalogue::sweep`] after something else has succeeded, which must not fail for it.
    pub(super) async fn sweep_later(&self) {
        if let Err(error) = self.sweep().await {
            tracing::warn!(%error, "Contents that nothing names were left in the workspace.");
        }
    }

    async fn list_blobs(&self) -> Result<Vec<Path>, Error> {
        Ok(self.blob_objects().await?.into_iter().map(|object| object.location).collect())
    }

    async fn blob_objects(&self) -> Result<Vec<ObjectMeta>, Error> {
        let prefix = Path::from(blobs::FOLDER);
        let all = self.store.list(Some(&prefix)).try_collect().await;
        all.map_err(|source| self.failed("list", &prefix, source))
    }

    /// Removes what killed writers left half-written: a store of files keeps it beside its place as `<name>#<n>`, and
    /// does not list it.
    fn remove_halves(&self) {
        let Some(root) = self.directory() else { return };
        let folders = std::fs::read_dir(root.join(blobs::FOLDER).join("sha256")).into_iter().flatten().flatten();
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten().flatten());
        for file in files.filter(|file| file.file_name().to_string_lossy().contains('#')) {
            let _ = std::fs::remove_file(file.path());
        }
    }

    pub(super) async fn sweep_objects(&self, grace: Duration) -> Result<usize, Error> {
        let mut contents: BTreeMap<Digest, Vec<ObjectMeta>> = BTreeMap::new();
        for object in self.blob_objects().await? {
            if let Some(digest) = blobs::digest_of(&object.location) {
                contents.entry(digest).or_default().push(object);
            }
        }
        if contents.is_empty() {
            return Ok(0);
        }
        let clock = self.clock().await?;
        // After the marks: see the rules above.
        let Some(named) = self.named_blobs().await? else { return Ok(0) };
        let old =
            |object: &ObjectMeta| (clock.last_modified - object.last_modified).to_std().is_ok_and(|age| age >= grace);
        let mut steps = Vec::new();
        for (digest, objects) in contents {
            let marks: Vec<_> = objects.iter().filter_map(|object| blobs::condemns(&object.location)).collect();
            let found = blobs::incarnations(objects);
            let orphans = marks.into_iter().filter(|of| !found.iter().any(|found| found.object.location == *of));
            steps.extend(orphans.map(|of| Step::Acquit(mark(&of))));
            steps.extend(decide(found, named.contains(&digest), old));
        }
        let removed = steps.iter().filter(|step| matches!(step, Step::Remove(_))).count();
        let steps = futures_util::stream::iter(steps).map(|step| self.take(step)).buffer_unordered(AT_ONCE);
        steps.try_collect::<()>().await?;
        Ok(removed)
    }

    async fn take(&self, step: Step) -> Result<(), Error> {
        match step {
            Step::Condemn(path) => {
                let mark = mark(&path);
                let put = self.store.put(&mark, Bytes::new().into()).await;
                put.map(|_| ()).map_err(|source| self.failed("write", &mark, source))
            }
            Step::Acquit(mark) => self.remove_file(&mark).await,
            Step::Remove(path) => {
                self.remove_file(&path).await?;
                self.remove_file(&mark(&path)).await
            }
        }
    }

    /// An object that has just been written, for the store's time.
    async fn clock(&self) -> Result<ObjectMeta, Error> {
        let path = Path::from(blobs::FOLDER).join("now");
        let put = self.store.put(&path, Bytes::new().into()).await;
        put.map_err(|source| self.failed("write", &path, source))?;
        self.store.head(&path).await.map_err(|source| self.failed("read", &path, source))
    }
}

#[derive(Debug, PartialEq)]
enum Step {
    /// Put a mark beside an incarnation.
    Condemn(Path),
    /// Take a mark away.
    Acquit(Path),
    /// Remove an incarnation, then its mark.
    Remove(Path),
}

fn mark(path: &Path) -> Path {
    Path::from(format!("{path}{}", blobs::CONDEMNED))
}

/// What to do with the incarnations of a content, newest first.
fn decide(found: Vec<Incarnation>, named: bool, old: impl Fn(&ObjectMeta) -> bool) -> Vec<Step> {
    let kept = named.then(|| found.iter().position(|found| found.condemned.is_none())).flatten();
    let lost = named && kept.is_none();
    let step = |(index, found): (usize, Incarnation)| {
        let path = found.object.location.clone();
        match &found.condemned {
            _ if kept == Some(index) => None,
            Some(since) if lost => (index == 0 && old(since)).then(|| Step::Acquit(mark(&path))),
            Some(since) => old(since).then_some(Step::Remove(path)),
            None => old(&found.object).then_some(Step::Condemn(path)),
        }
    };
    found.into_iter().enumerate().filter_map(step).collect()
}

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
