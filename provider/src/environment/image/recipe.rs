//! How an environment's image is made: a Dockerfile, and the files beside it.

use std::fmt::Write as _;
use std::path::Path;

use super::base::Base;
use crate::environment::definition;
use crate::environment::error::Error;
use crate::workspace::Catalogue;
use crate::workspace::EnvironmentBody;
use crate::workspace::document::{Definition, Resolved};

const REQUIREMENTS: &str = "requirements.txt";
/// Begins the line of the log that tells which step runs.
pub(super) const STEP: &str = "azureml-step:";
pub(super) const PACKAGES: &str = "install the packages";
pub(super) const SCORER: &str = "install the scorer";
pub(super) const CONDA: &str = "install the conda packages";
pub(super) const PYTHON: &str = "find Python";

/// What to build.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub(super) dockerfile: String,
    /// The Dockerfile, for which it does not matter in which registry the base is.
    pub(super) identity: String,
    /// Images that the Dockerfile names, for those in registries without encryption.
    pub(super) bases: Vec<String>,
    /// The attribute that has the packages.
    pub(super) definition: &'static str,
    /// Whether the environment says anything of its image.
    pub(super) docker: bool,
}

impl Recipe {
    pub(super) fn of(body: &EnvironmentBody, resolved: &Resolved, base: &Base) -> Result<Self, Error> {
        if !resolved.platform.starts_with("linux") {
            return Err(Error::Platform { platform: resolved.platform.clone() });
        }
        let definition = definition::parse(&body.definition, body.docker.as_ref())?;
        let docker = body.docker.clone().unwrap_or_default();
        let mut text = match base {
            Base::Image { pinned, .. } => format!("FROM {pinned}\n"),
            Base::Dockerfile => format!("{}\n", docker.base_dockerfile.as_deref().unwrap_or_default().trim_end()),
        };
        let bases = froms(&text);
        text.push_str("USER 0\n");
        for step in docker.extra_docker_file_steps.iter().flatten() {
            let _ = writeln!(text, "{}", step.trim_end());
        }
        let minor: Vec<&str> = resolved.python.split('.').take(2).collect();
        let minor = minor.join(".");
        if definition.conda.is_empty() {
            python(&mut text, &minor);
        } else {
            conda(&mut text, &minor, &definition);
        }
        packages(&mut text, &resolved.lock);
        scorer(&mut text, &resolved.scorer.file);
        let attribute = match body.definition {
            Definition::PipRequirements(_) => "pip_requirements",
            Definition::CondaFile(_) => "conda_file",
        };
        let identity = match base {
            Base::Image { pinned, .. } => text.replacen(pinned, pinned.rsplit('@').next().unwrap_or(pinned), 1),
            Base::Dockerfile => text.clone(),
        };
        Ok(Self { dockerfile: text, identity, bases, definition: attribute, docker: body.docker.is_some() })
    }

    /// Writes the Dockerfile and what it copies.
    pub(super) async fn write(&self, catalogue: &Catalogue, resolved: &Resolved, folder: &Path) -> Result<(), Error> {
        for (name, text) in [("Dockerfile", &self.dockerfile), (REQUIREMENTS, &resolved.lock)] {
            let path = folder.join(name);
            std::fs::write(&path, text).map_err(|source| Error::Io { action: "write", path, source })?;
        }
        catalogue.copy_blob(&resolved.scorer.wheel, &folder.join(&resolved.scorer.file)).await?;
        Ok(())
    }
}

/// The images that a Dockerfile is built on.
fn froms(dockerfile: &str) -> Vec<String> {
    let lines = dockerfile
        .lines()
        .map(str::trim)
        .filter(|line| line.get(..5).is_some_and(|word| word.eq_ignore_ascii_case("from ")));
    lines
        .filter_map(|line| line[5..].split_whitespace().find(|word| !word.starts_with("--")))
        .map(str::to_owned)
        .collect()
}

/// A step of a shell that tells in the log that it runs. What it names itself by is no part of its own text, which some
/// builders show as well.
fn run(text: &mut String, mounts: &str, step: &str, commands: &[&str]) {
    let _ = write!(text, "RUN {mounts}set -eu; step='{step}'; echo \"{STEP} $step\"");
    for command in commands {
        let _ = write!(text, "; \\\n    {command}");
    }
    text.push('\n');
}

