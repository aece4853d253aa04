//! What can go wrong with a workspace.

use super::document::{FORMAT, Kind};
use super::id::WorkspaceId;

/// Why the catalogue could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage refused or failed.
    #[error("cannot {action} {path} in workspace {workspace}: {source}")]
    Storage {
        /// The workspace.
        workspace: WorkspaceId,
        /// What was tried: `read`, `write`, `list`, `remove`.
        action: &'static str,
        /// Path below the storage root.
        path: String,
        /// The storage's reason.
        #[source]
        source: Box<object_store::Error>,
    },
    /// The object store refused or failed.
    #[error("cannot {action} {path} in workspace {workspace}: {failure}")]
    Remote {
        /// The workspace.
        workspace: WorkspaceId,
        /// What was tried: `read`, `write`, `list`, `remove`.
        action: &'static str,
        /// Path below the storage root.
        path: String,
        /// The store's reason, and what to do.
        failure: objects::Failure,
    },
    /// It is not known how to reach the object store.
    #[error("the storage of workspace {workspace} cannot be reached: {source}")]
    Unreachable {
        /// The workspace.
        workspace: WorkspaceId,
        /// Why.
        #[source]
        source: crate::storage::StorageError,
    },
    /// The object store overwrites what exists although it is asked not to.
    #[error(
        "the store of workspace {workspace} does not keep conditional writes (If-None-Match: *), so that two runs would overwrite each other; use a store that does, such as Azure Blob Storage or S3"
    )]
    Unconditional {
        /// The workspace.
        workspace: WorkspaceId,
    },
    /// The place of a new workspace is not empty.
    #[error(
        "there is no workspace at {workspace}, but there are objects of one that was destroyed, such as {path}; remove them, or choose another storage_url"
    )]
    Leftovers {
        /// The workspace.
        workspace: WorkspaceId,
        /// One of the objects.
        path: String,
    },
    /// Somebody destroys the workspace.
    #[error(
        "workspace {workspace} is being destroyed, so nothing is made in it; destroy it again to finish, or apply the azureml_workspace to keep it"
    )]
    Destroying {
        /// The workspace.
        workspace: WorkspaceId,
    },
    /// What was found in an object store must not be relied on any more.
    #[error(
        "more than {hours} hours went by since contents were put into workspace {workspace}, so they may be gone; run terraform apply again"
    )]
    TooSlow {
        /// The workspace.
        workspace: WorkspaceId,
        /// How long they are kept for whoever has put them.
        hours: u64,
    },
    /// A file of this machine could not be used.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A document is damaged.
    #[error("{path} in workspace {workspace} is not a document of this provider: {source}")]
    Damaged {
        /// The workspace.
        workspace: WorkspaceId,
        /// Path below the storage root.
        path: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// A newer provider wrote it.
    #[error(
        "{path} in workspace {workspace} has format {found}, but this provider reads formats up to {FORMAT}; use the provider release that wrote it, or a newer one"
    )]
    NewerFormat {
        /// The workspace.
        workspace: WorkspaceId,
        /// Path below the storage root.
        path: String,
        /// Its format.
        found: u32,
    },
    /// The object is not there.
    #[error("there is no {kind} {id}")]
    Missing {
        /// Kind of the object.
        kind: Kind,
        /// Its id.
        id: String,
    },
    /// Somebody else already made an object of this name.
    #[error(
        "{kind} {id} already exists and belongs to {owner}; choose another {}, or take it over with: terraform import <address> '{id}'", unique(*kind)
    )]
    Exists {
        /// Kind of the object.
        kind: Kind,
        /// Its id, which is also its import id.
        id: String,
        /// Its owner.
        owner: String,
    },
    /// Somebody else began to make an object of this name and has not finished.
    #[error(
        "{kind} {id} is being created by {owner}, or its creation was interrupted; run terraform apply there again to finish it, or choose another {}", unique(*kind)
    )]
    Unfinished {
        /// Kind of the object.
        kind: Kind,
        /// Its id.
        id: String,
        /// Its owner.
        owner: String,
    },
    /// Other writers changed the document each time that this one wanted to.
    #[error("{kind} {id} was changed by another terraform run at the same time; run terraform apply again")]
    Contended {
        /// Kind of the object.
        kind: Kind,
        /// Its id.
        id: String,
    },
    /// A blob that a document names is not there, or not what its name says.
    #[error("content {digest} is missing from workspace {workspace} or damaged{hint}")]
    BadBlob {
        /// The workspace.
        workspace: WorkspaceId,
        /// Digest of the content.
        digest: String,
        /// What to do, with a leading `; `, or nothing.
        hint: &'static str,
    },
    /// A file was changed while it was being copied into the workspace.
    #[error("{path} changed while it was being read; run terraform apply again when nothing writes to it")]
    Changed {
        /// The file.
        path: String,
    },
    /// The workspace's directory could not be locked in time.
    #[error("workspace {workspace} has been locked by another terraform run for {seconds} seconds")]
    Locked {
        /// The workspace.
        workspace: WorkspaceId,
        /// How long the lock was waited for.
        seconds: u64,
    },
}

/// The argument that distinguishes objects of a kind.
fn unique(kind: Kind) -> &'static str {
    if kind == Kind::Workspace { "storage_url" } else { "name" }
}
