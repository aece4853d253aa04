//! Configurations that the tests apply.

use std::path::PathBuf;
use std::sync::Arc;

use acceptance_local::{DOUBLE, Project, TempDir};

use crate::identity::{Identity, Right};
use crate::kubectl::Kubectl;
use crate::site::{ACCOUNT, ACCOUNT_KEY, Port, Site};
use crate::storage::Container;

/// So little that many fit on one node.
pub const RESOURCES: &str = "cpu_cores = 0.01\n  memory_gb = 0.1";

/// A score script that sleeps ten milliseconds and says which replica it is and how many runs of it were going on at once.
pub const SLEEPER: &str = r#"import fcntl
import os
import socket
import struct
import tempfile
import time


def init():
    global path
    path = os.path.join(tempfile.gettempdir(), "running")


def change(by):
    with open(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        now = struct.unpack("<q", file.read(8) or bytes(8))[0] + by
        file.truncate(0)
        file.write(struct.pack("<q", now))
        file.flush()
        return now


def run(raw_data):
    running = change(1)
    try:
        time.sleep(0.010)
    finally:
        change(-1)
    return {"replica": socket.gethostname(), "running": running}
"#;

/// A workspace in Azurite, an attachment of a namespace of one's own, and one of everything else.
///
/// The parts are HCL; change one and render again.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The cluster.
    pub site: Site,
    /// Of whoever applies: an administrator's until there is a namespace with an [`Identity`].
    pub kubeconfig: PathBuf,
    folder: Arc<TempDir>,
    /// Names the namespace, and the container of the storage.
    pub name: String,
    /// The router's port.
    pub port: Port,
    /// Further arguments of the provider block.
    pub provider: String,
    /// Whether the attachment makes the namespace.
    pub create_namespace: bool,
    /// Further arguments of the attachment.
    pub attachment: String,
    /// Routers.
    pub routers: u32,
    /// Further arguments of `router`.
    pub router: String,
    /// `pip_requirements`.
    pub requirements: String,
    /// Further arguments of the environment.
    pub environment: String,
    /// Further arguments of the webservice, apart from `inference_config`.
    pub webservice: String,
    /// What the webservice asks the cluster for: [`RESOURCES`].
    pub resources: String,
    /// Further resources, data sources and outputs.
    pub more: String,
}

impl Stack {
    /// On the cluster that there is; none if there is none.
    pub fn find(name: &str) -> Option<Self> {
        let site = Site::find()?;
        let port = site.port();
        Some(Self {
            // So that nothing of an earlier run on the same cluster is met.
            name: format!("{name}-{}", std::process::id()),
            port,
            kubeconfig: site.kubeconfig.clone(),
            folder: Arc::new(TempDir::new().expect("a folder")),
            site,
            provider: String::new(),
            create_namespace: false,
            attachment: String::new(),
            routers: 1,
            router: String::new(),
            requirements: String::new(),
            environment: String::new(),
            webservice: "num_replicas = 1".to_owned(),
            resources: RESOURCES.to_owned(),
            more: String::new(),
        })
    }

