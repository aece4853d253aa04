//! The version as a Rust struct.

use tfplugin::{Attr, Model, Number, Timeouts};

use crate::deployment::{Deployment, Labels};

/// An `azureml_endpoint_version`. What each field means says its schema.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct EndpointVersion {
    pub id: Attr<String>,
    pub name: Attr<String>,
    pub endpoint_id: Attr<String>,
    #[model(flatten)]
    pub deployment: Deployment,
    pub traffic_percentile: Attr<Number>,
    pub is_default: Attr<bool>,
    pub is_control_version_type: Attr<bool>,
    #[model(flatten)]
    pub labels: Labels,
    pub state: Attr<String>,
    pub created_time: Attr<String>,
    pub updated_time: Attr<String>,
    pub timeouts: Timeouts,
}