/// The virtual environment, with the Python that the packages were resolved for. The scorer's own image has it already.
fn python(text: &mut String, minor: &str) {
    let check = format!(
        "for python in /opt/azureml/bin/python python{minor} python3 python; do \
         if \"$python\" -c 'import sys; sys.exit(\"%d.%d\" % sys.version_info[:2] != \"{minor}\")' 2>/dev/null; then break; fi; \
         python=''; done"
    );
    let missing = format!(
        "if [ -z \"$python\" ]; then echo 'The base image has no Python {minor} on its PATH, for which the packages were \
         resolved. Take another base image, or a conda_file that asks for the Python that this one has.'; exit 1; fi"
    );
    run(
        text,
        "",
        PYTHON,
        &[
            &check,
            &missing,
            "if [ \"$python\" != /opt/azureml/bin/python ]; then \"$python\" -m venv --clear --system-site-packages /opt/azureml; fi",
        ],
    );
}

/// An environment of conda's in the same place.
fn conda(text: &mut String, minor: &str, definition: &serving::environment::Definition) {
    let quote = |word: &str| format!("'{}'", word.replace('\'', "'\\''"));
    let channels: Vec<&str> = definition.channels.iter().map(String::as_str).collect();
    let channels = if channels.is_empty() { vec!["conda-forge"] } else { channels };
    let channels: Vec<String> = channels.iter().map(|channel| format!("--channel {}", quote(channel))).collect();
    let packages: Vec<String> = definition.conda.iter().map(|package| quote(package)).collect();
    let install = format!(
        "\"$conda\" create --yes --quiet --prefix /opt/azureml --override-channels {} 'python={minor}' pip {}",
        channels.join(" "),
        packages.join(" ")
    );
    run(
        text,
        &secrets(),
        CONDA,
        &[
            &environment(),
            "conda=''; for tool in micromamba mamba conda /opt/conda/bin/conda; do \
             if command -v \"$tool\" >/dev/null 2>&1; then conda=$tool; break; fi; done",
            "if [ -z \"$conda\" ]; then echo 'The base image has neither micromamba nor mamba nor conda, which the packages of \
             the conda_file need. Take a base image that has one.'; exit 1; fi",
            "rm -rf /opt/azureml",
            &install,
            "\"$conda\" clean --all --yes --quiet >/dev/null 2>&1 || true",
        ],
    );
}

fn packages(text: &mut String, lock: &str) {
    // What comes from a repository has no hash.
    let hashes = if lock.contains("git+") { "" } else { "--require-hashes " };
    let install = format!(
        "/opt/azureml/bin/python -m pip install --no-input --no-deps --no-compile {hashes}--progress-bar off --requirement \
         /tmp/azureml/{REQUIREMENTS}"
    );
    let _ = writeln!(text, "COPY {REQUIREMENTS} /tmp/azureml/");
    run(
        text,
        &secrets(),
        PACKAGES,
        &[
            &environment(),
            &install,
            // Here once, as nothing can be written where it runs; by hash, as an image's files may lose their times. Some
            // packages bring files for other versions of Python.
            "/opt/azureml/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/azureml/lib >/dev/null 2>&1 || true",
            "rm -rf /tmp/azureml",
        ],
    );
}

fn scorer(text: &mut String, wheel: &str) {
    let _ = writeln!(text, "COPY {wheel} /tmp/azureml/");
    let install = format!(
        "/opt/azureml/bin/python -m pip install --no-input --no-index --no-deps --no-compile --force-reinstall /tmp/azureml/{wheel}"
    );
    run(
        text,
        "",
        SCORER,
        &[
            "export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore",
            &install,
            "/opt/azureml/bin/python -m compileall -q --invalidation-mode unchecked-hash \
             \"$(/opt/azureml/bin/python -c 'import azureml_scorer, os; print(os.path.dirname(azureml_scorer.__file__))')\"",
            "rm -rf /tmp/azureml",
        ],
    );
    text.push_str(
        "ENV PATH=/opt/azureml/bin:$PATH VIRTUAL_ENV=/opt/azureml PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1\n\
         EXPOSE 5001\n\
         USER 10001:10001\n\
         WORKDIR /tmp\n\
         ENTRYPOINT []\n\
         CMD [\"python\", \"-m\", \"azureml_scorer\"]\n",
    );
}

/// The options that give a step what must not be part of the image.
fn secrets() -> String {
    let mount = |id: &str| format!("--mount=type=secret,id={id},target=/run/secrets/{id} ");
    mount(super::secrets::VARIABLES) + &mount(super::secrets::CERTIFICATES)
}

