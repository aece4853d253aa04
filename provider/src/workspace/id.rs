//! Ids of what a workspace holds. An id alone leads to its object.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use objects::{Location, LocationError};
use serde::{Deserialize, Serialize};
use serving::name::{Noun, Violation};
use url::Url;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It is not a URL.
    #[error("{0:?} is not a URL of a storage root; write it like file:///home/me/workspace or az://container/prefix")]
    NotAUrl(String),
    /// Its scheme is not one that this release stores workspaces in.
    #[error(
        "storage of scheme {scheme:?} is not supported; workspaces are stored in directories (file:///home/me/workspace), Azure Blob Storage (az://container/prefix) and S3 (s3://bucket/prefix)"
    )]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// An object store's URL that is not of the right form.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// A `file://` URL that names a host, has a query or fragment, or is the root directory.
    #[error(
        "{0:?} does not name a directory of this machine below the root directory; write it like file:///home/me/workspace"
    )]
    NotADirectory(String),
    /// The part after the storage root is not of the right form.
    #[error("{id:?} is not the id of {article} {noun}; write it like {form}")]
    Form {
        /// The refused text.
        id: String,
        /// `a` or `an`.
        article: &'static str,
        /// What it was to be the id of.
        noun: &'static str,
        /// The right form.
        form: &'static str,
    },
    /// The name in the id breaks its rule.
    #[error(transparent)]
    Name(#[from] Violation),
}

/// URL of a workspace's storage root, in one normal form: absolute, no trailing slash, no `.` or `..` segments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkspaceId(String);

impl WorkspaceId {
    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directory of a `file://` root.
    #[must_use]
    pub fn directory(&self) -> Option<PathBuf> {
        Url::parse(&self.0).ok().filter(|url| url.scheme() == "file").and_then(|url| url.to_file_path().ok())
    }

    /// Where it is in object storage, unless it is a `file://` root.
    #[must_use]
    pub fn location(&self) -> Option<Location> {
        Location::parse(&self.0)?.ok()
    }

    /// The id of the workspace whose root is this directory. `None` unless the path is absolute.
    #[must_use]
    pub fn of_directory(directory: &Path) -> Option<Self> {
        Url::from_file_path(directory).ok().and_then(|url| url.as_str().parse().ok())
    }

    /// Id of a model in this workspace.
    #[must_use]
    pub fn model(&self, name: &str) -> ModelId {
        ModelId { workspace: self.clone(), name: name.to_owned() }
    }

    /// Id of an environment in this workspace.
    #[must_use]
    pub fn environment(&self, name: &str) -> EnvironmentId {
        EnvironmentId { workspace: self.clone(), name: name.to_owned() }
    }

    /// Id of a compute in this workspace.
    #[must_use]
    pub fn compute(&self, name: &str) -> ComputeId {
        ComputeId { workspace: self.clone(), name: name.to_owned() }
    }
}

impl FromStr for WorkspaceId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Some(location) = Location::parse(text) {
            return Ok(Self(location?.to_string()));
        }
        let url = Url::parse(text).map_err(|_| ParseError::NotAUrl(text.to_owned()))?;
        if matches!(url.scheme(), "az" | "s3") {
            return Err(ParseError::NotAUrl(text.to_owned()));
        }
        if url.scheme() != "file" {
            return Err(ParseError::Scheme { scheme: url.scheme().to_owned() });
        }
        let plain = url.query().is_none() && url.fragment().is_none() && url.host().is_none();
        let normal = url.as_str().trim_end_matches('/');
        // `file://relative/path` parses as a host; `file:relative` parses as an absolute path, so look at the text.
        let absolute = text.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("file:///"));
        if !plain || !absolute || normal.len() <= "file://".len() || url.to_file_path().is_err() {
            return Err(ParseError::NotADirectory(text.to_owned()));
        }
        Ok(Self(normal.to_owned()))
    }
}

impl TryFrom<String> for WorkspaceId {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<WorkspaceId> for String {
    fn from(id: WorkspaceId) -> Self {
        id.0
    }
}

impl fmt::Display for WorkspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Splits `<workspace>/<folder>/<name>`.
fn split(id: &str, folder: &str, noun: Noun, form: &'static str) -> Result<(WorkspaceId, String), ParseError> {
    let article = if noun == Noun::Environment { "an" } else { "a" };
    let wrong = || ParseError::Form { id: id.to_owned(), article, noun: noun.as_str(), form };
    let (rest, name) = id.rsplit_once('/').ok_or_else(wrong)?;
    let (root, found) = rest.rsplit_once('/').ok_or_else(wrong)?;
    if found != folder || name.is_empty() {
        return Err(wrong());
    }
    let workspace = root.parse()?;
    noun.check(name)?;
    Ok((workspace, name.to_owned()))
}

macro_rules! id {
    ($(#[$doc:meta])* $type:ident, $folder:literal, $noun:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type {
            /// The workspace.
            pub workspace: WorkspaceId,
            /// The name.
            pub name: String,
        }

        impl FromStr for $type {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                let (workspace, name) = split(text, $folder, $noun, concat!("<workspace id>/", $folder, "/<name>"))?;
                Ok(Self { workspace, name })
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{}/", $folder, "/{}"), self.workspace, self.name)
            }
        }
    };
}

