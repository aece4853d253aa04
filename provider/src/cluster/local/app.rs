//! App roots: the code and the models of a template as one folder.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serving::layout;
use serving::service::{Service, Template};
use serving::wire::MODELS_DIRECTORY;

use super::{documents, files};
use crate::cluster::Error;
use crate::workspace::store::is_locked;
use crate::workspace::{Catalogue, materialize_code, materialize_model};

/// Start of the name of an app root in the making. Who makes it holds a lock on it.
const STAGING: &str = ".staging-";
/// Keys without a document are older than this if a killed program left them, and younger if a running one makes them.
const ABANDONED: Duration = Duration::from_hours(1);

/// An app root in the making.
pub(super) struct Staging {
    folder: tempfile::TempDir,
    _held: File,
}

/// Begins to make an app root; none if it is there already, which is taken for complete.
pub(super) fn stage(directory: &Path, revision: &str) -> Result<Option<Staging>, Error> {
    if directory.join(layout::app(revision)).is_dir() {
        return Ok(None);
    }
    let apps = directory.join(layout::APPS);
    files::create_directory(&apps)?;
    // A sweep meets the folder locked, or not at all.
    let _lock = files::lock(directory)?;
    let make = || {
        let folder = tempfile::Builder::new().prefix(STAGING).tempdir_in(&apps)?;
        let held = File::open(folder.path())?;
        held.try_lock()?;
        Ok(Some(Staging { folder, _held: held }))
    };
    make().map_err(files::io("write", &apps))
}

/// Makes `apps/<revision>/`, whole or not at all.
pub(super) async fn assemble(
    directory: &Path,
    catalogue: &Catalogue,
    template: &Template,
    Staging { folder, _held }: Staging,
) -> Result<(), Error> {
    materialize_code(catalogue, &template.code, &folder.path().join(&template.code.directory)).await?;
    let models = folder.path().join(MODELS_DIRECTORY);
    files::create_directory(&models)?;
    for model in &template.models {
        materialize_model(catalogue, model, &models.join(&model.name).join(model.version.to_string())).await?;
    }
    files::sync(folder.path())?;
    let root = directory.join(layout::app(&template.revision()));
    let staged = folder.keep();
    if let Err(error) = std::fs::rename(&staged, &root) {
        files::remove(&staged)?;
        // Another run may have made the same.
        if !root.is_dir() {
            return Err(files::io("write", &root)(error));
        }
    }
    files::sync(&directory.join(layout::APPS))
}

/// Removes the app roots that no document names and no replica runs, and what killed programs left half-made.
pub(super) fn sweep(directory: &Path, running: &BTreeSet<String>) -> Result<(), Error> {
    let _lock = files::lock(directory)?;
    let mut used = running.clone();
    let mut services = BTreeSet::new();
    for name in documents::names(directory)? {
        let Some(service) = documents::read(directory, &name)? else { continue };
        add_revisions(&service, &mut used);
        if let Some(former) = crate::cluster::deploy::committed_before(&service) {
            add_revisions(&former, &mut used);
        }
        services.insert(name);
    }
    let accepted = directory.join(layout::ACCEPTED);
    for name in files::list(&accepted)? {
        // The supervisor removes it when it has seen that the document is gone. Other files are none of documents.
        if let Some(content) = files::read(&accepted.join(name))?
            && let Ok(service) = Service::read(&content)
        {
            add_revisions(&service, &mut used);
        }
    }
    let apps = directory.join(layout::APPS);
    for name in files::list(&apps)? {
        let path = apps.join(&name);
        let needed = used.contains(&name) || (name.starts_with(STAGING) && is_locked(&path));
        if !needed {
            files::remove(&path)?;
        }
    }
    let keys = directory.join("keys");
    for name in files::list(&keys)? {
        let path = keys.join(&name);
        // The keys of a service that is being created are there before its document.
        if !services.contains(&name) && abandoned(&path) {
            files::remove(&path)?;
        }
    }
    Ok(())
}

fn add_revisions(service: &Service, used: &mut BTreeSet<String>) {
    used.extend(service.templates().map(Template::revision));
}

fn abandoned(path: &Path) -> bool {
    let changed = path.metadata().and_then(|metadata| metadata.modified());
    changed.is_ok_and(|changed| SystemTime::now().duration_since(changed).is_ok_and(|age| age > ABANDONED))
}
