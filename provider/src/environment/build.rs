//! Builds virtual environments: once per build key, under a lock, and whole or not at all.
//!
//! A virtual environment holds absolute paths, so it is built in its place. A marker that is written last says that it
//! is whole; what lacks the marker is made anew. The builders' own processes hold the lock too, so that after a kill
//! of the provider nobody builds in the same place before they have ended.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use serving::service::EnvironmentRef;
use tokio::process::Command;

use super::error::Error;
use super::process::{self, Log};
use super::python::{Python, same_minor};
use super::uv::{Uv, remove_directory};
use crate::workspace::document::{Kind, Resolved};
use crate::workspace::store::{create_private_directory, lock_exclusively};
use crate::workspace::{Catalogue, EnvironmentBody, Revision};

const FOLDER: &str = "venvs";
const LOCKS: &str = ".locks";
const LOGS: &str = ".logs";
const BUILD: &str = ".build-";
const MARKER: &str = ".azureml-complete";

impl EnvironmentBody {
    /// Identifies what is built from the environment. None before it is resolved.
    #[must_use]
    pub fn build_key(&self) -> Option<String> {
        let Resolved { lock, python, platform, scorer } = self.resolved.as_ref()?;
        Some(serving::environment::build_key(&self.hash, lock, platform, python, &scorer.version))
    }
}

/// The reference of a service to an environment's image.
pub fn image_ref(catalogue: &Catalogue, environment: &Revision<EnvironmentBody>) -> Result<EnvironmentRef, Error> {
    Ok(EnvironmentRef { image: environment.body.image.clone(), ..reference(catalogue, environment)? })
}

/// The reference of a service to an environment's virtual environment, built or not.
pub fn environment_ref(
    catalogue: &Catalogue,
    environment: &Revision<EnvironmentBody>,
) -> Result<EnvironmentRef, Error> {
    let reference = reference(catalogue, environment)?;
    let prefix = prefix(catalogue, &reference.build_key)?;
    Ok(EnvironmentRef { prefix: Some(prefix.display().to_string()), ..reference })
}

/// What a reference says wherever the environment runs.
fn reference(catalogue: &Catalogue, environment: &Revision<EnvironmentBody>) -> Result<EnvironmentRef, Error> {
    let id = Kind::Environment.id(catalogue.workspace(), &environment.name);
    let key = environment.body.build_key();
    let build_key = key.ok_or_else(|| Error::Unresolved { id: id.clone(), owner: environment.header.owner.clone() })?;
    let (version, hash) = (environment.body.version, environment.body.hash.clone());
    Ok(EnvironmentRef { id, version, hash, build_key, prefix: None, image: None })
}

/// Builds the virtual environment unless it is there. Dropping the future stops the build.
pub async fn prepare(catalogue: &Catalogue, environment: &Revision<EnvironmentBody>) -> Result<EnvironmentRef, Error> {
    let reference = environment_ref(catalogue, environment)?;
    if let Some(resolved) = &environment.body.resolved {
        check_virtual_environment(&environment.body)?;
        build(catalogue, &reference.build_key, resolved).await?;
    }
    Ok(reference)
}

/// Fails if an environment has packages that only an image can have.
pub(super) fn check_virtual_environment(body: &EnvironmentBody) -> Result<(), Error> {
    let definition = super::definition::parse(&body.definition, body.docker.as_ref())?;
    Ok(definition.check_virtual_environment().map_err(super::error::DefinitionError::from)?)
}

fn folder(catalogue: &Catalogue) -> Result<PathBuf, Error> {
    let root = catalogue.workshop().ok_or_else(|| Error::NotLocal(catalogue.workspace().clone()))?;
    Ok(root.join(FOLDER))
}

fn prefix(catalogue: &Catalogue, build_key: &str) -> Result<PathBuf, Error> {
    Ok(folder(catalogue)?.join(build_key))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Io { action, path, source }
}

fn lock_file(folder: &Path, build_key: &str) -> Result<File, Error> {
    // Never removed, or two builders could hold two locks of one name.
    let path = folder.join(LOCKS).join(build_key);
    File::options().create(true).append(true).open(&path).map_err(failed("open", &path))
}

