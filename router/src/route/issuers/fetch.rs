//! Fetching an issuer's keys, in a thread that may wait.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use arc_swap::ArcSwap;
use serde::Deserialize;
use serving::token::access::KeySet;
use serving::token::{Issuer, reachable};
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::super::ApiServer;
use super::{Clock, Demand, Known};
use crate::config::{Issuers as Times, ms};

/// Where keys are fetched from.
pub(super) enum Place {
    /// An issuer on the web, with the place of its keys if that was said.
    Web { issuer: String, jwks_uri: Option<String> },
    /// The cluster's own issuer of ServiceAccount tokens.
    Cluster(ApiServer),
}

impl Place {
    pub(super) fn of(issuer: &Issuer) -> Self {
        Self::Web { issuer: issuer.issuer.clone(), jwks_uri: issuer.jwks_uri.clone() }
    }

    /// What the log calls it.
    fn name(&self) -> &str {
        match self {
            Self::Web { issuer, .. } => issuer,
            Self::Cluster(_) => "the cluster",
        }
    }
}

/// An issuer and where its keys go.
struct Source {
    place: Place,
    times: Times,
    agent: Agent,
    clock: Clock,
    known: Arc<ArcSwap<Known>>,
}

/// What an issuer says of itself.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

const DISCOVERY: &str = "/.well-known/openid-configuration";
/// Where every API server publishes the keys of ServiceAccount tokens.
const CLUSTER_KEYS: &str = "/openid/v1/jwks";

fn description(uri: &str, body: &[u8]) -> Result<Metadata, String> {
    serde_json::from_slice(body).map_err(|error| format!("{uri} is not the description of an OpenID provider: {error}"))
}

/// Starts the thread. It ends when nobody can make demands any more.
pub(super) fn start(
    place: Place,
    times: &Times,
    (clock, known): (Clock, Arc<ArcSwap<Known>>),
    demands: Receiver<Demand>,
) -> io::Result<()> {
    let times = times.clone();
    let body = move || {
        let agent = agent(place.name(), &times);
        Source { place, times, agent, clock, known }.follow(&demands);
    };
    std::thread::Builder::new().name("issuer".to_owned()).spawn(body)?;
    Ok(())
}

/// A client that is bounded in every respect, and follows no redirects: keys come from where they were said to be.
fn agent(issuer: &str, times: &Times) -> Agent {
    let mut config = Agent::config_builder()
        .timeout_connect(Some(ms(times.connect_ms)))
        .timeout_global(Some(ms(times.answer_ms)))
        .max_redirects(0)
        .http_status_as_error(false)
        .user_agent(concat!("azureml-fe/", env!("CARGO_PKG_VERSION")));
    if issuer.starts_with("https:") {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a certificate that the system trusts could not be read");
        }
        let roots = found.certs.iter().map(|certificate| Certificate::from_der(certificate.as_ref()).to_owned());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots.collect())))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
        config = config.tls_config(tls.build());
    } else {
        // Of this machine.
        config = config.proxy(None);
    }
    config.build().into()
}

impl Source {
    fn follow(&self, demands: &Receiver<Demand>) {
        let mut failures = 0_u32;
        let mut waiting = None;
        loop {
            match self.fetch() {
                Ok(keys) => {
                    if failures > 0 {
                        tracing::info!(issuer = self.place.name(), "the issuer answers again");
                    }
                    failures = 0;
                    self.keep(Some(keys));
                }
                Err(reason) => {
                    if failures == 0 {
                        let issuer = self.place.name();
                        tracing::warn!(issuer, reason, "the issuer's keys cannot be fetched; trying on");
                    }
                    failures = failures.saturating_add(1);
                    self.keep(None);
                }
            }
            // Everybody who has waited meanwhile has the newest keys now.
            drop(waiting.take());
            demands.try_iter().for_each(drop);
            match self.wait(failures, demands) {
                ControlFlow::Continue(demand) => waiting = demand,
                ControlFlow::Break(()) => return,
            }
        }
    }

    /// Waits for the time of the next fetch, or for a demand that brings it forward. Breaks at the end.
    fn wait(&self, failures: u32, demands: &Receiver<Demand>) -> ControlFlow<(), Option<Demand>> {
        let shortest = ms(self.times.refetch_ms);
        let usual = ms(self.times.refresh_ms);
        let pause = if failures == 0 { usual } else { (shortest * (1 << (failures - 1).min(10))).min(usual) };
        let tried = Instant::now();
        loop {
            match demands.recv_timeout((tried + pause).saturating_duration_since(Instant::now())) {
                // Dropped at once: there is nothing newer to wait for.
                Ok(demand) if tried.elapsed() < shortest => drop(demand),
                Ok(demand) => {
                    return ControlFlow::Continue(Some(demand));
                }
                Err(RecvTimeoutError::Timeout) => return ControlFlow::Continue(None),
                Err(RecvTimeoutError::Disconnected) => return ControlFlow::Break(()),
            }
        }
    }

    fn keep(&self, fetched: Option<(Option<String>, KeySet)>) {
        let now = self.clock.now();
        let before = self.known.load();
        self.known.store(Arc::new(if let Some((issuer, keys)) = fetched {
            Known { issuer, keys: Some(Arc::new(keys)), fetched: now, tried: now, failing: false }
        } else {
            let (issuer, keys) = (before.issuer.clone(), before.keys.clone());
            Known { issuer, keys, fetched: before.fetched, tried: now, failing: true }
        }));
    }

    /// The keys, and the issuer's name where it was not known.
    fn fetch(&self) -> Result<(Option<String>, KeySet), String> {
        let keys = |uri: &str, body: &[u8]| {
            let missing = || format!("{uri} has no JSON Web Key Set with a key that can verify a token");
            KeySet::read(body).ok_or_else(missing)
        };
        match &self.place {
            Place::Web { issuer, jwks_uri } => {
                let uri = match jwks_uri {
                    Some(uri) => uri.clone(),
                    None => self.discover(issuer)?,
                };
                Ok((None, keys(&uri, &self.get(&uri)?)?))
            }
            Place::Cluster(api) => {
                // Not from the `jwks_uri`, which may be a place outside of the cluster.
                let found = description(DISCOVERY, &api(DISCOVERY)?)?;
                Ok((Some(found.issuer), keys(CLUSTER_KEYS, &api(CLUSTER_KEYS)?)?))
            }
        }
    }

    /// Where the keys are, by `OpenID` Connect Discovery 1.0.
    fn discover(&self, issuer: &str) -> Result<String, String> {
        let uri = format!("{}{DISCOVERY}", issuer.trim_end_matches('/'));
        let found = description(&uri, &self.get(&uri)?)?;
        if found.issuer != issuer {
            return Err(format!("{uri} describes the issuer {:?}, not {issuer:?}", found.issuer));
        }
        reachable(&found.jwks_uri).map_err(|problem| format!("the jwks_uri in {uri} {problem}"))?;
        Ok(found.jwks_uri)
    }

    fn get(&self, uri: &str) -> Result<Vec<u8>, String> {
        let failed = |error: ureq::Error| format!("{uri} cannot be fetched: {error}");
        let mut response = self.agent.get(uri).header("accept", "application/json").call().map_err(failed)?;
        if response.status() != 200 {
            return Err(format!("{uri} answers with status {}", response.status().as_u16()));
        }
        response.body_mut().with_config().limit(self.times.answer_bytes).read_to_vec().map_err(failed)
    }
}
