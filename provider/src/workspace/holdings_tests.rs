use super::super::claim::{Begun, spec_digest};
use super::super::document::{Body, ModelBody};
use super::super::id::WorkspaceId;
use super::*;

fn catalogue(folder: &tempfile::TempDir) -> Catalogue {
    let id = WorkspaceId::of_directory(&folder.path().join("ws")).expect("absolute");
    Catalogue::open(&id, &crate::storage::Storage::default()).expect("opened")
}

async fn create<T: Body>(catalogue: &Catalogue, name: &str, body: T) {
    let begun = catalogue.begin(name, "me", spec_digest(&name), body.clone()).await.expect("begun");
    let Begun::Intent(intent) = begun else { panic!("adopted") };
    catalogue.commit(intent, body).await.expect("committed");
}

fn compute(directory: &Path) -> ComputeBody {
    let location = ComputeLocation::Local {
        machine: "m".into(),
        host: "h".into(),
        directory: directory.to_str().expect("text").to_owned(),
    };
    ComputeBody { location, configured: serde_json::Value::Null }
}

#[tokio::test]
async fn everything_that_a_workspace_holds_is_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    let catalogue = catalogue(&folder);
    create(
        &catalogue,
        "",
        WorkspaceBody {
            name: "ws".into(),
            storage_url: catalogue.workspace().to_string(),
            registry: None,
            global_registry: None,
            destroying: false,
        },
    )
    .await;
    assert_eq!(catalogue.holdings("me").await.expect("listed"), []);
    create(&catalogue, "ridge", ModelBody::default()).await;
    create(&catalogue, "local", compute(folder.path())).await;
    let names: Vec<_> = catalogue.holdings("me").await.expect("listed").into_iter().map(|held| held.name).collect();
    assert_eq!(names, ["ridge", "local"]);
    let begun = catalogue.begin("half", "me", spec_digest(&1), ModelBody::default()).await;
    assert!(matches!(begun, Ok(Begun::Intent(_))));
    assert_eq!(catalogue.holdings("me").await.expect("listed").len(), 2);
    assert_eq!(catalogue.holdings("you").await.expect("listed").len(), 3);
}

#[tokio::test]
async fn a_destroyed_workspace_leaves_only_what_is_not_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let catalogue = catalogue(&folder);
    create(
        &catalogue,
        "",
        WorkspaceBody {
            name: "ws".into(),
            storage_url: catalogue.workspace().to_string(),
            registry: None,
            global_registry: None,
            destroying: false,
        },
    )
    .await;
    create(&catalogue, "ridge", ModelBody::default()).await;
    catalogue.put_blob("x".into()).await.expect("put");
    drop(catalogue.hold_blobs().await.expect("held"));
    let root = folder.path().join("ws");
    std::fs::write(root.join("mine.txt"), "").expect("written");
    catalogue.destroy().await.expect("destroyed");
    let left: Vec<_> =
        std::fs::read_dir(&root).expect("there").map(|entry| entry.expect("entry").file_name()).collect();
    assert_eq!(left, ["mine.txt"]);
    std::fs::remove_file(root.join("mine.txt")).expect("removed");
    catalogue.destroy().await.expect("nothing left to do");
    assert!(!root.exists());
}

#[tokio::test]
async fn a_removal_that_was_killed_at_its_end_is_finished_unless_there_is_a_workspace_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let catalogue = catalogue(&folder);
    let workspace = WorkspaceBody {
        name: "ws".into(),
        storage_url: catalogue.workspace().to_string(),
        registry: None,
        global_registry: None,
        destroying: false,
    };
    create(&catalogue, "", workspace.clone()).await;
    let held = catalogue.hold_blobs().await.expect("held");
    catalogue.remove::<WorkspaceBody>("").await.expect("removed");
    let root = folder.path().join("ws");

    catalogue.remove_traces().await.expect("somebody is at work there");
    assert!(root.exists());
    create(&catalogue, "", workspace.clone()).await;
    drop(held);
    catalogue.remove_traces().await.expect("nothing to do");
    assert_eq!(catalogue.get::<WorkspaceBody>("").await.expect("there").body, workspace);

    catalogue.remove::<WorkspaceBody>("").await.expect("removed");
    catalogue.remove_traces().await.expect("finished");
    assert!(!root.exists());
}

#[tokio::test]
async fn a_compute_runs_while_its_lock_is_held() {
    let folder = tempfile::tempdir().expect("a folder");
    let catalogue = catalogue(&folder);
    create(&catalogue, "local", compute(folder.path())).await;
    assert_eq!(catalogue.running_computes().await.expect("listed"), Vec::<String>::new());
    let lock = std::fs::File::create(folder.path().join(serving::layout::SUPERVISOR_LOCK)).expect("made");
    lock.lock().expect("locked");
    assert_eq!(catalogue.running_computes().await.expect("listed"), ["local"]);
}
