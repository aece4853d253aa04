//! Clusters that do not run what they are asked to.

use acceptance_kubernetes::{Kubectl, Told};
use acceptance_local::eventually;
use serde_json::{Value, json};

use super::Healthy;

#[test]
fn what_no_node_has_is_told_with_what_is_short_and_what_served_before_goes_on() {
    let Some(mut healthy) = Healthy::find("nodes") else { return };
    for (argument, value, why) in [
        ("cpu_cores", "900", "Insufficient cpu"),
        ("memory_gb", "9000", "Insufficient memory"),
        ("gpu_cores", "1", "Insufficient nvidia.com/gpu"),
        ("node_selector", "{ nowhere = \"here\" }", "node affinity/selector"),
    ] {
        // One of the usual arguments is replaced.
        let others = [("cpu_cores", "cpu_cores = 0.01"), ("memory_gb", "memory_gb = 0.1")];
        let mut resources = vec![format!("{argument} = {value}")];
        resources.extend(others.iter().filter(|(name, _)| *name != argument).map(|(_, line)| (*line).to_owned()));
        healthy.stack.resources = resources.join("\n  ");
        healthy
            .fails("timeouts { update = \"15s\" }", &["node takes pod", "0/1 nodes are available", why, "add nodes"])
            .at(argument);
    }
    healthy.stack.resources = acceptance_kubernetes::RESOURCES.into();
    healthy.recovers();
    healthy.finish();
}

#[test]
fn what_a_quota_or_a_policy_refuses_is_told_by_its_name_and_what_served_before_goes_on() {
    let Some(mut healthy) = Healthy::find("refused") else { return };
    let kubectl = healthy.stack.kubectl();
    kubectl.apply(&json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "small" },
        "spec": { "hard": { "pods": "2" } },
    }));
    healthy.stack.webservice = "num_replicas = 3".into();
    healthy.project.configure(&healthy.stack.render());
    let expected = ["exceeded quota: small", "pods=1", "used: pods=2", "Raise the ResourceQuota", "What served before"];
    Told::by_apply(&healthy.project, &expected).at("num_replicas");
    healthy.answers();
    kubectl.run(&["delete", "resourcequota", "small"]);

    healthy
        .fails(
            "service_account = \"absent\"",
            &["serviceaccount \"absent\" not found", "does not let the pod be created"],
        )
        .at("service_account");
    healthy
        .fails("priority_class = \"absent\"", &["no PriorityClass with name absent was found", "policy"])
        .at("priority_class");

    let policy = Policy::refusing(&kubectl, "pods");
    healthy.fails(
        "pod_labels = { team = \"none\" }",
        &[&policy.name, "this team may not deploy", "Change what the policy"],
    );
    drop(policy);
    healthy.recovers();

    // Refused is the Deployment itself, before there is anything to wait for.
    let policy = Policy::refusing(&kubectl, "deployments");
    healthy.stack.webservice = "num_replicas = 1\n  pod_labels = { team = \"none\" }".into();
    healthy.project.configure(&healthy.stack.render());
    Told::by_apply(&healthy.project, &["Deployment double-", &policy.name, "this team may not deploy"]);
    healthy.answers();
    drop(policy);
    healthy.recovers();
    healthy.finish();
}

/// What the strictest Pod Security level lets pass.
fn restricted_pod() -> Value {
    json!({
        "securityContext": { "runAsNonRoot": true, "runAsUser": 1, "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [{
            "name": "x", "image": "x",
            "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
        }],
    })
}

/// A policy of the cluster, for one namespace, that refuses the label `team=none`.
pub(super) struct Policy {
    kubectl: Kubectl,
    pub(super) name: String,
    /// What it refuses.
    probe: Value,
}

impl Policy {
    pub(super) fn refusing(kubectl: &Kubectl, resource: &str) -> Self {
        let name = format!("{}-{resource}", kubectl.namespace());
        let (group, of_pod) = if resource == "pods" { ("", "object") } else { ("apps", "object.spec.template") };
        kubectl.apply(&json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": { "name": name },
            "spec": {
                "matchConstraints": { "resourceRules": [{
                    "apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": [resource],
                }] },
                "validations": [{
                    "expression": format!("!has({of_pod}.metadata.labels) || !('team' in {of_pod}.metadata.labels) || {of_pod}.metadata.labels['team'] != 'none'"),
                    "message": "this team may not deploy",
                }],
            },
        }));
        kubectl.apply(&json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": { "name": name },
            "spec": {
                "policyName": name, "validationActions": ["Deny"],
                "matchResources": { "namespaceSelector": {
                    "matchLabels": { "kubernetes.io/metadata.name": kubectl.namespace() },
                } },
            },
        }));
        // The API server takes it up after a while.
        let labels = json!({ "team": "none" });
        let pod = json!({ "metadata": { "name": "probe", "labels": labels }, "spec": restricted_pod() });
        let probe = if resource == "pods" {
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": pod["metadata"], "spec": pod["spec"] })
        } else {
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "probe" },
                "spec": { "selector": { "matchLabels": labels }, "template": pod },
            })
        };
        eventually("the policy to be in force", || {
            kubectl.dry_run(&probe).err().filter(|problem| problem.contains("may not deploy"))
        });
        Self { kubectl: kubectl.clone(), name, probe }
    }

    /// Takes it away, and waits until it is out of force.
    pub(super) fn lift(self) {
        let (kubectl, probe) = (self.kubectl.clone(), self.probe.clone());
        drop(self);
        eventually("the policy to be out of force", || kubectl.dry_run(&probe).ok());
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
            self.kubectl.succeeds(&["delete", kind, &self.name]);
        }
    }
}
