//! The definition as the user wrote it, and in its normal form.

use super::error::DefinitionError;
use crate::workspace::document::{Definition, Docker};

/// Parses a definition. Packages that only conda can install need a base image that has conda, as no virtual environment
/// can have them.
pub fn parse(
    definition: &Definition,
    docker: Option<&Docker>,
) -> Result<serving::environment::Definition, DefinitionError> {
    let mut parsed = match definition {
        Definition::PipRequirements(text) => serving::environment::Definition::from_pip_requirements(text)?,
        Definition::CondaFile(text) => serving::environment::Definition::from_conda_file(text)?,
    };
    if let Some(docker) = docker {
        parsed.base_image.clone_from(&docker.base_image);
        let steps = docker.base_dockerfile.iter().chain(docker.extra_docker_file_steps.iter().flatten());
        parsed.docker_steps = steps.cloned().collect();
    }
    if docker.is_none_or(|docker| docker.base_image.is_none() && docker.base_dockerfile.is_none()) {
        parsed.check_virtual_environment()?;
    }
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
        let error = parse(&Definition::CondaFile(conda.to_owned()), None).expect_err("refused");
        assert!(error.to_string().contains("scipy"), "{error}");
        let pure = conda.replace("- scipy\n", "");
        assert_eq!(parse(&Definition::CondaFile(pure), None).expect("parsed").python.as_deref(), Some("==3.11.*"));
        let docker = Docker { base_image: Some("mambaorg/micromamba:2".into()), ..Docker::default() };
        parse(&Definition::CondaFile(conda.to_owned()), Some(&docker)).expect("a base image may have conda");
    }

    #[test]
    fn every_option_reaches_uv_in_its_own_way() {
        let text =
            "--index-url https://example.org/simple\n--pre\n--trusted-host example.org\n--require-hashes\nnumpy\n";
        let parsed = parse(&Definition::PipRequirements(text.to_owned()), None).expect("parsed");
        let (lines, flags) = uv_options(&parsed.pip.options);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("https://example.org/simple"));
        assert_eq!(flags, ["--prerelease=allow", "--allow-insecure-host=example.org"]);
    }
}
