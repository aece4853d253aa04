//! What an attachment's document holds: what was configured, literally, and what was found or decided once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serving::pod::Toleration;
use serving::token::{Issuer, ServiceAccounts};

/// Image of the router without its tag, in releases.
const IMAGE: &str = "ghcr.io/openazureml/azureml-fe";

/// An attached namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the schema of the resource describes each field that is configured")]
pub struct Attachment {
    pub namespace: Option<String>,
    pub create_namespace: bool,
    pub cluster_purpose: Purpose,
    pub enforce_capacity: bool,
    pub router: Option<Router>,
    pub router_version: Option<String>,
    pub load_balancer_type: LoadBalancer,
    pub load_balancer_subnet: Option<String>,
    pub image_pull_secret: Option<String>,
    pub storage_endpoint: Option<String>,
    pub external_url: Option<String>,
    pub force_conflicts: bool,
    pub token_issuers: Vec<Issuer>,
    pub token_service_accounts: Option<ServiceAccounts>,
    /// Image of the router that was decided on when it was created or last changed.
    pub image: String,
    /// What the routers of the last apply said that they are.
    pub version: Option<String>,
    /// URL that the router answers on, without a trailing slash, once it is known.
    pub base_url: Option<String>,
}

impl Default for Attachment {
    fn default() -> Self {
        Self {
            namespace: None,
            create_namespace: true,
            cluster_purpose: Purpose::default(),
            enforce_capacity: false,
            router: None,
            router_version: None,
            load_balancer_type: LoadBalancer::default(),
            load_balancer_subnet: None,
            image_pull_secret: None,
            storage_endpoint: None,
            external_url: None,
            force_conflicts: false,
            token_issuers: Vec::new(),
            token_service_accounts: None,
            image: String::new(),
            version: None,
            base_url: None,
        }
    }
}

/// `router`, as configured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the schema of the resource describes each field")]
pub struct Router {
    pub image: Option<String>,
    pub replicas: Option<u32>,
    pub cpu_cores: Option<f64>,
    pub cpu_cores_limit: Option<f64>,
    pub memory_gb: Option<f64>,
    pub memory_gb_limit: Option<f64>,
    pub service_type: Option<ServiceType>,
    pub node_port: Option<u16>,
    pub annotations: Option<BTreeMap<String, String>>,
    pub node_selector: Option<BTreeMap<String, String>>,
    pub tolerations: Option<Vec<Toleration>>,
}

/// What the cluster is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Few services under load.
    #[default]
    FastProd,
    /// Many small services.
    DenseProd,
    /// Development and tests.
    DevTest,
}

/// Who reaches the router's load balancer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadBalancer {
    /// Everybody.
    #[default]
    PublicIp,
    /// The virtual network.
    InternalLoadBalancer,
}

/// How the router is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceType {
    /// By a load balancer of the cloud.
    #[default]
    LoadBalancer,
    /// By a port of each node.
    NodePort,
    /// From within the cluster, or by an ingress of one's own.
    #[serde(rename = "ClusterIP")]
    ClusterIp,
}

macro_rules! texts {
    ($type:ident { $($variant:ident => $text:literal),* $(,)? }) => {
        impl $type {
            /// All values, as they are written.
            pub const ALL: &'static [&'static str] = &[$($text),*];

            /// As it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// From what is written; none if there is no such value.
            #[must_use]
            pub fn of(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}
texts!(Purpose { FastProd => "FastProd", DenseProd => "DenseProd", DevTest => "DevTest" });
texts!(LoadBalancer { PublicIp => "PublicIp", InternalLoadBalancer => "InternalLoadBalancer" });
texts!(ServiceType { LoadBalancer => "LoadBalancer", NodePort => "NodePort", ClusterIp => "ClusterIP" });

impl Purpose {
    /// Routers if their number is not configured.
    #[must_use]
    pub const fn routers(self) -> u32 {
        match self {
            Self::FastProd | Self::DenseProd => 3,
            Self::DevTest => 1,
        }
    }

    /// Cores that a cluster of this purpose should have together.
    #[must_use]
    pub const fn cores(self) -> f64 {
        match self {
            Self::FastProd | Self::DenseProd => 12.0,
            Self::DevTest => 2.0,
        }
    }
}

impl Attachment {
    /// From a document; what is not readable has its default.
    #[must_use]
    pub fn read(document: &serde_json::Value) -> Self {
        serde_json::from_value(document.clone()).unwrap_or_default()
    }

    /// For a document.
    #[must_use]
    pub fn write(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Router settings; the defaults if none are configured.
    #[must_use]
    pub fn router(&self) -> Router {
        self.router.clone().unwrap_or_default()
    }

    /// Number of routers.
    #[must_use]
    pub fn replicas(&self) -> u32 {
        self.router.as_ref().and_then(|router| router.replicas).unwrap_or_else(|| self.cluster_purpose.routers())
    }

    /// How the router is reached.
    #[must_use]
    pub fn service_type(&self) -> ServiceType {
        self.router.as_ref().and_then(|router| router.service_type).unwrap_or_default()
    }

    /// The image of the router of a version.
    #[must_use]
    pub fn image_of(version: &str) -> String {
        format!("{IMAGE}:{version}")
    }

    /// The version that an image was chosen by; none if the image was configured.
    #[must_use]
    pub fn version_of(image: &str) -> Option<&str> {
        image.strip_prefix(IMAGE)?.strip_prefix(':')
    }
}

/// Namespace of a compute whose configuration names none.
#[must_use]
pub fn default_namespace(workspace_name: &str) -> String {
    let name = workspace_name.to_ascii_lowercase().replace('_', "-");
    format!("azureml-{}", name.trim_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_holds_what_was_configured_and_reads_back() {
        let router = Router { service_type: Some(ServiceType::ClusterIp), cpu_cores: Some(0.25), ..Router::default() };
        let attachment = Attachment {
            namespace: Some("ml".into()),
            router: Some(router),
            image: Attachment::image_of("1.2.3"),
            ..Attachment::default()
        };
        let document = attachment.write();
        assert_eq!(document["router"]["service_type"], "ClusterIP");
        assert_eq!(Attachment::read(&document), attachment);
        assert_eq!(Attachment::read(&serde_json::Value::Null), Attachment::default());
        assert_eq!(Attachment::version_of(&attachment.image), Some("1.2.3"));
        assert_eq!(Attachment::version_of("registry.example/azureml-fe:1"), None);
    }

    #[test]
    fn the_default_namespace_of_every_workspace_is_a_name_of_a_namespace() {
        for name in ["prod", "My_Workspace", "a__", "123"] {
            serving::name::Noun::Namespace.check(&default_namespace(name)).expect(name);
        }
        assert_eq!(default_namespace("My_Workspace"), "azureml-my-workspace");
    }

    #[test]
    fn values_are_written_as_the_original_has_them() {
        assert_eq!(Purpose::of("FastProd"), Some(Purpose::FastProd));
        assert_eq!(ServiceType::ClusterIp.as_str(), "ClusterIP");
        assert_eq!(LoadBalancer::of("publicip"), None);
        let json = serde_json::to_value(LoadBalancer::InternalLoadBalancer).expect("JSON");
        assert_eq!(json, LoadBalancer::InternalLoadBalancer.as_str());
    }
}
