use serving::traffic::{Conflicts, MAX_VERSIONS};
use serving::validate::Violation;

use crate::cluster::Error;
use crate::diagnostics::Blame;

/// Why an endpoint's document was not changed, or what was declared is not served.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no such endpoint.
    #[error(
        "there is no endpoint {0} on the compute; create it, or name one that exists, such as azureml_endpoint.<name>.id"
    )]
    Gone(String),
    /// What the versions declare cannot be served together.
    #[error(
        "the versions of endpoint {endpoint} cannot be served as they are declared: {conflicts}. What was served before keeps \
         being served until the declarations agree; then they are served without another apply of this version. Correct the \
         others. If they are correct, but Terraform would have changed them only after this one, because of depends_on or \
         -parallelism=1, apply once more without both. Or declare the whole split in one azureml_endpoint_traffic"
    )]
    Conflicts {
        /// The endpoint.
        endpoint: String,
        /// What is in conflict, and every version's share.
        #[source]
        conflicts: Conflicts,
    },
    /// There is no room for another version.
    #[error(
        "endpoint {endpoint} has {MAX_VERSIONS} versions already, which is the most: {}; remove one of them first",
        versions.join(", ")
    )]
    Full {
        /// The endpoint.
        endpoint: String,
        /// Its versions.
        versions: Vec<String>,
    },
    /// A version of the name is there.
    #[error("version {version} of endpoint {endpoint} already exists")]
    Exists {
        /// The endpoint.
        endpoint: String,
        /// The version.
        version: String,
    },
    /// The version is not there (any more).
    #[error("endpoint {endpoint} has no version {version} any more; run terraform apply again, which creates it")]
    VersionGone {
        /// The endpoint.
        endpoint: String,
        /// The version.
        version: String,
    },
    /// The traffic names versions that do not exist.
    #[error(
        "endpoint {endpoint} has no version {}; its versions are: {}. Name versions by their attribute, such as \
         azureml_endpoint_version.<name>.name, so that they are created first",
        unknown.join(", "), if versions.is_empty() { "none".to_owned() } else { versions.join(", ") }
    )]
    UnknownVersions {
        /// The endpoint.
        endpoint: String,
        /// Names without a version.
        unknown: Vec<String>,
        /// Its versions.
        versions: Vec<String>,
    },
    /// The version declares a share although the whole split is declared as one.
    #[error(
        "the traffic of endpoint {0} is declared as a whole by an azureml_endpoint_traffic; remove traffic_percentile and \
         is_default from its versions, or remove that resource"
    )]
    Assigned(String),
    /// The document would break rules, which only an edited one can.
    #[error(
        "the document of endpoint {endpoint} would break rules: {}",
        violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Rules {
        /// The endpoint.
        endpoint: String,
        /// All of them.
        violations: Vec<Violation>,
    },
    /// The cluster cannot be asked.
    #[error(transparent)]
    Cluster(#[from] Error),
}

impl ChangeError {
    /// Somebody else's change may resolve it.
    pub(super) const fn may_pass(&self) -> bool {
        matches!(self, Self::Conflicts { .. } | Self::Full { .. } | Self::UnknownVersions { .. } | Self::Assigned(_))
    }
}

impl Blame for ChangeError {
    fn attribute(&self) -> Option<&'static str> {
        match self {
            Self::Gone(_) => Some("endpoint_id"),
            Self::Full { .. } | Self::Exists { .. } => Some("name"),
            Self::UnknownVersions { .. } => Some("traffic"),
            Self::Assigned(_) | Self::Conflicts { .. } => Some("traffic_percentile"),
            Self::VersionGone { .. } | Self::Rules { .. } => None,
            Self::Cluster(error) => error.attribute(),
        }
    }
}
