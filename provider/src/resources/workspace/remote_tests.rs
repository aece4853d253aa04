//! Workspaces in Azure Blob Storage, on Azurite.

use std::sync::Arc;

use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use objects::testing::{ACCOUNT, Azurite, KEY};
use objects::{Client, Patience};
use serde_json::{Value, json};
use tfplugin::testing::{Core, CoreError};

use crate::provider::AzureMl;
use crate::storage::{Storage, StorageBlock};
use crate::testing::{changed, complaint};

async fn core(azurite: &Azurite, changes: &Value) -> Core {
    let storage = json!({ "account_name": ACCOUNT, "account_key": KEY, "endpoint": azurite.endpoint() });
    let config = json!({ "owner": "me", "storage": changed(storage, changes) });
    Core::start_with(AzureMl::default(), config).await.expect("started")
}

fn config(url: &str) -> Value {
    json!({ "name": "remote", "storage_url": url })
}

async fn refused(core: &Core, url: &str) -> String {
    let error: CoreError = core.create("azureml_workspace", config(url)).await.expect_err("refused");
    let (_, text) = complaint(&error);
    assert!(text.contains(url) && !text.contains(KEY), "{text}");
    text
}

#[tokio::test]
async fn a_workspace_in_a_container_holds_models_as_one_in_a_directory_does() {
    let azurite = Azurite::start();
    let core = core(&azurite, &Value::Null).await;
    let workspace = core.create("azureml_workspace", config("az://models/team/ws/")).await.expect("created");
    assert_eq!(workspace.text("id"), "az://models/team/ws");
    core.assert_settled(&workspace, config("az://models/team/ws")).await.expect("settled");

    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("bert");
    std::fs::create_dir(&model).expect("made");
    // One upload in parts, and a small one.
    let large: Vec<u8> = (0..=250_u8).cycle().take(20 << 20).collect();
    std::fs::write(model.join("weights"), &large).expect("written");
    std::fs::write(model.join("config.json"), "{}").expect("written");
    let wanted = json!({ "name": "bert", "workspace_id": workspace.text("id"), "path": model });
    let first = core.create("azureml_model", wanted.clone()).await.expect("registered");
    core.assert_settled(&first, wanted.clone()).await.expect("settled");
    std::fs::write(model.join("config.json"), "{ }").expect("written");
    let second = core.update(&first, wanted.clone()).await.expect("registered again");
    assert_ne!(first.text("digest"), second.text("digest"));
    let imported = core.import("azureml_model", &second.text("id")).await.expect("imported");
    assert_eq!(imported.text("version_id"), second.text("version_id"));

    let storage = Storage::new(&StorageBlock::default(), |name| azurite.variables().get(name).cloned());
    let id = "az://models/team/ws".parse().expect("an id");
    let catalogue = crate::workspace::Catalogue::open(&id, &storage).expect("opened");
    let reference = serving::service::ModelRef {
        id: second.text("version_id"),
        name: "bert".into(),
        version: 2,
        digest: second.text("digest"),
    };
    let copy = folder.path().join("copy");
    crate::workspace::materialize_model(&catalogue, &reference, &copy).await.expect("downloaded");
    assert!(std::fs::read(copy.join("bert/weights")).expect("there") == large);
    assert_eq!(std::fs::read_to_string(copy.join("bert/config.json")).expect("there"), "{ }");

    let compute = json!({ "name": "local", "workspace_id": workspace.text("id") });
    let error = core.create("azureml_local_compute", compute).await.expect_err("it has no directory");
    assert_eq!(complaint(&error).0, "directory");

    core.destroy(second).await.expect("removed");
    core.destroy(workspace).await.expect("destroyed");
    let left = futures_util::TryStreamExt::try_collect::<Vec<_>>(azurite.store("az://models").list(None)).await;
    let left: Vec<_> = left.expect("listed").into_iter().map(|object| object.location).collect();
    assert_eq!(left, []);
}

#[tokio::test]
async fn what_is_wrong_with_a_store_is_told_with_what_to_do() {
    let azurite = Azurite::start();
    let good = core(&azurite, &Value::Null).await;
    let text = refused(&good, "az://nowhere/ws").await;
    assert!(text.contains("container nowhere does not exist"), "{text}");

    let wrong = core(&azurite, &json!({ "account_key": "c2VjcmV0IG9mIG5vYm9keQ==" })).await;
    let text = refused(&wrong, "az://models/ws").await;
    assert!(text.contains("credential") && text.contains("account_key") && !text.contains("c2Vj"), "{text}");

    let other = json!({ "account_name": "unknown" });
    let text = refused(&core(&azurite, &other).await, "az://models/ws").await;
    assert!(text.contains("storage") || text.contains("store"), "{text}");

    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let nobody = core(&azurite, &json!({ "endpoint": format!("http://{free}/{ACCOUNT}") })).await;
    let text = refused(&nobody, "az://models/ws").await;
    assert!(text.contains("connection refused") && text.contains("endpoint"), "{text}");

    let plain = core(&azurite, &json!({ "endpoint": "http://192.0.2.1/x" })).await;
    let text = refused(&plain, "az://models/ws").await;
    assert!(text.contains("not encrypted") && text.contains("allow_http"), "{text}");
}

#[tokio::test]
async fn a_pod_can_read_and_list_the_container_and_nothing_else() {
    let azurite = Azurite::start();
    let path = Path::from("ws/a");
    let owner = azurite.store("az://models");
    owner.put(&path, "content".into()).await.expect("put");
    let storage = Storage::new(&StorageBlock::default(), |name| azurite.variables().get(name).cloned());
    let location = "az://models/ws".parse().expect("a location");
    let environment = storage.pod_environment(&location, None).expect("known");
    assert!(environment.values().all(|value| !value.contains(KEY)));

    let variables = objects::environment(location.scheme(), |name| environment.get(name).cloned());
    let pod = objects::open(&location, &variables, &Client::new(), Patience::Short).expect("a store");
    let pod: Arc<dyn object_store::ObjectStore> = pod;
    let path = Path::from("a");
    assert_eq!(pod.get(&path).await.expect("read").bytes().await.expect("whole"), "content");
    let listed: Vec<_> = futures_util::TryStreamExt::try_collect(pod.list(None)).await.expect("listed");
    assert_eq!(listed.len(), 1);
    assert!(pod.put(&Path::from("b"), "x".into()).await.is_err());
    assert!(pod.delete(&path).await.is_err());
}
