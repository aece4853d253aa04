//! A Terraform project in a temporary directory.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use serving::admin::ServiceStatus;
use tempfile::TempDir;

use crate::Run;

/// A directory with a configuration, its own state and nothing shared with other projects.
///
/// Dropping it destroys what it made, so that a failed test leaves no process behind.
pub struct Project {
    directory: TempDir,
    /// A directory whose objects must outlive this project is not destroyed with it.
    keep_objects: bool,
    variables: Vec<(String, OsString)>,
}

/// What one run of the CLI did.
#[derive(Debug)]
#[must_use]
pub struct Outcome {
    /// Whether the exit code was 0.
    pub success: bool,
    /// Exit code; 2 means "there are changes" for `plan -detailed-exitcode`.
    pub code: Option<i32>,
    /// Standard output and standard error, one after the other.
    pub text: String,
}

impl Outcome {
    /// The output of a run that must have succeeded.
    ///
    /// # Panics
    /// When it did not; the message is the whole output.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.success, "terraform failed:\n{}", self.text);
        self.text
    }

    /// The output of a run that must have failed and must contain each of `expected`, whatever the line breaks.
    ///
    /// # Panics
    /// When the run succeeded or a text is missing.
    #[track_caller]
    pub fn fails_with(self, expected: &[&str]) -> String {
        assert!(!self.success, "terraform succeeded, but should have failed with {expected:?}:\n{}", self.text);
        let flat = flatten(&self.text);
        for text in expected {
            assert!(flat.contains(&flatten(text)), "no {text:?} in:\n{}", self.text);
        }
        self.text
    }
}

