//! What tests of resources share: a provider driven as Terraform drives it, a workspace, and a program that stands in for
//! the router.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use tfplugin::testing::{Core, CoreError, Message, State};

use crate::cluster::local::LocalCluster;
use crate::environment::wheel::Scorers;
use crate::environment::wheel::tests::write;
use crate::provider::AzureMl;

const ROUTER: &str = include_str!("testing_router.py");

/// A score script; nothing runs it here.
pub(crate) const SCRIPT: &str = "def init():\n    pass\n\ndef run(raw_data):\n    return raw_data\n";

/// A workspace in a temporary folder. Routers end when the folder goes.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) core: Core,
    pub(crate) workspace: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "azureml_scorer", "0.1.0", "");
        router(folder.path(), "router", "1.0.0");
        let core = core(folder.path(), "me").await;
        let url = format!("file://{}/ws", folder.path().display());
        let workspace = json!({ "name": "tests", "storage_url": url });
        let workspace = core.create("azureml_workspace", workspace).await.expect("created").text("id");
        fs::create_dir(folder.path().join("src")).expect("made");
        for script in ["score.py", "broken.py", "slow.py"] {
            fs::write(folder.path().join("src").join(script), SCRIPT).expect("written");
        }
        Self { folder, core, workspace }
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// The configuration of a local compute, with changes.
    pub(crate) fn compute_config(&self, changes: &Value) -> Value {
        let config = json!({
            "name": "local", "workspace_id": self.workspace, "router_path": self.path("router"),
        });
        changed(config, changes)
    }

    pub(crate) async fn compute(&self) -> State {
        let config = self.compute_config(&Value::Null);
        self.core.create("azureml_local_compute", config).await.expect("created")
    }

    /// The compute's files.
    pub(crate) fn cluster(&self) -> LocalCluster {
        LocalCluster::new(&format!("{}/computes/local", self.workspace), &self.path("ws/local/local"))
    }

    /// Kills the stand-in router.
    pub(crate) async fn kill_router(&self) {
        let pid = self.cluster().status().await.expect("it runs").pid;
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
        while self.cluster().liveness().await.expect("asked") == crate::cluster::local::Liveness::Alive {
            tokio::task::yield_now().await;
        }
    }

    /// Another run of terraform with the same workspace.
    pub(crate) async fn other_run(&self, owner: &str) -> Core {
        core(self.folder.path(), owner).await
    }
}

/// A workspace with everything that a deployment needs.
pub(crate) struct Serving {
    pub(crate) world: World,
    pub(crate) compute: State,
    pub(crate) environment: State,
    pub(crate) model: State,
}

impl Serving {
    pub(crate) async fn new() -> Self {
        let world = World::new().await;
        let compute = world.compute().await;
        let environment =
            json!({ "name": "plain", "workspace_id": world.workspace, "pip_requirements": "# nothing\n" });
        let environment = world.core.create("azureml_environment", environment).await.expect("created");
        fs::write(world.path("model.txt"), "one").expect("written");
        let model = json!({ "name": "one", "workspace_id": world.workspace, "path": world.path("model.txt") });
        let model = world.core.create("azureml_model", model).await.expect("created");
        Self { world, compute, environment, model }
    }

    pub(crate) fn core(&self) -> &Core {
        &self.world.core
    }

    pub(crate) fn inference(&self, script: &str) -> Value {
        json!({
            "source_directory": self.world.path("src"),
            "entry_script": script,
            "environment_id": self.environment.text("id"),
        })
    }

    pub(crate) fn write_script(&self, text: &str) {
        fs::write(self.world.path("src/score.py"), text).expect("written");
    }

    /// The configuration of the endpoint `churn`, with changes.
    pub(crate) fn endpoint_config(&self, changes: &Value) -> Value {
        changed(json!({ "name": "churn", "compute_id": self.compute.text("id") }), changes)
    }

    pub(crate) async fn endpoint(&self, changes: &Value) -> State {
        self.core().create("azureml_endpoint", self.endpoint_config(changes)).await.expect("created")
    }

    /// The configuration of a version of an endpoint, with changes.
    pub(crate) fn version_config(&self, endpoint: &State, name: &str, changes: &Value) -> Value {
        let config = json!({
            "name": name,
            "endpoint_id": endpoint.text("id"),
            "model_ids": [self.model.text("version_id")],
            "inference_config": self.inference("score.py"),
            "num_replicas": 1,
        });
        changed(config, changes)
    }

    pub(crate) async fn version(&self, endpoint: &State, name: &str, changes: &Value) -> State {
        let config = self.version_config(endpoint, name, changes);
        self.core().create("azureml_endpoint_version", config).await.expect("created")
    }

    /// Served shares by version, in percent, of the endpoint `churn`.
    pub(crate) fn shares(&self) -> Vec<(String, String)> {
        let table = self.document().served;
        let shares = table.into_iter().flat_map(|table| table.shares);
        shares.map(|(name, share)| (name, share.to_string())).collect()
    }

    /// The document of the endpoint `churn`.
    pub(crate) fn document(&self) -> serving::service::Service {
        let document = fs::read(self.world.path("ws/local/local/services/churn.json")).expect("a document");
        serving::service::Service::read(&document).expect("a service")
    }
}

async fn core(folder: &Path, owner: &str) -> Core {
    let provider = AzureMl::with_scorers(Scorers::within(folder));
    Core::start_with(provider, json!({ "owner": owner })).await.expect("started")
}

/// Writes a stand-in router of a version.
pub(crate) fn router(folder: &Path, name: &str, version: &str) {
    let text = ROUTER.replace("# version=1.0.0", &format!("# version={version}"));
    let path = folder.join(name);
    fs::write(&path, text).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made executable");
}

/// An object with some attributes changed.
pub(crate) fn changed(mut config: Value, changes: &Value) -> Value {
    for (key, value) in changes.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    config
}

/// Path and text of the first error.
pub(crate) fn complaint(error: &CoreError) -> (String, String) {
    let message: &Message =
        error.messages().iter().find(|message| message.is_error).unwrap_or_else(|| panic!("{error}"));
    (message.path.to_string(), format!("{} {}", message.summary, message.detail))
}

/// What a failed apply left in the state.
pub(crate) fn left(error: &CoreError) -> Option<&State> {
    match error {
        CoreError::Failed { state, .. } => state.as_deref(),
        _ => None,
    }
}
