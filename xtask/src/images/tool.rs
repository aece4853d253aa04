//! The program that builds images: buildah, podman or docker.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use super::command::{output, run, works};
use super::error::{ImagesError, file};

/// Accepts every image. What is built here is signed by nobody, and bases are named by whoever runs this.
const POLICY: &str = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;

/// Programs that build images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Buildah,
    Podman,
    Docker,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}

impl Kind {
    const fn program(self) -> &'static str {
        match self {
            Self::Buildah => "buildah",
            Self::Podman => "podman",
            Self::Docker => "docker",
        }
    }

    /// A docker client without its daemon builds nothing.
    fn probe(self) -> Result<(), String> {
        match self {
            Self::Docker => works("docker", &["info"]),
            Self::Buildah | Self::Podman => works(self.program(), &["--version"]),
        }
    }
}

/// A program with its settings.
pub(super) struct Tool {
    kind: Kind,
    /// Buildah's own storage and its signature policy, so that the user's images are left alone.
    private: PathBuf,
    pub(super) plain_http: bool,
    pub(super) platform: Option<String>,
    /// Time stamp of files and images: equal inputs give equal digests.
    epoch: String,
}

/// What to build.
pub(super) struct Build<'a> {
    pub(super) dockerfile: &'a Path,
    pub(super) context: &'a Path,
    pub(super) tag: &'a str,
    pub(super) arguments: &'a [(&'a str, &'a str)],
}

impl Tool {
    /// The wanted program, or the first that works.
    pub(super) fn find(wanted: Option<Kind>, cache: &Path) -> Result<Self, ImagesError> {
        let kind = match wanted {
            Some(kind) => {
                kind.probe().map_err(|why| ImagesError::Tool(kind, why))?;
                kind
            }
            None => [Kind::Buildah, Kind::Podman, Kind::Docker]
                .into_iter()
                .find(|kind| kind.probe().is_ok())
                .ok_or(ImagesError::NoTool)?,
        };
        let private = cache.join("containers");
        fs::create_dir_all(&private).map_err(file(&private))?;
        let policy = private.join("policy.json");
        fs::write(&policy, POLICY).map_err(file(&policy))?;
        let epoch = std::env::var("SOURCE_DATE_EPOCH").ok().filter(|epoch| !epoch.is_empty());
        let epoch = epoch.unwrap_or_else(|| super::EPOCH.to_owned());
        Ok(Self { kind, private, plain_http: false, platform: None, epoch })
    }

    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    /// A subcommand. `policy`: it is one that reads or writes images elsewhere.
    fn command(&self, subcommand: &[&str], policy: bool) -> Command {
        let mut command = Command::new(self.kind.program());
        if self.kind == Kind::Buildah {
            command.arg("--root").arg(self.private.join("storage"));
            command.arg("--runroot").arg(self.private.join("run"));
        }
        command.args(subcommand);
        if policy && self.kind == Kind::Buildah {
            command.arg("--signature-policy").arg(self.private.join("policy.json"));
        }
        command
    }

    /// Builds an image from a Dockerfile, or takes what an earlier build has left of it.
    pub(super) fn build(&self, build: &Build<'_>) -> Result<(), ImagesError> {
        let mut command = self.command(&["build"], true);
        match self.kind {
            Kind::Buildah | Kind::Podman => {
                command.args(["--layers", "--isolation", "chroot", "--timestamp", &self.epoch, "--format", "oci"]);
                if self.plain_http {
                    command.arg("--tls-verify=false");
                }
            }
            Kind::Docker => {
                command.env("SOURCE_DATE_EPOCH", &self.epoch).env("DOCKER_BUILDKIT", "1");
            }
        }
        if let Some(platform) = &self.platform {
            command.args(["--platform", platform]);
        }
        for (name, value) in build.arguments {
            command.arg("--build-arg").arg(format!("{name}={value}"));
        }
        run(command.args(["--tag", build.tag, "--file"]).arg(build.dockerfile).arg(build.context))
    }

    /// Whether an image is in the local storage.
    pub(super) fn has(&self, tag: &str) -> bool {
        let inspect: &[&str] =
            if self.kind == Kind::Buildah { &["inspect", "--type", "image"] } else { &["image", "inspect"] };
        output(self.command(inspect, false).arg(tag)).is_ok()
    }

    /// Pushes an image; its digest in the registry.
    pub(super) fn push(&self, tag: &str) -> Result<String, ImagesError> {
        if self.kind == Kind::Docker {
            run(self.command(&["push", "--quiet"], false).arg(tag))?;
            let command = &mut self.command(&["image", "inspect", "--format", "{{index .RepoDigests 0}}"], false);
            let reference = output(command.arg(tag))?;
            return Ok(reference.rsplit('@').next().unwrap_or_default().to_owned());
        }
        let digest = tempfile::NamedTempFile::new().map_err(file(std::env::temp_dir()))?;
        let mut command = self.command(&["push", "--quiet"], true);
        if self.plain_http {
            command.arg("--tls-verify=false");
        }
        run(command.arg("--digestfile").arg(digest.path()).arg(tag))?;
        Ok(fs::read_to_string(digest.path()).map_err(file(digest.path()))?.trim().to_owned())
    }

    /// What a program in an image writes to stdout.
    pub(super) fn output_in(&self, tag: &str, program: &[&str]) -> Result<String, ImagesError> {
        if self.kind != Kind::Buildah {
            let (entry, arguments) = program.split_first().unwrap_or((&"", &[]));
            let mut command = self.command(&["run", "--rm", "--network=none", "--entrypoint", entry], false);
            return output(command.arg(tag).args(arguments));
        }
        let container = output(self.command(&["from", "--quiet"], true).arg(tag))?;
        let mut command = self.command(&["run", "--isolation", "chroot"], false);
        let said = output(command.args([&container, "--"]).args(program));
        let _ = output(self.command(&["rm"], false).arg(&container));
        said
    }
}
