use serde_json::{Value, json};
use tfplugin::testing::{Action, Core, CoreError, State, UNKNOWN};

use crate::provider::AzureMl;

struct World {
    folder: tempfile::TempDir,
    core: Core,
    workspace: State,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let core = Core::start_with(AzureMl::default(), json!({ "owner": "me" })).await.expect("started");
        let url = format!("file://{}/ws", folder.path().display());
        let workspace = json!({ "name": "quickstart", "storage_url": url });
        let workspace = core.create("azureml_workspace", workspace).await.expect("created");
        let world = Self { folder, core, workspace };
        world.write("ridge.joblib", "one");
        world
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.folder.path().join(name), content).expect("written");
    }

    fn config(&self) -> Value {
        json!({
            "name": "ridge",
            "workspace_id": self.workspace.text("id"),
            "path": self.folder.path().join("ridge.joblib"),
        })
    }

    fn with(&self, changes: &Value) -> Value {
        let mut config = self.config();
        for (key, value) in changes.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        config
    }

    async fn create(&self) -> State {
        self.core.create("azureml_model", self.config()).await.expect("created")
    }

    async fn plan_error(&self, prior: Option<&State>, config: Value) -> (String, String) {
        let error = self.core.plan("azureml_model", prior, config).await.expect_err("refused");
        complaint(&error)
    }
}

fn complaint(error: &CoreError) -> (String, String) {
    let message = error.messages().first().unwrap_or_else(|| panic!("{error}"));
    (message.path.to_string(), message.detail.clone())
}

#[tokio::test]
async fn a_model_is_registered_as_version_one_and_planned_with_its_digest() {
    let world = World::new().await;
    let planned = world.core.plan("azureml_model", None, world.config()).await.expect("planned");
    let digest = planned.value.attribute("digest").clone();
    let model = world.create().await;
    assert_eq!(model.get("version"), json!(1));
    assert_eq!(model.text("version_id"), format!("{}/1", model.text("id")));
    assert_eq!(digest.as_str(), Some(model.text("digest").as_str()));
    world.core.assert_settled(&model, world.config()).await.expect("settled");
}

#[tokio::test]
async fn only_changed_content_makes_a_version() {
    let world = World::new().await;
    let model = world.create().await;
    let described = world.with(&json!({ "description": "d", "tags": { "a": "1" }, "keep_versions": 3 }));
    let planned = world.core.plan("azureml_model", Some(&model), described.clone()).await.expect("planned");
    assert!(!planned.value.attribute("version").is_unknown());
    let model = world.core.update(&model, described.clone()).await.expect("updated");
    assert_eq!((model.get("version"), model.text("tags.a")), (json!(1), "1".into()));
    world.core.assert_settled(&model, described.clone()).await.expect("settled");

    world.write("ridge.joblib", "two");
    let planned = world.core.plan("azureml_model", Some(&model), described.clone()).await.expect("planned");
    assert_eq!(planned.action, Action::Update);
    for attribute in ["version", "version_id"] {
        assert!(planned.value.attribute(attribute).is_unknown(), "{attribute}");
    }
    let next = world.core.update(&model, described.clone()).await.expect("updated");
    assert_eq!((next.get("version"), next.text("id")), (json!(2), model.text("id")));
    world.core.assert_settled(&next, described).await.expect("settled");
}

#[tokio::test]
async fn a_path_that_is_not_known_yet_leaves_everything_open() {
    let world = World::new().await;
    let model = world.create().await;
    let unknown = world.with(&json!({ "path": UNKNOWN }));
    let planned = world.core.plan("azureml_model", Some(&model), unknown).await.expect("planned");
    assert!(planned.value.attribute("digest").is_unknown());
    // Known at last, and nothing has changed.
    let model = world.core.apply_with(planned, world.config()).await.expect("applied").expect("there");
    assert_eq!(model.get("version"), json!(1));
}

#[tokio::test]
async fn what_is_no_model_is_refused_when_planning_on_the_path() {
    let world = World::new().await;
    std::fs::create_dir(world.folder.path().join("empty")).expect("made");
    for (path, text) in [("nothing", "does not exist"), ("empty", "holds no file"), ("/dev/null", "device")] {
        let config = world.with(&json!({ "path": world.folder.path().join(path) }));
        let (attribute, detail) = world.plan_error(None, config).await;
        assert!(attribute == "path" && detail.contains(text), "{attribute}: {detail}");
    }
}

