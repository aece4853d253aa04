//! The servers' virtual environments below `<target>/bench`, made by uv; kept while their requirements stay the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::error::{BenchError, file};
use super::super::report::say;
use super::super::tools;
use super::peers::Subject;
use crate::command;

/// Installs the wheel that was built, and the peers; ours.
pub(super) fn all(peers: &[Subject]) -> Result<Subject, BenchError> {
    let python = python()?;
    let uv = uv()?;
    let inputs = tools::inputs().join("scorer");
    let ours = Subject::ours();
    say("==> Installing the wheel and the peers");
    environment(&uv, &python, &inputs.join("requirements.txt"), &ours.environment()?)?;
    command::output(pip_install(&uv, &ours.environment()?).args(["--reinstall", "--no-deps"]).arg(wheel()?))?;
    for peer in peers {
        let requirements = inputs.join("peers").join(peer.package_folder()).join("requirements.txt");
        environment(&uv, &python, &requirements, &peer.environment()?)?;
    }
    Ok(ours)
}

/// The interpreter itself, whatever stands before it on PATH.
fn python() -> Result<PathBuf, BenchError> {
    let named = std::env::var_os("PYTHON").filter(|name| !name.is_empty()).unwrap_or_else(|| "python3".into());
    let found = command::output(Command::new(named).args(["-c", "import sys; print(sys.executable)"]))?;
    Ok(found.trim().into())
}

/// uv of the system, else that of the Makefile.
fn uv() -> Result<PathBuf, BenchError> {
    if command::output(Command::new("uv").arg("--version")).is_ok() {
        return Ok("uv".into());
    }
    tools::build("uv")?;
    let program = tools::target().join("tools/bin/uv");
    if program.is_file() { Ok(program) } else { Err(BenchError::NotBuilt(program)) }
}

/// Makes an environment, unless it is there with just these requirements and this Python.
fn environment(uv: &Path, python: &Path, requirements: &Path, path: &Path) -> Result<(), BenchError> {
    let wanted = fs::read_to_string(requirements).map_err(file(requirements))?;
    let stamp = path.join(".requirements");
    let wanted = format!("# {}\n{wanted}", python.display());
    if fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    let mut venv = Command::new(uv);
    command::output(venv.args(["venv", "--quiet", "--clear", "--no-project", "--python"]).arg(python).arg(path))?;
    command::output(pip_install(uv, path).arg("--requirements").arg(requirements))?;
    fs::write(&stamp, wanted).map_err(file(stamp))
}

fn pip_install(uv: &Path, environment: &Path) -> Command {
    let mut command = Command::new(uv);
    // As pip does it: else every start of a server that may not write there compiles its packages.
    command.args(["pip", "install", "--quiet", "--compile-bytecode", "--python"]).arg(environment.join("bin/python"));
    command
}

/// The published wheel for every Python, that the Makefile has left.
fn wheel() -> Result<PathBuf, BenchError> {
    let directory = tools::target().join("published");
    let prefix = concat!("azureml_scorer-", env!("CARGO_PKG_VERSION"), "-cp39-abi3-");
    let wheels = fs::read_dir(&directory).map_err(file(&directory))?.flatten();
    let named = wheels.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    let newest = named.max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok());
    newest.map(|entry| entry.path()).ok_or_else(|| BenchError::NotBuilt(directory.join(format!("{prefix}*.whl"))))
}
