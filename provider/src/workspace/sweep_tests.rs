use std::sync::Arc;

use object_store::memory::InMemory;

use super::super::claim::{Begun, spec_digest};
use super::super::document::{Body, ModelBody, ModelVersion, WorkspaceBody};
use super::super::manifest::{Manifest, ManifestFile};
use super::*;

async fn create<T: Body>(catalogue: &Catalogue, name: &str, body: T) {
    let begun = catalogue.begin(name, "me", spec_digest(&name), body.clone()).await.expect("begun");
    let Begun::Intent(intent) = begun else { panic!("adopted") };
    catalogue.commit(intent, body).await.expect("committed");
}

async fn workspace() -> Catalogue {
    let id = "az://models/ws".parse().expect("an id");
    let catalogue = Catalogue::over(&id, Arc::new(InMemory::new()));
    create(
        &catalogue,
        "",
        WorkspaceBody {
            name: "ws".into(),
            storage_url: id.to_string(),
            registry: None,
            global_registry: None,
            destroying: false,
        },
    )
    .await;
    catalogue
}

/// Registers a model of one file with this content.
async fn name(catalogue: &Catalogue, model: &str, digest: Digest, size: u64) {
    let file = ManifestFile { path: "m".into(), size, digest };
    let manifest = catalogue.put_blob(Manifest { format: 1, files: vec![file] }.write().into()).await.expect("put");
    let versions = [(1, ModelVersion { manifest, created_time: String::new() })].into();
    create(catalogue, model, ModelBody { version: 1, versions, ..ModelBody::default() }).await;
}

async fn incarnations(catalogue: &Catalogue, digest: &Digest) -> Vec<bool> {
    let found = blobs::find(&*catalogue.store, digest).await.expect("listed");
    found.iter().map(|found| found.condemned.is_some()).collect()
}

#[tokio::test]
async fn what_nothing_names_is_condemned_first_and_removed_later() {
    let catalogue = workspace().await;
    let (named, lost) = (Digest::of(b"named"), Digest::of(b"lost"));
    for content in ["named", "lost"] {
        catalogue.put_blob(content.into()).await.expect("put");
    }
    name(&catalogue, "ridge", named, 5).await;
    assert_eq!(catalogue.sweep().await.expect("swept"), 0);
    assert_eq!(incarnations(&catalogue, &lost).await, [false], "it is too young");

    assert_eq!(catalogue.sweep_objects(Duration::ZERO).await.expect("swept"), 0);
    assert_eq!(incarnations(&catalogue, &lost).await, [true]);
    assert_eq!(catalogue.sweep_objects(GRACE).await.expect("swept"), 0);
    assert!(catalogue.has_blob(&lost, Some(4)).await.expect("looked"), "the mark is too young");
    assert_eq!(catalogue.sweep_objects(Duration::ZERO).await.expect("swept"), 1);
    assert!(!catalogue.has_blob(&lost, None).await.expect("looked"));
    assert_eq!(incarnations(&catalogue, &named).await, [false]);
}

#[tokio::test]
async fn a_writer_does_not_rely_on_what_is_condemned_and_a_removal_does_not_hit_what_it_puts() {
    let catalogue = workspace().await;
    let digest = catalogue.put_blob("content".into()).await.expect("put");
    catalogue.sweep_objects(Duration::ZERO).await.expect("condemned");
    // A sweep that has decided to remove it stops here, for as long as you like.
    let doomed = blobs::find(&*catalogue.store, &digest).await.expect("listed").remove(0).object.location;

    catalogue.put_blob("content".into()).await.expect("put");
    name(&catalogue, "ridge", digest, 7).await;
    assert_eq!(incarnations(&catalogue, &digest).await.len(), 2);
    catalogue.take(Step::Remove(doomed)).await.expect("removed");
    assert_eq!(catalogue.read_blob(&digest).await.expect("there"), "content");
    assert_eq!(incarnations(&catalogue, &digest).await, [false]);
}

