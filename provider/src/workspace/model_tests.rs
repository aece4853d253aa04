use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use serving::service::Service;

use super::super::claim::spec_digest;
use super::super::document::{ComputeBody, ComputeLocation, Kind};
use super::super::hash_cache::HashCache;
use super::super::id::{ComputeId, WorkspaceId};
use super::super::references::Clusters;
use super::*;

struct World {
    folder: tempfile::TempDir,
    catalogue: Catalogue,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let id = WorkspaceId::of_directory(&folder.path().join("ws")).expect("absolute");
        Self { catalogue: Catalogue::open(&id, &crate::storage::Storage::default()).expect("opened"), folder }
    }

    fn scan(&self, content: &str) -> Scan {
        let path: PathBuf = self.folder.path().join("ridge.joblib");
        std::fs::write(&path, content).expect("written");
        Scan::of(&path, &mut HashCache::default()).expect("scanned")
    }

    async fn register(&self, content: &str) -> Revision<ModelBody> {
        let scan = self.scan(content);
        self.catalogue.register_model("ridge", "me", &spec(), &scan).await.expect("registered")
    }

    async fn has(&self, content: &str) -> bool {
        self.catalogue.has_blob(&Digest::of(content.as_bytes()), None).await.expect("looked")
    }

    /// A compute with a service that uses version 1 of the model.
    async fn deploy(&self, digest: &str) {
        let directory = self.folder.path().join("compute");
        let location = ComputeLocation::Local {
            machine: "m".into(),
            host: "h".into(),
            directory: directory.to_str().expect("text").to_owned(),
        };
        let body = ComputeBody { location, configured: serde_json::Value::Null };
        self.catalogue.begin("local", "me", spec_digest(&1), body).await.expect("begun");
        std::fs::create_dir_all(directory.join("services")).expect("made");
        std::fs::write(directory.join("services/diabetes.json"), self.user_of(1, digest).write()).expect("written");
    }

    /// A service that uses a version of the model.
    fn user_of(&self, version: u64, digest: &str) -> Service {
        let recorded = include_bytes!("../../../serving/tests/documents/service-1.json");
        let mut service = Service::read(recorded).expect("a document");
        let template = &mut service.versions.values_mut().next().expect("a version").template;
        let id = self.catalogue.workspace().model("ridge").version(version).to_string();
        template.models =
            vec![serving::service::ModelRef { id, name: "ridge".into(), version, digest: digest.to_owned() }];
        service
    }

    /// Versions of the model after one more, of which one is to be kept, as whoever asks such clusters makes it.
    async fn versions_after(&self, content: &str, clusters: Option<Asked>) -> Vec<u64> {
        let mut catalogue = self.catalogue.clone();
        if let Some(asked) = clusters {
            catalogue = catalogue.seeing(Arc::new(asked));
        }
        let keep_one = ModelSpec { keep_versions: Some(1), ..spec() };
        let model = catalogue.update_model("ridge", &keep_one, &self.scan(content)).await.expect("updated");
        model.body.versions.into_keys().collect()
    }
}

/// Clusters that have this service, or cannot be asked.
#[derive(Debug)]
struct Asked(Option<Service>);

#[async_trait]
impl Clusters for Asked {
    async fn services(&self, _: &ComputeId, _: &ComputeBody) -> Option<Vec<Service>> {
        Some(vec![self.0.clone()?])
    }
}

fn spec() -> ModelSpec {
    ModelSpec { path: "ridge.joblib".into(), ..ModelSpec::default() }
}

#[tokio::test]
async fn a_new_model_has_version_one_and_all_its_content() {
    let world = World::new();
    let model = world.register("one").await;
    assert_eq!((model.body.version, model.header.committed), (1, true));
    assert!(world.catalogue.is_whole(&model.body.digest().expect("a version")).await.expect("looked"));
    // The same apply again, after a kill: nothing is made twice.
    assert_eq!(world.register("one").await, model);
}

#[tokio::test]
async fn changed_content_is_the_next_version_and_the_old_one_stays() {
    let world = World::new();
    world.register("one").await;
    let same = world.catalogue.update_model("ridge", &spec(), &world.scan("one")).await.expect("updated");
    assert_eq!(same.body.version, 1);
    let next = world.catalogue.update_model("ridge", &spec(), &world.scan("two")).await.expect("updated");
    assert_eq!(next.body.versions.keys().copied().collect::<Vec<_>>(), [1, 2]);
    // Going back to old content is a new version too: numbers only grow.
    let back = world.catalogue.update_model("ridge", &spec(), &world.scan("one")).await.expect("updated");
    assert_eq!((back.body.version, back.body.versions[&1].manifest), (3, back.body.versions[&3].manifest));
}

#[tokio::test]
async fn a_changed_description_makes_no_version() {
    let world = World::new();
    world.register("one").await;
    let described = ModelSpec { description: Some("ridge regression".into()), ..spec() };
    let model = world.catalogue.update_model("ridge", &described, &world.scan("one")).await.expect("updated");
    assert_eq!((model.body.version, model.body.description.as_deref()), (1, Some("ridge regression")));
}

