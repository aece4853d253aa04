use serde_json::{Value, json};
use tfplugin::testing::{Action, Core, CoreError, State};

use crate::provider::AzureMl;

struct World {
    folder: tempfile::TempDir,
    core: Core,
}

impl World {
    async fn new() -> Self {
        let core = Core::start_with(AzureMl::default(), json!({ "owner": "me" })).await.expect("started");
        Self { folder: tempfile::tempdir().expect("a folder"), core }
    }

    fn url(&self, name: &str) -> String {
        format!("file://{}/{name}", self.folder.path().display())
    }

    fn config(&self) -> Value {
        json!({ "name": "quickstart", "storage_url": self.url("ws") })
    }

    async fn create(&self) -> State {
        self.core.create("azureml_workspace", self.config()).await.expect("created")
    }
}

fn complaint(error: &CoreError) -> (String, String) {
    let message = error.messages().first().unwrap_or_else(|| panic!("{error}"));
    (message.path.to_string(), message.detail.clone())
}

#[tokio::test]
async fn a_workspace_is_created_renamed_imported_and_destroyed() {
    let world = World::new().await;
    let workspace = world.create().await;
    assert_eq!(workspace.text("id"), world.url("ws"));
    world.core.assert_settled(&workspace, world.config()).await.expect("settled");

    let renamed = json!({ "name": "renamed", "storage_url": world.url("ws/") });
    let workspace = world.core.update(&workspace, renamed.clone()).await.expect("updated");
    world.core.assert_settled(&workspace, renamed).await.expect("settled");

    let imported = world.core.import("azureml_workspace", &workspace.text("id")).await.expect("imported");
    assert_eq!(imported.to_json(), workspace.to_json());
    world.core.destroy(workspace).await.expect("destroyed");
    assert_eq!(std::fs::read_dir(world.folder.path()).expect("a folder").count(), 0);
}

#[tokio::test]
async fn another_directory_replaces_the_workspace_and_another_spelling_does_not() {
    let world = World::new().await;
    let workspace = world.create().await;
    for (name, action) in [("ws/", Action::Update), ("x/../ws", Action::Update), ("other", Action::Replace)] {
        let config = json!({ "name": "quickstart", "storage_url": world.url(name) });
        let planned = world.core.plan("azureml_workspace", Some(&workspace), config).await.expect("planned");
        assert_eq!(planned.action, action, "{name}");
    }
}

#[tokio::test]
async fn bad_names_and_urls_are_refused_on_their_attributes() {
    let world = World::new().await;
    for (config, attribute, text) in [
        (json!({ "name": "a b", "storage_url": world.url("ws") }), "name", "3 to 33 characters"),
        (json!({ "name": "quickstart", "storage_url": "gs://bucket/ws" }), "storage_url", "gs"),
        (json!({ "name": "quickstart", "storage_url": "/data/ws" }), "storage_url", "file:///"),
    ] {
        let error = world.core.validate("azureml_workspace", config).await.expect_err("refused");
        let (path, detail) = complaint(&error);
        assert!(path == attribute && detail.contains(text), "{path}: {detail}");
    }
}

#[tokio::test]
async fn the_root_of_another_workspace_is_refused_with_its_owner_and_import_id() {
    let world = World::new().await;
    let workspace = world.create().await;
    let other = json!({ "name": "another", "storage_url": world.url("ws") });
    let error = world.core.create("azureml_workspace", other).await.expect_err("refused");
    let (path, detail) = complaint(&error);
    assert_eq!(path, "storage_url");
    assert!(detail.contains("belongs to me") && detail.contains(&workspace.text("id")), "{detail}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_refused_on_the_url() {
    let world = World::new().await;
    std::fs::write(world.folder.path().join("file"), "").expect("written");
    let config = json!({ "name": "quickstart", "storage_url": world.url("file/ws") });
    let error = world.core.create("azureml_workspace", config).await.expect_err("refused");
    assert_eq!(complaint(&error).0, "storage_url");
}

#[tokio::test]
async fn a_root_of_a_newer_format_is_refused() {
    let world = World::new().await;
    let folder = world.folder.path().join("ws/workspace");
    std::fs::create_dir_all(&folder).expect("made");
    std::fs::write(folder.join("1.json"), r#"{"format": 2}"#).expect("written");
    let error = world.core.create("azureml_workspace", world.config()).await.expect_err("refused");
    assert!(complaint(&error).1.contains("newer"), "{error}");
}

#[tokio::test]
async fn what_a_workspace_holds_keeps_it_unless_it_is_forced() {
    let world = World::new().await;
    let workspace = world.create().await;
    std::fs::write(world.folder.path().join("model.bin"), "m").expect("written");
    let model = json!({
        "name": "ridge",
        "workspace_id": workspace.text("id"),
        "path": world.folder.path().join("model.bin"),
    });
    world.core.create("azureml_model", model).await.expect("created");
    let error = world.core.destroy(workspace.clone()).await.expect_err("refused");
    assert!(complaint(&error).1.contains("models ridge"), "{error}");

    let mut forced = world.config();
    forced["force_destroy"] = json!(true);
    let workspace = world.core.update(&workspace, forced).await.expect("updated");
    world.core.destroy(workspace).await.expect("destroyed");
    assert!(!world.folder.path().join("ws").exists());
}

#[tokio::test]
async fn a_workspace_that_disappeared_is_planned_anew() {
    let world = World::new().await;
    let workspace = world.create().await;
    std::fs::remove_dir_all(world.folder.path().join("ws")).expect("removed");
    assert_eq!(world.core.refresh(&workspace).await.expect("read"), None);
    // Destroying what is gone is no error.
    world.core.destroy(workspace).await.expect("destroyed");
}

#[tokio::test]
async fn the_data_source_finds_a_workspace_and_says_so_if_there_is_none() {
    let world = World::new().await;
    world.create().await;
    let found = world.core.data("azureml_workspace", json!({ "storage_url": world.url("ws/") })).await.expect("found");
    assert_eq!(
        (found.text("id"), found.text("name"), found.text("owner")),
        (world.url("ws"), "quickstart".into(), "me".into())
    );
    let error =
        world.core.data("azureml_workspace", json!({ "storage_url": world.url("no") })).await.expect_err("none");
    assert_eq!(complaint(&error).0, "storage_url");
}
