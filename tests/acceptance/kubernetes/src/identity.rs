//! An identity with few rights, as a careful administrator gives it to who runs terraform.

use std::collections::BTreeSet;
use std::path::Path;

use acceptance_local::{Outcome, eventually};
use serde_json::{Value, json};

use crate::kubectl::Kubectl;
use crate::told::flat;

/// A verb on a resource, with its subresource, of an API group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// The group; empty for the core one.
    pub group: String,
    /// The resource.
    pub resource: String,
    /// The verb.
    pub verb: String,
}

const GUIDE: &str = include_str!("../../../../docs/guides/clusters.md");

impl Right {
    /// The rights of the guide's Role, and those of its optional `ClusterRole`.
    pub fn of_guide() -> [BTreeSet<Self>; 2] {
        let mut manifests = GUIDE.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        let mut next = |kind: &str| {
            let manifest =
                manifests.find(|manifest| manifest.contains(&format!("kind: {kind}\n"))).expect("a manifest");
            Self::all_of(manifest)
        };
        [next("Role"), next("ClusterRole")]
    }

    /// All rights of lines such as `- { apiGroups: [""], resources: [pods], verbs: [get, list] }`.
    fn all_of(manifest: &str) -> BTreeSet<Self> {
        let list = |line: &str, name: &str| -> Vec<String> {
            let (_, rest) = line.split_once(&format!("{name}: [")).expect("a list");
            let (list, _) = rest.split_once(']').expect("its end");
            list.split(',').map(|item| item.trim().trim_matches('"').to_owned()).collect()
        };
        let lines = manifest.lines().filter(|line| line.contains("apiGroups: ["));
        lines
            .flat_map(|line| product(&list(line, "apiGroups"), &list(line, "resources"), &list(line, "verbs")))
            .collect()
    }

    /// The rights that an error says are lacking, in the words of the API server.
    pub fn named_in(text: &str) -> BTreeSet<Self> {
        // A warning that an optional right lacks is no error.
        let text = flat(text.split_once("Error: ").map_or("", |(_, error)| error));
        let quoted = |text: &str| text.split('"').nth(1).unwrap_or_default().to_owned();
        let refused = text.split(" cannot ").skip(1).filter_map(|rest| {
            let (verb, rest) = rest.split_once(" resource ")?;
            let (_, group) = rest.split_once("in API group ")?;
            Some(Self { group: quoted(group), resource: quoted(rest), verb: verb.to_owned() })
        });
        // What may not be granted, because whoever grants it does not have it.
        let list = |rule: &str, name: &str| -> Vec<String> {
            let found = rule.split_once(&format!("{name}:[")).and_then(|(_, rest)| rest.split_once(']'));
            found.map_or("", |(list, _)| list).split('"').skip(1).step_by(2).map(str::to_owned).collect()
        };
        let granted = text
            .split("{APIGroups:")
            .skip(1)
            .map(|rule| format!("APIGroups:{rule}"))
            .flat_map(|rule| product(&list(&rule, "APIGroups"), &list(&rule, "Resources"), &list(&rule, "Verbs")));
        refused.chain(granted).collect()
    }
}

fn product(groups: &[String], resources: &[String], verbs: &[String]) -> Vec<Right> {
    let mut all = Vec::new();
    for group in groups {
        for resource in resources {
            all.extend(verbs.iter().map(|verb| Right {
                group: group.clone(),
                resource: resource.clone(),
                verb: verb.clone(),
            }));
        }
    }
    all
}

/// A `ServiceAccount` in a namespace with the rights that it has been given so far.
#[derive(Debug)]
pub struct Identity {
    kubectl: Kubectl,
    rights: BTreeSet<Right>,
    named: BTreeSet<Right>,
}

const NAME: &str = "azureml-provider";

impl Identity {
    /// Makes one without any right.
    pub fn new(kubectl: &Kubectl) -> Self {
        kubectl.run(&["create", "serviceaccount", NAME]);
        kubectl.run(&[
            "create",
            "rolebinding",
            NAME,
            "--role",
            NAME,
            "--serviceaccount",
            &format!("{}:{NAME}", kubectl.namespace()),
        ]);
        Self { kubectl: kubectl.clone(), rights: BTreeSet::new(), named: BTreeSet::new() }
    }

    /// Writes a kubeconfig with a token of it.
    pub fn write_kubeconfig(&self, path: &Path) {
        let text = self.kubectl.run(&["config", "view", "--raw", "--flatten", "--output", "json"]);
        let mut config: Value = serde_json::from_str(&text).expect("JSON");
        config["users"][0]["user"] = json!({ "token": self.kubectl.run(&["create", "token", NAME]).trim() });
        std::fs::write(path, config.to_string()).expect("a kubeconfig");
    }

    /// What errors have named so far.
    pub const fn named(&self) -> &BTreeSet<Right> {
        &self.named
    }

    /// Gives it further rights, and waits until they count.
    pub fn grant(&mut self, rights: &BTreeSet<Right>) {
        self.rights.extend(rights.iter().cloned());
        let rule =
            |right: &Right| json!({ "apiGroups": [right.group], "resources": [right.resource], "verbs": [right.verb] });
        self.kubectl.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": NAME },
            "rules": self.rights.iter().map(rule).collect::<Vec<_>>(),
        }));
        let account = format!("system:serviceaccount:{}:{NAME}", self.kubectl.namespace());
        // One Role counts as a whole.
        let Some(Right { group, resource, verb }) = rights.first() else { return };
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let resource = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
        let subresource = format!("--subresource={subresource}");
        eventually("the right to count", || {
            let question = ["auth", "can-i", verb, &resource, &subresource, "--as", &account, "--quiet"];
            self.kubectl.succeeds(&question).then_some(())
        });
    }

    /// Repeats a run, and gives the rights that its errors name, until it succeeds. None may be beyond those `allowed`.
    #[track_caller]
    pub fn is_granted_what_is_named(&mut self, allowed: &BTreeSet<Right>, run: impl Fn() -> Outcome) {
        loop {
            let outcome = run();
            if outcome.success {
                return;
            }
            let named = Right::named_in(&outcome.text);
            assert!(!named.is_empty(), "no right is named in:\n{}", outcome.text);
            assert!(flat(&outcome.text).contains("grant this right"), "no remedy in:\n{}", outcome.text);
            assert!(named.is_subset(allowed), "{named:?} are not among those of the guide");
            assert!(named.is_disjoint(&self.rights), "{named:?} are named though they are granted:\n{}", outcome.text);
            self.grant(&named);
            self.named.extend(named);
        }
    }
}
