//! Documents as numbered, immutable revisions.
//!
//! A writer claims `<n + 1>.json` by a create-only put; who comes second fails and starts again from the new head. A
//! remover claims the next number with a document that says so, removes the older revisions, lowest first, and that
//! one last. So at any moment the highest number tells the truth, and a kill leaves nothing half-told.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::document::{Body, Document, FORMAT, Header, Kind};
use super::error::Error;
use super::store::Catalogue;

/// Old revisions that are kept, for a look at what happened. A writer that is further behind finds its base gone.
const HISTORY: usize = 32;
/// Objects of a tree that are removed at once.
const REMOVALS: usize = 16;
/// How often a change starts again after another writer was faster.
pub(super) const ATTEMPTS: usize = 16;

/// A document at a revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision<T> {
    /// Name of the object; empty for the workspace itself.
    pub name: String,
    /// Number of the revision, from 1.
    pub number: u64,
    /// The common part.
    pub header: Header,
    /// The particular part.
    pub body: T,
}

/// Head of an object's revisions.
pub(super) enum Head<T> {
    /// Never created, or removed; the next revision has this number.
    Absent(u64),
    /// There.
    Present(Revision<T>),
}

fn folder(kind: Kind, name: &str) -> Path {
    match kind {
        Kind::Workspace => Path::from(kind.folder()),
        _ => Path::from_iter([kind.folder(), name]),
    }
}

/// Time of a write.
pub(super) fn now() -> String {
    jiff::Timestamp::now().round(jiff::Unit::Millisecond).unwrap_or_else(|_| jiff::Timestamp::now()).to_string()
}

impl Catalogue {
    /// The object, if it is there. An object whose create has not finished is there, with `header.committed` false.
    pub async fn find<T: Body>(&self, name: &str) -> Result<Option<Revision<T>>, Error> {
        match self.head(name).await? {
            Head::Absent(_) => Ok(None),
            Head::Present(revision) => Ok(Some(revision)),
        }
    }

    /// The object, or [`Error::Missing`].
    pub async fn get<T: Body>(&self, name: &str) -> Result<Revision<T>, Error> {
        self.find(name).await?.ok_or_else(|| Error::Missing { kind: T::KIND, id: T::KIND.id(&self.workspace, name) })
    }