/// Where packages come from, as it is outside.
fn environment() -> String {
    let (variables, certificates) = (super::secrets::VARIABLES, super::secrets::CERTIFICATES);
    format!(
        "export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore; \
         if [ -s /run/secrets/{variables} ]; then . /run/secrets/{variables}; fi; \
         if [ -s /run/secrets/{certificates} ]; then export PIP_CERT=/run/secrets/{certificates} \
         SSL_CERT_FILE=/run/secrets/{certificates} REQUESTS_CA_BUNDLE=/run/secrets/{certificates}; fi"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::document::{Docker, Scorer};

    fn body(definition: Definition, docker: Option<Docker>) -> EnvironmentBody {
        let resolved = Resolved {
            lock: "numpy==2.3.1 --hash=sha256:00\n".into(),
            python: "3.11.7".into(),
            platform: "linux-x86_64".into(),
            scorer: Scorer {
                version: "0.1.0".into(),
                file: "azureml_scorer-0.1.0-py3-none-any.whl".into(),
                wheel: format!("sha256:{:064}", 0).parse().expect("a digest"),
            },
        };
        EnvironmentBody {
            definition,
            docker,
            environment_variables: None,
            version: 1,
            hash: String::new(),
            resolved: Some(resolved),
            base: None,
            image: None,
        }
    }

    fn dockerfile(body: &EnvironmentBody, base: &Base) -> String {
        let resolved = body.resolved.as_ref().expect("resolved");
        Recipe::of(body, resolved, base).expect("a recipe").dockerfile
    }

    fn image() -> Base {
        Base::Image { name: "python:3.11".into(), pinned: "docker.io/library/python@sha256:11".into() }
    }

    fn pip() -> Definition {
        Definition::PipRequirements("numpy\n".into())
    }

    #[test]
    fn the_base_the_packages_and_the_scorer_are_layers_in_this_order() {
        let text = dockerfile(&body(pip(), None), &image());
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("no {part} in\n{text}"));
        assert!(text.starts_with("FROM docker.io/library/python@sha256:11\n"));
        assert!(at("-m venv") < at("--require-hashes") && at("--require-hashes") < at("azureml_scorer-0.1.0"));
        assert!(at("azureml_scorer-0.1.0") < at("USER 10001:10001"));
    }

    #[test]
    fn a_base_is_the_same_in_every_registry() {
        let identity = |pinned: &str| {
            let base = Base::Image { name: "x".into(), pinned: pinned.into() };
            let body = body(pip(), None);
            Recipe::of(&body, body.resolved.as_ref().expect("resolved"), &base).expect("a recipe").identity
        };
        assert_eq!(identity("one.example.org/python@sha256:11"), identity("two.example.org/team/python@sha256:11"));
        assert_ne!(identity("one.example.org/python@sha256:11"), identity("one.example.org/python@sha256:22"));
    }

    #[test]
    fn steps_of_the_users_own_come_before_the_packages() {
        let docker = Docker {
            extra_docker_file_steps: Some(vec!["RUN apt-get install -y libgomp1  ".into()]),
            ..Docker::default()
        };
        let text = dockerfile(&body(pip(), Some(docker)), &image());
        let step = text.find("RUN apt-get install -y libgomp1\n").expect("the step");
        assert!(step < text.find("-m venv").expect("the environment"));
    }

    #[test]
    fn a_dockerfile_of_the_users_own_is_continued_and_its_bases_are_known() {
        let own =
            "FROM localhost:5000/base:1 AS base\nfrom --platform=linux/amd64 python:3.11\nCOPY --from=base /a /a\n";
        let docker = Docker { base_dockerfile: Some(own.into()), ..Docker::default() };
        let body = body(pip(), Some(docker));
        let recipe = Recipe::of(&body, body.resolved.as_ref().expect("resolved"), &Base::Dockerfile).expect("a recipe");
        assert!(recipe.dockerfile.starts_with(own));
        assert_eq!(recipe.bases, ["localhost:5000/base:1", "python:3.11"]);
    }

    #[test]
    fn conda_packages_are_installed_by_conda_from_their_channels_only() {
        let conda = "channels: [pytorch]\ndependencies:\n- python=3.11\n- libgomp>=12\n- pip:\n  - numpy\n";
        let docker = Docker { base_image: Some("mambaorg/micromamba:2".into()), ..Docker::default() };
        let text = dockerfile(&body(Definition::CondaFile(conda.into()), Some(docker)), &image());
        assert!(text.contains("--override-channels --channel 'pytorch' 'python=3.11' pip 'libgomp>=12'"), "{text}");
        assert!(!text.contains("-m venv"));
    }

    #[test]
    fn what_has_no_hash_is_installed_without_asking_for_one() {
        let mut body = body(pip(), None);
        if let Some(resolved) = &mut body.resolved {
            resolved.lock = "tool @ git+https://example.org/tool@0123\n".into();
        }
        assert!(!dockerfile(&body, &image()).contains("--require-hashes"));
    }

    #[test]
    fn packages_of_another_system_make_no_image() {
        let mut body = body(pip(), None);
        if let Some(resolved) = &mut body.resolved {
            resolved.platform = "macosx-14.0-arm64".into();
        }
        let resolved = body.resolved.clone().expect("resolved");
        let error = Recipe::of(&body, &resolved, &image()).expect_err("refused").to_string();
        assert!(error.contains("macosx-14.0-arm64"), "{error}");
    }
}