id!(
    /// `<workspace>/models/<name>`.
    ModelId,
    "models",
    Noun::Model
);
id!(
    /// `<workspace>/environments/<name>`.
    EnvironmentId,
    "environments",
    Noun::Environment
);
id!(
    /// `<workspace>/computes/<name>`.
    ComputeId,
    "computes",
    // The rule of local computes is the wider one; the narrower is checked where a cluster is attached.
    Noun::LocalCompute
);

/// `<workspace>/models/<name>/<version>`: one version of a model, as `model_ids` takes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelVersionId {
    /// The model.
    pub model: ModelId,
    /// The version, from 1.
    pub version: u64,
}

impl ModelId {
    /// Id of a version of this model.
    #[must_use]
    pub fn version(&self, version: u64) -> ModelVersionId {
        ModelVersionId { model: self.clone(), version }
    }
}

impl FromStr for ModelVersionId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || ParseError::Form {
            id: text.to_owned(),
            article: "a",
            noun: "model version",
            form: "<workspace id>/models/<name>/<version>",
        };
        let (model, version) = text.rsplit_once('/').ok_or_else(wrong)?;
        // Only the one spelling that `Display` writes: no sign, no leading zero.
        let version = version.parse().ok().filter(|number: &u64| *number > 0 && number.to_string() == version);
        let version = version.ok_or_else(wrong)?;
        match model.parse() {
            Ok(model) => Ok(Self { model, version }),
            Err(ParseError::Form { .. }) => Err(wrong()),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Display for ModelVersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.model, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storage_root_has_one_spelling() {
        for text in ["file:///data/ws", "file:///data/ws/", "file:///data/./ws//", "FILE:///data/x/../ws"] {
            assert_eq!(text.parse::<WorkspaceId>().map(String::from), Ok("file:///data/ws".to_owned()), "{text}");
        }
        let spaced: WorkspaceId = "file:///data/my ws".parse().expect("a URL");
        assert_eq!(spaced.as_str(), "file:///data/my%20ws");
        assert_eq!(spaced.directory(), Some(PathBuf::from("/data/my ws")));
        assert_eq!(WorkspaceId::of_directory(Path::new("/data/my ws")), Some(spaced));
    }

    #[test]
    fn what_is_no_directory_of_this_machine_is_refused() {
        for text in ["file://host/ws", "file:///", "file:ws", "file://", "file:///ws?x=1", "file:///ws#x"] {
            assert!(matches!(text.parse::<WorkspaceId>(), Err(ParseError::NotADirectory(_))), "{text}");
        }
        assert!(matches!("/data/ws".parse::<WorkspaceId>(), Err(ParseError::NotAUrl(_))));
        assert!(
            matches!("gs://bucket/ws".parse::<WorkspaceId>(), Err(ParseError::Scheme { scheme }) if scheme == "gs")
        );
    }

    #[test]
    fn a_container_or_bucket_is_a_storage_root_with_or_without_a_prefix() {
        for (text, normal) in [("AZ://mlops/ws/", "az://mlops/ws"), ("s3://my.bucket", "s3://my.bucket")] {
            let id: WorkspaceId = text.parse().expect("a URL");
            assert_eq!((id.as_str(), id.directory()), (normal, None));
            assert_eq!(id.location().expect("a store").to_string(), normal);
            let version = id.model("models").version(2);
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        for text in ["az:mlops", "s3:/bucket", "az://MLOPS", "s3://b"] {
            assert!(text.parse::<WorkspaceId>().is_err(), "{text}");
        }
    }

    #[test]
    fn ids_read_back_as_they_are_written() {
        let workspace: WorkspaceId = "file:///data/models/ws".parse().expect("a URL");
        let version = workspace.model("ridge.v-2").version(12);
        assert_eq!(version.to_string(), "file:///data/models/ws/models/ridge.v-2/12");
        assert_eq!(version.to_string().parse(), Ok(version.clone()));
        assert_eq!(version.model.to_string().parse(), Ok(version.model));
        let compute = workspace.compute("local");
        assert_eq!(compute.to_string().parse(), Ok(compute));
    }

    #[test]
    fn ids_of_other_kinds_and_odd_versions_are_refused() {
        for text in ["file:///ws/environments/a", "file:///ws/models/", "models/a", "a", "file:///ws/models/a/1"] {
            assert!(text.parse::<ModelId>().is_err(), "{text}");
        }
        for text in ["file:///ws/models/a", "file:///ws/models/a/0", "file:///ws/models/a/01", "file:///ws/models/a/+1"]
        {
            let error = text.parse::<ModelVersionId>().expect_err(text);
            assert!(error.to_string().contains("model version"), "{error}");
        }
    }
}
