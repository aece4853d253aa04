use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::super::register::{EnvironmentSpec, Means, register_environment, remove_environment, update_environment};
use super::super::wheel::Scorers;
use super::super::wheel::tests::write;
use super::*;
use crate::registry::Registries;
use crate::workspace::WorkspaceId;
use crate::workspace::document::Definition;

/// A workspace, a folder that serves as package index, and one that serves as the release.
struct World {
    folder: tempfile::TempDir,
    index: SocketAddr,
    catalogue: Catalogue,
    scorers: Scorers,
    registries: Registries,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["index", "release"] {
            std::fs::create_dir(folder.path().join(name)).expect("made");
        }
        let id = WorkspaceId::of_directory(&folder.path().join("ws")).expect("absolute");
        let world = Self {
            catalogue: Catalogue::open(&id, &crate::storage::Storage::default()).expect("opened"),
            scorers: Scorers::within(&folder.path().join("release")),
            registries: Registries::default(),
            index: serve(folder.path().join("index")),
            folder,
        };
        world.publish("helper", "1.0", "");
        world.publish("plain", "1.0", "");
        world.release("0.1.0");
        world
    }

    fn publish(&self, package: &str, version: &str, metadata: &str) {
        write(&self.folder.path().join("index"), package, version, metadata);
    }

    fn release(&self, version: &str) {
        write(&self.folder.path().join("release"), "azureml_scorer", version, "Requires-Dist: helper\n");
    }

    fn spec(&self, packages: &str) -> EnvironmentSpec {
        let text = format!("--no-index\n--find-links http://{}/\n{packages}\n", self.index);
        EnvironmentSpec {
            definition: Definition::PipRequirements(text),
            docker: None,
            environment_variables: None,
            scorer_version: None,
        }
    }

    fn means(&self) -> Means<'_> {
        Means { scorers: &self.scorers, registries: &self.registries }
    }

    async fn register(&self, packages: &str) -> Result<Revision<EnvironmentBody>, Error> {
        register_environment(&self.catalogue, "sklearn", "me", &self.spec(packages), self.means()).await
    }

    async fn update(&self, spec: &EnvironmentSpec) -> Revision<EnvironmentBody> {
        update_environment(&self.catalogue, "sklearn", spec, self.means()).await.expect("updated")
    }

    fn built(&self) -> Vec<String> {
        let folder = self.catalogue.directory().expect("local").join(FOLDER);
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| !name.starts_with('.')).collect()
    }
}

/// Serves a folder of wheels as a page of links, on loopback, for as long as the test process lives.
fn serve(folder: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let folder = folder.clone();
            std::thread::spawn(move || answer(stream, &folder));
        }
    });
    address
}

fn answer(mut stream: TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while let Some(request) = lines.next().transpose()? {
        while lines.next().transpose()?.is_some_and(|header| !header.is_empty()) {}
        let mut words = request.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let names = std::fs::read_dir(folder)?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let page =
            || names.fold(String::new(), |page, name| page + &format!("<a href=\"/{name}\">{name}</a>\n")).into_bytes();
        let body = if path == "/" { Some(page()) } else { std::fs::read(folder.join(&path[1..])).ok() };
        let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
        let body = body.unwrap_or_default();
        let kind = if path == "/" { "text/html" } else { "application/octet-stream" };
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nCache-Control: no-store\r\n\r\n"
        )?;
        if method != "HEAD" {
            stream.write_all(&body)?;
        }
    }
    Ok(())
}

fn imports(prefix: &str, module: &str) -> bool {
    let script = format!("import {module}");
    let status = std::process::Command::new(interpreter(Path::new(prefix))).args(["-I", "-c", &script]).output();
    status.expect("started").status.success()
}

#[tokio::test]
async fn an_environment_holds_its_packages_the_scorer_and_what_the_scorer_needs() {
    let world = World::new();
    let environment = world.register("plain").await.expect("registered");
    let resolved = environment.body.resolved.as_ref().expect("resolved");
    assert!(resolved.lock.contains("plain==1.0") && resolved.lock.contains("--hash=sha256:"), "{}", resolved.lock);
    let reference = prepare(&world.catalogue, &environment).await.expect("built");
    assert_eq!((reference.version, reference.build_key.len()), (1, 32));
    let prefix = reference.prefix.expect("a prefix");
    for module in ["plain", "azureml_scorer", "helper"] {
        assert!(imports(&prefix, module), "{module}");
    }
}

