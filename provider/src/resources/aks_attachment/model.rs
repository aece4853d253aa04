//! The attachment as a Rust struct.

use std::collections::BTreeMap;

use tfplugin::{Attr, Model, Timeouts};

use super::issuers::TokenIssuer;
use super::service_accounts::TokenServiceAccounts;

/// An `azureml_aks_attachment`. What each field means says its schema.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct AksAttachment {
    pub id: Attr<String>,
    pub name: Attr<String>,
    pub workspace_id: Attr<String>,
    pub connection: Attr<String>,
    pub namespace: Attr<String>,
    pub create_namespace: Attr<bool>,
    pub cluster_purpose: Attr<String>,
    pub enforce_capacity: Attr<bool>,
    pub router: Attr<RouterBlock>,
    pub router_version: Attr<String>,
    pub load_balancer_type: Attr<String>,
    pub load_balancer_subnet: Attr<String>,
    pub image_pull_secret: Attr<String>,
    pub storage_endpoint: Attr<String>,
    pub external_url: Attr<String>,
    pub token_issuers: Attr<Vec<TokenIssuer>>,
    pub token_service_accounts: Attr<TokenServiceAccounts>,
    pub force_conflicts: Attr<bool>,
    pub force_destroy: Attr<bool>,
    pub base_url: Attr<String>,
    pub status: Attr<String>,
    pub timeouts: Timeouts,
}

/// `router`.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct RouterBlock {
    pub image: Attr<String>,
    pub replicas: Attr<i64>,
    pub cpu_cores: Attr<f64>,
    pub cpu_cores_limit: Attr<f64>,
    pub memory_gb: Attr<f64>,
    pub memory_gb_limit: Attr<f64>,
    pub service_type: Attr<String>,
    pub node_port: Attr<i64>,
    pub annotations: Attr<BTreeMap<String, Attr<String>>>,
    pub node_selector: Attr<BTreeMap<String, Attr<String>>>,
    pub tolerations: Attr<Vec<TolerationBlock>>,
}

/// A taint that is tolerated.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct TolerationBlock {
    pub key: Attr<String>,
    pub operator: Attr<String>,
    pub value: Attr<String>,
    pub effect: Attr<String>,
}