#[tokio::test]
async fn properties_only_grow() {
    let world = World::new();
    world.register("one").await;
    let with = |pairs: &[(&str, &str)]| ModelSpec {
        properties: Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()),
        ..spec()
    };
    let scan = world.scan("one");
    world.catalogue.update_model("ridge", &with(&[("a", "1")]), &scan).await.expect("grown");
    world.catalogue.update_model("ridge", &with(&[("a", "1"), ("b", "2")]), &scan).await.expect("grown");
    for shrunk in [with(&[("b", "2")]), with(&[("a", "0"), ("b", "2")])] {
        let error = world.catalogue.update_model("ridge", &shrunk, &scan).await.expect_err("refused");
        assert!(matches!(&error, RegisterError::Properties(lost) if *lost == ["a"]), "{error}");
    }
}

#[tokio::test]
async fn surplus_versions_go_with_their_content_unless_a_service_names_them() {
    let world = World::new();
    let keep_one = ModelSpec { keep_versions: Some(1), ..spec() };
    let first = world.register("one").await;
    world.deploy(&first.body.digest().expect("a version").to_string()).await;
    world.catalogue.update_model("ridge", &keep_one, &world.scan("two")).await.expect("updated");
    let model = world.catalogue.update_model("ridge", &keep_one, &world.scan("three")).await.expect("updated");
    assert_eq!(model.body.versions.keys().copied().collect::<Vec<_>>(), [1, 3]);
    assert!(world.has("one").await && world.has("three").await);
    assert!(!world.has("two").await);

    std::fs::remove_file(world.folder.path().join("compute/services/diabetes.json")).expect("removed");
    world.catalogue.prune_models().await.expect("pruned");
    world.catalogue.sweep().await.expect("swept");
    let model = world.catalogue.get::<ModelBody>("ridge").await.expect("there");
    assert_eq!(model.body.versions.keys().copied().collect::<Vec<_>>(), [3]);
    assert!(!world.has("one").await);
}

#[tokio::test]
async fn a_service_in_a_cluster_keeps_what_it_names_and_a_cluster_that_cannot_be_asked_keeps_everything() {
    let world = World::new();
    let first = world.register("one").await.body.digest().expect("a version").to_string();
    let location = ComputeLocation::Kubernetes { connection: "prod".into(), namespace: "ml".into(), uid: "u".into() };
    let body = ComputeBody { location, configured: serde_json::Value::Null };
    world.catalogue.begin("aks", "me", spec_digest(&1), body).await.expect("begun");
    assert_eq!(world.versions_after("two", Some(Asked(Some(world.user_of(1, &first))))).await, [1, 2]);
    assert_eq!(world.versions_after("three", Some(Asked(Some(world.user_of(1, &first))))).await, [1, 3]);
    assert!(world.has("one").await && !world.has("two").await);
    assert_eq!(world.versions_after("four", Some(Asked(None))).await, [1, 3, 4]);
    assert_eq!(world.versions_after("five", None).await, [1, 3, 4, 5]);
    assert_eq!(world.versions_after("six", Some(Asked(Some(world.user_of(7, &first))))).await, [6]);
}

#[tokio::test]
async fn nothing_is_removed_while_a_compute_cannot_be_read() {
    let world = World::new();
    let first = world.register("one").await;
    world.deploy(&first.body.digest().expect("a version").to_string()).await;
    std::fs::write(world.folder.path().join("compute/services/other.json"), "{").expect("written");
    let keep_one = ModelSpec { keep_versions: Some(1), ..spec() };
    let model = world.catalogue.update_model("ridge", &keep_one, &world.scan("two")).await.expect("updated");
    assert_eq!(model.body.versions.len(), 2);
    world.catalogue.remove_model("ridge").await.expect("removed");
    assert!(world.has("one").await && world.has("two").await);
}

#[tokio::test]
async fn a_removed_model_takes_along_what_only_it_had() {
    let world = World::new();
    world.register("one").await;
    let other = world.scan("one");
    world.catalogue.register_model("copy", "me", &spec(), &other).await.expect("registered");
    world.catalogue.remove_model("ridge").await.expect("removed");
    assert!(world.has("one").await);
    world.catalogue.remove_model("copy").await.expect("removed");
    assert!(!world.has("one").await);
    assert_eq!(world.catalogue.names(Kind::Model).await.expect("listed"), Vec::<String>::new());
}

#[tokio::test]
async fn lost_content_is_put_back_under_the_same_version() {
    let world = World::new();
    let model = world.register("one").await;
    let digest = model.body.digest().expect("a version");
    std::fs::remove_file(world.catalogue.blob_file(&Digest::of(b"one")).expect("local")).expect("removed");
    assert!(!world.catalogue.is_whole(&digest).await.expect("looked"));
    let again = world.catalogue.update_model("ridge", &spec(), &world.scan("one")).await.expect("updated");
    assert_eq!(again.body.version, 1);
    assert!(world.catalogue.is_whole(&digest).await.expect("looked"));
}