#[tokio::test]
async fn what_was_resolved_once_stays_until_the_definition_changes() {
    let world = World::new();
    let first = world.register("plain").await.expect("registered");
    world.publish("plain", "2.0", "");
    world.release("0.2.0");
    // Another spelling is the same definition, and variables are no part of it.
    let mut spec = world.spec("Plain  # the newest");
    spec.environment_variables = Some([("A".into(), "1".into())].into());
    let second = world.update(&spec).await;
    assert_eq!(second.body.resolved, first.body.resolved);
    assert_eq!((second.body.version, &second.body.hash), (2, &first.body.hash));
    assert_eq!(world.update(&spec).await.number, second.number);

    let third = world.update(&world.spec("plain>=1.5")).await;
    let resolved = third.body.resolved.as_ref().expect("resolved");
    assert!(resolved.lock.contains("plain==2.0"), "{}", resolved.lock);
    // The release brings a newer scorer, but nobody asked for it.
    assert_eq!(resolved.scorer.version, "0.1.0");
    assert_eq!(world.built(), [third.body.build_key().expect("resolved")]);
}

#[tokio::test]
async fn another_scorer_leaves_the_packages_as_they_are() {
    let world = World::new();
    world.register("plain").await.expect("registered");
    world.publish("plain", "2.0", "");
    world.release("0.2.0");
    let newer = EnvironmentSpec { scorer_version: Some("0.2.0".into()), ..world.spec("plain") };
    let updated = world.update(&newer).await;
    let resolved = updated.body.resolved.as_ref().expect("resolved");
    assert!(resolved.lock.contains("plain==1.0"), "{}", resolved.lock);
    assert_eq!((resolved.scorer.version.as_str(), updated.body.version), ("0.2.0", 2));
    let absent = EnvironmentSpec { scorer_version: Some("9.9.9".into()), ..newer };
    let error = update_environment(&world.catalogue, "sklearn", &absent, world.means()).await.expect_err("refused");
    assert!(matches!(&error, Error::NoScorer { found, .. } if *found == ["0.1.0", "0.2.0"]), "{error}");
}

#[tokio::test]
async fn a_build_that_was_killed_is_made_anew_from_what_is_stored() {
    let world = World::new();
    let environment = world.register("plain").await.expect("registered");
    let prefix = prepare(&world.catalogue, &environment).await.expect("built").prefix.expect("a prefix");
    std::fs::remove_file(Path::new(&prefix).join(MARKER)).expect("removed");
    std::fs::remove_dir_all(Path::new(&prefix).join("lib")).expect("removed");
    // The release has moved on; the wheel is in the workspace.
    std::fs::remove_dir_all(world.folder.path().join("release")).expect("removed");
    prepare(&world.catalogue, &environment).await.expect("built");
    assert!(imports(&prefix, "azureml_scorer"));
}

#[tokio::test]
async fn a_package_that_does_not_exist_is_named_and_nothing_is_left() {
    let world = World::new();
    let error = world.register("no-such-package").await.expect_err("refused").to_string();
    assert!(error.contains("no-such-package"), "{error}");
    assert_eq!(world.catalogue.find::<EnvironmentBody>("sklearn").await.expect("read"), None);
    assert!(world.register("plain").await.expect("registered").header.committed);
}

#[tokio::test]
async fn a_failed_update_leaves_the_environment_as_it_was() {
    let world = World::new();
    let before = world.register("plain").await.expect("registered");
    let broken = world.spec("no-such-package");
    update_environment(&world.catalogue, "sklearn", &broken, world.means()).await.expect_err("refused");
    let after = world.catalogue.get::<EnvironmentBody>("sklearn").await.expect("there");
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_python_that_is_not_to_be_had_is_named() {
    let world = World::new();
    let conda = "dependencies:\n- python=3.3\n".to_owned();
    let spec = EnvironmentSpec { definition: Definition::CondaFile(conda), ..world.spec("") };
    let error = register_environment(&world.catalogue, "old", "me", &spec, world.means()).await.expect_err("refused");
    assert!(matches!(&error, Error::NoPython { wanted, .. } if wanted == "==3.3.*"), "{error}");
}

#[tokio::test]
async fn a_removed_environment_takes_its_build_along() {
    let world = World::new();
    world.register("plain").await.expect("registered");
    assert_eq!(world.built().len(), 1);
    let half = world.folder.path().join("ws/venvs/.build-x");
    std::fs::create_dir(&half).expect("made");
    remove_environment(&world.catalogue, "sklearn").await.expect("removed");
    assert_eq!((world.built(), half.exists()), (Vec::<String>::new(), false));
}