pub(super) async fn build(catalogue: &Catalogue, build_key: &str, resolved: &Resolved) -> Result<PathBuf, Error> {
    let (folder, prefix) = (folder(catalogue)?, prefix(catalogue, build_key)?);
    let marker = prefix.join(MARKER);
    if marker.is_file() {
        return Ok(prefix);
    }
    for folder in [folder.join(LOCKS), folder.join(LOGS)] {
        create_private_directory(&folder).map_err(failed("create", &folder))?;
    }
    let lock = lock_file(&folder, build_key)?;
    lock_exclusively(&lock).await.map_err(failed("lock", &folder))?;
    if marker.is_file() {
        return Ok(prefix);
    }
    tracing::info!(prefix = %prefix.display(), "Building the virtual environment.");
    remove_directory(&prefix).map_err(failed("remove", &prefix))?;
    let log = Log::create(&folder.join(LOGS).join(format!("{build_key}.log"))).map_err(failed("write in", &folder))?;
    let uv = Uv::find().await?;
    let exact = format!("=={}", resolved.python);
    let python = match Python::find(&uv, Some(&exact), &log).await {
        Ok(python) => python,
        // The very patch release may be gone after an update of the system; its successors run the same packages.
        Err(Error::NoPython { .. }) => Python::find(&uv, Some(&same_minor(&resolved.python)), &log).await?,
        Err(error) => return Err(error),
    };
    // The wheel and the lock are beside the environment only while it is built; the workspace has them for good.
    let inputs =
        tempfile::Builder::new().prefix(BUILD).tempdir_in(&folder).map_err(failed("create a folder in", &folder))?;
    let wheel = inputs.path().join(&resolved.scorer.file);
    catalogue.copy_blob(&resolved.scorer.wheel, &wheel).await?;
    let requirements = inputs.path().join("requirements.txt");
    std::fs::write(&requirements, &resolved.lock).map_err(failed("write", &requirements))?;
    let interpreter = interpreter(&prefix);

    let mut venv = uv.command(inputs.path());
    venv.args(["venv", "--no-project", "--python"]).arg(&python.program).arg(&prefix);
    let install = || {
        let mut command = uv.command(inputs.path());
        // Compiled once here, and not by the first replica while its start is waited for.
        command.args(["pip", "install", "--compile-bytecode", "--no-deps", "--python"]).arg(&interpreter);
        command
    };
    let mut packages = install();
    packages.arg("--requirements").arg(&requirements);
    let mut scorer = install();
    scorer.arg(&wheel);
    let mut check = Command::new(&interpreter);
    check.args(["-I", "-c", "import azureml_scorer"]);
    for (step, command) in [
        ("create the virtual environment", venv),
        ("install the packages", packages),
        ("install the scorer", scorer),
        ("load the scorer", check),
    ] {
        let status = process::run(command, &log, Some(&lock)).await.map_err(failed("run", &prefix))?;
        if !status.success() {
            return Err(Error::Build { step, log: log.path().to_owned(), tail: log.tail() });
        }
    }
    File::create(&marker).and_then(|file| file.sync_all()).map_err(failed("write", &marker))?;
    Ok(prefix)
}

/// The interpreter of a virtual environment.
#[must_use]
pub fn interpreter(prefix: &Path) -> PathBuf {
    prefix.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" })
}

/// Removes the virtual environments that neither an environment nor a service names. Nothing is removed while a
/// compute cannot be read. Returns how many were removed.
pub(crate) async fn sweep(catalogue: &Catalogue) -> Result<usize, Error> {
    let Ok(folder) = folder(catalogue) else { return Ok(0) };
    // Who builds holds blobs from before the build until a document names it.
    let Some(_guard) = catalogue.stop_writers().await? else { return Ok(0) };
    let entries: Vec<_> = std::fs::read_dir(&folder).into_iter().flatten().flatten().collect();
    // As where all services are in clusters, which need not be asked then.
    if entries.is_empty() {
        return Ok(0);
    }
    let Some(services) = catalogue.service_references().await? else { return Ok(0) };
    let mut named: BTreeSet<String> = services.build_keys;
    for name in catalogue.names(Kind::Environment).await? {
        let environment = catalogue.find::<EnvironmentBody>(&name).await?;
        named.extend(environment.and_then(|environment| environment.body.build_key()));
    }
    let mut removed = 0;
    for entry in entries {
        let Ok(key) = entry.file_name().into_string() else { continue };
        if key.starts_with(BUILD) {
            // What a killed build left; whoever builds holds blobs.
            remove_directory(&entry.path()).map_err(failed("remove", &entry.path()))?;
        }
        if key.starts_with('.') || named.contains(&key) {
            continue;
        }
        // Whoever holds the lock builds it, and will be seen by a later sweep.
        let lock = lock_file(&folder, &key)?;
        if lock.try_lock().is_err() {
            continue;
        }
        let prefix = folder.join(&key);
        // The marker first, so that a killed removal leaves nothing that looks whole.
        let _ = std::fs::remove_file(prefix.join(MARKER));
        remove_directory(&prefix).map_err(failed("remove", &prefix))?;
        let _ = std::fs::remove_file(folder.join(LOGS).join(format!("{key}.log")));
        removed += 1;
    }
    Ok(removed)
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
