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
