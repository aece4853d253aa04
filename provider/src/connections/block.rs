//! `kubernetes` of the provider block.

use std::collections::BTreeMap;
use std::fmt;

use tfplugin::schema::check_string;
use tfplugin::{Attr, Attribute, AttributePath, Diagnostic, Diagnostics, Model, Nesting, Object, Type};

/// Name of the attribute in the provider block.
pub const NAME: &str = "kubernetes";

/// One connection. What each field means says its schema.
#[derive(Clone, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct ConnectionBlock {
    pub kubeconfig_path: Attr<String>,
    pub context: Attr<String>,
    pub host: Attr<String>,
    pub cluster_ca_certificate: Attr<String>,
    pub tls_server_name: Attr<String>,
    pub token: Attr<String>,
    pub client_certificate: Attr<String>,
    pub client_key: Attr<String>,
    pub exec: Attr<ExecBlock>,
    pub in_cluster: Attr<bool>,
}

/// An exec plugin. What each field means says its schema.
#[derive(Clone, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct ExecBlock {
    pub api_version: Attr<String>,
    pub command: Attr<String>,
    pub args: Attr<Vec<Attr<String>>>,
    pub env: Attr<BTreeMap<String, Attr<String>>>,
}

/// Attributes that say something only of a cluster that `host` names.
const INLINE: [&str; 6] =
    ["cluster_ca_certificate", "tls_server_name", "token", "client_certificate", "client_key", "exec"];

impl ConnectionBlock {
    fn texts(&self) -> [(&'static str, &Attr<String>); 8] {
        [
            ("kubeconfig_path", &self.kubeconfig_path),
            ("context", &self.context),
            ("host", &self.host),
            ("cluster_ca_certificate", &self.cluster_ca_certificate),
            ("tls_server_name", &self.tls_server_name),
            ("token", &self.token),
            ("client_certificate", &self.client_certificate),
            ("client_key", &self.client_key),
        ]
    }

    /// Names of what is set, also to something that is known only after apply.
    fn set(&self) -> Vec<&'static str> {
        let mut set: Vec<_> =
            self.texts().into_iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name).collect();
        set.extend((!self.exec.is_null()).then_some("exec"));
        // `false` is the same as nothing.
        set.extend((!self.in_cluster.is_null() && self.in_cluster != Attr::Known(false)).then_some("in_cluster"));
        set
    }

    /// Whether any of it is known only after apply.
    pub(super) fn is_unknown(&self) -> bool {
        let exec = |exec: &ExecBlock| {
            let args = exec.args.get().into_iter().flatten().any(Attr::is_unknown);
            let env = exec.env.get().into_iter().flat_map(BTreeMap::values).any(Attr::is_unknown);
            exec.api_version.is_unknown()
                || exec.command.is_unknown()
                || exec.args.is_unknown()
                || exec.env.is_unknown()
                || args
                || env
        };
        self.texts().into_iter().any(|(_, value)| value.is_unknown())
            || self.in_cluster.is_unknown()
            || self.exec.is_unknown()
            || self.exec.get().is_some_and(exec)
    }
}

impl fmt::Debug for ConnectionBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConnectionBlock").field(&self.set()).finish()
    }
}

impl fmt::Debug for ExecBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecBlock").field("command", &self.command).finish_non_exhaustive()
    }
}

/// Whether the connections contradict themselves.
#[must_use]
pub fn check(connections: &Attr<BTreeMap<String, Attr<ConnectionBlock>>>) -> Diagnostics {
    let mut problems = Diagnostics::new();
    for (name, connection) in connections.get().into_iter().flatten() {
        let Attr::Known(connection) = connection else { continue };
        if let Some((attribute, detail)) = contradiction(connection) {
            let path = AttributePath::attribute(NAME).key(name).child(attribute);
            problems.push(Diagnostic::error(format!("Connection {name} contradicts itself"), detail).at(path));
        }
    }
    problems
}