/// Terraform wraps diagnostics and draws a box around them; compare without both.
fn flatten(text: &str) -> String {
    text.replace(['│', '╷', '╵'], " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Project {
    /// An initialised project with this configuration.
    ///
    /// # Panics
    /// When the mirror is missing or `init` fails.
    #[must_use]
    pub fn new(configuration: &str) -> Self {
        let project = Self {
            directory: TempDir::with_prefix("azml-").expect("a temporary directory"),
            keep_objects: false,
            variables: Vec::new(),
        };
        project.configure(configuration);
        project.terraform(["init", "-input=false"]).ok();
        project
    }

    /// Sets a variable of the environment that the CLI, and so the provider, runs in from now on.
    pub fn set_variable(&mut self, name: &str, value: impl Into<OsString>) {
        self.variables.retain(|(other, _)| other != name);
        self.variables.push((name.to_owned(), value.into()));
    }

    /// Takes such a variable away again.
    pub fn unset_variable(&mut self, name: &str) {
        self.variables.retain(|(other, _)| other != name);
    }

    /// Leaves what the project made to somebody else when it is dropped.
    #[must_use]
    pub fn keep_objects(mut self) -> Self {
        self.keep_objects = true;
        self
    }

    /// The project's directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Replaces `main.tf`.
    pub fn configure(&self, configuration: &str) {
        self.write("main.tf", configuration);
    }

    /// Writes a file below the project's directory.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, content).expect("a file");
    }

    /// Runs the CLI to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn terraform<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Outcome {
        let output = self.command(arguments).output().expect("terraform starts");
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Outcome { success: output.status.success(), code: output.status.code(), text }
    }

    /// Starts the CLI in a process group of its own and leaves it running.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        Run::start(self.command(arguments))
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(terraform());
        command
            .args(arguments)
            .current_dir(self.path())
            .env("TF_CLI_CONFIG_FILE", target_directory().join("terraformrc"))
            .env("TF_IN_AUTOMATION", "1")
            .env("CHECKPOINT_DISABLE", "1")
            .env("NO_COLOR", "1")
            // A person's and not a test's: what the tests look for in the output must be there in one form.
            .env_remove("TF_LOG")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// The plan's changes as JSON: each changed resource with its actions and values before and after.
    ///
    /// # Panics
    /// When planning fails.
    #[must_use]
    pub fn planned_changes(&self) -> Vec<Value> {
        self.terraform(["plan", "-input=false", "-out=test.tfplan"]).ok();
        let plan: Value = serde_json::from_str(&self.json(["show", "-json", "test.tfplan"])).expect("a JSON plan");
        let mut changes = plan["resource_changes"].as_array().cloned().unwrap_or_default();
        changes.retain(|change| change["change"]["actions"] != serde_json::json!(["no-op"]));
        changes
    }

    /// Applies without asking.
    pub fn apply(&self) -> Outcome {
        self.terraform(["apply", "-auto-approve", "-input=false", "-no-color"])
    }

    /// Destroys without asking.
    pub fn destroy(&self) -> Outcome {
        self.terraform(["destroy", "-auto-approve", "-input=false", "-no-color"])
    }

    /// Plans; exit code 2 of `-detailed-exitcode` counts as success.
    pub fn plan(&self) -> Outcome {
        let mut outcome = self.terraform(["plan", "-input=false", "-no-color", "-detailed-exitcode"]);
        outcome.success |= outcome.code == Some(2);
        outcome
    }

    /// Asserts that there is nothing to do.
    ///
    /// # Panics
    /// When the plan has changes or fails.
    #[track_caller]
    pub fn assert_no_changes(&self) {
        let outcome = self.plan();
        assert_eq!(outcome.code, Some(0), "the plan is not empty:\n{}", outcome.text);
    }

    /// The plan as JSON: address of each changed resource with its actions, for example `["update"]`.
    ///
    /// # Panics
    /// When planning fails.
    #[must_use]
    pub fn planned_actions(&self) -> Vec<(String, Vec<String>)> {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        self.planned_changes()
            .iter()
            .map(|change| {
                let actions = change["change"]["actions"].as_array().expect("actions");
                (text(&change["address"]), actions.iter().map(text).collect())
            })
            .collect()
    }

    /// Attributes of a resource in the state.
    ///
    /// # Panics
    /// When the state has no such resource.
    #[must_use]
    pub fn attributes(&self, address: &str) -> Value {
        // Of the file itself: `show -json` of Terraform 1.11 crashes on a state with conditions of ephemeral resources.
        let state = std::fs::read(self.path().join("terraform.tfstate")).expect("a state");
        let state: Value = serde_json::from_slice(&state).expect("a JSON state");
        let (kind, name) = address.split_once('.').expect("an address");
        let resources = state["resources"].as_array().cloned().unwrap_or_default();
        let found = resources.into_iter().find(|resource| resource["type"] == kind && resource["name"] == name);
        found.unwrap_or_else(|| panic!("no {address} in {state}"))["instances"][0]["attributes"].clone()
    }

    /// One string attribute of a resource in the state.
    ///
    /// # Panics
    /// When it is missing or not a string.
    #[must_use]
    pub fn attribute(&self, address: &str, name: &str) -> String {
        let attributes = self.attributes(address);
        attributes[name].as_str().unwrap_or_else(|| panic!("no string {name} in {attributes}")).to_owned()
    }

    /// The directory of the local compute `azureml_local_compute.this`.
    #[must_use]
    pub fn compute_directory(&self) -> PathBuf {
        self.path().join(self.attribute("azureml_local_compute.this", "directory"))
    }

    /// Runs `azureml-fe` of the mirror with `--directory` of the compute.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn fe(&self, arguments: &[&str]) -> String {
        let directory = self.compute_directory();
        let output = Command::new(router())
            .args(arguments)
            .arg("--directory")
            .arg(directory)
            .output()
            .expect("azureml-fe starts");
        assert!(output.status.success(), "azureml-fe {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// The primary key of the webservice `name`.
    #[must_use]
    pub fn key(&self, name: &str) -> String {
        self.keys(name).0
    }

    /// The primary and the secondary key of the webservice `name`.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn keys(&self, name: &str) -> (String, String) {
        let keys: Value = serde_json::from_str(&self.fe(&["service", "keys", name, "--json"])).expect("JSON keys");
        let key = |slot: &str| keys[slot].as_str().expect("a key").to_owned();
        (key("primary"), key("secondary"))
    }

    /// What the router says of the webservice `name`.
    ///
    /// # Panics
    /// When it cannot be asked.
    #[must_use]
    pub fn status(&self, name: &str) -> ServiceStatus {
        let shown: Value = serde_json::from_str(&self.fe(&["service", "show", name, "--json"])).expect("JSON");
        serde_json::from_value(shown["status"].clone()).expect("a status")
    }

    /// Process ids of the replicas of the webservice `name`, in ascending order.
    #[must_use]
    pub fn replica_pids(&self, name: &str) -> Vec<u32> {
        let status = self.status(name);
        let mut pids: Vec<u32> =
            status.versions.values().flat_map(|version| &version.replicas).map(|replica| replica.pid).collect();
        pids.sort_unstable();
        pids
    }

    /// Where the webservice of a [`Stack`](crate::Stack) is scored.
    #[must_use]
    pub fn scoring_uri(&self) -> String {
        self.attribute("azureml_webservice.this", "scoring_uri")
    }

    /// Standard output of a run that must succeed, without the warnings on standard error.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn json<const N: usize>(&self, arguments: [&str; N]) -> String {
        let output = self.command(arguments).output().expect("terraform starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if self.keep_objects || !self.path().join("terraform.tfstate").exists() {
            return;
        }
        let outcome = self.destroy();
        if !outcome.success {
            // What a broken state cannot destroy must still not outlive the test.
            crate::processes::kill_processes_of(self.path());
            assert!(std::thread::panicking(), "destroy failed:\n{}", outcome.text);
        }
    }
}

/// The CLI, found here and not by the `PATH` that a test may give to it.
fn terraform() -> PathBuf {
    let name = std::env::var_os("AZUREML_ACCEPTANCE_TERRAFORM").unwrap_or_else(|| "terraform".into());
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).map(|folder| folder.join(&name)).find(|path| path.is_file());
    found.unwrap_or_else(|| PathBuf::from(name))
}

/// The Cargo target directory that this test was built into.
pub(crate) fn target_directory() -> PathBuf {
    let executable = std::env::current_exe().expect("the test's own path");
    let target = executable.ancestors().nth(3).expect("target/<profile>/deps/<test>").to_owned();
    assert!(
        target.join("terraformrc").is_file(),
        "{} has no provider mirror: run `make build` first",
        target.display()
    );
    target
}

/// The router program that was built with the provider.
#[must_use]
pub fn router() -> PathBuf {
    target_directory().join("release/azureml-fe")
}
