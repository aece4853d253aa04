//! How Kubernetes clusters are reached: the connections of the provider block's `kubernetes`, or of the environment.
//!
//! A connection is looked at anew by each operation, so that a kubeconfig that something else renews is always the
//! present one. Nothing of it is kept anywhere.

mod block;
mod error;
mod inline;
#[cfg(test)]
#[path = "connections/tests.rs"]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::client::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig, KubeconfigError};
use tfplugin::Attr;

pub use block::{ConnectionBlock, ExecBlock, NAME, attribute, check};
pub use error::{Error, credential_problem};
use inline::Inline;

/// Longest wait for a connection to a server.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest wait for an answer, or for the next part of one.
const ANSWER: Duration = Duration::from_mins(1);
/// How long a plugin that prints credentials may take.
const PLUGIN: Duration = Duration::from_mins(1);

/// Environment variables that say which cluster a connection leads to if it does not itself.
const VARIABLES: [&str; 9] = [
    KUBE_CONFIG_PATH,
    KUBECONFIG,
    "KUBE_CTX",
    KUBE_HOST,
    "KUBE_TOKEN",
    "KUBE_CLUSTER_CA_CERT_DATA",
    "KUBE_CLIENT_CERT_DATA",
    "KUBE_CLIENT_KEY_DATA",
    "KUBE_TLS_SERVER_NAME",
];
const KUBE_CONFIG_PATH: &str = "KUBE_CONFIG_PATH";
const KUBECONFIG: &str = "KUBECONFIG";
const KUBE_HOST: &str = "KUBE_HOST";

/// The connections. Cheap to clone; the debug output has their names alone.
#[derive(Clone, Default)]
pub struct Connections(Arc<Values>);

#[derive(Default)]
struct Values {
    /// None if the provider block says nothing of `kubernetes`.
    block: Option<BTreeMap<String, Attr<ConnectionBlock>>>,
    /// The whole block is known only after apply.
    unknown: bool,
    variables: BTreeMap<&'static str, String>,
}

/// How one connection names its cluster.
enum Way {
    Kubeconfig(Source),
    /// With where it is written, for messages.
    Inline(Box<Inline>, Place),
    InCluster,
}

/// A kubeconfig.
struct Source {
    /// Attribute or variable that names it.
    place: String,
    /// Several ones are merged, as kubectl does.
    paths: Vec<PathBuf>,
    context: Option<String>,
    context_place: String,
}

/// Where the parts of an inline connection are written.
#[derive(Clone)]
enum Place {
    Block(String),
    Environment,
}

impl Place {
    /// The attribute, or the variable that stands for it.
    fn of(&self, attribute: &str) -> String {
        let variable = match (self, attribute) {
            (Self::Block(connection), _) => return format!("{} of the provider block", path(connection, attribute)),
            (_, "cluster_ca_certificate") => "KUBE_CLUSTER_CA_CERT_DATA",
            (_, "client_certificate") => "KUBE_CLIENT_CERT_DATA",
            (_, "client_key") => "KUBE_CLIENT_KEY_DATA",
            (_, "tls_server_name") => "KUBE_TLS_SERVER_NAME",
            (_, "token") => "KUBE_TOKEN",
            _ => KUBE_HOST,
        };
        format!("the environment variable {variable}")
    }
}

fn path(connection: &str, attribute: &str) -> String {
    format!("`{NAME}.{connection}.{attribute}`")
}

impl Connections {
    /// What the block says, and what the environment says where it says nothing.
    #[must_use]
    pub fn new(
        block: Attr<BTreeMap<String, Attr<ConnectionBlock>>>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let set = |name: &&'static str| Some((*name, variable(name).filter(|value| !value.trim().is_empty())?));
        let variables = VARIABLES.iter().filter_map(set).collect();
        Self(Arc::new(Values { unknown: block.is_unknown(), block: block.known(), variables }))
    }

    /// Whether the connection, or whether there is one, is known only after apply.
    #[must_use]
    pub fn is_unknown(&self, name: &str) -> bool {
        self.0.unknown
            || self.0.block.as_ref().and_then(|block| block.get(name)).is_some_and(|connection| match connection {
                Attr::Known(connection) => connection.is_unknown(),
                Attr::Unknown => true,
                Attr::Null => false,
            })
    }

    /// A client of the connection's cluster. Runs an exec plugin, but asks the cluster nothing.
    ///
    /// Waits for an answer are time-boxed. The client is good for one operation: a later one asks for another, which
    /// reads everything anew.
    pub async fn client(&self, name: &str) -> Result<Client, Error> {
        let way = self.way(name)?;
        let mut config = match way {
            Way::InCluster => Config::incluster().map_err(|source| {
                let problem = format!("cannot be true here, because Terraform runs in no pod of a cluster: {source}");
                Error::setting(format!("{} of the provider block", path(name, "in_cluster")), problem)
            })?,
            Way::Kubeconfig(source) => source.config().await?,
            Way::Inline(inline, place) => {
                let config = from_kubeconfig(inline.kubeconfig(), None).await;
                let config = config.map_err(|error| inline_problem(&place, &error))?;
                if inline.ca.is_some() && config.root_cert.as_ref().is_none_or(Vec::is_empty) {
                    return Err(Error::setting(place.of("cluster_ca_certificate"), "holds no certificate in PEM"));
                }
                config
            }
        };
        (config.connect_timeout, config.read_timeout, config.write_timeout) =
            (Some(CONNECT), Some(ANSWER), Some(ANSWER));
        config.reset_reader_on_write = true;
        build(name, config).await
    }

