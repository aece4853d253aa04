//! Runs programs.

use std::ffi::OsStr;
use std::io;
use std::process::{Command, Stdio};

use crate::rendered::root;

/// A program did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// It cannot be started.
    #[error("cannot start {command}: {source}")]
    Start {
        /// The command.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// It ended with an error.
    #[error("{command} failed ({status})\n{output}")]
    Failed {
        /// The command.
        command: String,
        /// Its exit status.
        status: String,
        /// The last of what it said.
        output: String,
    },
}

/// For `map_err` on the start of a command.
pub(crate) fn starting(command: &Command) -> impl FnOnce(io::Error) -> CommandError + use<> {
    let command = shown(command);
    move |source| CommandError::Start { command, source }
}

/// Runs a command to its end, with its output where this program's is.
pub(crate) fn run(command: &mut Command) -> Result<(), CommandError> {
    let status = command.stdin(Stdio::null()).status().map_err(starting(command))?;
    if status.success() {
        return Ok(());
    }
    Err(CommandError::Failed { command: shown(command), status: status.to_string(), output: String::new() })
}

/// Runs a command to its end; what it wrote to stdout.
pub(crate) fn output(command: &mut Command) -> Result<String, CommandError> {
    let output = command.stdin(Stdio::null()).output().map_err(starting(command))?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let said = text(&output.stdout) + &text(&output.stderr);
    Err(CommandError::Failed { command: shown(command), status: output.status.to_string(), output: last_lines(&said) })
}

/// A command that builds something of this repository.
pub(crate) fn building(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    // What cargo tells this program of itself would make build scripts run again.
    let of_cargo = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| of_cargo(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// The end of a text, enough to see why something failed.
pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_told_with_what_it_said() {
        let failed = output(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).expect_err("exit code 3");
        assert!(failed.to_string().ends_with("failed (exit status: 3)\nwhy"), "{failed}");
    }

    #[test]
    fn only_the_end_of_a_long_text_is_shown() {
        let text = (0..50).map(|line| line.to_string()).collect::<Vec<_>>().join("\n");
        let shown = last_lines(&text);
        assert!(shown.starts_with("30\n") && shown.ends_with("\n49"), "{shown}");
    }
}
