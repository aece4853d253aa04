//! The Python that an environment gets.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::error::Error;
use super::process::{self, Log};
use super::uv::Uv;

/// The oldest version that the scorer runs on, `requires-python` of its `pyproject.toml`.
pub(super) const OLDEST: (u32, u32) = (3, 9);
const PROBE: &str = "import platform, sysconfig; print(platform.python_version(), sysconfig.get_platform())";

/// An interpreter of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    /// The program.
    pub program: PathBuf,
    /// Its full version.
    pub version: String,
    /// Operating system and processor, as Python names them: `linux-x86_64`.
    pub platform: String,
}

impl Python {
    /// Finds the best Python that satisfies a set of version specifiers; one that is missing is installed by `uv`
    /// where its settings allow that.
    pub async fn find(uv: &Uv, wanted: Option<&str>, log: &Log) -> Result<Self, Error> {
        let wanted = wanted.map_or_else(|| format!(">={}.{}", OLDEST.0, OLDEST.1), str::to_owned);
        let directory = log.path().parent().unwrap_or(Path::new("."));
        let find = || {
            let mut command = uv.command(directory);
            command.args(["python", "find", "--no-project", "--system", &wanted]);
            process::output(command)
        };
        let found = if let Ok(found) = find().await {
            found
        } else {
            let mut install = uv.command(directory);
            install.args(["python", "install", &wanted]);
            let installed = process::run(install, log, None).await;
            let missing = || Error::NoPython { wanted: wanted.clone(), tail: log.tail() };
            if !installed.is_ok_and(|status| status.success()) {
                return Err(missing());
            }
            find().await.map_err(|_| missing())?
        };
        Self::probe(Path::new(found.trim())).await
    }

    async fn probe(program: &Path) -> Result<Self, Error> {
        let mut command = Command::new(program);
        command.args(["-c", PROBE]);
        let failed = |source| Error::Io { action: "run", path: program.to_owned(), source };
        let said = process::output(command).await.map_err(failed)?;
        let (version, platform) =
            said.trim().split_once(' ').ok_or_else(|| failed(std::io::Error::other("it does not tell its version")))?;
        let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
        if (parts.next(), parts.next()) < (Some(OLDEST.0), Some(OLDEST.1)) {
            return Err(Error::OldPython { found: version.to_owned() });
        }
        Ok(Self { program: program.to_owned(), version: version.to_owned(), platform: platform.to_owned() })
    }
}

/// `major.minor` of a full version, as a set of specifiers.
#[must_use]
pub fn same_minor(version: &str) -> String {
    let minor: Vec<&str> = version.split('.').take(2).collect();
    format!("=={}.*", minor.join("."))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A program that tells this version, as an interpreter does.
    fn interpreter(folder: &Path, version: &str) -> PathBuf {
        let path = folder.join(format!("python-{version}"));
        std::fs::write(&path, format!("#!/bin/sh\necho {version} linux-x86_64\n")).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
        path
    }

    #[tokio::test]
    async fn the_oldest_python_of_the_scorer_is_taken_and_an_older_one_refused_by_its_version() {
        let folder = tempfile::tempdir().expect("a folder");
        for version in ["3.9.18", "3.10.13", "3.14.0", "4.0.0"] {
            let python = Python::probe(&interpreter(folder.path(), version)).await.expect("new enough");
            assert_eq!((python.version.as_str(), python.platform.as_str()), (version, "linux-x86_64"));
        }
        for version in ["3.8.18", "2.7.18"] {
            let error = Python::probe(&interpreter(folder.path(), version)).await.expect_err("too old").to_string();
            assert_eq!(
                error,
                format!("the environment asks for Python {version}, but the scorer needs Python 3.9 or newer")
            );
        }
    }

    #[test]
    fn the_scorers_package_asks_for_the_same_python() {
        let package = include_str!("../../../scorer/pyproject.toml");
        let asked = format!("requires-python = \">={}.{}\"", OLDEST.0, OLDEST.1);
        assert!(package.contains(&asked), "scorer/pyproject.toml lacks {asked}");
    }
}
