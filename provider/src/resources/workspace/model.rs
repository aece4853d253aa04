//! The workspace as a Rust struct.

use tfplugin::{Attr, Model};

/// An `azureml_workspace`. What each field means says its schema.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct Workspace {
    pub id: Attr<String>,
    pub name: Attr<String>,
    pub storage_url: Attr<String>,
    pub registry: Attr<String>,
    pub global_registry: Attr<String>,
    pub force_destroy: Attr<bool>,
}
