use super::super::hash_cache::HashCache;
use super::super::id::WorkspaceId;
use super::super::manifest::Scan;
use super::super::model::ModelSpec;
use super::super::snapshot::Snapshot;
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

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, content: &str) {
        std::fs::create_dir_all(self.at(path).parent().expect("a parent")).expect("made");
        std::fs::write(self.at(path), content).expect("written");
    }

    async fn model(&self, path: &str) -> ModelRef {
        let scan = Scan::of(&self.at(path), &mut HashCache::default()).expect("scanned");
        let spec = ModelSpec { path: path.to_owned(), ..ModelSpec::default() };
        let model = self.catalogue.register_model("m", "me", &spec, &scan).await.expect("registered");
        ModelRef {
            id: self.catalogue.workspace().model("m").version(1).to_string(),
            name: "m".into(),
            version: 1,
            digest: model.body.digest().expect("a version").to_string(),
        }
    }

    fn staged(&self, below: &str) -> usize {
        let entries = std::fs::read_dir(self.at(below)).expect("a folder");
        entries.filter(|entry| entry.as_ref().is_ok_and(|e| e.file_name().to_string_lossy().starts_with('.'))).count()
    }
}

#[tokio::test]
async fn a_model_folder_holds_the_files_as_read_only_links_to_the_stored_ones() {
    let world = World::new();
    world.write("bert/config.json", "{}");
    world.write("bert/weights/0.bin", "w");
    let model = world.model("bert").await;
    let place = world.at("app/azureml-models/m/1");
    materialize_model(&world.catalogue, &model, &place).await.expect("made");
    assert_eq!(std::fs::read_to_string(place.join("bert/weights/0.bin")).expect("read"), "w");
    let made = place.join("bert/config.json").metadata().expect("there");
    assert!(made.permissions().readonly());
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::MetadataExt::nlink(&made), 2);
    materialize_model(&world.catalogue, &model, &place).await.expect("there already");
    assert_eq!(world.staged("app/azureml-models/m"), 0);
}

#[tokio::test]
async fn a_missing_content_makes_no_folder() {
    let world = World::new();
    world.write("ridge.joblib", "r");
    let model = world.model("ridge.joblib").await;
    std::fs::remove_file(world.catalogue.blob_file(&Digest::of(b"r")).expect("local")).expect("removed");
    let place = world.at("app/m/1");
    let error = materialize_model(&world.catalogue, &model, &place).await.expect_err("refused");
    assert!(matches!(&error, MaterializeError::Workspace(Error::BadBlob { .. })), "{error}");
    assert!(!place.exists());
    assert_eq!(world.staged("app/m"), 0);
}

#[tokio::test]
async fn a_manifest_that_leads_out_of_the_folder_is_refused() {
    let world = World::new();
    let content = world.catalogue.put_blob("x".into()).await.expect("put");
    for path in ["../x", "/etc/x", "a/../../x", ""] {
        let manifest = format!(r#"{{"format":1,"files":[{{"path":"{path}","size":1,"digest":"{content}"}}]}}"#);
        let digest = world.catalogue.put_blob(manifest.into()).await.expect("put").to_string();
        let model = ModelRef { id: String::new(), name: "m".into(), version: 1, digest };
        let error = materialize_model(&world.catalogue, &model, &world.at("app/m")).await.expect_err("refused");
        assert!(matches!(&error, MaterializeError::Content { .. }), "{error}");
    }
}

#[tokio::test]
async fn code_is_unpacked_with_its_folders_and_modes() {
    let world = World::new();
    world.write("src/score.py", "x = 1");
    world.write("src/bin/tool.sh", "#!/bin/sh");
    #[cfg(unix)]
    std::fs::set_permissions(world.at("src/bin/tool.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .expect("set");
    let snapshot = Snapshot::of(&world.at("src")).expect("listed");
    let digest = world.catalogue.put_code(&snapshot).await.expect("put");
    assert_eq!(digest, snapshot.digest().expect("read"));
    let code = CodeRef { digest: digest.to_string(), directory: "src".into(), entry_script: "score.py".into() };
    let place = world.at("app/src");
    materialize_code(&world.catalogue, &code, &place).await.expect("made");
    assert_eq!(std::fs::read_to_string(place.join("score.py")).expect("read"), "x = 1");
    #[cfg(unix)]
    {
        let mode = place.join("bin/tool.sh").metadata().expect("there").permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o755);
    }
    materialize_code(&world.catalogue, &code, &place).await.expect("there already");
}
