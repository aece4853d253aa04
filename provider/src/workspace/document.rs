//! The documents of a workspace, as they are stored.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::blob::Digest;
use super::id::WorkspaceId;
use crate::environment::image::Base;

/// Format of the documents that this provider writes. It refuses newer ones and reads all older ones.
pub const FORMAT: u32 = 1;

/// Kinds of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The workspace itself.
    Workspace,
    /// A model with all its versions.
    Model,
    /// An environment.
    Environment,
    /// A compute.
    Compute,
}

impl Kind {
    /// Every kind of which a workspace holds many.
    pub const HELD: [Self; 3] = [Self::Model, Self::Environment, Self::Compute];

    /// Folder below the storage root.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::Model => "models",
            Self::Environment => "environments",
            Self::Compute => "computes",
        }
    }

    /// Id of the object of this kind and name; the workspace's name is not part of its id.
    #[must_use]
    pub fn id(self, workspace: &WorkspaceId, name: &str) -> String {
        match self {
            Self::Workspace => workspace.to_string(),
            _ => format!("{workspace}/{}/{name}", self.folder()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Workspace => "workspace",
            Self::Model => "model",
            Self::Environment => "environment",
            Self::Compute => "compute",
        })
    }
}

/// What every document has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// See [`FORMAT`].
    pub format: u32,
    /// Who created the object: the provider's `owner` argument.
    pub owner: String,
    /// Digest of what the create was asked for; adoption compares it.
    pub spec: Digest,
    /// False until the create has finished.
    pub committed: bool,
    /// True in the last revision of an object that is being removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// True once anything was changed after the create; such an object is never adopted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub changed: bool,
    /// RFC 3339 time of the create.
    pub created_time: String,
    /// RFC 3339 time of this revision.
    pub updated_time: String,
}

/// One revision of a document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: DeserializeOwned"))]
pub struct Document<T> {
    /// Common part.
    #[serde(flatten)]
    pub header: Header,
    /// What the object is. A removed document has none.
    pub body: Option<T>,
}

/// The particular part of a document.
pub trait Body: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The kind.
    const KIND: Kind;
}

/// The workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceBody {
    /// `name`.
    pub name: String,
    /// `storage_url` as configured, so that an import plans no change.
    pub storage_url: String,
    /// Whether its destruction has begun.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub destroying: bool,
    /// `registry`: where images of its environments are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// `global_registry`: where they are looked for before they are built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_registry: Option<String>,
}

impl Body for WorkspaceBody {
    const KIND: Kind = Kind::Workspace;
}

/// A model with all its versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelBody {
    /// `path` as configured, so that an import plans no change.
    pub path: String,
    /// `description`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `tags` as configured: Terraform distinguishes an empty map from none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// `properties` as configured; they only grow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<BTreeMap<String, String>>,
    /// `keep_versions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_versions: Option<u64>,
    /// Number of the newest version; 0 before the first. Numbers are never used again.
    #[serde(default)]
    pub version: u64,
    /// The versions that are still there, by number.
    #[serde(default)]
    pub versions: BTreeMap<u64, ModelVersion>,
}

impl Body for ModelBody {
    const KIND: Kind = Kind::Model;
}

/// One version of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelVersion {
    /// Digest of the manifest, which is a blob.
    pub manifest: Digest,
    /// RFC 3339 time of its registration.
    pub created_time: String,
}

/// An environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentBody {
    /// The definition as configured.
    pub definition: Definition,
    /// `docker` as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker: Option<Docker>,
    /// `environment_variables` as configured: Terraform distinguishes an empty map from none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_variables: Option<BTreeMap<String, String>>,
    /// Counts the changes of definition, variables and scorer, from 1.
    pub version: u64,
    /// Hash of the definition.
    pub hash: String,
    /// What the definition was resolved to at its first apply. Absent only in the intent of a create.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Resolved>,
    /// What the image was built on; kept until another one is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// The image that was built of it, by digest; none in a workspace without a registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

impl Body for EnvironmentBody {
    const KIND: Kind = Kind::Environment;
}

/// `pip_requirements` or `conda_file`, literally.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Definition {
    /// Content of a requirements file.
    PipRequirements(String),
    /// Content of a conda environment file.
    CondaFile(String),
}

/// `docker`: how an environment's image differs from the ordinary one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Docker {
    /// `base_image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_image: Option<String>,
    /// `base_dockerfile`, literally.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_dockerfile: Option<String>,
    /// `extra_docker_file_steps` as configured: Terraform distinguishes an empty list from none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_docker_file_steps: Option<Vec<String>>,
}

/// A definition with everything that was open in it decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// Requirements with exact versions and hashes of everything, as `uv pip compile` writes them.
    pub lock: String,
    /// Python's full version.
    pub python: String,
    /// What the lock was resolved for, as Python names it: `linux-x86_64`.
    pub platform: String,
    /// The scorer.
    pub scorer: Scorer,
}

/// The scorer of an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scorer {
    /// `scorer_version`.
    pub version: String,
    /// File name of the wheel.
    pub file: String,
    /// The wheel, kept as a blob: a later provider release brings another one.
    pub wheel: Digest,
}

/// A compute. What it needs beyond this is the business of its kind of cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComputeBody {
    /// Where it is.
    pub location: ComputeLocation,
    /// What the user configured, literally, so that an import plans no change.
    #[serde(default)]
    pub configured: serde_json::Value,
}

impl Body for ComputeBody {
    const KIND: Kind = Kind::Compute;
}

/// Where a compute is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComputeLocation {
    /// Processes on one machine.
    Local {
        /// Identity of the machine (`/etc/machine-id` or the like).
        machine: String,
        /// Host name, for people.
        host: String,
        /// Absolute path of the compute directory, see [`serving::layout`].
        directory: String,
    },
    /// A namespace of a Kubernetes cluster, see [`serving::cluster`].
    Kubernetes {
        /// Name of the connection in the provider block, which alone knows how the cluster is reached.
        connection: String,
        /// The namespace.
        namespace: String,
        /// UID of the ConfigMap [`serving::cluster::OWNER`], by which a connection that leads elsewhere is found out.
        /// Empty only in the intent of a create.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        uid: String,
    },
}

impl ComputeLocation {
    /// Whether it is processes of this machine.
    #[must_use]
    pub fn is_here(&self) -> bool {
        let Self::Local { machine, .. } = self else { return false };
        #[cfg(unix)]
        return *machine == crate::cluster::local::machine::Machine::this().id;
        #[cfg(not(unix))]
        {
            let _ = machine;
            false
        }
    }
}
