//! The workspace: a catalogue of models, code snapshots, environments and computes in object storage.
//!
//! ```text
//! <storage root>/
//!   workspace/<n>.json              revisions of the workspace's document
//!   models/<name>/<n>.json          revisions of a model's document; so also environments/ and computes/
//!   blobs/sha256/<2 hex>/<62 hex>   immutable contents, addressed by their digest (in an object store a folder)
//!   venvs/<build key>/              virtual environments (only below a `file://` root)
//!   catalogue.lock                  held while blobs are put or removed (only below a `file://` root)
//! ```
//!
//! **Documents** change by claiming the next number: a create-only put, which every object store has, of
//! `<n + 1>.json`. The highest number is the head. See [`revisions`].
//!
//! **Creates survive a kill** because they first write their intent and commit last. See [`claim`].
//!
//! **Blobs** are never changed; they go when no document names them any more. See [`sweep`].
//!
//! **The end** of a workspace in an object store is marked first, so that nobody makes anything in it any more. See
//! [`Catalogue::destroy`].
//!
//! No secret is ever stored here.

pub mod blob;
pub mod claim;
pub mod document;
pub mod entry;
pub mod error;
pub mod hash_cache;
pub mod holdings;
pub mod id;
pub mod manifest;
pub mod materialize;
pub mod model;
pub mod references;
pub mod revisions;
pub mod snapshot;
pub mod store;
pub mod sweep;

pub use claim::Begun;
pub use document::{ComputeBody, EnvironmentBody, ModelBody, WorkspaceBody};
pub use error::Error;
pub use id::{ComputeId, EnvironmentId, ModelId, ModelVersionId, WorkspaceId};
pub use materialize::{materialize_code, materialize_model};
pub use revisions::Revision;
pub use serving::digest::Digest;
pub use store::Catalogue;
