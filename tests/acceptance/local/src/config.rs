//! Configurations that the tests apply.

use crate::Project;

/// A score script that doubles the number it is given and says which model file it loaded.
pub const DOUBLE: &str = r#"import json
import os


def init():
    global model
    with open(os.environ["AZUREML_MODEL_DIR"] + "/model.txt") as file:
        model = file.read().strip()


def run(raw_data):
    return {"model": model, "result": 2 * json.loads(raw_data)["x"]}
"#;

/// A workspace with one of everything: what most tests start from.
///
/// The parts are HCL; change one and render again. Without packages in the environment an apply takes about a second.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Arguments of the provider block.
    pub provider: String,
    /// `storage_url`, which may refer to other things.
    pub storage_url: String,
    /// Further arguments of the workspace.
    pub workspace: String,
    /// Further arguments of the compute.
    pub compute: String,
    /// `pip_requirements`.
    pub requirements: String,
    /// Further arguments of the environment.
    pub environment: String,
    /// Further arguments of the model.
    pub model: String,
    /// Further arguments of the webservice, apart from `inference_config`.
    pub webservice: String,
    /// Further resources, data sources and outputs.
    pub more: String,
}

impl Default for Stack {
    fn default() -> Self {
        Self {
            provider: String::new(),
            storage_url: "file://${abspath(path.module)}/ws".to_owned(),
            workspace: String::new(),
            compute: String::new(),
            requirements: String::new(),
            environment: String::new(),
            model: String::new(),
            webservice: "num_replicas = 1".to_owned(),
            more: String::new(),
        }
    }
}

impl Stack {
    /// The defaults, with these arguments of the webservice.
    #[must_use]
    pub fn of_webservice(arguments: &str) -> Self {
        Self { webservice: arguments.to_owned(), ..Self::default() }
    }

    /// The configuration text.
    #[must_use]
    pub fn render(&self) -> String {
        let Self { provider, storage_url, workspace, compute, requirements, environment, model, webservice, more } =
            self;
        format!(
            r#"
terraform {{
  required_providers {{
    azureml = {{ source = "openazureml/azureml" }}
  }}
}}

provider "azureml" {{
  {provider}
}}

resource "azureml_workspace" "this" {{
  name        = "acceptance"
  storage_url = "{storage_url}"
  {workspace}
}}

resource "azureml_local_compute" "this" {{
  name         = "local"
  workspace_id = azureml_workspace.this.id
  {compute}
}}

resource "azureml_model" "this" {{
  name         = "model"
  workspace_id = azureml_workspace.this.id
  path         = "${{path.module}}/model.txt"
  {model}
}}

resource "azureml_environment" "this" {{
  name             = "plain"
  workspace_id     = azureml_workspace.this.id
  pip_requirements = {requirements:?}
  {environment}
}}

resource "azureml_webservice" "this" {{
  name       = "double"
  compute_id = azureml_local_compute.this.id
  model_ids  = [azureml_model.this.version_id]

  inference_config = {{
    source_directory = "${{path.module}}/src"
    entry_script     = "score.py"
    environment_id   = azureml_environment.this.id
  }}

  {webservice}
}}
{more}
"#
        )
    }

    /// A project with this configuration, the model `one` and the score script [`DOUBLE`], not yet applied.
    #[must_use]
    pub fn project(&self) -> Project {
        let project = Project::new(&self.render());
        project.write("model.txt", "one\n");
        project.write("src/score.py", DOUBLE);
        project
    }
}
