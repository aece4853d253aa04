//! The model as a Rust struct.

use std::collections::BTreeMap;

use tfplugin::{Attr, Timeouts};

use crate::workspace::model::ModelSpec;

/// An `azureml_model`. What each field means says its schema.
#[derive(Clone, Debug, Default, PartialEq, tfplugin::Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct Model {
    pub id: Attr<String>,
    pub name: Attr<String>,
    pub workspace_id: Attr<String>,
    pub path: Attr<String>,
    pub description: Attr<String>,
    pub tags: Attr<BTreeMap<String, String>>,
    pub properties: Attr<BTreeMap<String, String>>,
    pub keep_versions: Attr<u64>,
    pub version: Attr<u64>,
    pub version_id: Attr<String>,
    pub digest: Attr<String>,
    pub timeouts: Timeouts,
}

impl Model {
    /// What the workspace is asked for.
    pub(super) fn spec(&self) -> ModelSpec {
        ModelSpec {
            path: self.path.clone().unwrap_or_default(),
            description: self.description.clone().known(),
            tags: self.tags.clone().known(),
            properties: self.properties.clone().known(),
            keep_versions: self.keep_versions.known(),
        }
    }
}
