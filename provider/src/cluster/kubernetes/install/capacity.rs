//! Whether the cluster is as large as its purpose wants.

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::super::api::{ApiError, Problem};
use super::super::attachment::Attachment;
use super::super::fit::amount;
use super::{InstallError, Installer};

/// What is known of the cluster's size.
#[derive(Clone, Debug, PartialEq)]
pub enum Capacity {
    /// It is enough.
    Enough,
    /// It is not, which a warning says.
    TooSmall(String),
    /// The connection may not see the nodes.
    Unknown(String),
}

impl Installer {
    /// Looks at the nodes. Too small a cluster is an error only if the attachment says so.
    pub async fn capacity(&self, attachment: &Attachment) -> Result<Capacity, InstallError> {
        let nodes = match self.namespace.nodes().await {
            Ok(nodes) => nodes,
            Err(ApiError { problem: Problem::Forbidden(message), .. }) => return Ok(Capacity::Unknown(message)),
            Err(error) => return Err(error.into()),
        };
        let usable: Vec<&Node> = nodes
            .iter()
            .filter(|node| node.spec.as_ref().is_none_or(|spec| spec.unschedulable != Some(true)))
            .collect();
        let cores: f64 = usable.iter().map(|node| cores(node)).sum();
        let (purpose, wanted) = (attachment.cluster_purpose.as_str(), attachment.cluster_purpose.cores());
        if cores >= wanted {
            return Ok(Capacity::Enough);
        }
        let error = InstallError::TooSmall { found: cores, nodes: usable.len(), purpose, wanted };
        if attachment.enforce_capacity { Err(error) } else { Ok(Capacity::TooSmall(error.to_string())) }
    }
}

/// Cores of a node.
fn cores(node: &Node) -> f64 {
    let capacity = node.status.as_ref().and_then(|status| status.capacity.as_ref()?.get("cpu"));
    capacity.and_then(|Quantity(text)| amount(text)).unwrap_or(0.0)
}
