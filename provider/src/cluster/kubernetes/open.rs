//! From a compute's document to its namespace.

use k8s_openapi::api::core::v1::ConfigMap;
use serving::cluster::OWNER;

use super::api::Namespace;
use super::attachment::Attachment;
use super::{KubernetesCluster, Site};
use crate::cluster::Error;
use crate::provider::Settings;
use crate::workspace::document::{ComputeBody, ComputeLocation};

impl KubernetesCluster {
    /// The compute of this id at its recorded location. A connection that leads to another cluster is refused.
    pub async fn open(id: &str, compute: &ComputeBody, settings: &Settings) -> Result<Self, Error> {
        let ComputeLocation::Kubernetes { connection, namespace, uid } = &compute.location else {
            return Err(Error::NotInACluster { compute: id.to_owned() });
        };
        let client = settings.connections.client(connection).await?;
        let namespace = Namespace::new(client, namespace, connection);
        check_identity(id, &namespace, connection, uid).await?;
        let attachment = Attachment::read(&compute.configured);
        let workspace = id.rsplit_once("/computes/").map_or(id, |(workspace, _)| workspace).to_owned();
        let site = Site { workspace, image_pull_secret: attachment.image_pull_secret };
        Ok(Self::new(id, namespace, site).at(attachment.base_url).forcing(attachment.force_conflicts))
    }
}

/// Whether the namespace is the one that was attached.
async fn check_identity(id: &str, namespace: &Namespace, connection: &str, uid: &str) -> Result<(), Error> {
    let owner = namespace.get::<ConfigMap>(OWNER).await?;
    let problem = match owner.map(|owner| owner.metadata.uid.unwrap_or_default()) {
        Some(found) if found == uid => return Ok(()),
        Some(_) => "belongs to another attachment",
        None => "is attached to nothing",
    };
    Err(elsewhere(id, namespace, connection, problem))
}

/// The error for a connection that leads elsewhere.
#[must_use]
pub fn elsewhere(id: &str, namespace: &Namespace, connection: &str, problem: &'static str) -> Error {
    Error::Elsewhere {
        compute: id.to_owned(),
        namespace: namespace.name().to_owned(),
        connection: connection.to_owned(),
        problem,
    }
}
