//! `azureml-fe gc`: what no document names and no process uses any more.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::FlockOperation;
use serde::Serialize;
use serving::admin::Status;
use serving::layout;
use serving::service::{Service, Template};

use super::Failure;
use super::service::{names, status};
use super::table::Table;

/// An apply makes app directories and keys before the document that names them, so what is young is left alone.
const YOUNG: Duration = Duration::from_hours(1);

/// Something that nothing names.
#[derive(Serialize)]
struct Found {
    kind: &'static str,
    path: PathBuf,
    bytes: u64,
    deleted: bool,
}

/// What must stay.
struct Named {
    apps: BTreeSet<String>,
    keys: BTreeSet<(String, u64)>,
    versions: BTreeSet<(String, String)>,
    replicas: BTreeSet<String>,
    programs: BTreeSet<PathBuf>,
}

/// Lists what can go, and deletes it if told to.
pub(super) fn run(delete: bool, json: bool) -> Result<(), Failure> {
    // Writers of documents hold it, so nothing is named between the look and the deletion.
    let _lock = lock()?;
    let named = Named::gather(status()?.as_ref())?;
    let mut found = named.unnamed()?;
    if delete {
        for one in &mut found {
            remove(&one.path).map_err(|error| {
                Failure::failed(format!("{} cannot be deleted: {error}; the rest stays, too", one.path.display()))
            })?;
            one.deleted = true;
        }
    }
    print(&found, delete, json)
}

fn print(found: &[Found], delete: bool, json: bool) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, found)?;
        writeln!(out)?;
    } else if found.is_empty() {
        writeln!(out, "Nothing to delete: everything is in use, or younger than an hour.")?;
    } else {
        let mut table = Table::new(["KIND", "BYTES", "PATH"]);
        for one in found {
            table.row([one.kind.to_owned(), one.bytes.to_string(), one.path.display().to_string()]);
        }
        table.write(&mut out, "")?;
        let total: u64 = found.iter().map(|one| one.bytes).sum();
        let advice = if delete { "deleted" } else { "can be deleted; run again with --delete to do so" };
        writeln!(out, "{} found, {total} bytes, {advice}", found.len())?;
    }
    out.flush()?;
    Ok(())
}

fn lock() -> Result<Option<std::fs::File>, Failure> {
    if !Path::new(layout::SERVICES).is_dir() {
        return Ok(None);
    }
    let explain = |error: io::Error| {
        Failure::failed(format!("{} cannot be locked: {error}; try again when no apply runs", layout::SERVICES_LOCK))
    };
    let mut options = std::fs::File::options();
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.write(true).create(true).truncate(false).open(layout::SERVICES_LOCK).map_err(explain)?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| explain(error.into()))?;
    Ok(Some(file))
}

impl Named {
    fn gather(status: Option<&Status>) -> Result<Self, Failure> {
        let mut named = Self {
            apps: BTreeSet::new(),
            keys: BTreeSet::new(),
            versions: BTreeSet::new(),
            replicas: BTreeSet::new(),
            programs: programs_in_use()?,
        };
        for name in names()? {
            named.document(&layout::document(&name))?;
            let accepted = format!("{}/{name}.json", layout::ACCEPTED);
            if Path::new(&accepted).exists() {
                named.document(&accepted)?;
            }
        }
        for (service, of_service) in status.iter().flat_map(|status| &status.services) {
            for (version, of_version) in &of_service.versions {
                named.versions.insert((service.clone(), version.clone()));
                named.apps.insert(of_version.revision.clone());
                for replica in &of_version.replicas {
                    named.apps.insert(replica.revision.clone());
                    named.replicas.insert(replica.id.clone());
                }
            }
        }
        Ok(named)
    }

    /// A document that cannot be read may name anything, so then nothing may be deleted.
    fn document(&mut self, path: &str) -> Result<(), Failure> {
        let explain = |why: String| {
            Failure::failed(format!(
                "{path} cannot be read, so that it is not known what it names: {why}; repair it first"
            ))
        };
        let bytes = std::fs::read(path).map_err(|error| explain(error.to_string()))?;
        let service = Service::read(&bytes).map_err(|error| explain(error.to_string()))?;
        self.keys.extend(service.auth.keys.map(|generation| (service.name.clone(), generation)));
        self.apps.extend(service.templates().map(Template::revision));
        self.versions.extend(service.versions.keys().map(|version| (service.name.clone(), version.clone())));
        Ok(())
    }

    fn unnamed(&self) -> Result<Vec<Found>, Failure> {
        let mut found = Vec::new();
        let mut add = |kind, path: PathBuf| -> Result<(), Failure> {
            if old(&path) {
                let bytes = size(&path)?;
                found.push(Found { kind, path, bytes, deleted: false });
            }
            Ok(())
        };
        for path in children(Path::new(layout::APPS))? {
            if !self.apps.contains(&name(&path)) {
                add("app", path)?;
            }
        }
        for folder in children(Path::new("keys"))? {
            for path in children(&folder)? {
                let file = name(&path);
                let generation = file.split('.').next().and_then(|number| number.parse().ok());
                if generation.is_none_or(|generation| !self.keys.contains(&(name(&folder), generation))) {
                    add("keys", path)?;
                }
            }
        }
        for service in children(Path::new(layout::LOGS))?.into_iter().filter(|path| path.is_dir()) {
            for path in children(&service)? {
                if !self.versions.contains(&(name(&service), name(&path))) {
                    add("logs", path)?;
                }
            }
        }
        for path in children(Path::new(layout::SOCKETS))? {
            if !self.replicas.contains(name(&path).trim_end_matches(".sock")) {
                add("socket", path)?;
            }
        }
        let mut programs = children(Path::new(layout::BIN))?;
        programs.sort_by_key(|path| path.metadata().and_then(|metadata| metadata.modified()).ok());
        // The newest is what the next start executes.
        programs.pop();
        for path in programs {
            if !path.canonicalize().is_ok_and(|path| self.programs.contains(&path)) {
                add("program", path)?;
            }
        }
        Ok(found)
    }
}

/// Programs that some process of this user runs.
fn programs_in_use() -> Result<BTreeSet<PathBuf>, Failure> {
    let processes = children(Path::new("/proc"))?;
    Ok(processes.iter().filter_map(|process| std::fs::read_link(process.join("exe")).ok()).collect())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn children(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            let mut all: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            all.sort();
            Ok(all)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Failure::failed(format!("{} cannot be read: {error}", folder.display()))),
    }
}

fn old(path: &Path) -> bool {
    let modified = path.symlink_metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|age| age >= YOUNG))
}

fn size(path: &Path) -> Result<u64, Failure> {
    let metadata = path.symlink_metadata()?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    children(path)?.iter().map(|child| size(child)).sum()
}

fn remove(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
}
