//! The router program: finding it, and keeping a copy below the compute directory.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serving::layout;
use sha2::{Digest as _, Sha256};

use super::files;
use crate::cluster::Error;

/// File name of the program.
pub const NAME: &str = "azureml-fe";
const VERSION_TIME: Duration = Duration::from_secs(20);

fn link(directory: &Path) -> PathBuf {
    directory.join(layout::BIN).join(NAME)
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The program at `router_path`; without one, the one next to this executable, else the one on `PATH`.
pub fn find(router_path: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(path) = router_path {
        if is_program(path) {
            return Ok(path.to_owned());
        }
        let problem = if path.exists() { "is not an executable file" } else { "does not exist" };
        return Err(Error::NoProgram { tried: format!("router_path {} {problem}", path.display()) });
    }
    let beside = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.join(NAME)));
    search(beside.as_deref(), std::env::var_os("PATH").as_deref())
}

fn search(beside: Option<&Path>, path: Option<&OsStr>) -> Result<PathBuf, Error> {
    let on_path = path.into_iter().flat_map(std::env::split_paths).map(|folder| folder.join(NAME));
    let found = beside.map(Path::to_owned).into_iter().chain(on_path).find(|path| is_program(path));
    found.ok_or_else(|| {
        let beside = beside.map_or_else(String::new, |path| format!("{} does not exist, and ", path.display()));
        Error::NoProgram { tried: format!("{beside}no {NAME} is on PATH") }
    })
}

/// Version of a router program.
pub async fn version(path: &Path) -> Result<String, Error> {
    let bad = |problem: String| Error::NotARouter { path: path.display().to_string(), problem };
    let mut command = tokio::process::Command::new(path);
    command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(VERSION_TIME, retry_busy(|| command.output())).await {
        Ok(output) => output.map_err(|error| bad(format!("it cannot be run: {error}")))?,
        Err(_) => return Err(bad("it did not tell its version in time".to_owned())),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.trim().strip_prefix(NAME).map(str::trim).filter(|version| !version.is_empty());
    match version {
        Some(version) if output.status.success() => Ok(version.to_owned()),
        _ => Err(bad(format!("`--version` printed {:?} and ended with {}", text.trim(), output.status))),
    }
}

/// Runs `start` again while the system says that the program file is being written: for a moment, any other thread's
/// new process holds the descriptor with which this program wrote the copy.
pub(super) async fn retry_busy<T, F: Future<Output = io::Result<T>>>(mut start: impl FnMut() -> F) -> io::Result<T> {
    const TRIES: u32 = 50;
    for _ in 1..TRIES {
        match start().await {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            outcome => return outcome,
        }
    }
    start().await
}

/// Copies a program to `bin/azureml-fe-<digest>` and points `bin/azureml-fe` to it. A copy that is there is not made again.
pub(super) fn install(directory: &Path, program: &Path) -> Result<PathBuf, Error> {
    let folder = directory.join(layout::BIN);
    files::create_directory(&folder)?;
    let unreadable = |source| files::io("read", program)(source);
    let unwritable = |source| files::io("write", &folder)(source);
    let mut input = File::open(program).map_err(unreadable)?;
    let mut copy = tempfile::Builder::new().prefix(".put-").tempfile_in(&folder).map_err(unwritable)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        let count = input.read(&mut chunk).map_err(unreadable)?;
        if count == 0 {
            break;
        }
        hasher.update(&chunk[..count]);
        copy.write_all(&chunk[..count]).map_err(unwritable)?;
    }
    let digest = u64::from_be_bytes(hasher.finalize()[..8].try_into().unwrap_or_default());
    let name = format!("{NAME}-{digest:016x}");
    let path = folder.join(&name);
    if !is_program(&path) {
        copy.as_file().set_permissions(fs::Permissions::from_mode(0o700)).map_err(unwritable)?;
        copy.as_file().sync_all().map_err(unwritable)?;
        // Closed before it gets its name: a file that is open for writing cannot be run.
        copy.into_temp_path().persist(&path).map_err(|error| unwritable(error.error))?;
    }
    let new_link = folder.join(format!(".put-link-{}", std::process::id()));
    files::remove(&new_link)?;
    std::os::unix::fs::symlink(&name, &new_link).map_err(unwritable)?;
    fs::rename(&new_link, link(directory)).map_err(unwritable)?;
    files::sync(&folder)?;
    Ok(path)
}

