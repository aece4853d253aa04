//! The example provider under the real terraform: installed from a mirror, applied, interrupted.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, provider};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

/// A directory with a configuration of one note, and the provider installed.
struct Project {
    directory: tempfile::TempDir,
}

impl Project {
    fn new(arguments: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let project = Self { directory };
        let os = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let package = project.path(&format!("mirror/registry.terraform.io/example/minimal/0.1.0/{os}_{architecture}"));
        std::fs::create_dir_all(&package).unwrap();
        std::os::unix::fs::symlink(provider(), package.join("terraform-provider-minimal_v0.1.0")).unwrap();
        let mirror = project.path("mirror");
        let rc = format!(
            "provider_installation {{\n  filesystem_mirror {{\n    path = \"{}\"\n  }}\n}}\n",
            mirror.display()
        );
        std::fs::write(project.path("terraformrc"), rc).unwrap();
        let note = project.note().display().to_string();
        let main = format!(
            r#"
terraform {{
  required_providers {{
    minimal = {{
      source = "example/minimal"
    }}
  }}
}}

resource "minimal_note" "note" {{
  path = "{note}"
  text = provider::minimal::shout("hello")
  {arguments}
}}
"#
        );
        std::fs::write(project.path("main.tf"), main).unwrap();
        project.succeed(&["init", "-input=false"]);
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn note(&self) -> PathBuf {
        self.path("note.txt")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("terraform");
        command
            .args(arguments)
            .arg("-no-color")
            .current_dir(self.directory.path())
            .env("TF_CLI_CONFIG_FILE", self.path("terraformrc"))
            .env("CHECKPOINT_DISABLE", "1")
            .env_remove("TF_REATTACH_PROVIDERS")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("terraform is on PATH")
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = text(&output);
        assert!(output.status.success(), "terraform {arguments:?}:\n{text}");
        text
    }

    fn state(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.path("terraform.tfstate")).unwrap()).unwrap()
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn wait_for(path: &Path) {
    let start = Instant::now();
    while !path.exists() {
        assert!(start.elapsed() < PATIENCE, "{} does not appear", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn terraform_applies_finds_nothing_to_do_updates_imports_and_destroys() {
    let project = Project::new("");
    project.succeed(&["apply", "-auto-approve"]);
    assert_eq!(std::fs::read_to_string(project.note()).unwrap(), "HELLO");
    project.succeed(&["plan", "-detailed-exitcode"]);

    std::fs::write(project.note(), "changed by hand").unwrap();
    assert_eq!(project.run(&["plan", "-detailed-exitcode"]).status.code(), Some(2), "drift is seen");
    project.succeed(&["apply", "-auto-approve"]);
    assert_eq!(std::fs::read_to_string(project.note()).unwrap(), "HELLO");

    project.succeed(&["state", "rm", "minimal_note.note"]);
    project.succeed(&["import", "minimal_note.note", project.note().to_str().unwrap()]);
    project.succeed(&["plan", "-detailed-exitcode"]);

    project.succeed(&["destroy", "-auto-approve"]);
    assert!(!project.note().exists());
}

#[test]
fn an_object_gone_is_planned_anew() {
    let project = Project::new("");
    project.succeed(&["apply", "-auto-approve"]);
    std::fs::remove_file(project.note()).unwrap();
    assert!(project.succeed(&["plan"]).contains("1 to add"));
}

#[test]
fn ctrl_c_during_a_create_leaves_the_object_in_the_state() {
    let project = Project::new("settle_seconds = 600");
    let mut command = project.command(&["apply", "-auto-approve"]);
    // A group of its own, as a terminal gives it: the signal reaches terraform and its plugins alike.
    let terraform =
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("terraform is on PATH");
    wait_for(&project.note());
    kill_process_group(Pid::from_child(&terraform), Signal::INT).unwrap();
    let output = terraform.wait_with_output().unwrap();
    assert!(!output.status.success());
    let text = text(&output);
    assert!(!text.contains("Plugin did not respond"), "{text}");
    let instance = &project.state()["resources"][0]["instances"][0];
    assert_eq!(instance["status"], "tainted", "{text}");
    assert_eq!(instance["attributes"]["text"], "HELLO");
}

#[test]
fn a_value_out_of_range_is_an_error_at_its_attribute() {
    let project = Project::new("settle_seconds = 601");
    let output = project.run(&["validate"]);
    assert!(!output.status.success());
    let text = text(&output);
    assert!(text.contains("settle_seconds = 601"), "{text}");
}
