use super::super::document::{Kind, ModelBody};
use super::super::id::WorkspaceId;
use super::*;

fn catalogue() -> (tempfile::TempDir, Catalogue) {
    let folder = tempfile::tempdir().expect("a folder");
    let id = WorkspaceId::of_directory(folder.path()).expect("absolute");
    (folder, Catalogue::open(&id, &crate::storage::Storage::default()).expect("opened"))
}

async fn begin(catalogue: &Catalogue, owner: &str, spec: &str) -> Result<Begun<ModelBody>, Error> {
    let body = ModelBody { path: spec.to_owned(), ..ModelBody::default() };
    catalogue.begin("ridge", owner, spec_digest(&spec), body).await
}

async fn create(catalogue: &Catalogue, owner: &str, spec: &str) -> Revision<ModelBody> {
    let Begun::Intent(intent) = begin(catalogue, owner, spec).await.expect("begun") else { panic!("adopted") };
    let body = intent.body.clone();
    catalogue.commit(intent, body).await.expect("committed")
}

#[tokio::test]
async fn a_create_that_was_killed_is_taken_up_by_its_owner() {
    let (_folder, catalogue) = catalogue();
    let Begun::Intent(first) = begin(&catalogue, "me", "a").await.expect("begun") else { panic!("adopted") };
    assert!(!first.header.committed);
    let Begun::Intent(second) = begin(&catalogue, "me", "a").await.expect("begun") else { panic!("adopted") };
    assert_eq!(first, second);
    let Begun::Intent(other) = begin(&catalogue, "me", "b").await.expect("begun") else { panic!("adopted") };
    assert_eq!((other.number, other.body.path.as_str()), (2, "b"));
    assert!(catalogue.commit(other, ModelBody::default()).await.expect("committed").header.committed);
}

#[tokio::test]
async fn a_finished_create_that_the_state_does_not_know_is_adopted() {
    let (_folder, catalogue) = catalogue();
    let created = create(&catalogue, "me", "a").await;
    assert_eq!(begin(&catalogue, "me", "a").await.expect("begun"), Begun::Adopted(created));
}

#[tokio::test]
async fn other_owners_other_specs_and_changed_objects_are_not_adopted() {
    let (_folder, catalogue) = catalogue();
    create(&catalogue, "me", "a").await;
    for (owner, spec) in [("you", "a"), ("me", "b")] {
        let error = begin(&catalogue, owner, spec).await.expect_err("refused");
        let id = Kind::Model.id(catalogue.workspace(), "ridge");
        assert!(matches!(&error, Error::Exists { owner, id: found, .. } if owner == "me" && *found == id), "{error}");
        assert!(error.to_string().contains(&format!("terraform import <address> '{id}'")), "{error}");
    }
    catalogue.update::<ModelBody, _>("ridge", |body| body.version = 3).await.expect("updated");
    assert!(matches!(begin(&catalogue, "me", "a").await, Err(Error::Exists { .. })));
}

#[tokio::test]
async fn an_unfinished_create_of_somebody_else_is_left_alone() {
    let (_folder, catalogue) = catalogue();
    begin(&catalogue, "you", "a").await.expect("begun");
    let error = begin(&catalogue, "me", "a").await.expect_err("refused");
    assert!(matches!(&error, Error::Unfinished { owner, .. } if owner == "you"), "{error}");
}

#[tokio::test]
async fn a_failed_create_can_be_taken_back_and_a_finished_one_cannot() {
    let (_folder, catalogue) = catalogue();
    let Begun::Intent(intent) = begin(&catalogue, "me", "a").await.expect("begun") else { panic!("adopted") };
    catalogue.abandon(&intent).await;
    assert_eq!(catalogue.find::<ModelBody>("ridge").await.expect("read"), None);
    let created = create(&catalogue, "you", "a").await;
    catalogue.abandon(&created).await;
    catalogue.abandon(&intent).await;
    assert_eq!(catalogue.find::<ModelBody>("ridge").await.expect("read"), Some(created));
}

#[tokio::test]
async fn of_two_runs_that_create_at_once_one_wins() {
    let (_folder, catalogue) = catalogue();
    let (one, two) = tokio::join!(begin(&catalogue, "me", "a"), begin(&catalogue, "you", "a"));
    assert_eq!(u8::from(one.is_ok()) + u8::from(two.is_ok()), 1);
}

#[tokio::test]
async fn a_commit_after_another_run_took_over_fails() {
    let (_folder, catalogue) = catalogue();
    let Begun::Intent(slow) = begin(&catalogue, "me", "a").await.expect("begun") else { panic!("adopted") };
    create(&catalogue, "me", "b").await;
    let error = catalogue.commit(slow, ModelBody::default()).await.expect_err("refused");
    assert!(matches!(error, Error::Contended { .. }), "{error}");
}
