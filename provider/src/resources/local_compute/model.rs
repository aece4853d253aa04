//! The local compute as a Rust struct.

use tfplugin::{Attr, Model, Timeouts};

use super::issuers::TokenIssuer;

/// An `azureml_local_compute`. What each field means says its schema.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct LocalCompute {
    pub id: Attr<String>,
    pub name: Attr<String>,
    pub workspace_id: Attr<String>,
    pub address: Attr<String>,
    pub port: Attr<i64>,
    pub directory: Attr<String>,
    pub router_path: Attr<String>,
    pub router_version: Attr<String>,
    pub token_issuers: Attr<Vec<TokenIssuer>>,
    pub status: Attr<String>,
    pub timeouts: Timeouts,
}
