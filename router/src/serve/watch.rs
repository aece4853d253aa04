//! Watching the namespace: lists and events, never questions again and again.

use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use futures_util::StreamExt as _;
use http::Response;
use k8s_openapi::api::core::v1 as core;
use kube::api::Api;
use kube::client::ClientBuilder;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use serving::cluster::{self, component, label};
use tokio::sync::mpsc;
use tower::BoxError;
use tower::util::MapResultLayer;

use super::pauses::Pauses;
use super::state::{self, Change, Pod, Secret};

/// A watch is taken up anew, from where it was, after so many seconds, and one of which nothing is heard soon after that.
/// So a connection that has died in silence is noticed.
const RENEW: u32 = 60;

/// What one watch has seen of objects by name.
#[derive(Debug)]
pub(super) enum Update<T> {
    /// All there is.
    Listed(Vec<(String, T)>),
    /// One is new or has changed.
    Set(String, T),
    /// One is gone.
    Gone(String),
}

impl<T> Update<T> {
    pub(super) const fn is_list(&self) -> bool {
        matches!(self, Self::Listed(_))
    }

    /// The object of this name, of a watch that is for it alone.
    pub(super) fn only(self, name: &str) -> Option<T> {
        match self {
            Self::Listed(all) => all.into_iter().find(|(found, _)| found == name).map(|(_, object)| object),
            Self::Set(_, object) => Some(object),
            Self::Gone(_) => None,
        }
    }
}

/// Whether the API server answers one watch.
#[derive(Debug)]
pub(super) struct Link {
    /// What is watched.
    pub(super) name: &'static str,
    state: AtomicU8,
}

const NEVER: u8 = 0;
const CONNECTED: u8 = 1;
const LOST: u8 = 2;

impl Link {
    fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self { name, state: AtomicU8::new(NEVER) })
    }

    pub(super) fn connected(&self) -> bool {
        self.state.load(Relaxed) == CONNECTED
    }

    fn answered(&self) {
        match self.state.swap(CONNECTED, Relaxed) {
            LOST => tracing::warn!(watch = self.name, "the API server answers the watch again"),
            NEVER => tracing::info!(watch = self.name, "the API server answers the watch"),
            _ => {}
        }
    }

    fn lost(&self, reason: &str) {
        if self.state.swap(LOST, Relaxed) != LOST {
            let watch = self.name;
            tracing::warn!(watch, reason, "the API server does not answer the watch; what is served stays; trying on");
        }
    }
}

/// Starts all watches. Each has connections of its own, so that its link is known by what is answered on them.
pub(super) fn start(
    config: &kube::Config,
    namespace: &str,
    changes: &mpsc::Sender<Change>,
) -> kube::Result<Vec<Arc<Link>>> {
    let labelled = |component: &str| {
        let selector = format!("{}={component},{}={}", label::COMPONENT, label::PART_OF, cluster::PART_OF);
        watcher::Config::default().labels(&selector)
    };
    let named = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
    let links = ["documents", "access", "signing_keys", "pods"].map(Link::new);
    let [documents, access, signing, pods] = links.clone();
    let client = |link: &Arc<Link>| client(config, Arc::clone(link));
    let (documents_client, access_client) = (client(&documents)?, client(&access)?);
    let (signing_client, pods_client) = (client(&signing)?, client(&pods)?);

    let api = Api::<core::ConfigMap>::namespaced(documents_client, namespace);
    let watch = Watch { api, config: labelled(component::DOCUMENT), link: documents, changes: changes.clone() };
    tokio::spawn(watch.follow(document, Change::Documents));
    let api = Api::<core::Secret>::namespaced(access_client, namespace);
    let watch = Watch { api, config: named(cluster::ACCESS), link: access, changes: changes.clone() };
    tokio::spawn(watch.follow(secret, Change::Access));
    let api = Api::<core::Secret>::namespaced(signing_client, namespace);
    let watch = Watch { api, config: named(cluster::SIGNING_KEYS), link: signing, changes: changes.clone() };
    tokio::spawn(watch.follow(secret, Change::Signing));
    let api = Api::<core::Pod>::namespaced(pods_client, namespace);
    let watch = Watch { api, config: labelled(component::SCORER), link: pods, changes: changes.clone() };
    tokio::spawn(watch.follow(pod, Change::Pods));
    Ok(links.into())
}

/// A client that tells the link what is answered.
fn client(config: &kube::Config, link: Arc<Link>) -> kube::Result<Client> {
    let layer = MapResultLayer::new(move |result| note(result, &link));
    Ok(ClientBuilder::try_from(config.clone())?.with_layer(&layer).build())
}

fn note<B>(result: Result<Response<B>, BoxError>, link: &Link) -> Result<Response<B>, BoxError> {
    if result.as_ref().is_ok_and(|response| response.status().is_success()) {
        link.answered();
    }
    result
}

struct Watch<K> {
    api: Api<K>,
    config: watcher::Config,
    link: Arc<Link>,
    changes: mpsc::Sender<Change>,
}

impl<K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static> Watch<K> {
    /// Follows the watch for ever.
    async fn follow<T>(self, read: fn(K) -> T, change: fn(Update<T>) -> Change) {
        let Self { api, config, link, changes } = self;
        let mut events = pin!(watcher(api, config.timeout(RENEW)).backoff(Pauses::default()));
        let mut listed = Vec::new();
        while let Some(event) = events.next().await {
            let update = match event {
                Ok(Event::Init) => {
                    listed.clear();
                    continue;
                }
                Ok(Event::InitApply(object)) => {
                    listed.push((object.name_any(), read(object)));
                    continue;
                }
                Ok(Event::InitDone) => Update::Listed(std::mem::take(&mut listed)),
                Ok(Event::Apply(object)) => Update::Set(object.name_any(), read(object)),
                Ok(Event::Delete(object)) => Update::Gone(object.name_any()),
                Err(watcher::Error::WatchError(status)) if status.code == 410 => {
                    tracing::info!(watch = link.name, "the API server has forgotten where the watch was; listing anew");
                    continue;
                }
                Err(error) => {
                    link.lost(&super::chain(&error));
                    continue;
                }
            };
            if changes.send(change(update)).await.is_err() {
                return;
            }
        }
    }
}

fn document(object: core::ConfigMap) -> Option<Vec<u8>> {
    object.data.and_then(|mut data| data.remove(cluster::DOCUMENT_KEY)).map(String::into_bytes)
}

fn secret(object: core::Secret) -> Secret {
    Secret(object.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect())
}

/// A pod takes requests while its containers are ready and nobody has begun to end it.
///
/// The pod's own readiness is that of its containers, but for one case: a node that was not heard of, as after an outage of
/// the API server. Then no pod of the node counts as ready, although all of them may be as well as before. Whether that is
/// so, a router that has connections to them knows better.
fn pod(object: core::Pod) -> Option<Pod> {
    let ending = object.metadata.deletion_timestamp.is_some();
    let mut labels = object.metadata.labels.unwrap_or_default();
    let status = object.status?;
    let conditions = status.conditions.unwrap_or_default();
    let ready = conditions.iter().any(|condition| condition.type_ == "ContainersReady" && condition.status == "True");
    let ip = status.pod_ip.filter(|ip| ready && !ending && !ip.is_empty())?;
    let mut label = |name: &str| labels.remove(name);
    Some(Pod { service: label(label::SERVICE)?, version: label(label::VERSION)?, address: state::address(&ip) })
}