    /// The namespace as an administrator sees it.
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.site.kubeconfig, &self.namespace())
    }

    /// The namespace.
    pub fn namespace(&self) -> String {
        format!("t-{}", self.name)
    }

    /// The container of the workspace.
    pub fn container(&self) -> Container {
        Container::new(&self.site, &self.name)
    }

    /// Makes the namespace, as a person would who gives it to a team: the strictest Pod Security level is enforced, and
    /// whoever applies has the rights in it that the guide says, and no others anywhere.
    pub fn make_namespace(&mut self) {
        self.make_namespace_alone();
        let mut identity = Identity::new(&self.kubectl());
        identity.grant(&Right::of_guide()[0]);
        self.apply_as(&identity);
    }

    /// The same without anybody who has rights in it.
    pub fn make_namespace_alone(&self) {
        self.kubectl().apply(&serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": self.namespace(), "labels": { "pod-security.kubernetes.io/enforce": "restricted" } },
        }));
    }

    /// From the next rendering on this identity applies.
    pub fn apply_as(&mut self, identity: &Identity) {
        self.kubeconfig = self.folder.path().join("kubeconfig");
        identity.write_kubeconfig(&self.kubeconfig);
    }

    /// From the next rendering on an administrator applies.
    pub fn apply_as_administrator(&mut self) {
        self.kubeconfig.clone_from(&self.site.kubeconfig);
    }

    /// The configuration text without the webservice.
    pub fn base(&self) -> String {
        let Self { site, name, port, provider, create_namespace, attachment, .. } = self;
        let Self { routers, router, requirements, environment, .. } = self;
        let (kubeconfig, storage, registry) = (self.kubeconfig.display(), &site.storage, &site.registry);
        let (inside, image, namespace) = (&site.storage_in_cluster, site.image("azureml-fe"), self.namespace());
        let base_image = site.image("azureml-scorer");
        format!(
            r#"
terraform {{
  required_providers {{
    azureml = {{ source = "openazureml/azureml" }}
  }}
}}

provider "azureml" {{
  kubernetes = {{
    test = {{ kubeconfig_path = "{kubeconfig}" }}
  }}
  storage = {{
    account_name = "{ACCOUNT}"
    account_key  = "{ACCOUNT_KEY}"
    endpoint     = "{storage}"
    allow_http   = true
  }}
  {provider}
}}

resource "azureml_workspace" "this" {{
  name        = "{name}"
  storage_url = "az://{name}/workspace"
  registry    = "{registry}/{name}"
}}

resource "azureml_aks_attachment" "this" {{
  name             = "cluster"
  workspace_id     = azureml_workspace.this.id
  connection       = "test"
  namespace        = "{namespace}"
  create_namespace = {create_namespace}
  cluster_purpose  = "DevTest"
  external_url     = "http://{host}:{here}"
  storage_endpoint = "{inside}"

  router = {{
    image        = "{image}"
    replicas     = {routers}
    service_type = "NodePort"
    node_port    = {node}
    cpu_cores    = 0.02
    {router}
  }}
  {attachment}
}}

resource "azureml_model" "this" {{
  name         = "model"
  workspace_id = azureml_workspace.this.id
  path         = "${{path.module}}/model.txt"
}}

resource "azureml_environment" "this" {{
  name             = "plain"
  workspace_id     = azureml_workspace.this.id
  pip_requirements = {requirements:?}
  docker           = {{ base_image = "{base_image}" }}
  {environment}
}}
"#,
            host = site.host,
            here = port.here,
            node = port.node,
        )
    }

    /// The configuration text.
    pub fn render(&self) -> String {
        let Self { webservice, resources, more, .. } = self;
        format!(
            r#"{base}
resource "azureml_webservice" "this" {{
  name       = "double"
  compute_id = azureml_aks_attachment.this.id
  model_ids  = [azureml_model.this.version_id]

  inference_config = {{
    source_directory = "${{path.module}}/src"
    entry_script     = "score.py"
    environment_id   = azureml_environment.this.id
  }}

  {resources}
  {webservice}
}}
{more}
"#,
            base = self.base()
        )
    }

    /// A project with this configuration, the model `one` and the score script [`DOUBLE`], not yet applied.
    pub fn project(&self) -> Project {
        self.project_of(&self.render())
    }

    /// A project with the same files and another configuration.
    pub fn project_of(&self, configuration: &str) -> Project {
        self.container().create();
        let project = Project::new(configuration);
        project.write("model.txt", "one\n");
        project.write("src/score.py", DOUBLE);
        project
    }

    /// Destroys what the project made, then the namespace.
    pub fn finish(&self, project: Project) {
        project.destroy().ok();
        drop(project);
        self.remove_namespace();
    }

    /// Removes the namespace.
    pub fn remove_namespace(&self) {
        self.kubectl().run(&["delete", "namespace", &self.namespace(), "--wait=false"]);
    }
}

impl Drop for Stack {
    /// A test that fails keeps no port, processor or memory from the others.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.kubectl().succeeds(&["delete", "namespace", &self.namespace(), "--wait=false"]);
        }
    }
}
