//! `logs` in a cluster: what the containers of a service's pods have written.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::pin::pin;
use std::time::Duration;

use futures_util::{AsyncBufReadExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, ContainerStatus, Pod};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::api::{Api, ListParams, LogParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watcher};
use serving::cluster::{self, component, label};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::logs::{Args, Line, print};
use super::{Failure, Noun};
use crate::serve::{chain, of_kubeconfig};

/// Lines of followed containers that may wait to be printed.
const WAITING: usize = 1024;

/// Before a stream that was cut off is opened again.
const REOPEN: Duration = Duration::from_secs(1);

/// A container of which there is a log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    pod: String,
    container: String,
    restarts: i32,
    /// Of the container before its last restart.
    previous: bool,
}

impl Source {
    /// The container, whichever restart it is.
    fn place(&self) -> (String, String) {
        (self.pod.clone(), self.container.clone())
    }

    /// What its lines start with. The scorer needs no name.
    fn id(&self) -> String {
        if self.container == cluster::SCORER_CONTAINER {
            self.pod.clone()
        } else {
            format!("{}/{}", self.pod, self.container)
        }
    }
}

/// Prints the logs of the pods in a namespace.
pub(super) fn run(noun: Noun, args: &Args, namespace: &str) -> Result<(), Failure> {
    // Fails only if there is one, which can only be the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(logs(noun, args, namespace))
}

async fn logs(noun: Noun, args: &Args, namespace: &str) -> Result<(), Failure> {
    let config = of_kubeconfig(args.kubeconfig.clone(), args.context.clone()).await.map_err(Failure::failed)?;
    let client = Client::try_from(config).map_err(|error| Failure::failed(chain(&error)))?;
    let (pods, selector) = (Api::<Pod>::namespaced(client.clone(), namespace), selector(args));
    let refused = |error: kube::Error| {
        Failure::failed(format!("the pods of namespace {namespace} cannot be listed: {}", chain(&error)))
    };
    let found = pods.list(&ListParams::default().labels(&selector)).await.map_err(refused)?.items;
    if found.iter().all(|pod| !wanted(args, pod)) {
        explain(noun, args, &client, namespace).await?;
    }
    let sources: BTreeSet<Source> = found.iter().filter(|pod| wanted(args, pod)).flat_map(sources).collect();
    let mut out = io::stdout().lock();
    if args.follow {
        let (told, mut news) = mpsc::channel(WAITING);
        tokio::spawn(follow(pods, selector, args.clone(), sources, told));
        while let Some(first) = news.recv().await {
            let mut lines = vec![first];
            while let Ok(more) = news.try_recv() {
                lines.push(more);
            }
            print(&mut out, lines)?;
        }
        return Ok(());
    }
    let mut lines = Vec::new();
    for source in &sources {
        match pods.logs(&source.pod, &parameters(source, args)).await {
            Ok(text) => lines.extend(text.lines().map(|text| line(source, text))),
            // Its pod, or the container before the restart, is gone since it was listed.
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 404) => {}
            Err(error) => {
                return Err(Failure::failed(format!("the log of {} cannot be read: {}", source.id(), chain(&error))));
            }
        }
    }
    Ok(print(&mut out, lines)?)
}

fn selector(args: &Args) -> String {
    let mut selector = format!("{}={},{}={}", label::COMPONENT, component::SCORER, label::SERVICE, args.name);
    if let Some(version) = &args.version {
        selector = format!("{selector},{}={version}", label::VERSION);
    }
    selector
}

fn wanted(args: &Args, pod: &Pod) -> bool {
    args.replica.as_ref().is_none_or(|replica| pod.metadata.name.as_ref() == Some(replica))
}

/// The containers of a pod that have started, those before a restart first.
fn sources(pod: &Pod) -> Vec<Source> {
    let Some(status) = &pod.status else { return Vec::new() };
    let began = |status: &ContainerStatus| {
        status.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    };
    let mut sources = Vec::new();
    for container in status.init_container_statuses.iter().chain(&status.container_statuses).flatten() {
        let source = |previous| Source {
            pod: pod.metadata.name.clone().unwrap_or_default(),
            container: container.name.clone(),
            restarts: container.restart_count,
            previous,
        };
        sources.extend((container.restart_count > 0).then(|| source(true)));
        sources.extend(began(container).then(|| source(false)));
    }
    sources
}

fn parameters(source: &Source, args: &Args) -> LogParams {
    LogParams {
        container: Some(source.container.clone()),
        previous: source.previous,
        tail_lines: Some(i64::try_from(args.lines).unwrap_or(i64::MAX)),
        since_seconds: args.since,
        timestamps: true,
        ..LogParams::default()
    }
}

