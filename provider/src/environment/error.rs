//! What can go wrong with an environment.

use std::path::PathBuf;

use serving::environment::{CondaError, OtherCondaPackages, RequirementError};

use super::python::OLDEST;

/// Why an environment could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The workspace.
    #[error(transparent)]
    Workspace(#[from] crate::workspace::Error),
    /// The definition.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// Neither `uv` nor a Python that could install it.
    #[error(
        "environments are made with the program uv, which is not on PATH and could not be installed: {reason}; install uv (https://docs.astral.sh/uv/), or Python {} or newer with its venv module",
        oldest()
    )]
    NoUv {
        /// Why it could not be installed.
        reason: String,
    },
    /// No Python of the wanted version.
    #[error(
        "there is no Python {wanted} on this machine and none could be installed; install it, or ask for another version\n{tail}"
    )]
    NoPython {
        /// The wanted versions.
        wanted: String,
        /// What was said.
        tail: String,
    },
    /// A Python that the scorer does not run on.
    #[error("the environment asks for Python {found}, but the scorer needs Python {} or newer", oldest())]
    OldPython {
        /// The version.
        found: String,
    },
    /// The scorer's wheel is not beside the provider.
    #[error(
        "the scorer {}is not in {}, where the provider is{}; set scorer_version to one that is there, or install the release of the provider that brings it",
        wanted.as_ref().map(|version| format!("{version} ")).unwrap_or_default(), directory.display(), available(found)
    )]
    NoScorer {
        /// The wanted version.
        wanted: Option<String>,
        /// Where it was looked for.
        directory: PathBuf,
        /// Versions that are there.
        found: Vec<String>,
    },
    /// A file that should be a wheel is none.
    #[error("{} is not a wheel of the scorer: {message}", path.display())]
    BadWheel {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The packages do not fit together, or there is no such package.
    #[error("the packages cannot be resolved:\n{tail}")]
    Resolve {
        /// The last lines of what was said.
        tail: String,
    },
    /// The virtual environment could not be built.
    #[error("cannot {step} (everything that was said is in {}):\n{tail}", log.display())]
    Build {
        /// What was done, like `install the packages`.
        step: &'static str,
        /// The log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// A program or file could not be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The environment's create was interrupted, so there is nothing to build.
    #[error("environment {id} is not finished; run terraform apply again where it is created, by {owner}")]
    Unresolved {
        /// Id of the environment.
        id: String,
        /// Owner of the environment.
        owner: String,
    },
    /// A registry.
    #[error(transparent)]
    Registry(crate::registry::Error),
    /// The image to build on.
    #[error("the base image {image} cannot be used: {source}")]
    BaseImage {
        /// Its name.
        image: String,
        /// Whether the environment itself names it.
        own: bool,
        /// The registry's reason.
        #[source]
        source: crate::registry::Error,
    },
    /// No program that builds images.
    #[error(
        "the workspace has a registry, but there is no program to build an image with ({reasons}); install buildah, podman or docker, or give the workspace a global_registry that has the image"
    )]
    NoBuilder {
        /// Why each of them does not work.
        reasons: String,
    },
    /// There is no place for logs and locks.
    #[error("there is no cache directory for the builds of images; set HOME")]
    NoCache,
    /// An image is Linux.
    #[error(
        "the packages were resolved for {platform}, and images need them for Linux; create the environment where Linux runs, with the processor of the cluster's nodes"
    )]
    Platform {
        /// The platform.
        platform: String,
    },
    /// The image could not be built.
    #[error("the image cannot be built: cannot {step} (everything that was said is in {}):\n{tail}", log.display())]
    Image {
        /// What was done, like `install the packages`.
        step: &'static str,
        /// The attribute that it is about, if it is known.
        attribute: Option<&'static str>,
        /// The log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The image could not be pushed.
    #[error(
        "the image was built, but {image} cannot be pushed; check the registry, and that you are signed in to it with `podman login` or `docker login` (everything that was said is in {}):\n{tail}",
        log.display()
    )]
    Push {
        /// Its name.
        image: String,
        /// The log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// No directory of this machine to build in.
    #[error(
        "workspace {0} is not a directory of this machine, and the user has no cache directory, so there is no place to build a virtual environment in; set AZUREML_CACHE_DIR to an absolute path"
    )]
    NotLocal(crate::workspace::WorkspaceId),
}

/// The oldest Python that the scorer runs on.
pub(super) fn oldest() -> String {
    format!("{}.{}", OLDEST.0, OLDEST.1)
}

fn available(found: &[String]) -> String {
    if found.is_empty() { String::new() } else { format!(" (there is {})", found.join(", ")) }
}

/// Why a definition cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// `pip_requirements`.
    #[error(transparent)]
    Requirements(#[from] RequirementError),
    /// `conda_file`.
    #[error(transparent)]
    Conda(#[from] CondaError),
    /// Conda packages that no virtual environment can have.
    #[error(transparent)]
    Packages(#[from] OtherCondaPackages),
}