    fn way(&self, name: &str) -> Result<Way, Error> {
        let connection = name.to_owned();
        if self.is_unknown(name) {
            return Err(Error::Unknown { connection });
        }
        let Some(block) = &self.0.block else { return Err(Error::NoBlock { connection }) };
        let Some(Attr::Known(found)) = block.get(name) else {
            let known: Vec<_> = block.iter().filter(|(_, found)| found.is_known()).map(|(name, _)| &**name).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Error::NoConnection { connection, known });
        };
        if found.in_cluster == Attr::Known(true) {
            return Ok(Way::InCluster);
        }
        let context = found.context.clone().known();
        let context_place = format!("{} of the provider block", path(name, "context"));
        if let Attr::Known(text) = &found.kubeconfig_path {
            let place = format!("{} of the provider block", path(name, "kubeconfig_path"));
            let paths = vec![home(text).map_err(|problem| Error::setting(place.clone(), problem))?];
            return Ok(Way::Kubeconfig(Source { place, paths, context, context_place }));
        }
        if let Attr::Known(host) = &found.host {
            return Ok(Way::Inline(Box::new(Inline::of(found, host.clone())), Place::Block(connection)));
        }
        self.environment(context, context_place).ok_or(Error::Nothing { connection })
    }

    /// What the environment says.
    fn environment(&self, context: Option<String>, context_place: String) -> Option<Way> {
        let variable = |name: &str| self.0.variables.get(name).cloned();
        for name in [KUBE_CONFIG_PATH, KUBECONFIG] {
            let Some(value) = variable(name) else { continue };
            let paths: Vec<_> = if name == KUBECONFIG {
                std::env::split_paths(&value).filter(|path| !path.as_os_str().is_empty()).collect()
            } else {
                vec![home(&value).ok()?]
            };
            let (context, context_place) = match context {
                Some(context) => (Some(context), context_place),
                None => (variable("KUBE_CTX"), "the environment variable KUBE_CTX".to_owned()),
            };
            let place = format!("the environment variable {name}");
            return Some(Way::Kubeconfig(Source { place, paths, context, context_place }));
        }
        if context.is_some() {
            return None;
        }
        let inline = Inline {
            host: variable(KUBE_HOST)?,
            ca: variable("KUBE_CLUSTER_CA_CERT_DATA"),
            server_name: variable("KUBE_TLS_SERVER_NAME"),
            token: variable("KUBE_TOKEN"),
            certificate: variable("KUBE_CLIENT_CERT_DATA"),
            key: variable("KUBE_CLIENT_KEY_DATA"),
            exec: None,
        };
        Some(Way::Inline(Box::new(inline), Place::Environment))
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.block.iter().flat_map(BTreeMap::keys)).finish()
    }
}

impl Source {
    async fn config(self) -> Result<Config, Error> {
        let kubeconfig = self.read()?;
        let contexts: Vec<_> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
        let contexts = if contexts.is_empty() { "none".to_owned() } else { contexts.join(", ") };
        let file = self.paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        match self.context.as_ref().or(kubeconfig.current_context.as_ref().filter(|name| !name.is_empty())) {
            None => {
                let problem = format!("is not set, and {file} has no current-context; its contexts are: {contexts}");
                return Err(Error::setting(self.context_place, problem));
            }
            Some(wanted) if !kubeconfig.contexts.iter().any(|context| context.name == *wanted) => {
                let (place, what) = match &self.context {
                    Some(_) => (self.context_place, format!("is {wanted:?}")),
                    None => (self.place, format!("names {file}, whose current-context is {wanted:?}")),
                };
                let problem = format!("{what}, but {file} has no such context; its contexts are: {contexts}");
                return Err(Error::setting(place, problem));
            }
            Some(_) => {}
        }
        from_kubeconfig(kubeconfig, self.context).await.map_err(|error| {
            let problem = format!("names {file}, which cannot be used: {}", kubeconfig_problem(&error));
            Error::setting(self.place, problem)
        })
    }

    /// Of several files those that are missing are left out, as kubectl does.
    fn read(&self) -> Result<Kubeconfig, Error> {
        let there = self.paths.iter().filter(|path| self.paths.len() == 1 || path.exists());
        let mut merged: Option<Kubeconfig> = None;
        for path in there {
            let failed = |error: &KubeconfigError| {
                let problem = format!("names {}, {}", path.display(), kubeconfig_problem(error));
                Error::setting(self.place.clone(), problem)
            };
            let read = Kubeconfig::read_from(path).map_err(|error| failed(&error))?;
            merged = Some(match merged {
                None => read,
                Some(before) => before.merge(read).map_err(|error| failed(&error))?,
            });
        }
        merged.ok_or_else(|| Error::setting(self.place.clone(), "names only files that do not exist"))
    }
}

