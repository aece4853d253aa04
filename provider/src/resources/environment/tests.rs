use serde_json::{Value, json};
use tfplugin::testing::{Core, CoreError, State};

use crate::environment::wheel::Scorers;
use crate::environment::wheel::tests::write;
use crate::provider::AzureMl;

struct World {
    folder: tempfile::TempDir,
    core: Core,
    workspace: State,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "azureml_scorer", "0.1.0", "");
        let provider = AzureMl::with_scorers(Scorers::within(folder.path()));
        let core = Core::start_with(provider, json!({ "owner": "me" })).await.expect("started");
        let url = format!("file://{}/ws", folder.path().display());
        let workspace = json!({ "name": "quickstart", "storage_url": url });
        let workspace = core.create("azureml_workspace", workspace).await.expect("created");
        Self { folder, core, workspace }
    }

    /// An environment without packages needs no index.
    fn config(&self, changes: &Value) -> Value {
        let mut config =
            json!({ "name": "sklearn", "workspace_id": self.workspace.text("id"), "pip_requirements": "# nothing\n" });
        for (key, value) in changes.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        config
    }

    async fn create(&self) -> State {
        self.core.create("azureml_environment", self.config(&Value::Null)).await.expect("created")
    }
}

fn complaint(error: &CoreError) -> (String, String) {
    let message = error.messages().first().unwrap_or_else(|| panic!("{error}"));
    (message.path.to_string(), format!("{} {}", message.summary, message.detail))
}

#[tokio::test]
async fn an_environment_is_built_and_imported_without_a_change() {
    let world = World::new().await;
    let environment = world.create().await;
    assert_eq!((environment.get("version"), environment.text("scorer_version")), (json!(1), "0.1.0".into()));
    world.core.assert_settled(&environment, world.config(&Value::Null)).await.expect("settled");
    let built = std::fs::read_dir(world.folder.path().join("ws/venvs")).expect("a folder");
    assert_eq!(built.flatten().filter(|entry| entry.path().join("pyvenv.cfg").exists()).count(), 1);
    let imported = world.core.import("azureml_environment", &environment.text("id")).await.expect("imported");
    assert_eq!(imported.to_json(), environment.to_json());
    world.core.destroy(environment).await.expect("destroyed");
}

#[tokio::test]
async fn a_new_version_shows_users_that_their_environment_will_change_and_another_spelling_does_not() {
    let world = World::new().await;
    let environment = world.create().await;
    let variables = world.config(&json!({ "environment_variables": { "A": "1" } }));
    let planned = world.core.plan("azureml_environment", Some(&environment), variables.clone()).await.expect("planned");
    for attribute in ["id", "version"] {
        assert!(planned.value.attribute(attribute).is_unknown(), "{attribute}");
    }
    let updated = world.core.update(&environment, variables.clone()).await.expect("updated");
    assert_eq!((updated.get("version"), updated.text("id")), (json!(2), environment.text("id")));
    world.core.assert_settled(&updated, variables).await.expect("settled");

    let respelled = json!({ "environment_variables": { "A": "1" }, "pip_requirements": "# still nothing\n" });
    let updated = world.core.update(&updated, world.config(&respelled)).await.expect("updated");
    assert_eq!((updated.get("version"), updated.text("hash")), (json!(2), environment.text("hash")));
}

#[tokio::test]
async fn a_newer_release_changes_nothing_until_its_scorer_is_asked_for() {
    let world = World::new().await;
    let environment = world.create().await;
    write(world.folder.path(), "azureml_scorer", "0.2.0", "");
    world.core.assert_settled(&environment, world.config(&Value::Null)).await.expect("settled");
    let newer = world.config(&json!({ "scorer_version": "0.2.0" }));
    let updated = world.core.update(&environment, newer.clone()).await.expect("updated");
    assert_eq!((updated.get("version"), updated.text("scorer_version")), (json!(2), "0.2.0".into()));
    world.core.assert_settled(&updated, newer).await.expect("settled");
    // Without the argument the environment keeps what it has.
    world.core.assert_settled(&updated, world.config(&Value::Null)).await.expect("settled");
    let absent = world.config(&json!({ "scorer_version": "9.0.0" }));
    let (path, text) = complaint(&world.core.update(&updated, absent).await.expect_err("refused"));
    assert!(path == "scorer_version" && text.contains("0.1.0, 0.2.0"), "{path}: {text}");
}

#[tokio::test]
async fn wrong_definitions_are_refused_on_their_attributes() {
    let world = World::new().await;
    let conda = "dependencies:\n- python=3.11\n- scipy\n";
    for (changes, attribute, text) in [
        (json!({ "pip_requirements": null }), "(root)", "Exactly one"),
        (json!({ "conda_file": "dependencies: []\n" }), "conda_file", "Exactly one"),
        (json!({ "pip_requirements": "-r other.txt" }), "pip_requirements", "-r"),
        (json!({ "pip_requirements": null, "conda_file": conda }), "conda_file", "scipy"),
        (json!({ "environment_variables": { "A=B": "1" } }), "environment_variables", "A=B"),
    ] {
        let error = world.core.validate("azureml_environment", world.config(&changes)).await.expect_err("refused");
        let (path, said) = complaint(&error);
        assert!(path == attribute && said.contains(text), "{path}: {said}");
    }
}

#[tokio::test]
async fn an_environment_that_disappeared_is_planned_anew() {
    let world = World::new().await;
    let environment = world.create().await;
    std::fs::remove_dir_all(world.folder.path().join("ws/environments")).expect("removed");
    assert_eq!(world.core.refresh(&environment).await.expect("read"), None);
}
