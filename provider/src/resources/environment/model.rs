//! The environment as a Rust struct.

use std::collections::BTreeMap;

use tfplugin::{Attr, Model, Timeouts};

use crate::environment::EnvironmentSpec;
use crate::workspace::document::{Definition, Docker};

/// An `azureml_environment`. What each field means says its schema.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct Environment {
    pub id: Attr<String>,
    pub name: Attr<String>,
    pub workspace_id: Attr<String>,
    pub pip_requirements: Attr<String>,
    pub conda_file: Attr<String>,
    pub docker: Attr<DockerBlock>,
    pub environment_variables: Attr<BTreeMap<String, String>>,
    pub scorer_version: Attr<String>,
    pub version: Attr<u64>,
    pub hash: Attr<String>,
    pub image: Attr<String>,
    pub timeouts: Timeouts,
}

/// `docker`. What each field means says the schema.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct DockerBlock {
    pub base_image: Attr<String>,
    pub base_dockerfile: Attr<String>,
    pub extra_docker_file_steps: Attr<Vec<String>>,
}

impl From<Docker> for DockerBlock {
    fn from(docker: Docker) -> Self {
        Self {
            base_image: docker.base_image.into(),
            base_dockerfile: docker.base_dockerfile.into(),
            extra_docker_file_steps: docker.extra_docker_file_steps.into(),
        }
    }
}

impl Environment {
    /// How the image is to be, once that is known.
    #[expect(clippy::option_option, reason = "not known, known to be absent, or known")]
    pub(super) fn docker(&self) -> Option<Option<Docker>> {
        let block = match &self.docker {
            Attr::Unknown => return None,
            Attr::Null => return Some(None),
            Attr::Known(block) => block,
        };
        let unknown = block.base_image.is_unknown()
            || block.base_dockerfile.is_unknown()
            || block.extra_docker_file_steps.is_unknown();
        (!unknown).then(|| {
            Some(Docker {
                base_image: block.base_image.clone().known(),
                base_dockerfile: block.base_dockerfile.clone().known(),
                extra_docker_file_steps: block.extra_docker_file_steps.clone().known(),
            })
        })
    }

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
            docker: self.docker()?,
            environment_variables: self.environment_variables.clone().known(),
            scorer_version: self.scorer_version.clone().known(),
        })
    }
}
