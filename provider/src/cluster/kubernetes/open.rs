//! From a compute's document to its namespace.

use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::ConfigMap;
use serving::cluster::OWNER;
use serving::service::Service;

use super::api::Namespace;
use super::attachment::Attachment;
use super::{KubernetesCluster, Site, documents};
use crate::cluster::Error;
use crate::connections::Connections;
use crate::provider::Settings;
use crate::workspace::ComputeId;
use crate::workspace::document::{ComputeBody, ComputeLocation};
use crate::workspace::references::Clusters;

/// What is wrong with a namespace that is not the one that was attached.
pub const FOREIGN: &str = "belongs to another attachment";
/// Longest wait for what services name: what is removed for it can be removed later.
const READING_TIME: Duration = Duration::from_secs(10);

impl KubernetesCluster {
    /// The compute of this id at its recorded location. A connection that leads to another cluster is refused.
    pub async fn open(id: &str, compute: &ComputeBody, settings: &Settings) -> Result<Self, Error> {
        let namespace = attached(id, compute, &settings.connections).await?;
        let attachment = Attachment::read(&compute.configured);
        let workspace = id.rsplit_once("/computes/").map_or(id, |(workspace, _)| workspace).to_owned();
        let site = Site { workspace, image_pull_secret: attachment.image_pull_secret };
        Ok(Self::new(id, namespace, site).at(attachment.base_url).forcing(attachment.force_conflicts))
    }
}

#[async_trait]
impl Clusters for Connections {
    async fn services(&self, id: &ComputeId, compute: &ComputeBody) -> Option<Vec<Service>> {
        let id = id.to_string();
        let read = async { documents::all(&attached(&id, compute, self).await?).await };
        match tokio::time::timeout(READING_TIME, read).await {
            Ok(Ok(services)) => Some(services),
            Ok(Err(error)) => {
                tracing::debug!("what services of compute {id} name is not known: {error}");
                None
            }
            Err(_) => None,
        }
    }
}

/// The namespace of a compute.
async fn attached(id: &str, compute: &ComputeBody, connections: &Connections) -> Result<Namespace, Error> {
    let ComputeLocation::Kubernetes { connection, namespace, uid } = &compute.location else {
        return Err(Error::NotInACluster { compute: id.to_owned() });
    };
    let client = connections.client(connection).await?;
    let namespace = Namespace::new(client, namespace, connection);
    check_identity(id, &namespace, uid).await?;
    Ok(namespace)
}

/// Whether the namespace is the one that was attached.
async fn check_identity(id: &str, namespace: &Namespace, uid: &str) -> Result<(), Error> {
    let owner = namespace.get::<ConfigMap>(OWNER).await?;
    let problem = match owner.map(|owner| owner.metadata.uid.unwrap_or_default()) {
        Some(found) if found == uid => return Ok(()),
        Some(_) => FOREIGN,
        None => "is attached to nothing",
    };
    Err(elsewhere(id, namespace, problem))
}

/// The error for a connection that leads elsewhere.
#[must_use]
pub fn elsewhere(id: &str, namespace: &Namespace, problem: &'static str) -> Error {
    Error::Elsewhere {
        compute: id.to_owned(),
        namespace: namespace.name().to_owned(),
        connection: namespace.connection().to_owned(),
        problem,
    }
}
