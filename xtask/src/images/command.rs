//! Asks programs.

use std::process::Command;

use crate::command::{self, CommandError};

/// What a command writes to stdout, without the line's end.
pub(super) fn output(command: &mut Command) -> Result<String, CommandError> {
    Ok(command::output(command)?.trim().to_owned())
}

/// Whether a program is there and does this.
pub(super) fn works(program: &str, arguments: &[&str]) -> Result<(), String> {
    output(Command::new(program).args(arguments)).map(drop).map_err(|error| error.to_string())
}
