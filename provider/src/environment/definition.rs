//! The definition as the user wrote it, and in its normal form.

use super::error::DefinitionError;
use crate::workspace::document::Definition;

/// Parses a definition and checks that a virtual environment can be made of it.
pub fn parse(definition: &Definition) -> Result<serving::environment::Definition, DefinitionError> {
    let parsed = match definition {
        Definition::PipRequirements(text) => serving::environment::Definition::from_pip_requirements(text)?,
        Definition::CondaFile(text) => serving::environment::Definition::from_conda_file(text)?,
    };
    parsed.check_virtual_environment()?;
    Ok(parsed)
}

/// Options of a requirements file in a form that `uv` takes: what it knows stays in the file, what it has a flag for
/// becomes one, and what it does anyway is dropped.
#[must_use]
pub fn uv_options(options: &[String]) -> (Vec<&str>, Vec<String>) {
    let (mut lines, mut flags) = (Vec::new(), Vec::new());
    for option in options {
        let (name, value) = option.split_once(['=', ' ']).unwrap_or((option, ""));
        match name {
            "--pre" => flags.push("--prerelease=allow".to_owned()),
            "--trusted-host" => flags.push(format!("--allow-insecure-host={}", value.trim())),
            // The lock has hashes of everything, and uv prefers wheels.
            "--require-hashes" | "--prefer-binary" => {}
            _ => lines.push(option.as_str()),
        }
    }
    (lines, flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conda_packages_other_than_python_and_pip_are_named() {
        let conda = "dependencies:\n- python=3.11\n- scipy\n- pip:\n  - numpy\n";
        let error = parse(&Definition::CondaFile(conda.to_owned())).expect_err("refused");
        assert!(error.to_string().contains("scipy"), "{error}");
        let pure = conda.replace("- scipy\n", "");
        assert_eq!(parse(&Definition::CondaFile(pure)).expect("parsed").python.as_deref(), Some("==3.11.*"));
    }

    #[test]
    fn every_option_reaches_uv_in_its_own_way() {
        let text =
            "--index-url https://example.org/simple\n--pre\n--trusted-host example.org\n--require-hashes\nnumpy\n";
        let parsed = parse(&Definition::PipRequirements(text.to_owned())).expect("parsed");
        let (lines, flags) = uv_options(&parsed.pip.options);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("https://example.org/simple"));
        assert_eq!(flags, ["--prerelease=allow", "--allow-insecure-host=example.org"]);
    }
}
