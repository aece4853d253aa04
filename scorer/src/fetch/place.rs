//! Where what is fetched goes: first into a staging folder beside its place, then, by one rename, there.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use serving::digest::Digest;

use super::failure::Failed;

/// Folder of everything that is not complete yet, below the app root.
const STAGING: &str = ".fetching";
/// What stays free beside the content: 16 MiB, for folders and what the file system itself needs.
const RESERVE: u64 = 16 << 20;
/// Folders of what is complete. Whoever fetches and the server are one user; a restarted fetch may write.
const FOLDER: u32 = 0o750;
const FILE: u32 = 0o440;
const EXECUTABLE: u32 = 0o550;

/// Place of a folder below the app root.
#[derive(Debug)]
pub(super) struct Place {
    place: PathBuf,
    staging: PathBuf,
}

impl Place {
    /// The place of `path`; none if that is no path of plain names.
    pub(super) fn of(root: &Path, path: &Path, digest: Digest) -> Option<Self> {
        let plain = |part: Component<'_>| matches!(part, Component::Normal(name) if name != STAGING);
        let inside = path.components().next().is_some() && path.components().all(plain);
        let staging = root.join(STAGING).join(&digest.hex()[..32]);
        inside.then(|| Self { place: root.join(path), staging })
    }

    pub(super) fn is_there(&self) -> bool {
        self.place.exists()
    }

    /// Folder of the files that are complete.
    pub(super) fn tree(&self) -> PathBuf {
        self.staging.join("tree")
    }

    /// A file that is not complete.
    pub(super) fn part(&self, index: usize) -> PathBuf {
        self.staging.join("parts").join(index.to_string())
    }

    /// Makes the staging folder, or takes up the one of an earlier run.
    pub(super) fn prepare(&self) -> Result<(), Failed> {
        create_folder(&self.tree())?;
        create_folder(&self.staging.join("parts"))
    }

    /// Makes the staging folder without what an earlier run has left in it.
    pub(super) fn start_anew(&self) -> Result<(), Failed> {
        match fs::remove_dir_all(&self.staging) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Failed::write(&self.staging, &error)),
            _ => {}
        }
        self.prepare()
    }

    /// Makes everything read-only and puts it in its place.
    pub(super) fn finish(&self) -> Result<(), Failed> {
        let tree = self.tree();
        protect(&tree).map_err(|error| Failed::write(&tree, &error))?;
        create_folder(self.place.parent().unwrap_or(&self.place))?;
        rename(&tree, &self.place)?;
        // What is left is only untidy.
        let _ = fs::remove_dir_all(&self.staging);
        if let Some(all) = self.staging.parent() {
            let _ = fs::remove_dir(all);
        }
        Ok(())
    }

    /// Bytes that an earlier run has brought already.
    fn brought(&self) -> u64 {
        fn of(folder: &Path) -> u64 {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let size = |entry: fs::DirEntry| match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => of(&entry.path()),
                Ok(metadata) => metadata.len(),
                Err(_) => 0,
            };
            entries.map(size).sum()
        }
        of(&self.staging)
    }
}

/// Read-only for user and group, and nothing for others.
fn protect(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let metadata = path.symlink_metadata()?;
        if metadata.is_dir() {
            protect(&path)?;
        } else {
            let executable = metadata.permissions().mode() & 0o100 != 0;
            fs::set_permissions(&path, fs::Permissions::from_mode(if executable { EXECUTABLE } else { FILE }))?;
        }
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(FOLDER))
}

/// Fails if `bytes` more do not fit below the app root, of which places hold a part already.
pub(super) fn check_space<'a>(root: &Path, bytes: u64, places: impl Iterator<Item = &'a Place>) -> Result<(), Failed> {
    create_folder(root)?;
    let found = rustix::fs::statvfs(root).map_err(|error| Failed::write(root, &error.into()))?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let brought: u64 = places.map(Place::brought).sum();
    let needed = bytes.saturating_sub(brought).saturating_add(RESERVE);
    if needed > free { Err(Failed::space(root, needed, free)) } else { Ok(()) }
}

pub(super) fn create_folder(folder: &Path) -> Result<(), Failed> {
    let made = fs::DirBuilder::new().recursive(true).mode(FOLDER).create(folder);
    made.map_err(|error| Failed::write(folder, &error))
}

/// An empty file, whatever was there.
pub(super) fn create(path: &Path) -> Result<File, Failed> {
    let made = File::options().create(true).write(true).truncate(true).mode(0o640).open(path);
    made.map_err(|error| Failed::write(path, &error))
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Failed> {
    fs::rename(from, to).map_err(|error| Failed::write(to, &error))
}
