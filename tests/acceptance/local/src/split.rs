//! Configurations of an endpoint and its versions.

use crate::Project;

/// The name of a [`Split`]'s endpoint.
pub const ENDPOINT: &str = "split";

const PROVIDERS: &str = r#"
terraform {
  required_providers {
    azureml = { source = "openazureml/azureml" }
  }
}
"#;

/// A workspace, a compute, an environment without packages, and the endpoint [`ENDPOINT`] with versions that say who they
/// are.
///
/// The parts are HCL; change one and render again.
#[derive(Clone, Debug, Default)]
pub struct Split {
    /// Further arguments of the compute.
    pub compute: String,
    /// Further arguments of the endpoint.
    pub endpoint: String,
    /// Each version's name, which its resource has, too, and its further arguments.
    pub versions: Vec<(String, String)>,
    /// Arguments of an `azureml_endpoint_traffic`; without any there is no such resource.
    pub traffic: String,
    /// Further resources, data sources and outputs.
    pub more: String,
}

impl Split {
    /// Versions by name with their further arguments.
    #[must_use]
    pub fn of<const N: usize>(versions: [(&str, &str); N]) -> Self {
        let versions = versions.map(|(name, arguments)| (name.to_owned(), arguments.to_owned())).into();
        Self { versions, ..Self::default() }
    }

    /// Versions that declare nothing, and the whole split as one: percentages of the versions of these names.
    #[must_use]
    pub fn assigned<const N: usize, const M: usize>(versions: [&str; N], shares: [(&str, &str); M]) -> Self {
        Self { traffic: traffic(&shares), ..Self::of(versions.map(|name| (name, ""))) }
    }

    /// The same with these arguments in every version.
    #[must_use]
    pub fn with_each(mut self, arguments: &str) -> Self {
        for (_, all) in &mut self.versions {
            all.push('\n');
            all.push_str(arguments);
        }
        self
    }

    /// The configuration text.
    #[must_use]
    pub fn render(&self) -> String {
        let Self { compute, endpoint, versions, traffic, more } = self;
        let versions: String = versions.iter().map(|(name, arguments)| version(name, arguments)).collect();
        let traffic = if traffic.is_empty() {
            String::new()
        } else {
            format!(
                "resource \"azureml_endpoint_traffic\" \"this\" {{\n  endpoint_id = azureml_endpoint.this.id\n  {traffic}\n}}\n"
            )
        };
        format!(
            r#"{PROVIDERS}
resource "azureml_workspace" "this" {{
  name        = "acceptance"
  storage_url = "file://${{abspath(path.module)}}/ws"
}}

resource "azureml_local_compute" "this" {{
  name         = "local"
  workspace_id = azureml_workspace.this.id
  {compute}
}}

resource "azureml_environment" "this" {{
  name             = "plain"
  workspace_id     = azureml_workspace.this.id
  pip_requirements = ""
}}

resource "azureml_endpoint" "this" {{
  name       = "{ENDPOINT}"
  compute_id = azureml_local_compute.this.id
  {endpoint}
}}
{versions}{traffic}{more}
"#
        )
    }

    /// A project with this configuration and the code of its versions, not yet applied.
    #[must_use]
    pub fn project(&self) -> Project {
        let project = Project::new(&self.render());
        self.write_code(&project);
        project
    }

    /// Puts this configuration in place of a project's, with code for versions that have none.
    pub fn write(&self, project: &Project) {
        project.configure(&self.render());
        self.write_code(project);
    }

    fn write_code(&self, project: &Project) {
        for (name, _) in &self.versions {
            if !project.path().join(name).exists() {
                write_code(project, name, 1);
            }
        }
    }
}

/// A configuration of its own with one more version of a project's endpoint, not yet applied. Destroy it first.
#[must_use]
pub fn elsewhere(project: &Project, name: &str, arguments: &str) -> Project {
    let other = Project::new(&elsewhere_configuration(project, name, arguments));
    write_code(&other, name, 1);
    other
}

/// The configuration of [`elsewhere`].
#[must_use]
pub fn elsewhere_configuration(project: &Project, name: &str, arguments: &str) -> String {
    let id = |address: &str| format!("{:?}", project.attribute(address, "id"));
    let version = version(name, arguments)
        .replace("azureml_endpoint.this.id", &id("azureml_endpoint.this"))
        .replace("azureml_environment.this.id", &id("azureml_environment.this"));
    format!("{PROVIDERS}{version}")
}

/// Arguments of an `azureml_endpoint_traffic` with these percentages, the versions named by their resources.
#[must_use]
pub fn traffic(shares: &[(&str, &str)]) -> String {
    let line = |(name, share): &(&str, &str)| format!("    (azureml_endpoint_version.{name}.name) = {share}\n");
    format!("traffic = {{\n{}  }}", shares.iter().map(line).collect::<String>())
}

/// A version as a resource of its name, with one replica unless the arguments say otherwise.
#[must_use]
pub fn version(name: &str, arguments: &str) -> String {
    let replicas = if arguments.contains("num_replicas") { "" } else { "num_replicas = 1" };
    format!(
        r#"
resource "azureml_endpoint_version" "{name}" {{
  name         = "{name}"
  endpoint_id  = azureml_endpoint.this.id

  inference_config = {{
    source_directory = "${{path.module}}/{name}"
    entry_script     = "score.py"
    environment_id   = azureml_environment.this.id
  }}
  {replicas}
  {arguments}
}}
"#
    )
}

/// Writes the code of a version, whose answers name the version and this number.
pub fn write_code(project: &Project, version: &str, number: u32) {
    project.write(&format!("{version}/score.py"), score_script(version, number));
}

/// A score script that answers with this name and number.
#[must_use]
pub fn score_script(version: &str, number: u32) -> String {
    format!(
        "def init():\n    pass\n\n\ndef run(raw_data):\n    return {{\"version\": \"{version}\", \"code\": {number}}}\n"
    )
}
