//! The endpoint as a Rust struct.

use tfplugin::{Attr, Model, Timeouts};

use crate::access::Access;
use crate::deployment::Labels;

/// An `azureml_endpoint`. What each field means says its schema.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct Endpoint {
    pub id: Attr<String>,
    pub name: Attr<String>,
    pub compute_id: Attr<String>,
    pub sticky: Attr<StickyConfig>,
    pub force_destroy: Attr<bool>,
    #[model(flatten)]
    pub access: Access,
    #[model(flatten)]
    pub labels: Labels,
    pub scoring_uri: Attr<String>,
    pub swagger_uri: Attr<String>,
    pub created_time: Attr<String>,
    pub updated_time: Attr<String>,
    pub timeouts: Timeouts,
}

/// Where a request's sticky key is; one of the three.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct StickyConfig {
    pub header: Attr<String>,
    pub cookie: Attr<String>,
    pub query: Attr<String>,
}
