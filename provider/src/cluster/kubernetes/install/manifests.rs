//! The manifests of the router.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use serving::cluster::{
    ACCESS, CONFIG, PART_OF, ROUTER, ROUTER_PORT, ROUTER_STATUS_PORT, SCORER_NAME, STORAGE, component, label,
};
use serving::{layout, wire};

use super::super::attachment::{Attachment, LoadBalancer, ServiceType};
use super::super::workload::{cpu, memory};
use super::super::{labels, rights};
use crate::workspace::Digest;

/// User and group of the container; the image is made for it.
const USER: i64 = 10_001;
/// Folder of the router's configuration in its container.
const CONFIG_DIRECTORY: &str = "/etc/azureml-fe";
/// Seconds that a router needs to end: to serve on until it is withdrawn everywhere, to finish what is in flight (the
/// defaults of its configuration), and a rest.
const END_SECONDS: u64 = 5 + 30 + 10;
/// Annotation of the router's pods: digest of their template and of the configuration, whose change makes new pods, too.
pub(super) const TEMPLATE: &str = "azureml.io/template";
/// Annotation of a namespace that an attachment made: the compute's id.
pub(super) const MADE_BY: &str = "azureml.io/attachment";

/// What a namespace is to hold.
pub(super) struct Manifests<'a> {
    pub(super) attachment: &'a Attachment,
    /// Id of the workspace.
    pub(super) workspace: &'a str,
    /// Environment of what reads the workspace's storage.
    pub(super) storage: &'a BTreeMap<String, String>,
}

/// A namespace that an attachment makes. Nothing in it may have more rights than it needs.
pub(super) fn namespace(name: &str, workspace: &str, compute: &str) -> Value {
    let mut labels = labels::compute(component::ROUTER, workspace);
    labels.insert("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned());
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": name, "labels": labels, "annotations": { (MADE_BY): compute } },
    })
}

