//! How immutable contents lie in an object store.
//!
//! ```text
//! blobs/sha256/<2 hex>/<62 hex>/<incarnation>             the content
//! blobs/sha256/<2 hex>/<62 hex>/<incarnation>.condemned   empty: writers must not rely on that incarnation any more
//! ```
//!
//! The name of an incarnation is used once, so that a removal, however late it reaches the store, never removes what
//! another writer has put since. Readers take any incarnation. Why that is safe says the provider's catalogue, which
//! alone writes and removes.

use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use serving::digest::Digest;

/// Folder of all contents below a workspace's root.
pub const FOLDER: &str = "blobs";
/// Ends the name of the mark beside an incarnation.
pub const CONDEMNED: &str = ".condemned";

/// Folder of the incarnations of a content.
#[must_use]
pub fn folder(digest: &Digest) -> Path {
    let hex = digest.hex();
    Path::from_iter([FOLDER, "sha256", &hex[..2], &hex[2..]])
}

/// Digest of the content that an object belongs to, by its path; `None` if it is none of ours.
#[must_use]
pub fn digest_of(path: &Path) -> Option<Digest> {
    let parts: Vec<_> = path.parts().collect();
    let [folder, algorithm, first, rest, _] = parts.as_slice() else { return None };
    let ours = folder.as_ref() == FOLDER && algorithm.as_ref() == "sha256" && first.as_ref().len() == 2;
    ours.then(|| format!("sha256:{}{}", first.as_ref(), rest.as_ref()).parse().ok()).flatten()
}

/// Whether an object is a mark, and of which incarnation.
#[must_use]
pub fn condemns(path: &Path) -> Option<Path> {
    path.as_ref().strip_suffix(CONDEMNED).map(Path::from)
}

/// An incarnation of a content.
#[derive(Clone, Debug)]
pub struct Incarnation {
    /// The object.
    pub object: ObjectMeta,
    /// The mark beside it, if it is condemned.
    pub condemned: Option<ObjectMeta>,
}

/// The incarnations among some objects of one content, newest first.
#[must_use]
pub fn incarnations(objects: Vec<ObjectMeta>) -> Vec<Incarnation> {
    let (marks, objects): (Vec<_>, Vec<_>) =
        objects.into_iter().partition(|object| condemns(&object.location).is_some());
    let mark = |object: &ObjectMeta| {
        marks.iter().find(|mark| condemns(&mark.location).as_ref() == Some(&object.location)).cloned()
    };
    let mut found: Vec<_> =
        objects.into_iter().map(|object| Incarnation { condemned: mark(&object), object }).collect();
    // By name, too, so that everybody agrees on the order of those that were put within the store's unit of time.
    found.sort_by(|one, other| {
        let key = |found: &Incarnation| (found.object.last_modified, found.object.location.clone());
        key(other).cmp(&key(one))
    });
    found
}

/// All incarnations of a content, newest first.
pub async fn find(store: &dyn ObjectStore, digest: &Digest) -> object_store::Result<Vec<Incarnation>> {
    Ok(incarnations(store.list(Some(&folder(digest))).try_collect().await?))
}

/// The incarnation to read: rather one that is not condemned.
pub async fn readable(store: &dyn ObjectStore, digest: &Digest) -> object_store::Result<Option<ObjectMeta>> {
    let mut found = find(store, digest).await?;
    found.sort_by_key(|found| found.condemned.is_some());
    Ok(found.into_iter().next().map(|found| found.object))
}
