//! The programs that build images: buildah, podman and docker.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use tokio::process::Command;

use super::recipe::{self, Recipe};
use super::secrets;
use crate::environment::error::Error;
use crate::environment::process::{self, Log};
use crate::registry::{Reference, Registries};

/// Accepts every image, where the system has no policy of its own: bases are named by digest.
const POLICY: &str = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
const POLICIES: [&str; 2] = ["/etc/containers/policy.json", ".config/containers/policy.json"];
/// Time stamp of files and images, 1980: what is made of the same is the same.
const EPOCH: &str = "315532800";
/// How often what a program says is told on.
const TELL: Duration = Duration::from_secs(1);

/// A program that builds images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `buildah`
    Buildah,
    /// `podman`
    Podman,
    /// `docker`
    Docker,
}

impl Tool {
    const ALL: [Self; 3] = [Self::Buildah, Self::Podman, Self::Docker];

    /// The program's name.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Buildah => "buildah",
            Self::Podman => "podman",
            Self::Docker => "docker",
        }
    }

    /// The one that is asked for, or the first that works here.
    pub async fn find(wanted: Option<Self>) -> Result<Self, Error> {
        let mut reasons = Vec::new();
        for tool in wanted.map_or(&Self::ALL[..], |tool| Self::ALL.split_at(tool as usize).1.split_at(1).0) {
            match tool.probe().await {
                Ok(()) => return Ok(*tool),
                Err(error) => reasons.push(format!("{tool}: {error}")),
            }
        }
        Err(Error::NoBuilder { reasons: reasons.join("; ") })
    }

    /// A docker client without its daemon builds nothing.
    async fn probe(self) -> std::io::Result<()> {
        let mut command = Command::new(self.program());
        command.arg(if self == Self::Docker { "info" } else { "--version" });
        let answer = tokio::time::timeout(Duration::from_secs(20), process::output(command)).await;
        answer.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map(drop)
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}

impl FromStr for Tool {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|tool| tool.program() == text);
        found.ok_or_else(|| format!("{text:?} is none of buildah, podman and docker."))
    }
}

/// One build, with the push after it.
pub(super) struct Work<'a> {
    pub(super) tool: Tool,
    pub(super) registries: &'a Registries,
    pub(super) recipe: &'a Recipe,
    pub(super) context: &'a Path,
    pub(super) lock_text: &'a str,
    pub(super) image: &'a Reference,
    pub(super) log: &'a Log,
    pub(super) lock: &'a File,
}

impl Work<'_> {
    /// Builds and pushes; the digest that the registry knows the image by. Dropping the future stops the program.
    pub(super) async fn run(&self) -> Result<String, Error> {
        let secrets = tempfile::tempdir().map_err(io("write in", &std::env::temp_dir()))?;
        let policy = secrets.path().join("policy.json");
        std::fs::write(&policy, POLICY).map_err(io("write", &policy))?;
        let policy = Some(policy).filter(|_| !has_policy());
        let image = self.image.whole();
        let mut build = self.command("build", policy.as_deref());
        if self.tool != Tool::Docker {
            build.args(["--layers", "--timestamp", EPOCH, "--format", "oci"]);
            // Steps need no more, and it works where this program itself is in a container.
            if std::env::var_os("BUILDAH_ISOLATION").is_none() {
                build.args(["--isolation", "chroot"]);
            }
            let mut bases = self.recipe.bases.iter().filter_map(|base| base.parse::<Reference>().ok());
            if bases.any(|base| self.registries.is_plain(base.registry())) {
                build.arg("--tls-verify=false");
            }
        }
        for (name, file) in secrets::write(secrets.path(), self.lock_text).map_err(io("write in", secrets.path()))? {
            build.arg("--secret").arg(format!("id={name},src={}", file.display()));
        }
        build.args(["--tag", &image, "--file"]).arg(self.context.join("Dockerfile")).arg(self.context);
        if !self.told(build).await? {
            return Err(self.failed());
        }
        // The image stays under its name, as with every build, so that the next one is short.
        self.push(policy.as_deref(), &image, secrets.path()).await
    }

    async fn push(&self, policy: Option<&Path>, image: &str, folder: &Path) -> Result<String, Error> {
        let digest = folder.join("digest");
        let mut push = self.command("push", policy);
        if self.tool == Tool::Docker {
            push.arg(image);
        } else {
            if self.registries.is_plain(self.image.registry()) {
                push.arg("--tls-verify=false");
            }
            push.arg("--digestfile").arg(&digest).arg(image);
        }
        if !self.told(push).await? {
            return Err(Error::Push {
                image: image.to_owned(),
                log: self.log.path().to_owned(),
                tail: self.log.tail(),
            });
        }
        if self.tool != Tool::Docker {
            let digest = std::fs::read_to_string(&digest).map_err(io("read", &digest))?;
            return Ok(digest.trim().to_owned());
        }
        let mut inspect = Command::new(self.tool.program());
        inspect.args(["image", "inspect", "--format", "{{index .RepoDigests 0}}", image]);
        let said = process::output(inspect).await.map_err(io("run", Path::new("docker image inspect")))?;
        Ok(said.trim().rsplit('@').next().unwrap_or_default().to_owned())
    }

    fn command(&self, subcommand: &str, policy: Option<&Path>) -> Command {
        let mut command = Command::new(self.tool.program());
        command.arg(subcommand).current_dir(self.context).env("DOCKER_BUILDKIT", "1").env("BUILDKIT_PROGRESS", "plain");
        command.env("SOURCE_DATE_EPOCH", EPOCH);
        if let Some(policy) = policy.filter(|_| self.tool != Tool::Docker) {
            command.arg("--signature-policy").arg(policy);
        }
        command
    }

    /// Runs a program, and tells its lines on while it runs; whether it succeeded.
    async fn told(&self, command: Command) -> Result<bool, Error> {
        let run = process::run(command, self.log, Some(self.lock));
        tokio::pin!(run);
        let mut told = self.log.length();
        let mut tick = tokio::time::interval(TELL);
        loop {
            let ended = tokio::select! {
                status = &mut run => Some(status.map_err(io("run", Path::new(self.tool.program())))?.success()),
                _ = tick.tick() => None,
            };
            for line in self.log.lines_since(&mut told) {
                tracing::info!(tool = %self.tool, "{line}");
            }
            if let Some(success) = ended {
                return Ok(success);
            }
        }
    }

    /// What a failed build was about: the step that was begun last.
    fn failed(&self) -> Error {
        let said = self.log.lines_since(&mut 0);
        let begun = said.iter().rev().find_map(|line| Some(line.split_once(recipe::STEP)?.1.trim()));
        let known = [recipe::PYTHON, recipe::CONDA, recipe::PACKAGES, recipe::SCORER];
        let step = known.into_iter().find(|step| begun == Some(step));
        let attribute = match step {
            Some(recipe::CONDA | recipe::PACKAGES) => Some(self.recipe.definition),
            Some(recipe::SCORER) => None,
            _ => self.recipe.docker.then_some("docker"),
        };
        let step = step.unwrap_or("build on the base image");
        Error::Image { step, attribute, log: self.log.path().to_owned(), tail: self.log.tail() }
    }
}

fn has_policy() -> bool {
    let home = std::env::var_os("HOME").unwrap_or_default();
    POLICIES.iter().any(|path| Path::new(&home).join(path).is_file())
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_known_by_its_programs_name() {
        for tool in Tool::ALL {
            assert_eq!(tool.to_string().parse(), Ok(tool));
        }
        assert!("make".parse::<Tool>().is_err());
    }
}
