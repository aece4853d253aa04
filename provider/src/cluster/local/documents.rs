//! Service documents as files, changed by compare-and-swap under a lock.

use std::path::Path;

use serving::layout;
use serving::service::Service;

use super::files::{self, Mode};
use crate::cluster::Error;

/// Names of all services, sorted.
pub(super) fn names(directory: &Path) -> Result<Vec<String>, Error> {
    let names = files::list(&directory.join(layout::SERVICES))?;
    Ok(names
        .iter()
        .filter_map(|name| name.strip_suffix(".json"))
        .filter(|name| !name.starts_with('.'))
        .map(str::to_owned)
        .collect())
}

/// A service's document.
pub(super) fn read(directory: &Path, name: &str) -> Result<Option<Service>, Error> {
    let path = directory.join(layout::document(name));
    let Some(content) = files::read(&path)? else { return Ok(None) };
    let bad = |source| Error::BadDocument { path: path.display().to_string(), source };
    Service::read(&content).map(Some).map_err(bad)
}

/// Writes a document in place of the generation `expected`.
pub(super) fn put(directory: &Path, service: &Service, expected: Option<u64>) -> Result<(), Error> {
    let _lock = files::lock(directory)?;
    let found = read(directory, &service.name)?.map(|found| found.generation);
    if found != expected {
        return Err(Error::Conflict { service: service.name.clone(), expected, found });
    }
    // Under the same lock as the sweep, so that what is there now stays there.
    for template in service.templates() {
        let revision = template.revision();
        if !directory.join(layout::app(&revision)).is_dir() {
            return Err(Error::Unprepared { revision });
        }
    }
    files::put(&directory.join(layout::document(&service.name)), &service.write(), Mode::Replace)?;
    Ok(())
}

/// Removes a document.
pub(super) fn remove(directory: &Path, name: &str) -> Result<(), Error> {
    let _lock = files::lock(directory)?;
    files::remove(&directory.join(layout::document(name)))?;
    files::sync(&directory.join(layout::SERVICES))
}

/// Removes keys and logs of a service without a document.
pub(super) fn forget(directory: &Path, name: &str, keep_logs: bool) -> Result<(), Error> {
    let _lock = files::lock(directory)?;
    if directory.join(layout::document(name)).exists() {
        return Ok(());
    }
    files::remove(&super::key_files::folder(directory, name))?;
    if keep_logs { Ok(()) } else { files::remove(&directory.join(layout::LOGS).join(name)) }
}