impl Manifests<'_> {
    fn metadata(&self, name: &str) -> Value {
        json!({ "name": name, "labels": labels::compute(component::ROUTER, self.workspace) })
    }

    fn pods() -> Value {
        json!({ (label::COMPONENT): component::ROUTER, (label::NAME): ROUTER, (label::PART_OF): PART_OF })
    }

    pub(super) fn service_account(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": self.metadata(ROUTER),
            "automountServiceAccountToken": false,
        })
    }

    pub(super) fn role(&self) -> Value {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": self.metadata(ROUTER),
            "rules": rights::of_router(),
        })
    }

    pub(super) fn role_binding(&self) -> Value {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": self.metadata(ROUTER),
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ROUTER },
            "subjects": [{ "kind": "ServiceAccount", "name": ROUTER }],
        })
    }

    /// The router's configuration file.
    pub(super) fn configuration(&self) -> String {
        let mut table = toml::Table::new();
        table.insert("address".to_owned(), "0.0.0.0".into());
        table.insert("port".to_owned(), i64::from(ROUTER_PORT).into());
        let mut tokens = toml::Table::new();
        let issuers = self.attachment.token_issuers.iter().map(toml::Value::try_from).collect::<Result<Vec<_>, _>>();
        // All are plain structs of texts, which every format holds.
        if let Ok(issuers) = issuers
            && !issuers.is_empty()
        {
            tokens.insert("issuers".to_owned(), issuers.into());
        }
        if let Some(Ok(accounts)) = self.attachment.token_service_accounts.as_ref().map(toml::Value::try_from) {
            tokens.insert("service_accounts".to_owned(), accounts);
        }
        if !tokens.is_empty() {
            table.insert("tokens".to_owned(), tokens.into());
        }
        table.to_string()
    }

    pub(super) fn config_map(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": self.metadata(CONFIG),
            "data": { (layout::CONFIG): self.configuration() },
        })
    }

    /// Without `data`: services add and remove their entries, each by itself, and applying this again takes none away.
    pub(super) fn access(&self) -> Value {
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": self.metadata(ACCESS), "type": "Opaque" })
    }

    pub(super) fn storage(&self) -> Value {
        let data: BTreeMap<_, _> = self.storage.iter().map(|(name, value)| (name, STANDARD.encode(value))).collect();
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": self.metadata(STORAGE),
            "type": "Opaque",
            "data": data,
        })
    }

    pub(super) fn service(&self) -> Value {
        let router = self.attachment.router();
        let kind = self.attachment.service_type();
        let mut metadata = self.metadata(ROUTER);
        metadata["annotations"] = json!(self.service_annotations());
        let mut port = json!({ "name": "http", "port": 80, "targetPort": "http", "protocol": "TCP" });
        if let Some(node_port) = router.node_port {
            port["nodePort"] = node_port.into();
        }
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": { "type": kind.as_str(), "selector": Self::pods(), "ports": [port] },
        })
    }

    /// The user's own, and those by which AKS makes an internal load balancer.
    fn service_annotations(&self) -> BTreeMap<String, String> {
        let mut annotations = self.attachment.router().annotations.unwrap_or_default();
        let internal = self.attachment.load_balancer_type == LoadBalancer::InternalLoadBalancer;
        if internal && self.attachment.service_type() == ServiceType::LoadBalancer {
            let name = "service.beta.kubernetes.io/azure-load-balancer-internal";
            annotations.insert(name.to_owned(), "true".to_owned());
            if let Some(subnet) = &self.attachment.load_balancer_subnet {
                annotations.insert(format!("{name}-subnet"), subnet.clone());
            }
        }
        annotations
    }

    pub(super) fn disruption_budget(&self) -> Value {
        json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": self.metadata(ROUTER),
            "spec": { "maxUnavailable": 1, "selector": { "matchLabels": Self::pods() } },
        })
    }

    /// The router is reached by everybody, a scorer only by the router. A node reaches its own pods in any case.
    pub(super) fn network_policies(&self) -> [Value; 2] {
        let policy = |name: &str, pods: &Value, ingress: &Value| {
            json!({
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": self.metadata(name),
                "spec": { "podSelector": { "matchLabels": pods }, "policyTypes": ["Ingress"], "ingress": [ingress] },
            })
        };
        let port = |port: u16| json!({ "port": port, "protocol": "TCP" });
        let router = json!({ "ports": [port(ROUTER_PORT), port(ROUTER_STATUS_PORT)] });
        let scorer = json!({
            "ports": [port(wire::SCORER_PORT)],
            "from": [{ "podSelector": { "matchLabels": Self::pods() } }],
        });
        let scorers = json!({ (label::COMPONENT): component::SCORER, (label::PART_OF): PART_OF });
        [policy(ROUTER, &Self::pods(), &router), policy(SCORER_NAME, &scorers, &scorer)]
    }

    pub(super) fn deployment(&self) -> Value {
        let router = self.attachment.router();
        let mut spec = json!({
            "serviceAccountName": ROUTER,
            "automountServiceAccountToken": true,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": END_SECONDS,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "topologySpreadConstraints": [{
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": { "matchLabels": Self::pods() },
            }],
            "containers": [self.container()],
            "volumes": [
                { "name": "config", "configMap": { "name": CONFIG } },
                { "name": "tmp", "emptyDir": { "sizeLimit": "64Mi" } },
            ],
        });
        if let Some(secret) = &self.attachment.image_pull_secret {
            spec["imagePullSecrets"] = json!([{ "name": secret }]);
        }
        if let Some(selector) = &router.node_selector {
            spec["nodeSelector"] = json!(selector);
        }
        if let Some(tolerations) = &router.tolerations {
            spec["tolerations"] = json!(tolerations);
        }
        let digest = Digest::of(format!("{spec}{}", self.configuration()).as_bytes()).to_string();
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": self.metadata(ROUTER),
            "spec": {
                "replicas": self.attachment.replicas(),
                "revisionHistoryLimit": 2,
                "selector": { "matchLabels": Self::pods() },
                "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } },
                "template": {
                    "metadata": {
                        "labels": labels::compute(component::ROUTER, self.workspace),
                        "annotations": { (TEMPLATE): digest },
                    },
                    "spec": spec,
                },
            },
        })
    }

    fn container(&self) -> Value {
        let field =
            |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
        let probe = |path: &str, period: u32, failures: u32| {
            json!({
                "httpGet": { "path": path, "port": "status" },
                "periodSeconds": period,
                "timeoutSeconds": 2,
                "failureThreshold": failures,
            })
        };
        json!({
            "name": ROUTER,
            "image": self.attachment.image,
            "args": ["serve"],
            "ports": [
                { "name": "http", "containerPort": ROUTER_PORT, "protocol": "TCP" },
                { "name": "status", "containerPort": ROUTER_STATUS_PORT, "protocol": "TCP" },
            ],
            "env": [
                field("POD_NAME", "metadata.name"),
                field("POD_NAMESPACE", "metadata.namespace"),
                field("POD_UID", "metadata.uid"),
            ],
            "resources": self.resources(),
            "readinessProbe": probe("/readyz", 2, 1),
            "livenessProbe": probe("/livez", 10, 3),
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
            },
            "volumeMounts": [
                { "name": "config", "mountPath": CONFIG_DIRECTORY, "readOnly": true },
                { "name": "tmp", "mountPath": "/tmp" },
            ],
        })
    }

    /// With the original's figures as defaults.
    fn resources(&self) -> Value {
        let router = self.attachment.router();
        json!({
            "requests": {
                "cpu": cpu(router.cpu_cores.unwrap_or(0.5)),
                "memory": memory(router.memory_gb.unwrap_or(0.5)),
            },
            "limits": {
                "cpu": cpu(router.cpu_cores_limit.unwrap_or(2.0)),
                "memory": memory(router.memory_gb_limit.unwrap_or(1.2)),
            },
        })
    }
}

#[cfg(test)]
#[path = "manifests_tests.rs"]
mod tests;