/// The program in use.
pub(super) fn installed(directory: &Path) -> Result<Option<PathBuf>, Error> {
    let link = link(directory);
    match fs::read_link(&link) {
        Ok(target) => Ok(Some(directory.join(layout::BIN).join(target)).filter(|path| is_program(path))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(files::io("read", &link)(error)),
    }
}

/// Removes the copies that are not in use.
pub(super) fn remove_others(directory: &Path) -> Result<(), Error> {
    let Some(current) = installed(directory)? else { return Ok(()) };
    let folder = directory.join(layout::BIN);
    for name in files::list(&folder)? {
        if name != NAME && Some(OsStr::new(&name)) != current.file_name() {
            files::remove(&folder.join(name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made executable");
        path
    }

    #[test]
    fn the_program_next_to_the_provider_comes_before_the_one_on_the_path() {
        let (one, two) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let beside = one.path().join(NAME);
        let path = std::env::join_paths([Path::new("/nonexistent"), two.path()]).expect("a PATH");
        let error = search(Some(&beside), Some(&path)).expect_err("nothing there").to_string();
        assert!(error.contains("router_path") && error.contains(beside.to_str().expect("text")), "{error}");
        let on_path = program(two.path(), NAME, "#!/bin/sh\n");
        assert_eq!(search(Some(&beside), Some(&path)).expect("found"), on_path);
        program(one.path(), NAME, "#!/bin/sh\n");
        assert_eq!(search(Some(&beside), Some(&path)).expect("found"), beside);
    }

    #[test]
    fn a_path_that_is_no_program_is_an_error_that_says_why() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("fe");
        assert!(find(Some(&path)).expect_err("missing").to_string().contains("does not exist"));
        fs::write(&path, "text").expect("written");
        assert!(find(Some(&path)).expect_err("no program").to_string().contains("not an executable file"));
    }

    #[tokio::test]
    async fn the_version_is_what_the_program_prints_after_its_name() {
        let folder = tempfile::tempdir().expect("a directory");
        let good = program(folder.path(), "good", "#!/bin/sh\necho azureml-fe 1.2.3\n");
        assert_eq!(version(&good).await.expect("a version"), "1.2.3");
        for (name, text) in
            [("other", "#!/bin/sh\necho nginx 1\n"), ("fails", "#!/bin/sh\necho azureml-fe 1; exit 1\n")]
        {
            let bad = program(folder.path(), name, text);
            assert!(matches!(version(&bad).await, Err(Error::NotARouter { .. })), "{name}");
        }
    }

    #[test]
    fn an_installed_program_is_a_copy_that_later_ones_replace() {
        let (source, directory) =
            (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        assert_eq!(installed(directory.path()).expect("read"), None);
        let one = install(directory.path(), &program(source.path(), "a", "#!/bin/sh\necho 1\n")).expect("installed");
        assert_eq!(installed(directory.path()).expect("read"), Some(one.clone()));
        let two = install(directory.path(), &program(source.path(), "b", "#!/bin/sh\necho 2\n")).expect("installed");
        assert_ne!(one, two);
        assert_eq!(installed(directory.path()).expect("read"), Some(two.clone()));
        assert!(one.exists(), "it may still be running");
        remove_others(directory.path()).expect("removed");
        assert!(!one.exists() && two.exists());
        assert_eq!(two.metadata().expect("there").permissions().mode() & 0o777, 0o700);
    }
}
