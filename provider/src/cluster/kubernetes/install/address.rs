//! The URL that callers reach the router by.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Service};
use serving::cluster::ROUTER;
use tokio::time::Instant;

use super::super::attachment::{Attachment, ServiceType};
use super::{InstallError, Installer, pause};
use crate::cluster::wait::Limits;

const PAUSE: Duration = Duration::from_secs(1);
/// How long a cloud may take to give a load balancer its address.
const PATIENCE: Duration = Duration::from_mins(5);

impl Installer {
    /// The URL, without a trailing slash. Waits for the address of a load balancer.
    pub async fn base_url(&self, attachment: &Attachment, limits: &Limits) -> Result<String, InstallError> {
        if let Some(url) = &attachment.external_url {
            return Ok(url.trim_end_matches('/').to_owned());
        }
        match attachment.service_type() {
            ServiceType::ClusterIp => Ok(format!("http://{ROUTER}.{}.svc", self.namespace.name())),
            ServiceType::NodePort => self.of_node().await,
            ServiceType::LoadBalancer => self.of_load_balancer(limits).await,
        }
    }

    async fn of_load_balancer(&self, limits: &Limits) -> Result<String, InstallError> {
        let end = Instant::now() + PATIENCE.min(limits.remaining());
        loop {
            let service = self.namespace.get::<Service>(ROUTER).await?;
            if let Some(address) = service.as_ref().and_then(ingress) {
                return Ok(address);
            }
            if Instant::now() >= end {
                let problem = format!(
                    "the Service {ROUTER} has no address after {} seconds (kubectl describe service says why); a cluster \
                     without load balancers needs another router.service_type",
                    PATIENCE.as_secs()
                );
                return Err(InstallError::NoAddress { problem });
            }
            if pause(limits, PAUSE).await {
                return Err(InstallError::Interrupted { doing: "waiting for the load balancer's address".to_owned() });
            }
        }
    }

    /// Any node answers.
    async fn of_node(&self) -> Result<String, InstallError> {
        let service = self.namespace.get::<Service>(ROUTER).await?;
        let port = service.and_then(|service| service.spec?.ports?.first()?.node_port);
        let nodes =
            self.namespace.nodes().await.map_err(|error| InstallError::NoAddress { problem: error.to_string() })?;
        let address = nodes.iter().find_map(|node| address_of(node, "ExternalIP"));
        let address = address.or_else(|| nodes.iter().find_map(|node| address_of(node, "InternalIP")));
        match (address, port) {
            (Some(address), Some(port)) => Ok(format!("http://{}:{port}", bracketed(&address))),
            _ => Err(InstallError::NoAddress { problem: "no node has an address, or the Service no port".to_owned() }),
        }
    }
}

fn address_of(node: &Node, kind: &str) -> Option<String> {
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    addresses.iter().find(|address| address.type_ == kind).map(|address| address.address.clone())
}

fn ingress(service: &Service) -> Option<String> {
    let ingress = service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?.first()?;
    let host = ingress.hostname.clone().or_else(|| ingress.ip.as_deref().map(bracketed))?;
    Some(format!("http://{host}"))
}

/// An IPv6 address as URLs have it.
fn bracketed(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}
