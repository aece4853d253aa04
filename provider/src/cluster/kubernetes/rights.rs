//! The rights that the identity of a connection needs, in the namespace of its compute.
//!
//! Cluster-wide ones are optional: without them a namespace must be there already, and the capacity is not checked.

use serde_json::{Value, json};

/// Verbs on one resource of an API group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// API group; empty for the core one.
    pub group: &'static str,
    /// The resource, with its subresource.
    pub resource: &'static str,
    /// Verbs.
    pub verbs: &'static [&'static str],
}

const fn right(group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Right {
    Right { group, resource, verbs }
}

const WRITE: &[&str] = &["list", "create", "patch", "delete"];
const READ_AND_WRITE: &[&str] = &["get", "list", "create", "patch", "delete"];
/// What is also granted to the router, whose every right the grantor must have itself.
const WRITE_AND_WATCH: &[&str] = &["get", "list", "watch", "create", "update", "patch", "delete"];

/// What is needed in the namespace.
pub const NAMESPACED: &[Right] = &[
    right("", "configmaps", WRITE_AND_WATCH),
    right("", "secrets", WRITE_AND_WATCH),
    right("", "services", READ_AND_WRITE),
    right("", "serviceaccounts", WRITE),
    right("", "pods", &["get", "list", "watch"]),
    right("", "pods/log", &["get"]),
    right("apps", "deployments", READ_AND_WRITE),
    right("policy", "poddisruptionbudgets", WRITE),
    right("networking.k8s.io", "networkpolicies", WRITE),
    right("rbac.authorization.k8s.io", "roles", WRITE),
    right("rbac.authorization.k8s.io", "rolebindings", WRITE),
    right("coordination.k8s.io", "leases", &["get", "list", "create", "update", "patch", "delete"]),
];

/// What is of use in the namespace, and not needed.
pub const NAMESPACED_OPTIONAL: &[Right] = &[
    right("", "events", &["list"]),
    right("", "persistentvolumeclaims", &["list"]),
    right("autoscaling", "horizontalpodautoscalers", &["list"]),
];

/// What is of use in the whole cluster, and not needed.
pub const CLUSTER_OPTIONAL: &[Right] =
    &[right("", "namespaces", &["get", "create", "delete"]), right("", "nodes", &["list"])];

/// What the router's ServiceAccount may do: see the services, their keys' digests and the replicas, and tell what it serves.
#[must_use]
pub fn of_router() -> Value {
    json!([
        { "apiGroups": [""], "resources": ["configmaps", "pods"], "verbs": ["get", "list", "watch"] },
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": [serving::cluster::ACCESS, serving::cluster::SIGNING_KEYS],
            "verbs": ["get", "list", "watch"],
        },
        { "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "patch", "update"] },
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The guide's text of rights, in YAML.
    fn yaml(rights: &[Right]) -> String {
        let line = |right: &Right| {
            let verbs = right.verbs.join(", ");
            format!("  - {{ apiGroups: [\"{}\"], resources: [{}], verbs: [{verbs}] }}\n", right.group, right.resource)
        };
        rights.iter().map(line).collect()
    }

    #[test]
    fn the_guide_grants_exactly_these_rights() {
        let guide = include_str!("../../../../docs/guides/clusters.md");
        let namespaced = [NAMESPACED, NAMESPACED_OPTIONAL].concat();
        for rights in [namespaced.as_slice(), CLUSTER_OPTIONAL] {
            let wanted = format!("rules:\n{}```", yaml(rights)).replace("```", "");
            assert!(guide.contains(&wanted), "docs/guides/clusters.md should have\n{wanted}");
        }
        let rules = guide.lines().filter(|line| line.contains("apiGroups:")).count();
        assert_eq!(rules, namespaced.len() + CLUSTER_OPTIONAL.len());
    }

    #[test]
    fn whoever_attaches_has_every_right_that_the_router_is_granted() {
        for rule in of_router().as_array().expect("rules") {
            let texts = |name: &str| {
                let list = rule[name].as_array().expect("a list").iter();
                list.map(|text| text.as_str().expect("text").to_owned()).collect::<Vec<_>>()
            };
            for resource in texts("resources") {
                let own = NAMESPACED.iter().find(|right| right.resource == resource).expect("a right");
                assert_eq!(own.group, texts("apiGroups")[0]);
                for verb in texts("verbs") {
                    assert!(own.verbs.contains(&verb.as_str()), "{verb} {resource}");
                }
            }
        }
    }
}