async fn from_kubeconfig(mut kubeconfig: Kubeconfig, context: Option<String>) -> Result<Config, KubeconfigError> {
    inline::without_terminal(&mut kubeconfig);
    let has_proxy = kubeconfig.clusters.iter().any(|named| {
        let proxy = named.cluster.as_ref().and_then(|cluster| cluster.proxy_url.as_ref());
        proxy.is_some_and(|proxy| !proxy.is_empty())
    });
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    if !has_proxy {
        // `NO_PROXY` is about the server, and not, as the library has it, about the proxy.
        let proxy = hyper_util::client::proxy::matcher::Matcher::from_env().intercept(&config.cluster_url);
        config.proxy_url = proxy.map(|proxy| proxy.uri().clone());
    }
    Ok(config)
}

/// Builds the client on a thread of its own, for the library waits there until an exec plugin ends, however long.
async fn build(connection: &str, config: Config) -> Result<Client, Error> {
    let runtime = tokio::runtime::Handle::current();
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let plugin = config.auth_info.exec.as_ref().and_then(|exec| exec.command.clone());
    let hint = config.auth_info.exec.as_ref().and_then(|exec| exec.install_hint.clone());
    let failed = |problem: String| Error::Plugin { connection: connection.to_owned(), problem };
    let thread = std::thread::Builder::new().name("kubernetes-credentials".to_owned()).spawn(move || {
        let _runtime = runtime.enter();
        // Nobody waits any more if the time is over.
        let _ = sender.send(Client::try_from(config));
    });
    thread.map_err(|source| failed(format!("no thread can be started: {source}")))?;
    let built = tokio::time::timeout(PLUGIN, receiver).await;
    let Ok(built) = built else {
        let plugin = plugin.unwrap_or_default();
        let problem = format!(
            "the program {plugin} that prints credentials did not end within {} seconds; run it by hand to see what it waits \
             for. It gets no terminal to ask anything",
            PLUGIN.as_secs()
        );
        return Err(failed(problem));
    };
    let built = built.map_err(|_| failed("the client could not be made".to_owned()))?;
    built.map_err(|error| match error {
        kube::Error::Auth(error) => {
            let mut problem = credential_problem(&error);
            if let Some(plugin) = plugin {
                problem = problem.replacen("the program of `exec`", &format!("the program {plugin} of `exec`"), 1);
            }
            if let Some(hint) = hint.filter(|hint| !hint.is_empty()) {
                problem = format!("{problem}\n{hint}");
            }
            failed(problem)
        }
        kube::Error::RustlsTls(error) => failed(format!(
            "its certificates or keys cannot be used: {error}. They must be PEM (cluster_ca_certificate, client_certificate, \
             client_key), the key unencrypted"
        )),
        kube::Error::InferKubeconfig(error) => failed(kubeconfig_problem(&error)),
        other => failed(format!("the client could not be made: {other}")),
    })
}

/// What is wrong with a kubeconfig, without quoting it.
fn kubeconfig_problem(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(source, _) if source.kind() == std::io::ErrorKind::NotFound => {
            "which does not exist; a relative path is relative to the directory that terraform runs in".to_owned()
        }
        KubeconfigError::ReadConfig(source, _) => format!("which cannot be read: {source}"),
        KubeconfigError::Parse(source) => {
            let place = source.location().map(|place| format!(" (line {}, column {})", place.line(), place.column()));
            format!("which is not a kubeconfig in YAML{}", place.unwrap_or_default())
        }
        KubeconfigError::LoadClusterOfContext(cluster) => format!("the context's cluster {cluster:?} is not in it"),
        KubeconfigError::MissingClusterUrl => "the context's cluster has no `server`".to_owned(),
        other => other.to_string(),
    }
}

fn inline_problem(place: &Place, error: &KubeconfigError) -> Error {
    let (attribute, problem) = match error {
        KubeconfigError::ParseCertificates(source) => {
            ("cluster_ca_certificate", format!("is not a certificate in PEM: {source}"))
        }
        KubeconfigError::ParseClusterUrl(source) => ("host", format!("is not a URL: {source}")),
        other => ("host", format!("leads to a connection that cannot be used: {}", kubeconfig_problem(other))),
    };
    Error::setting(place.of(attribute), problem)
}

/// A path with `~` resolved.
fn home(text: &str) -> Result<PathBuf, String> {
    let Some(rest) = text.strip_prefix('~') else { return Ok(PathBuf::from(text)) };
    if !rest.is_empty() && !rest.starts_with('/') {
        return Ok(PathBuf::from(text));
    }
    let home = std::env::home_dir().ok_or("begins with `~`, but there is no home directory (HOME)")?;
    Ok(home.join(Path::new(rest.trim_start_matches('/'))))
}
