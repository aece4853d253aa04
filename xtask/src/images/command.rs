//! Runs programs.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use super::error::ImagesError;

const LINES: usize = 25;

/// The command as a person would type it.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Runs a command to its end, with its output where this program's is.
pub(super) fn run(command: &mut Command) -> Result<(), ImagesError> {
    let start = |source, command: &Command| ImagesError::Start { command: shown(command), source };
    let status = command.stdin(Stdio::null()).status().map_err(|source| start(source, command))?;
    if status.success() {
        return Ok(());
    }
    Err(ImagesError::Failed { command: shown(command), status: status.to_string(), output: String::new() })
}

/// Runs a command to its end; what it wrote to stdout.
pub(super) fn output(command: &mut Command) -> Result<String, ImagesError> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ImagesError::Start { command: shown(command), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().collect();
    let output_tail = lines[lines.len().saturating_sub(LINES)..].join("\n");
    Err(ImagesError::Failed { command: shown(command), status: output.status.to_string(), output: output_tail })
}

/// Whether a program is there and does this.
pub(super) fn works(program: &str, arguments: &[&str]) -> Result<(), String> {
    output(Command::new(program).args(arguments)).map(drop).map_err(|error| error.to_string())
}
