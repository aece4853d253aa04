//! The cluster as an administrator sees it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use acceptance_local::eventually;
use serde_json::Value;

/// `kubectl` with an administrator's rights, in one namespace.
#[derive(Clone, Debug)]
pub struct Kubectl {
    kubeconfig: PathBuf,
    namespace: String,
}

impl Kubectl {
    pub(crate) fn new(kubeconfig: &Path, namespace: &str) -> Self {
        Self { kubeconfig: kubeconfig.to_owned(), namespace: namespace.to_owned() }
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(["--namespace", &self.namespace]).args(arguments);
        command
    }

    /// Standard output of a run that must succeed.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("kubectl starts");
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments:?}: {problem}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Everything that a run says that must succeed, warnings of the API server included.
    #[track_caller]
    pub fn says(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("kubectl starts");
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "kubectl {arguments:?}: {text}");
        text
    }

    /// Whether a run succeeds.
    pub fn succeeds(&self, arguments: &[&str]) -> bool {
        let mut command = self.command(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("kubectl starts").success()
    }

    /// Applies a manifest.
    pub fn apply(&self, manifest: &Value) {
        if let Err(problem) = self.feed(&["apply", "--filename", "-"], manifest) {
            panic!("kubectl apply {manifest}: {problem}");
        }
    }

    /// What the API server would make of this.
    ///
    /// # Errors
    /// Why it would not, in its words.
    pub fn dry_run(&self, manifest: &Value) -> Result<String, String> {
        self.feed(&["create", "--dry-run=server", "--output", "json", "--filename", "-"], manifest)
    }

    fn feed(&self, arguments: &[&str], manifest: &Value) -> Result<String, String> {
        use std::io::Write as _;

        let mut command = self.command(arguments);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("kubectl starts");
        child.stdin.take().expect("a pipe").write_all(manifest.to_string().as_bytes()).expect("kubectl reads");
        let output = child.wait_with_output().expect("kubectl ends");
        let said = if output.status.success() { Ok(output.stdout) } else { Err(output.stderr) };
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        said.map(text).map_err(text)
    }

    /// Objects of a kind with these labels.
    pub fn list(&self, kind: &str, selector: &str) -> Vec<Value> {
        let text = self.run(&["get", kind, "--selector", selector, "--output", "json"]);
        let list: Value = serde_json::from_str(&text).expect("JSON");
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Names of the pods of a component that are not ending.
    pub fn pods(&self, component: &str) -> Vec<String> {
        self.list("pods", &format!("app.kubernetes.io/component={component}"))
            .iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .map(|pod| pod["metadata"]["name"].as_str().expect("a name").to_owned())
            .collect()
    }

    /// Waits until as many pods of a component are ready, and no others are there.
    pub fn wait_for_pods(&self, component: &str, count: usize) {
        eventually("pods to be ready", || {
            let pods = self.list("pods", &format!("app.kubernetes.io/component={component}"));
            let ready = |pod: &&Value| {
                let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
                conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
            };
            (pods.len() == count && pods.iter().filter(ready).count() == count).then_some(())
        });
    }

    /// The last lines that the pods of a component have logged, for the message of a test that fails.
    pub fn last_words(&self, component: &str) -> String {
        let selector = format!("app.kubernetes.io/component={component}");
        let arguments = ["logs", "--selector", &selector, "--all-containers", "--prefix", "--tail", "40"];
        let output = self.command(&arguments).output().expect("kubectl starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Requests that a router has answered, by its own count.
    pub fn requests_of(&self, router: &str) -> u64 {
        let path = format!("/api/v1/namespaces/{}/pods/{router}:9090/proxy/metrics", self.namespace);
        let counts = self.run(&["get", "--raw", &path]);
        let counts = counts.lines().filter(|line| line.starts_with("azureml_fe_requests_total{"));
        counts.map(|line| line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok()).expect("a count")).sum()
    }

    /// Kind and name of everything in the namespace but what the cluster puts into each and events.
    pub fn inventory(&self) -> Vec<String> {
        const KINDS: &str = "configmaps,secrets,serviceaccounts,roles,rolebindings,deployments,replicasets,pods,services,\
                             endpointslices,leases,poddisruptionbudgets,networkpolicies,resourcequotas";
        let text = self.run(&["get", KINDS, "--output", "name"]);
        let own = ["configmap/kube-root-ca.crt", "serviceaccount/default"];
        let mut all: Vec<String> = text.lines().filter(|line| !own.contains(line)).map(str::to_owned).collect();
        all.sort();
        all
    }

    /// Every object of the namespace, of whatever kind, as it is: one that was changed or made anew is another. Events
    /// are no objects of anybody.
    pub fn objects(&self) -> Vec<String> {
        let kinds = self.run(&["api-resources", "--namespaced", "--verbs", "list", "--output", "name"]);
        let kinds: Vec<&str> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
        let fields =
            "{range .items[*]}{.kind}/{.metadata.name} {.metadata.uid} {.metadata.resourceVersion}{\"\\n\"}{end}";
        let text = self.run(&["get", &kinds.join(","), "--output", &format!("jsonpath={fields}")]);
        let mut all: Vec<String> = text.lines().map(str::to_owned).collect();
        all.sort();
        all
    }
}