/// A line as the cluster gives it: its time, a space, and what was written.
fn line(source: &Source, text: &str) -> Line {
    let (time, text) = text.split_once(' ').unwrap_or(("", text));
    Line { time: time.to_owned(), id: source.id(), text: text.to_owned() }
}

/// An empty result has a reason.
async fn explain(noun: Noun, args: &Args, client: &Client, namespace: &str) -> Result<(), Failure> {
    let (word, name) = (noun.word(), &args.name);
    let documents = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let document = documents.get_opt(&cluster::document(name)).await;
    let document = document.map_err(|error| {
        Failure::failed(format!("whether there is a {word} `{name}` cannot be found out: {}", chain(&error)))
    })?;
    if document.is_none() {
        return Err(Failure::unknown(format!(
            "there is no {word} `{name}` in namespace {namespace}; check the name, --namespace and --context"
        )));
    }
    let of = |what: &Option<String>, kind: &str| what.as_ref().map(|what| format!(" of {kind} `{what}`"));
    let which = of(&args.replica, "replica").or_else(|| of(&args.version, "version")).unwrap_or_default();
    Err(Failure::unknown(format!("the {word} `{name}` has no pods{which} in namespace {namespace}")))
}

/// Reads the last lines of what there was `before`, and what is written from now on, also by pods that come later. Ends
/// when nobody listens.
async fn follow(pods: Api<Pod>, selector: String, args: Args, before: BTreeSet<Source>, told: mpsc::Sender<Line>) {
    let mut known = BTreeSet::new();
    let mut copies = JoinSet::<(Source, LogParams)>::new();
    let mut running = BTreeMap::<(String, String), AbortHandle>::new();
    let config = watcher::Config::default().labels(&selector);
    let mut changes = pin!(watcher(pods.clone(), config).default_backoff().applied_objects());
    loop {
        let pod = tokio::select! {
            change = changes.try_next() => match change {
                Ok(Some(pod)) => pod,
                Ok(None) => return,
                // The watch is taken up again after a pause.
                Err(_) => continue,
            },
            Some(ended) = copies.join_next() => {
                // One that was stopped, because its container is another now.
                let Ok((source, rest)) = ended else { continue };
                // Of a container that runs on, or cannot be asked for now, the stream was cut off.
                let goes_on = match pods.get_opt(&source.pod).await {
                    Ok(pod) => pod.is_some_and(|pod| runs(&pod, &source)),
                    Err(_) => true,
                };
                if told.is_closed() {
                    return;
                }
                if goes_on {
                    running.insert(source.place(), copies.spawn(copy(pods.clone(), source, rest, told.clone())));
                } else {
                    running.remove(&source.place());
                }
                continue;
            }
        };
        for source in sources(&pod).into_iter().filter(|source| !source.previous && wanted(&args, &pod)) {
            if known.insert(source.clone()) {
                let mut parameters = LogParams { follow: true, ..parameters(&source, &args) };
                // Of what comes later, nothing is left out.
                parameters.tail_lines = parameters.tail_lines.filter(|_| before.contains(&source));
                let place = source.place();
                let copying = copies.spawn(copy(pods.clone(), source, parameters, told.clone()));
                // A stream that was opened again may be of this container already, which is another since its restart.
                if let Some(former) = running.insert(place, copying) {
                    former.abort();
                }
            }
        }
        if told.is_closed() {
            return;
        }
    }
}

/// Copies lines until the stream ends, and returns what asks for the rest.
async fn copy(pods: Api<Pod>, source: Source, parameters: LogParams, told: mpsc::Sender<Line>) -> (Source, LogParams) {
    let mut rest = parameters.clone();
    // The client rounds to seconds, up and down; what comes twice is left out below.
    let since_time = parameters.since_time.and_then(|time| time.checked_sub(SignedDuration::from_secs(1)).ok());
    let asked = LogParams { since_time, ..parameters.clone() };
    if let Ok(stream) = pods.log_stream(&source.pod, &asked).await {
        let mut lines = stream.lines();
        while let Ok(Some(text)) = lines.try_next().await {
            let line = line(&source, &text);
            let time = line.time.parse::<Timestamp>().ok();
            if time.is_some() && time <= parameters.since_time {
                continue;
            }
            rest = LogParams { since_time: time, since_seconds: None, tail_lines: None, ..rest };
            if told.send(line).await.is_err() {
                break;
            }
        }
    }
    tokio::time::sleep(REOPEN).await;
    (source, rest)
}

/// Whether a container is still the one that the log is of.
fn runs(pod: &Pod, source: &Source) -> bool {
    let status = pod.status.iter();
    let mut containers =
        status.flat_map(|status| status.init_container_statuses.iter().chain(&status.container_statuses).flatten());
    containers.any(|container| {
        container.name == source.container
            && container.restart_count == source.restarts
            && container.state.as_ref().is_some_and(|state| state.running.is_some())
    })
}
