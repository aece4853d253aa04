use std::collections::BTreeSet;

use super::super::claim::{Begun, spec_digest};
use super::super::document::{ModelBody, WorkspaceBody};
use super::super::id::WorkspaceId;
use super::*;

fn catalogue() -> (tempfile::TempDir, Catalogue) {
    let folder = tempfile::tempdir().expect("a folder");
    let id = WorkspaceId::of_directory(&folder.path().join("ws")).expect("absolute");
    (folder, Catalogue::open(&id, &crate::storage::Storage::default()).expect("opened"))
}

async fn create(catalogue: &Catalogue, name: &str) {
    let begun = catalogue.begin(name, "me", spec_digest(&name), ModelBody::default()).await.expect("begun");
    let Begun::Intent(intent) = begun else { panic!("adopted") };
    catalogue.commit(intent, ModelBody::default()).await.expect("committed");
}

fn numbers(catalogue: &Catalogue, folder: &str) -> BTreeSet<String> {
    let folder = catalogue.directory().expect("local").join(folder);
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.expect("entry").file_name().into_string().expect("text")).collect()
}

#[tokio::test]
async fn every_change_is_a_new_revision_and_the_highest_is_the_head() {
    let (_folder, catalogue) = catalogue();
    create(&catalogue, "ridge").await;
    let changed = catalogue.update::<ModelBody, _>("ridge", |body| body.version = 7).await.expect("updated");
    assert_eq!((changed.number, changed.header.changed), (3, true));
    assert_eq!(catalogue.get::<ModelBody>("ridge").await.expect("there").body.version, 7);
    assert_eq!(numbers(&catalogue, "models/ridge").len(), 3);
}

#[tokio::test]
async fn a_change_that_changes_nothing_writes_nothing() {
    let (_folder, catalogue) = catalogue();
    create(&catalogue, "ridge").await;
    let same = catalogue.update::<ModelBody, _>("ridge", |_| ()).await.expect("read");
    assert_eq!((same.number, same.header.changed), (2, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_change_of_many_writers_at_once_is_lost() {
    let (_folder, catalogue) = catalogue();
    create(&catalogue, "ridge").await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8_u64 {
        let catalogue = catalogue.clone();
        writers.spawn(async move {
            catalogue
                .update::<ModelBody, _>("ridge", |body| {
                    body.tags.get_or_insert_default().insert(writer.to_string(), String::new());
                })
                .await
        });
    }
    while let Some(outcome) = writers.join_next().await {
        outcome.expect("joined").expect("updated");
    }
    assert_eq!(catalogue.get::<ModelBody>("ridge").await.expect("there").body.tags.map(|tags| tags.len()), Some(8));
}

#[tokio::test]
async fn history_is_bounded() {
    let (_folder, catalogue) = catalogue();
    create(&catalogue, "ridge").await;
    for version in 1..50 {
        catalogue.update::<ModelBody, _>("ridge", |body| body.version = version).await.expect("updated");
    }
    assert_eq!(numbers(&catalogue, "models/ridge").len(), HISTORY + 1);
    assert_eq!(catalogue.get::<ModelBody>("ridge").await.expect("there").body.version, 49);
}

#[tokio::test]
async fn a_writer_that_fell_behind_a_removal_does_not_bring_the_object_back() {
    let (_folder, catalogue) = catalogue();
    create(&catalogue, "ridge").await;
    let stale = catalogue.get::<ModelBody>("ridge").await.expect("there");
    catalogue.remove::<ModelBody>("ridge").await.expect("removed");
    let document = Document { header: stale.header, body: Some(stale.body) };
    assert!(!catalogue.claim("ridge", stale.number + 1, &document).await.expect("tried"));
    assert_eq!(catalogue.find::<ModelBody>("ridge").await.expect("read"), None);
}

#[tokio::test]
async fn a_removal_that_was_killed_counts_and_is_finished_by_the_next() {
    let (_folder, catalogue) = catalogue();
    create(&catalogue, "ridge").await;
    let head = catalogue.get::<ModelBody>("ridge").await.expect("there");
    let header = Header { removed: true, ..head.header };
    assert!(catalogue.claim("ridge", 3, &Document::<ModelBody> { header, body: None }).await.expect("claimed"));
    assert_eq!(catalogue.find::<ModelBody>("ridge").await.expect("read"), None);
    assert_eq!(catalogue.names(Kind::Model).await.expect("listed"), Vec::<String>::new());
    assert_eq!(catalogue.remove::<ModelBody>("ridge").await.expect("removed"), None);
    assert_eq!(numbers(&catalogue, "models"), BTreeSet::new());
}

#[tokio::test]
async fn a_removed_name_can_be_used_again() {
    let (_folder, catalogue) = catalogue();
    create(&catalogue, "ridge").await;
    catalogue.remove::<ModelBody>("ridge").await.expect("removed").expect("was there");
    create(&catalogue, "ridge").await;
    assert_eq!(catalogue.names(Kind::Model).await.expect("listed"), ["ridge"]);
}

#[tokio::test]
async fn documents_of_a_newer_format_and_damaged_ones_are_refused_with_their_place() {
    let (_folder, catalogue) = catalogue();
    create(&catalogue, "ridge").await;
    let file = catalogue.directory().expect("local").join("models/ridge/9.json");
    std::fs::write(&file, r#"{"format": 99, "everything": "else"}"#).expect("written");
    let error = catalogue.find::<ModelBody>("ridge").await.expect_err("refused");
    assert!(matches!(&error, Error::NewerFormat { found: 99, path, .. } if path == "models/ridge/9.json"), "{error}");
    std::fs::write(&file, r#"{"format": 1"#).expect("written");
    assert!(matches!(catalogue.find::<ModelBody>("ridge").await, Err(Error::Damaged { .. })));
    // It is still something that the workspace holds.
    assert_eq!(catalogue.names(Kind::Model).await.expect("listed"), ["ridge"]);
}

#[tokio::test]
async fn reading_a_workspace_that_does_not_exist_creates_nothing() {
    let (_folder, catalogue) = catalogue();
    assert_eq!(catalogue.find::<WorkspaceBody>("").await.expect("read"), None);
    assert_eq!(catalogue.names(Kind::Model).await.expect("listed"), Vec::<String>::new());
    assert!(!catalogue.directory().expect("local").exists());
}