    /// Names of all objects of a kind, sorted. Those whose create has not finished are included.
    pub async fn names(&self, kind: Kind) -> Result<Vec<String>, Error> {
        let prefix = Path::from(kind.folder());
        let listing = self.store.list_with_delimiter(Some(&prefix)).await;
        let listing = listing.map_err(|source| self.failed("list", &prefix, source))?;
        let mut names = Vec::new();
        for name in listing.common_prefixes.iter().filter_map(|path| path.filename()) {
            // Whatever is wrong inside such a document, the object is there.
            if self.present(kind, name).await.unwrap_or(true) {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    async fn present(&self, kind: Kind, name: &str) -> Result<bool, Error> {
        let numbers = self.numbers(kind, name).await?;
        let Some(number) = numbers.last() else { return Ok(false) };
        Ok(self.document::<IgnoredAny>(kind, name, *number).await?.is_some_and(|document| !document.header.removed))
    }

    /// Numbers of the revisions that are there, ascending.
    async fn numbers(&self, kind: Kind, name: &str) -> Result<Vec<u64>, Error> {
        let folder = folder(kind, name);
        let listing = self.store.list_with_delimiter(Some(&folder)).await;
        let listing = listing.map_err(|source| self.failed("list", &folder, source))?;
        let number = |path: &Path| path.filename()?.strip_suffix(".json")?.parse::<u64>().ok();
        let mut numbers: Vec<u64> = listing.objects.iter().filter_map(|meta| number(&meta.location)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// One revision; `None` if it was removed since it was listed.
    async fn document<T>(&self, kind: Kind, name: &str, number: u64) -> Result<Option<Document<T>>, Error>
    where
        Document<T>: for<'de> Deserialize<'de>,
    {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let path = folder(kind, name).join(format!("{number}.json"));
        let bytes = match self.store.get(&path).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(self.failed("read", &path, source)),
        };
        let damaged = |source| Error::Damaged { workspace: self.workspace.clone(), path: path.to_string(), source };
        let found = serde_json::from_slice::<Format>(&bytes).map_err(damaged)?.format;
        if found > FORMAT {
            return Err(Error::NewerFormat { workspace: self.workspace.clone(), path: path.to_string(), found });
        }
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }

    pub(super) async fn head<T: Body>(&self, name: &str) -> Result<Head<T>, Error> {
        for _ in 0..ATTEMPTS {
            let numbers = self.numbers(T::KIND, name).await?;
            let Some(&number) = numbers.last() else { return Ok(Head::Absent(1)) };
            // Gone since it was listed: a remover has just finished.
            let Some(document) = self.document::<T>(T::KIND, name, number).await? else { continue };
            return Ok(match document.body {
                Some(body) if !document.header.removed => {
                    Head::Present(Revision { name: name.to_owned(), number, header: document.header, body })
                }
                _ => Head::Absent(number + 1),
            });
        }
        Err(self.contended::<T>(name))
    }

    /// Writes revision `number`. `Ok(false)` if somebody else has it.
    pub(super) async fn claim<T: Body>(&self, name: &str, number: u64, document: &Document<T>) -> Result<bool, Error> {
        let folder = folder(T::KIND, name);
        let path = folder.clone().join(format!("{number}.json"));
        let mut bytes = serde_json::to_vec_pretty(document).map_err(|source| Error::Damaged {
            workspace: self.workspace.clone(),
            path: path.to_string(),
            source,
        })?;
        bytes.push(b'\n');
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let written = Bytes::from(bytes);
        match self.store.put_opts(&path, written.clone().into(), options).await {
            Ok(_) => {}
            // A request that was repeated, because its answer was lost, finds what it has written itself.
            Err(object_store::Error::AlreadyExists { .. })
                if self.is_remote() && self.holds(&path, &written).await? => {}
            Err(object_store::Error::AlreadyExists { .. }) => return Ok(false),
            Err(source) => return Err(self.failed("write", &path, source)),
        }
        // Revisions are removed lowest first. If the one that this was made from is gone, then the object was removed,
        // or this number was taken and removed, in between: what was written is no successor and counts for nothing.
        let numbers = self.numbers(T::KIND, name).await?;
        if number > 1 && !numbers.contains(&(number - 1)) {
            self.remove_file(&path).await?;
            return Ok(false);
        }
        let old = numbers.iter().filter(|other| **other < number).count().saturating_sub(HISTORY);
        for other in numbers.iter().take(old) {
            self.remove_file(&folder.clone().join(format!("{other}.json"))).await?;
        }
        Ok(true)
    }

    /// Whether an object has just this content.
    async fn holds(&self, path: &Path, content: &Bytes) -> Result<bool, Error> {
        let found = match self.store.get(path).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        match found {
            Ok(found) => Ok(found == content),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(self.failed("read", path, source)),
        }
    }

    /// Changes an object that is there, and marks it as changed since its create. `change` may be called again when
    /// another writer was faster. Writes nothing if it changes nothing.
    pub async fn update<T, F>(&self, name: &str, mut change: F) -> Result<Revision<T>, Error>
    where
        T: Body + PartialEq,
        F: FnMut(&mut T) + Send,
    {
        for _ in 0..ATTEMPTS {
            let before: Revision<T> = self.get(name).await?;
            let mut after = before.clone();
            change(&mut after.body);
            if after.body == before.body {
                return Ok(before);
            }
            after.number += 1;
            // Whoever brings an object to what it is to be also finishes a create that was interrupted.
            after.header.committed = true;
            after.header.changed = true;
            after.header.updated_time = now();
            let document = Document { header: after.header.clone(), body: Some(after.body.clone()) };
            if self.claim(name, after.number, &document).await? {
                return Ok(after);
            }
        }
        Err(self.contended::<T>(name))
    }

    /// Removes an object; `None` if it was not there. Its blobs stay until [`Catalogue::sweep`].
    pub async fn remove<T: Body>(&self, name: &str) -> Result<Option<Revision<T>>, Error> {
        for _ in 0..ATTEMPTS {
            let (number, before) = match self.head::<T>(name).await? {
                Head::Absent(1) => return Ok(None),
                Head::Absent(number) => (number - 1, None),
                Head::Present(revision) => {
                    let mut header = revision.header.clone();
                    header.removed = true;
                    header.updated_time = now();
                    let number = revision.number + 1;
                    if !self.claim(name, number, &Document::<T> { header, body: None }).await? {
                        continue;
                    }
                    (number, Some(revision))
                }
            };
            // Also finishes what a killed remover began. Newer revisions are somebody's new object.
            for old in self.numbers(T::KIND, name).await?.into_iter().filter(|old| *old <= number) {
                self.remove_file(&folder(T::KIND, name).join(format!("{old}.json"))).await?;
            }
            self.remove_empty_folder(&folder(T::KIND, name));
            return Ok(before);
        }
        Err(self.contended::<T>(name))
    }

    /// Removes every object below a folder.
    pub(super) async fn remove_tree(&self, folder: &str) -> Result<(), Error> {
        let prefix = Path::from(folder);
        let failed = |source| self.failed("list", &prefix, source);
        let all: Vec<object_store::ObjectMeta> = self.store.list(Some(&prefix)).try_collect().await.map_err(failed)?;
        let removals =
            futures_util::stream::iter(all).map(|meta| async move { self.remove_file(&meta.location).await });
        removals.buffer_unordered(REMOVALS).try_collect().await
    }

    pub(super) async fn remove_file(&self, path: &Path) -> Result<(), Error> {
        match self.store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.failed("remove", path, source)),
        }
    }

    /// Object stores have no folders; a directory keeps an empty one, which is only untidy.
    fn remove_empty_folder(&self, folder: &Path) {
        if let Some(root) = self.directory() {
            let _ = std::fs::remove_dir(root.join(folder.as_ref()));
        }
    }

    pub(super) fn contended<T: Body>(&self, name: &str) -> Error {
        Error::Contended { kind: T::KIND, id: T::KIND.id(&self.workspace, name) }
    }
}

#[cfg(test)]
#[path = "revisions_tests.rs"]
mod tests;
