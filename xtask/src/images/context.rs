//! What an image is built from, laid out in a folder of its own.

use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::command::{output, works};
use super::error::{ImagesError, file};
use crate::bench::target;
use crate::command::{building, run};

/// The scorer's wheel that `make wheel` has left, or leaves now.
pub(super) fn wheel() -> Result<PathBuf, ImagesError> {
    works("make", &["--version"])
        .map_err(|_| ImagesError::Missing { program: "make", purpose: "to build the scorer's wheel" })?;
    run(building("make").arg("wheel"))?;
    let folder = target().join("wheels");
    let mut wheels: Vec<PathBuf> = fs::read_dir(&folder)
        .map_err(file(&folder))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .collect();
    match (wheels.pop(), wheels.len()) {
        (Some(wheel), 0) => Ok(wheel),
        (last, more) => Err(ImagesError::Wheels { folder, found: more + usize::from(last.is_some()) }),
    }
}

/// The router, built as it is for release, without the symbols that only a debugger reads.
pub(super) fn router() -> Result<PathBuf, ImagesError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(building(cargo).args(["build", "--quiet", "--release", "--package", "azureml-fe"]))?;
    Ok(target().join("release/azureml-fe"))
}

/// A new folder that holds one file, always with the same times, so that builders see what is unchanged.
pub(super) fn lay_out(folder: &Path, source: &Path, strip: bool) -> Result<(), ImagesError> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(file(folder))?;
    }
    fs::create_dir_all(folder).map_err(file(folder))?;
    let copy = folder.join(source.file_name().unwrap_or(source.as_os_str()));
    fs::copy(source, &copy).map_err(file(source))?;
    if strip && works("strip", &["--version"]).is_ok() {
        output(Command::new("strip").arg("--strip-debug").arg(&copy))?;
    }
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(super::EPOCH.parse().unwrap_or(0));
    for path in [copy.as_path(), folder] {
        let times = FileTimes::new().set_modified(time).set_accessed(time);
        File::open(path).and_then(|file| file.set_times(times)).map_err(file(path))?;
    }
    Ok(())
}