#[tokio::test]
async fn properties_only_grow() {
    let world = World::new().await;
    let first = world.with(&json!({ "properties": { "a": "1" } }));
    let model = world.core.create("azureml_model", first).await.expect("created");
    let grown = world.with(&json!({ "properties": { "a": "1", "b": "2" } }));
    let model = world.core.update(&model, grown).await.expect("updated");
    for changed in [json!({ "a": "2", "b": "2" }), json!({ "a": "1" }), Value::Null] {
        let config = world.with(&json!({ "properties": changed }));
        let (attribute, detail) = world.plan_error(Some(&model), config).await;
        assert!(attribute == "properties" && detail.contains("only grow"), "{attribute}: {detail}");
    }
    // A replaced model is another one.
    let renamed = world.with(&json!({ "name": "other" }));
    let planned = world.core.plan("azureml_model", Some(&model), renamed).await.expect("planned");
    assert_eq!(planned.action, Action::Replace);
}

#[tokio::test]
async fn an_imported_model_plans_no_change() {
    let world = World::new().await;
    let config = world
        .with(&json!({ "description": "d", "tags": { "a": "1" }, "properties": { "p": "1" }, "keep_versions": 2 }));
    let model = world.core.create("azureml_model", config.clone()).await.expect("created");
    let imported = world.core.import("azureml_model", &model.text("id")).await.expect("imported");
    assert_eq!(imported.to_json(), model.to_json());
    world.core.assert_settled(&imported, config).await.expect("settled");
    for id in ["ridge", &world.workspace.text("id"), &format!("{}/1", model.text("id"))] {
        let error = world.core.import("azureml_model", id).await.expect_err("refused");
        assert!(error.to_string().contains("<workspace id>/models/<name>"), "{error}");
    }
}

#[tokio::test]
async fn a_model_that_disappeared_is_planned_anew_and_lost_content_is_put_back() {
    let world = World::new().await;
    let model = world.create().await;
    let blobs = world.folder.path().join("ws/blobs");
    std::fs::remove_dir_all(&blobs).expect("removed");
    let found = world.core.refresh(&model).await.expect("read").expect("there");
    assert_eq!(found.get("digest"), Value::Null);
    let repaired = world.core.update(&model, world.config()).await.expect("updated");
    assert_eq!((repaired.get("version"), blobs.exists()), (json!(1), true));
    world.core.assert_settled(&repaired, world.config()).await.expect("settled");

    std::fs::remove_dir_all(world.folder.path().join("ws/models")).expect("removed");
    assert_eq!(world.core.refresh(&repaired).await.expect("read"), None);
    world.core.destroy(repaired).await.expect("destroyed");
}

#[tokio::test]
async fn somebody_elses_model_is_refused_with_its_owner_and_import_id() {
    let world = World::new().await;
    let model = world.create().await;
    let you = Core::start_with(AzureMl::default(), json!({ "owner": "you" })).await.expect("started");
    let error = you.create("azureml_model", world.config()).await.expect_err("refused");
    let (path, detail) = complaint(&error);
    assert!(path == "name" && detail.contains("belongs to me") && detail.contains(&model.text("id")), "{detail}");
    // The same owner's lost state is another matter.
    let again = world.create().await;
    assert_eq!(again.to_json(), model.to_json());
}

#[tokio::test]
async fn a_model_needs_its_workspace() {
    let world = World::new().await;
    let elsewhere = format!("file://{}/nowhere", world.folder.path().display());
    let config = world.with(&json!({ "workspace_id": elsewhere }));
    let error = world.core.create("azureml_model", config).await.expect_err("refused");
    assert_eq!(complaint(&error).0, "workspace_id");
}

#[tokio::test]
async fn a_file_that_changes_between_plan_and_apply_is_not_registered_as_planned() {
    let world = World::new().await;
    let planned = world.core.plan("azureml_model", None, world.config()).await.expect("planned");
    world.write("ridge.joblib", "changed");
    // Terraform plans once more before it applies, and holds the provider to the first plan.
    let error = world.core.apply(planned).await.expect_err("refused");
    assert!(error.violation().is_some() || complaint(&error).0 == "path", "{error}");
}

#[tokio::test]
async fn the_data_source_finds_the_newest_version_or_the_wanted_one() {
    let world = World::new().await;
    let model = world.create().await;
    world.write("ridge.joblib", "two");
    let model = world.core.update(&model, world.config()).await.expect("updated");
    let query =
        |version: Value| json!({ "workspace_id": world.workspace.text("id"), "name": "ridge", "version": version });
    let newest = world.core.data("azureml_model", query(Value::Null)).await.expect("found");
    assert_eq!((newest.text("version_id"), newest.text("digest")), (model.text("version_id"), model.text("digest")));
    let first = world.core.data("azureml_model", query(json!(1))).await.expect("found");
    assert_ne!(first.text("digest"), newest.text("digest"));
    let error = world.core.data("azureml_model", query(json!(9))).await.expect_err("none");
    assert!(complaint(&error).1.contains("1, 2"), "{error}");
}