fn contradiction(connection: &ConnectionBlock) -> Option<(&'static str, String)> {
    let set = connection.set();
    let has = |name: &str| set.contains(&name);
    if has("in_cluster")
        && let Some(other) = set.iter().find(|name| **name != "in_cluster")
    {
        return Some((other, format!("`in_cluster` says everything, so `{other}` must not be set beside it.")));
    }
    if has("host")
        && let Some(other) = ["kubeconfig_path", "context"].into_iter().find(|name| has(name))
    {
        let detail = format!(
            "The cluster is named either by `host` or by a kubeconfig, so `{other}` must not be set beside `host`."
        );
        return Some((other, detail));
    }
    if !has("host")
        && let Some(other) = INLINE.into_iter().find(|name| has(name))
    {
        let detail = format!(
            "`{other}` counts only together with `host`. A kubeconfig has its own certificates and credentials."
        );
        return Some((other, detail));
    }
    let ways: Vec<_> = ["token", "client_certificate", "exec"].into_iter().filter(|name| has(name)).collect();
    if let [first, second, ..] = ways[..] {
        let detail = format!("`{first}` and `{second}` are two ways to prove who one is. Set one of them.");
        return Some((second, detail));
    }
    for (one, other) in [("client_certificate", "client_key"), ("client_key", "client_certificate")] {
        if has(one) && !has(other) {
            return Some((one, format!("`{one}` is of no use without `{other}`.")));
        }
    }
    None
}

/// The attribute.
#[must_use]
pub fn attribute() -> Attribute {
    Attribute::nested(
        Nesting::Map,
        object(),
        "Connections to Kubernetes clusters, by a name that resources refer to. A connection names its cluster by a \
         kubeconfig, by `host`, or by `in_cluster`. One that does neither (`{}`, or only a `context`) takes what the \
         environment says: the kubeconfig of `KUBE_CONFIG_PATH` or `KUBECONFIG` with the context `KUBE_CTX`, else `KUBE_HOST` \
         with `KUBE_TOKEN`, `KUBE_CLUSTER_CA_CERT_DATA`, `KUBE_CLIENT_CERT_DATA`, `KUBE_CLIENT_KEY_DATA` and \
         `KUBE_TLS_SERVER_NAME`. `~/.kube/config` is used only where `kubeconfig_path` says so. Everything is read anew for \
         each operation and nothing of it gets into state or workspace; values may be unknown at plan or ephemeral.",
    )
    .optional()
}

fn object() -> Object {
    let filled = || check_string("not empty", |text| if text.is_empty() { Err("It is empty.".into()) } else { Ok(()) });
    let text = |description: &str| Attribute::string(description).optional().validate(filled());
    let pem = |description: &str| {
        Attribute::string(description).optional().sensitive().validate(check_string("PEM", |text| {
            if text.contains("-----BEGIN ") {
                Ok(())
            } else {
                Err("It is not PEM, which begins with `-----BEGIN`. Give the text itself, not a path, and not in base64: \
                     `file(...)`, `base64decode(...)`."
                    .into())
            }
        }))
    };
    let host = check_string("an https URL", |text| super::inline::host(text).map(|_| ()));
    Object::new()
        .attribute("kubeconfig_path", text("Path of a kubeconfig; `~` is the home directory."))
        .attribute("context", text("Context of the kubeconfig. Default: its `current-context`."))
        .attribute(
            "host",
            Attribute::string("URL of the API server, such as `https://10.0.0.1:6443`.").optional().validate(host),
        )
        .attribute(
            "cluster_ca_certificate",
            pem("Certificates that the server's is to be verified by, as PEM. Default: those that the system trusts."),
        )
        .attribute("tls_server_name", text("Name that the server's certificate must have. Default: that of `host`."))
        .attribute("token", text("Bearer token.").sensitive())
        .attribute("client_certificate", pem("Client certificate, as PEM."))
        .attribute("client_key", pem("Key of the client certificate, as PEM."))
        .attribute("exec", exec())
        .attribute(
            "in_cluster",
            Attribute::bool("Whether Terraform runs in a pod of the cluster and uses the pod's ServiceAccount.")
                .optional(),
        )
}

fn exec() -> Attribute {
    let object = Object::new()
        .attribute(
            "api_version",
            Attribute::string(
                "`client.authentication.k8s.io/v1` (default) or `client.authentication.k8s.io/v1beta1`, as the plugin wants it.",
            )
            .optional(),
        )
        .attribute("command", Attribute::string("Program to run.").required())
        .attribute("args", Attribute::list(Type::String, "Its arguments.").optional())
        .attribute("env", Attribute::map(Type::String, "Further environment variables of it.").optional().sensitive());
    Attribute::single(
        object,
        "Program that prints credentials (`ExecCredential`), as kubectl runs it: `kubelogin`, `aws eks get-token`. It runs \
         without a terminal and may take 60 seconds.",
    )
    .optional()
}
