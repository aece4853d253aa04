//! Finds `uv`, or installs it.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::error::{Error, oldest};
use super::process::{self, Log};
use super::python::OLDEST;
use crate::workspace::store::{create_private_directory, lock_exclusively};

const PROGRAM: &str = if cfg!(windows) { "uv.exe" } else { "uv" };

/// The program `uv`.
#[derive(Clone, Debug)]
pub struct Uv {
    program: PathBuf,
}

impl Uv {
    /// The one on PATH, else the one that an earlier run installed, else one that is installed now from the package
    /// index into the user's cache directory.
    pub async fn find() -> Result<Self, Error> {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        for program in std::env::split_paths(&paths).map(|directory| directory.join(PROGRAM)) {
            if program.is_file() && works(&program).await.is_ok() {
                return Ok(Self { program });
            }
        }
        let cache = crate::user_cache::directory().ok_or_else(|| Error::NoUv {
            reason: "there is no cache directory to install it into; set HOME".to_owned(),
        })?;
        Self::install(&cache, &paths).await
    }

    async fn install(cache: &Path, paths: &OsStr) -> Result<Self, Error> {
        let tool = cache.join("uv");
        let program = tool.join(if cfg!(windows) { "Scripts" } else { "bin" }).join(PROGRAM);
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { action, path, source }
        };
        create_private_directory(cache).map_err(failed("create", cache))?;
        let lock_path = cache.join("uv.lock");
        let lock = File::options().create(true).append(true).open(&lock_path).map_err(failed("open", &lock_path))?;
        lock_exclusively(&lock).await.map_err(failed("lock", &lock_path))?;
        let complete = tool.join(".complete");
        if complete.is_file() && works(&program).await.is_ok() {
            return Ok(Self { program });
        }
        let python = system_python(paths).await?;
        tracing::info!(directory = %tool.display(), "Installing uv.");
        remove_directory(&tool).map_err(failed("remove", &tool))?;
        let log = Log::create(&cache.join("uv.log")).map_err(failed("write", cache))?;
        let mut venv = Command::new(&python);
        venv.args(["-m", "venv"]).arg(&tool);
        let mut pip = Command::new(tool.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" }));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "uv>=0.5"]);
        for command in [venv, pip] {
            let status = process::run(command, &log, Some(&lock)).await.map_err(failed("run", &python))?;
            if !status.success() {
                return Err(Error::NoUv { reason: format!("{}\n", log.tail()) });
            }
        }
        works(&program).await.map_err(failed("run", &program))?;
        File::create(&complete).and_then(|file| file.sync_all()).map_err(failed("write", &complete))?;
        Ok(Self { program })
    }

    /// A command that neither asks nor draws, and that no project folder around it influences.
    #[must_use]
    pub fn command(&self, directory: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--no-progress", "--color", "never"]).current_dir(directory).env("NO_COLOR", "1");
        command
    }
}

async fn works(program: &Path) -> std::io::Result<String> {
    let mut command = Command::new(program);
    command.arg("--version");
    process::output(command).await
}

/// A Python on PATH that can make a virtual environment for `uv`.
async fn system_python(paths: &OsStr) -> Result<PathBuf, Error> {
    let names: &[&str] = if cfg!(windows) { &["python.exe"] } else { &["python3", "python"] };
    for directory in std::env::split_paths(paths) {
        for program in names.iter().map(|name| directory.join(name)).filter(|program| program.is_file()) {
            let mut command = Command::new(&program);
            command.arg("-c").arg(format!("import sys, venv; sys.exit(sys.version_info < {OLDEST:?})"));
            if process::output(command).await.is_ok() {
                return Ok(program);
            }
        }
    }
    Err(Error::NoUv { reason: format!("there is no Python {} or newer on PATH to install it with", oldest()) })
}

pub(super) fn remove_directory(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_any_python_the_error_says_what_to_install() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = Uv::install(folder.path(), OsStr::new("/nonexistent")).await.expect_err("refused").to_string();
        assert!(error.contains("Python 3.9") && error.contains("https://docs.astral.sh/uv/"), "{error}");
    }
}
