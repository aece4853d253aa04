//! The environment as a Rust struct.

use std::collections::BTreeMap;

use tfplugin::{Attr, Model, Timeouts};

use crate::environment::EnvironmentSpec;
use crate::workspace::document::Definition;

/// An `azureml_environment`. What each field means says its schema.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct Environment {
    pub id: Attr<String>,
    pub name: Attr<String>,
    pub workspace_id: Attr<String>,
    pub pip_requirements: Attr<String>,
    pub conda_file: Attr<String>,
    pub environment_variables: Attr<BTreeMap<String, String>>,
    pub scorer_version: Attr<String>,
    pub version: Attr<u64>,
    pub hash: Attr<String>,
    pub timeouts: Timeouts,
}

impl Environment {
    /// The definition, once it is known.
    pub(super) fn definition(&self) -> Option<Definition> {
        match (&self.pip_requirements, &self.conda_file) {
            (Attr::Known(text), Attr::Null) => Some(Definition::PipRequirements(text.clone())),
            (Attr::Null, Attr::Known(text)) => Some(Definition::CondaFile(text.clone())),
            _ => None,
        }
    }

    /// What the workspace is asked for. None without a definition.
    pub(super) fn spec(&self) -> Option<EnvironmentSpec> {
        Some(EnvironmentSpec {
            definition: self.definition()?,
            environment_variables: self.environment_variables.clone().known(),
            scorer_version: self.scorer_version.clone().known(),
        })
    }
}
