//! `azureml-fe serve`: the router in a cluster, one process for each pod.
//!
//! It watches the namespace (`watch`), makes of what it finds the same snapshots that a local supervisor would send
//! (`state`), and hands them to the same data path (`worker`), which runs in this process. What is served is confirmed in
//! a Lease (`lease`); probes and metrics have a port of their own (`status`, `metrics`). `engine` is the loop in the
//! middle. It runs on one thread beside those of the data path, which go on with the last table whatever becomes of the
//! API server.

mod api;
mod engine;
mod lease;
mod listen;
mod metrics;
mod pauses;
mod state;
mod status;
mod watch;
mod worker;

use std::error::Error;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use kube::api::Api;
use tokio::sync::{mpsc, watch as news};

pub(crate) use api::of_kubeconfig;

use crate::config::Config;
use engine::{Engine, Parts};
use lease::Identity;
use worker::Worker;

/// Changes that may wait to be looked at.
const CHANGES: usize = 256;
/// Questions that may wait for their answers.
const QUESTIONS: usize = 64;

/// What `azureml-fe serve` was told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration.
    pub config: Config,
    /// The cluster's; without it, that of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of the services; without it, that of the pod.
    pub namespace: Option<String>,
    /// Port of probes and metrics.
    pub status_port: u16,
}

/// Serves until it is told to end, and has ended in order. The error is for people.
pub fn run(options: Options) -> Result<(), String> {
    // Fails only if there is one, which can only be the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let result = runtime.block_on(start(options));
    // Threads that wait for the API server must not hold up the end.
    runtime.shutdown_background();
    result
}

async fn start(options: Options) -> Result<(), String> {
    let Options { config, kubeconfig, namespace, status_port } = options;
    let listener = listen::bind(config.listen())?;
    let status = status::bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), status_port))?;
    let cluster = api::config(kubeconfig).await?;
    let namespace = namespace
        .or_else(|| std::env::var("POD_NAMESPACE").ok().filter(|name| !name.is_empty()))
        .unwrap_or_else(|| cluster.default_namespace.clone());
    announce(&listener, &status).map_err(|error| format!("cannot say where it listens: {error}"))?;
    let unusable = |error: kube::Error| format!("the connection to the cluster cannot be used: {}", chain(&error));
    let client = kube::Client::try_from(cluster.clone()).map_err(unusable)?;
    let (seen, changes) = mpsc::channel(CHANGES);
    let links = watch::start(&cluster, &namespace, &seen).map_err(unusable)?;
    let (questions, asked) = mpsc::channel(QUESTIONS);
    tokio::spawn(status::serve(status, questions));
    let (confirmed, wanted) = news::channel(None);
    if let Some(identity) = Identity::of_environment() {
        let leases = Api::namespaced(client.clone(), &namespace);
        tokio::spawn(lease::publish(leases, identity, wanted));
    } else {
        tracing::warn!("POD_NAME is not set: no Lease says what is served, and nobody may wait for it");
    }
    let threads = config.effective_threads();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), namespace, threads, server = %cluster.cluster_url, "serving");
    let worker = Worker::start(config.clone(), listener, api::server(client))
        .map_err(|error| format!("the data path cannot be started: {error}"))?;
    let parts = Parts { config, links, worker, changes, questions: asked, confirmed };
    Engine::new(parts).map_err(|error| format!("signals cannot be received: {error}"))?.run().await
}

/// Says on standard output where callers and probes are answered.
fn announce(listener: &std::net::TcpListener, status: &tokio::net::TcpListener) -> std::io::Result<()> {
    let (address, status) = (listener.local_addr()?, status.local_addr()?);
    let line = serde_json::json!({ "listening": { "address": address.to_string(), "status": status.to_string() } });
    let mut out = std::io::stdout().lock();
    // Nobody has to read it.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    Ok(())
}

/// An error with all that caused it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        // Some errors quote their cause.
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = next.source();
    }
    text
}
