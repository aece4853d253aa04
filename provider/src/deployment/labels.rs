//! Description, tags and properties of a service or a version.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tfplugin::{Attr, Diagnostic, Diagnostics, Model, Schema};

use super::document::literal;
use crate::schema;

/// `description`, `tags` and `properties`.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct Labels {
    pub description: Attr<String>,
    pub tags: Attr<BTreeMap<String, String>>,
    pub properties: Attr<BTreeMap<String, String>>,
}

/// The labels, literally as configured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Configured {
    /// `description`.
    pub description: Option<String>,
    /// `tags`.
    pub tags: Option<BTreeMap<String, String>>,
    /// `properties`.
    pub properties: Option<BTreeMap<String, String>>,
}

/// Adds the attributes.
#[must_use]
pub fn attributes(all: Schema) -> Schema {
    all.attribute("description", schema::description())
        .attribute("tags", schema::tags())
        .attribute("properties", schema::properties())
}

impl Labels {
    /// What is written down of them.
    #[must_use]
    pub fn configured(&self) -> Configured {
        Configured {
            description: self.description.clone().known(),
            tags: self.tags.clone().known(),
            properties: self.properties.clone().known(),
        }
    }

    /// The labels that are in force, spelled as they were configured.
    #[must_use]
    pub fn shown(
        description: Option<String>,
        tags: &BTreeMap<String, String>,
        properties: &BTreeMap<String, String>,
        configured: Configured,
    ) -> Self {
        Self {
            description: description.into(),
            tags: literal(tags, configured.tags).into(),
            properties: literal(properties, configured.properties).into(),
        }
    }

    /// Properties only grow.
    pub fn check_properties(&self, planned: &Self) -> Result<(), Diagnostics> {
        let lost = crate::workspace::model::lost_properties(self.properties.get(), planned.properties.get());
        if lost.is_empty() || planned.properties.is_unknown() {
            return Ok(());
        }
        let problem = format!(
            "The properties {} cannot be changed or removed once they are set; keep them, or use tags for what changes.",
            lost.join(", ")
        );
        Err(Diagnostic::error("Invalid properties", problem).at_attribute("properties").into())
    }
}

impl From<Configured> for Labels {
    fn from(configured: Configured) -> Self {
        Self {
            description: configured.description.into(),
            tags: configured.tags.into(),
            properties: configured.properties.into(),
        }
    }
}
