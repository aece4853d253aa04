use serde::Deserialize;

use super::requirements::specifier_set;
use super::{Definition, MAX_DEFINITION_BYTES, RequirementError, Requirements};

/// Why a text is not a conda environment file that can be used.
#[derive(Debug, thiserror::Error)]
pub enum CondaError {
    /// Larger than [`MAX_DEFINITION_BYTES`].
    #[error("the conda file is larger than {MAX_DEFINITION_BYTES} bytes")]
    TooLarge,
    /// Not YAML, or YAML of another form. The text says where.
    #[error("the conda file cannot be read: {0}")]
    Form(String),
    /// An entry of `dependencies` that is not understood.
    #[error("`{0}` in `dependencies` is not a conda package like `python=3.11` or `numpy>=2`")]
    Package(String),
    /// A Python version in a form that has no equivalent outside conda.
    #[error(
        "the Python version in `{0}` is not supported: use `python=3.11`, `python==3.11.4` or `python>=3.10,<3.13`"
    )]
    Python(String),
    /// `python` is listed twice.
    #[error("`python` is listed more than once in `dependencies`")]
    SecondPython,
    /// A line of the `pip:` section; lines are counted from 1 within the section.
    #[error("`pip:` section, {0}")]
    Pip(#[from] RequirementError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "name")]
    _name: Option<String>,
    #[serde(default, rename = "prefix")]
    _prefix: Option<String>,
    #[serde(default)]
    channels: Option<Vec<String>>,
    #[serde(default)]
    dependencies: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Package(String),
    Pip(PipSection),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PipSection {
    pip: Option<Vec<String>>,
}

pub(super) fn parse(text: &str) -> Result<Definition, CondaError> {
    if text.len() > MAX_DEFINITION_BYTES {
        return Err(CondaError::TooLarge);
    }
    let file: File = serde_saphyr::from_str(text).map_err(|error| CondaError::Form(error.to_string()))?;
    let mut definition = Definition { channels: file.channels.unwrap_or_default(), ..Definition::default() };
    let mut pip = String::new();
    for entry in file.dependencies.unwrap_or_default() {
        match entry {
            Entry::Package(package) => add_package(&mut definition, &package)?,
            Entry::Pip(section) => {
                for line in section.pip.unwrap_or_default() {
                    // One entry is one requirement; a line break inside must not make two of it.
                    pip.push_str(&line.replace(['\n', '\r'], " "));
                    pip.push('\n');
                }
            }
        }
    }
    definition.pip = Requirements::parse(&pip)?;
    definition.conda.sort_unstable();
    definition.conda.dedup();
    Ok(definition)
}

fn add_package(definition: &mut Definition, text: &str) -> Result<(), CondaError> {
    let package = text.trim();
    let (channel, bare) =
        package.split_once("::").map_or((None, package), |(channel, bare)| (Some(channel.trim()), bare.trim()));
    let end = bare
        .find(|character: char| !character.is_ascii_alphanumeric() && !"-_.".contains(character))
        .unwrap_or(bare.len());
    let (name, constraint) = (bare[..end].to_ascii_lowercase(), bare[end..].trim());
    if name.is_empty()
        || !constraint.starts_with(|first: char| "=<>!~*[".contains(first) || first.is_ascii_digit())
            && !constraint.is_empty()
    {
        return Err(CondaError::Package(text.to_owned()));
    }
    match name.as_str() {
        // It only brings the installer, which every environment has in one form or other.
        "pip" => {}
        "python" if definition.python.is_some() => return Err(CondaError::SecondPython),
        "python" => definition.python = Some(python(constraint).ok_or_else(|| CondaError::Python(text.to_owned()))?),
        _ => {
            let constraint: String = constraint.split_whitespace().collect::<Vec<_>>().join(" ").replace(", ", ",");
            let channel = channel.map(|channel| format!("{channel}::")).unwrap_or_default();
            let gap =
                if constraint.starts_with(|first: char| first.is_ascii_digit() || first == '*') { " " } else { "" };
            definition.conda.push(format!("{channel}{name}{gap}{constraint}"));
        }
    }
    definition.python = definition.python.take().filter(|python| !python.is_empty());
    Ok(())
}

/// A conda version constraint as a PEP 440 specifier set; empty for any version.
fn python(constraint: &str) -> Option<String> {
    let version = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    // `=3.11`, `3.11` and `3.11.*` are prefixes in conda; only `==` is exact.
    let prefix = match constraint.strip_prefix('=') {
        Some(rest) if !rest.starts_with('=') => rest.trim(),
        _ => constraint,
    };
    if prefix.is_empty() || prefix == "*" {
        return Some(String::new());
    }
    if version(prefix.strip_suffix(".*").unwrap_or(prefix)) {
        let prefix = prefix.strip_suffix(".*").unwrap_or(prefix).trim_end_matches('.');
        return Some(format!("=={prefix}.*"));
    }
    specifier_set(constraint).filter(|_| !constraint.starts_with("==="))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(dependencies: &str) -> Result<Definition, CondaError> {
        parse(&format!("name: project\nchannels: [conda-forge]\ndependencies:\n{dependencies}"))
    }

    #[test]
    fn an_ordinary_file_gives_python_and_pip_packages() {
        let definition =
            with("  - python=3.11  # the one we test\n  - pip\n  - pip:\n    - Scikit_Learn==1.7.2\n    - numpy\n")
                .expect("a conda file");
        assert_eq!(definition.python.as_deref(), Some("==3.11.*"));
        assert_eq!(definition.pip.packages, ["numpy", "scikit-learn==1.7.2"]);
        assert_eq!(definition.channels, ["conda-forge"]);
        assert_eq!(definition.check_virtual_environment(), Ok(()));
    }

    #[test]
    fn every_form_of_a_python_version_becomes_a_specifier() {
        for (written, specifier) in [
            ("python", None),
            ("python=3.10", Some("==3.10.*")),
            ("python 3.10", Some("==3.10.*")),
            ("python=3.10.*", Some("==3.10.*")),
            ("conda-forge::python==3.10.4", Some("==3.10.4")),
            ("python >=3.10, <3.13", Some("<3.13,>=3.10")),
        ] {
            let definition = with(&format!("  - {written}\n")).expect("a conda file");
            assert_eq!(definition.python.as_deref(), specifier, "{written}");
        }
        for strange in ["python=3.10=h1_0", "python>=3.9|3.8", "python=abc"] {
            assert!(matches!(with(&format!("  - {strange}\n")), Err(CondaError::Python(_))), "{strange}");
        }
        assert!(matches!(with("  - python=3.10\n  - python=3.11\n"), Err(CondaError::SecondPython)));
    }

    #[test]
    fn other_conda_packages_are_kept_and_named_where_they_cannot_be_installed() {
        let definition = with("  - pytorch::PyTorch >=2, <3\n  - numpy 1.26\n  - libgomp\n").expect("a conda file");
        assert_eq!(definition.conda, ["libgomp", "numpy 1.26", "pytorch::pytorch>=2,<3"]);
        let refused = definition.check_virtual_environment().expect_err("refused");
        assert_eq!(refused.packages, definition.conda);
        assert!(
            refused.to_string().starts_with("the conda packages libgomp, numpy 1.26, pytorch::pytorch>=2,<3 cannot")
        );
    }

    #[test]
    fn what_is_not_a_conda_file_is_refused() {
        for text in [
            "dependencies: 3",
            "dependencies:\n  - - a",
            "packages: [a]",
            "a: [",
            "- a",
            "dependencies:\n - pip: [a]\n   x: 1",
        ] {
            assert!(matches!(parse(text), Err(CondaError::Form(_))), "{text}");
        }
        assert!(matches!(with("  - '=3'\n"), Err(CondaError::Package(_))));
        assert!(matches!(with("  - pip: ['-r other.txt']\n"), Err(CondaError::Pip(_))));
        assert!(matches!(parse(&" ".repeat(MAX_DEFINITION_BYTES + 1)), Err(CondaError::TooLarge)));
    }

    #[test]
    fn a_second_pip_section_adds_to_the_first() {
        let definition = with("  - pip: [a]\n  - pip: [b]\n").expect("a conda file");
        assert_eq!(definition.pip.packages, ["a", "b"]);
    }
}
