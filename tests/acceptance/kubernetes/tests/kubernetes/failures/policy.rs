//! Policies of a cluster, as its administrators have them.

use acceptance_kubernetes::Kubectl;
use acceptance_local::eventually;
use serde_json::{Value, json};

/// A policy of the cluster, for one namespace, about what has the label `team=none`.
pub(super) struct Policy {
    kubectl: Kubectl,
    pub(super) name: String,
    /// `Validating` or `Mutating`.
    kind: &'static str,
    /// What it is about.
    probe: Value,
}

const OF_TEAM: &str = "'team' in METADATA.labels && METADATA.labels['team'] == 'none'";

impl Policy {
    /// One that refuses pods or Deployments.
    pub(super) fn refusing(kubectl: &Kubectl, resource: &str) -> Self {
        let (group, of_pod) = if resource == "pods" { ("", "object") } else { ("apps", "object.spec.template") };
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
        let name = format!("{}-{resource}", kubectl.namespace());
        let policy = Self { kubectl: kubectl.clone(), name, kind: "Validating", probe };
        let metadata = format!("{of_pod}.metadata");
        policy.put(
            (group, resource),
            json!({ "validations": [{
                "expression": format!("!has({metadata}.labels) || !({})", OF_TEAM.replace("METADATA", &metadata)),
                "message": "this team may not deploy",
            }] }),
            json!({ "validationActions": ["Deny"] }),
        );
        eventually("the policy to be in force", || {
            kubectl.dry_run(&policy.probe).err().filter(|problem| problem.contains("may not deploy"))
        });
        policy
    }

    /// One that lets readiness probes of pods ask for what is not there. None on a cluster without such policies, which
    /// came with Kubernetes 1.36.
    pub(super) fn misdirecting_probes(kubectl: &Kubectl) -> Option<Self> {
        if !kubectl.run(&["api-resources", "--output", "name"]).contains("mutatingadmissionpolicies.") {
            return None;
        }
        let mut pod = restricted_pod();
        pod["containers"][0]["readinessProbe"] = json!({ "httpGet": { "path": "/", "port": 80 } });
        let probe = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "probe", "labels": { "team": "none" } }, "spec": pod,
        });
        let name = format!("{}-probes", kubectl.namespace());
        let policy = Self { kubectl: kubectl.clone(), name, kind: "Mutating", probe };
        let of_team = OF_TEAM.replace("METADATA", "object.metadata");
        policy.put(
            ("", "pods"),
            json!({
                "reinvocationPolicy": "Never",
                "matchConditions": [{ "name": "team", "expression": format!("has(object.metadata.labels) && {of_team}") }],
                "mutations": [{ "patchType": "JSONPatch", "jsonPatch": { "expression":
                    "[JSONPatch{op: 'replace', path: '/spec/containers/0/readinessProbe/httpGet/path', value: '/absent'}]",
                } }],
            }),
            json!({}),
        );
        eventually("the policy to be in force", || {
            kubectl.dry_run(&policy.probe).ok().filter(|made| made.contains("/absent"))
        });
        Some(policy)
    }

    /// Takes it away, and waits until it is out of force.
    pub(super) fn lift(self) {
        let (kubectl, probe) = (self.kubectl.clone(), self.probe.clone());
        drop(self);
        eventually("the policy to be out of force", || kubectl.dry_run(&probe).ok());
    }

    /// What is made or changed of this group and resource is subject to it.
    fn put(&self, (group, resource): (&str, &str), mut rules: Value, mut binding: Value) {
        let Self { kubectl, name, kind, .. } = self;
        rules["matchConstraints"] = json!({ "resourceRules": [{
            "apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": [resource],
        }] });
        binding["policyName"] = name.as_str().into();
        binding["matchResources"] = json!({ "namespaceSelector": {
            "matchLabels": { "kubernetes.io/metadata.name": kubectl.namespace() },
        } });
        for (kind, spec) in
            [(format!("{kind}AdmissionPolicy"), rules), (format!("{kind}AdmissionPolicyBinding"), binding)]
        {
            kubectl.apply(&json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": { "name": name }, "spec": spec,
            }));
        }
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        for kind in ["AdmissionPolicyBinding", "AdmissionPolicy"] {
            self.kubectl.succeeds(&["delete", &format!("{}{kind}", self.kind), &self.name]);
        }
    }
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