#[tokio::test]
async fn a_content_that_was_condemned_while_a_writer_relied_on_it_stays() {
    let catalogue = workspace().await;
    let digest = catalogue.put_blob("content".into()).await.expect("put");
    // The writer has found it, and is slow to name it.
    catalogue.sweep_objects(Duration::ZERO).await.expect("condemned");
    name(&catalogue, "ridge", digest, 7).await;
    assert!(
        catalogue
            .is_whole(&catalogue.get::<ModelBody>("ridge").await.expect("there").body.versions[&1].manifest)
            .await
            .expect("looked")
    );
    assert_eq!(catalogue.sweep_objects(Duration::ZERO).await.expect("swept"), 0);
    assert_eq!(incarnations(&catalogue, &digest).await, [false], "the mark is taken away");
}

#[tokio::test]
async fn of_a_content_that_was_put_twice_the_newest_stays() {
    let catalogue = workspace().await;
    let digest = Digest::of(b"content");
    name(&catalogue, "ridge", digest, 7).await;
    for _ in 0..3 {
        let path = blobs::folder(&digest).join(uuid::Uuid::new_v4().to_string());
        catalogue.store.put(&path, "content".into()).await.expect("put");
    }
    let kept = blobs::find(&*catalogue.store, &digest).await.expect("listed").remove(0).object.location;
    catalogue.sweep_objects(Duration::ZERO).await.expect("condemned");
    assert_eq!(catalogue.sweep_objects(Duration::ZERO).await.expect("swept"), 2);
    let left = blobs::find(&*catalogue.store, &digest).await.expect("listed");
    assert_eq!(left.into_iter().map(|left| left.object.location).collect::<Vec<_>>(), [kept]);
}

#[tokio::test]
async fn a_sweep_that_was_killed_between_content_and_mark_leaves_a_mark_that_the_next_one_removes() {
    let catalogue = workspace().await;
    let digest = catalogue.put_blob("content".into()).await.expect("put");
    catalogue.sweep_objects(Duration::ZERO).await.expect("condemned");
    let found = blobs::find(&*catalogue.store, &digest).await.expect("listed").remove(0);
    catalogue.remove_file(&found.object.location).await.expect("killed here");
    catalogue.sweep_objects(Duration::ZERO).await.expect("swept");
    let left: Vec<_> = catalogue.list_blobs().await.expect("listed");
    assert_eq!(left, [Path::from("blobs/now")]);
}

#[tokio::test]
async fn a_workspace_is_not_made_where_a_destroyed_one_has_left_something() {
    let catalogue = workspace().await;
    catalogue.check_place().await.expect("there is a workspace");
    name(&catalogue, "ridge", Digest::of(b"x"), 1).await;
    catalogue.destroy().await.expect("destroyed");
    catalogue.check_place().await.expect("nothing is left");
    assert!(matches!(
        catalogue.begin("m", "me", Digest::of(b""), ModelBody::default()).await,
        Err(Error::Missing { .. })
    ));

    catalogue.store.put(&Path::from("models/late/1.json"), "{}".into()).await.expect("put");
    let refused = catalogue.check_place().await.expect_err("not empty");
    assert!(refused.to_string().contains("models/late/1.json"), "{refused}");
}

#[tokio::test]
async fn nothing_is_made_in_a_workspace_that_is_being_destroyed() {
    let catalogue = workspace().await;
    let begun = catalogue.begin("ridge", "me", Digest::of(b""), ModelBody::default()).await.expect("begun");
    let Begun::Intent(intent) = begun else { panic!("adopted") };
    catalogue.update::<WorkspaceBody, _>("", |body| body.destroying = true).await.expect("marked");
    let refused = catalogue.commit(intent, ModelBody::default()).await.expect_err("refused");
    assert!(matches!(refused, Error::Destroying { .. }), "{refused}");
    assert_eq!(catalogue.find::<ModelBody>("ridge").await.expect("looked"), None, "it was taken back");
    assert!(catalogue.begin("other", "me", Digest::of(b""), ModelBody::default()).await.is_err());
}
