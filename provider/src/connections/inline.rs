//! A cluster that the connection describes itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{
    AuthInfo, Cluster, Context, ExecConfig, ExecInteractiveMode, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};
use url::Url;

use super::block::ConnectionBlock;
use tfplugin::Attr;

/// The name of everything in the kubeconfig that is made here.
const ONLY: &str = "connection";
/// What plugins are asked for by default.
const API_VERSION: &str = "client.authentication.k8s.io/v1";

/// Cluster and credential, as texts.
#[derive(Default)]
pub(super) struct Inline {
    pub(super) host: String,
    pub(super) ca: Option<String>,
    pub(super) server_name: Option<String>,
    pub(super) token: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    pub(super) exec: Option<ExecConfig>,
}

impl Inline {
    pub(super) fn of(block: &ConnectionBlock, host: String) -> Self {
        let text = |value: &Attr<String>| value.clone().known();
        let exec = block.exec.get().map(|exec| ExecConfig {
            api_version: Some(text(&exec.api_version).unwrap_or_else(|| API_VERSION.to_owned())),
            command: text(&exec.command),
            args: exec.args.get().map(|args| args.iter().filter_map(|arg| arg.clone().known()).collect()),
            env: exec.env.get().map(|env| {
                let known = env.iter().filter_map(|(name, value)| Some((name, value.get()?)));
                known.map(|(name, value)| [("name", name), ("value", value)]).map(strings).collect()
            }),
            ..ExecConfig::default()
        });
        Self {
            host,
            ca: text(&block.cluster_ca_certificate),
            server_name: text(&block.tls_server_name),
            token: text(&block.token),
            certificate: text(&block.client_certificate),
            key: text(&block.client_key),
            exec,
        }
    }

    /// As the kubeconfig that would say the same.
    pub(super) fn kubeconfig(&self) -> Kubeconfig {
        let data = |pem: &Option<String>| pem.as_ref().map(|pem| STANDARD.encode(pem));
        let cluster = Cluster {
            server: Some(self.host.clone()),
            certificate_authority_data: data(&self.ca),
            tls_server_name: self.server_name.clone(),
            ..Cluster::default()
        };
        let user = AuthInfo {
            token: self.token.clone().map(|token| token.trim().to_owned().into()),
            client_certificate_data: data(&self.certificate),
            client_key_data: data(&self.key).map(Into::into),
            exec: self.exec.clone(),
            ..AuthInfo::default()
        };
        let context = Context { cluster: ONLY.to_owned(), user: Some(ONLY.to_owned()), ..Context::default() };
        Kubeconfig {
            clusters: vec![NamedCluster { name: ONLY.to_owned(), cluster: Some(cluster), ..NamedCluster::default() }],
            auth_infos: vec![NamedAuthInfo {
                name: ONLY.to_owned(),
                auth_info: Some(user),
                ..NamedAuthInfo::default()
            }],
            contexts: vec![NamedContext { name: ONLY.to_owned(), context: Some(context), ..NamedContext::default() }],
            current_context: Some(ONLY.to_owned()),
            ..Kubeconfig::default()
        }
    }
}

fn strings(pair: [(&str, &String); 2]) -> std::collections::HashMap<String, String> {
    pair.into_iter().map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

/// A plugin runs without a terminal, and what it says is kept for the error.
pub(super) fn without_terminal(kubeconfig: &mut Kubeconfig) {
    let users = kubeconfig.auth_infos.iter_mut().filter_map(|user| user.auth_info.as_mut());
    for exec in users.filter_map(|user| user.exec.as_mut()) {
        exec.interactive_mode = Some(ExecInteractiveMode::Never);
    }
}

/// URL of an API server: https, or http on this machine's own addresses, where nobody listens in.
pub(super) fn host(text: &str) -> Result<Url, String> {
    let wrong = || "Write it like https://10.0.0.1:6443.".to_owned();
    let url = Url::parse(text).map_err(|_| wrong())?;
    let own = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(wrong()),
    };
    match url.scheme() {
        "https" => {}
        "http" if own => {}
        "http" => return Err("Without encryption everybody could read the credentials. Use https.".to_owned()),
        _ => return Err(wrong()),
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err("It may hold neither a user, nor a query or fragment.".to_owned());
    }
    Ok(url)
}
