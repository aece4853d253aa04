//! The traffic as a Rust struct.

use std::collections::BTreeMap;

use tfplugin::{Attr, Model, Number, Timeouts};

/// An `azureml_endpoint_traffic`. What each field means says its schema.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct EndpointTraffic {
    pub id: Attr<String>,
    pub endpoint_id: Attr<String>,
    pub traffic: Attr<BTreeMap<String, Attr<Number>>>,
    pub default_version: Attr<String>,
    pub control_version: Attr<String>,
    pub timeouts: Timeouts,
}
