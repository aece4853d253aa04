//! The configurations of `examples/`, as a person applies them: only variables differ.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::process::Command;

use acceptance_local::{Project, eventually};
use serde_json::{Value, json};

use crate::site::{ACCOUNT, ACCOUNT_KEY};
use crate::{Kubectl, Stack};

/// A copy of an example with its trained models, and the values of its variables.
pub struct Example {
    /// The copy.
    pub project: Project,
    /// The namespace, on a cluster.
    pub kubectl: Option<Kubectl>,
    /// The output, once it was asked for.
    scoring_uri: OnceCell<String>,
}

impl Example {
    /// On this machine's local compute.
    pub fn here(name: &str) -> Self {
        Self { project: copy(name), kubectl: None, scoring_uri: OnceCell::new() }
    }

    /// On the cluster, in a namespace that is made for it.
    pub fn on_cluster(name: &str, stack: &mut Stack) -> Self {
        stack.make_namespace();
        let Stack { site, kubeconfig, port, name: container, .. } = &*stack;
        // Somebody else's, which must not change.
        stack.kubectl().apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "notes" }, "data": { "text": "not ours" },
        }));
        eventually("what every namespace has", || {
            let there = |object: &&str| stack.kubectl().succeeds(&["get", object]);
            ["configmap/kube-root-ca.crt", "serviceaccount/default"].iter().all(there).then_some(())
        });
        stack.container().create();
        let mut project = copy(name);
        let variables = json!({
            "storage_url": format!("az://{container}/workspaces"),
            // All examples have the same environment, so that its image is built once.
            "registry": format!("{}/examples", site.registry),
            "cluster": {
                "kubeconfig_path": kubeconfig,
                "namespace": stack.namespace(),
                "create_namespace": false,
                "cluster_purpose": "DevTest",
                "external_url": format!("http://{}:{}", site.host, port.here),
                "storage_endpoint": site.storage_in_cluster,
                "router": {
                    "image": site.image("azureml-fe"), "service_type": "NodePort", "node_port": port.node, "cpu_cores": 0.02,
                },
            },
        });
        project.write("terraform.tfvars.json", variables.to_string());
        project.set_variable("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT);
        project.set_variable("AZURE_STORAGE_ACCOUNT_KEY", ACCOUNT_KEY);
        project.set_variable("AZURE_STORAGE_ENDPOINT", &site.storage);
        Self { project, kubectl: Some(stack.kubectl()), scoring_uri: OnceCell::new() }
    }

    /// Everything that is there: of a namespace each object as it is, of this machine the folder of what Terraform makes.
    pub fn inventory(&self) -> Vec<String> {
        let Some(kubectl) = &self.kubectl else {
            return files(&self.project.path().join(".azureml"))
                .into_iter()
                .map(|path| path.display().to_string())
                .collect();
        };
        kubectl.objects()
    }

    /// What Terraform has written to a file of the copy.
    pub fn written(&self, file: &str) -> String {
        std::fs::read_to_string(self.project.path().join(file)).expect("what Terraform has written")
    }

    /// Where the service answers.
    pub fn scoring_uri(&self) -> &str {
        self.scoring_uri.get_or_init(|| self.project.json(["output", "-raw", "scoring_uri"]))
    }
}

/// A copy of an example, with models trained by the Python and the packages that its services will use.
fn copy(name: &str) -> Project {
    // cargo runs tests in the folder of their package.
    let source = Path::new("../../../examples").join(name);
    let read = |path: &Path| std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let project = Project::new(&String::from_utf8(read(&source.join("main.tf"))).expect("UTF-8"));
    let own = |path: &Path| {
        let first = path.components().next().and_then(|part| part.as_os_str().to_str()).unwrap_or_default();
        // What an apply of a person has left there, and models that may be older than the packages.
        !first.starts_with(['.']) && !first.starts_with("terraform.tfstate") && !["model", "models"].contains(&first)
    };
    for path in files(&source) {
        let relative = path.strip_prefix(&source).expect("below it");
        if own(relative) {
            project.write(relative.to_str().expect("UTF-8"), read(&path));
        }
    }
    let router = acceptance_local::router();
    let python = router.ancestors().nth(2).expect("the target directory").join("quickstart/bin/python");
    let trained = Command::new(&python).arg(project.path().join("train.py")).output();
    let trained = trained.unwrap_or_else(|error| panic!("{}: {error}; run `make test-kubernetes`", python.display()));
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    project
}

/// All files below a folder; none if it is not there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut all: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    all.sort();
    all
}

/// Takes every resource of the provider out of the state and imports it, and asserts that this changes nothing.
///
/// # Panics
/// When an import, or the plan after it, changes something.
pub fn import_all(project: &Project) {
    let state = std::fs::read(project.path().join("terraform.tfstate")).expect("a state");
    let state: Value = serde_json::from_slice(&state).expect("a JSON state");
    let resources = state["resources"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mut all: Vec<(String, String)> = Vec::new();
    for resource in
        resources.iter().filter(|one| one["mode"] == "managed" && text(&one["type"]).starts_with("azureml_"))
    {
        for instance in resource["instances"].as_array().expect("instances") {
            let index = match &instance["index_key"] {
                Value::Null => String::new(),
                index => format!("[{index}]"),
            };
            let address = format!("{}.{}{index}", text(&resource["type"]), text(&resource["name"]));
            all.push((address, text(&instance["attributes"]["id"])));
        }
    }
    assert!(!all.is_empty(), "{state}");
    let addresses = all.iter().map(|(address, _)| address.as_str());
    project.terraform(["state", "rm"].into_iter().chain(addresses)).ok();
    let block = |(address, id): &(String, String)| format!("import {{\n  to = {address}\n  id = {id:?}\n}}\n");
    project.write("imports.tf", all.iter().map(block).collect::<String>());
    let told = project.apply().ok();
    let expected = format!("{} imported, 0 added, 0 changed, 0 destroyed", all.len());
    assert!(told.contains(&expected), "not {expected:?}:\n{told}");
    std::fs::remove_file(project.path().join("imports.tf")).expect("the file");
    project.assert_no_changes();
}
