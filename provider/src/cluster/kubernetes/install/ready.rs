//! Waiting for the router's pods, with what keeps them from getting ready.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serving::admin::Failure;
use serving::cluster::{ROUTER, component, label};
use tokio::time::Instant;

use super::super::api::ApiError;
use super::super::explain::explain;
use super::super::{failure, labels, observe};
use super::manifests::TEMPLATE;
use super::{InstallError, Installer, pause};
use crate::cluster::Router;
use crate::cluster::wait::{Limits, Stranded};

const PAUSE: Duration = Duration::from_millis(500);
/// How long routers that are ready may take to say which version they are.
const CONFIRMATION_PATIENCE: Duration = Duration::from_secs(15);

/// The router does not get ready.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the router in namespace {namespace} does not get ready: {progress}{}", failure.as_ref().map(|failure| format!("; {}", failure.message)).unwrap_or_default())]
pub struct NotReady {
    /// The namespace.
    pub namespace: String,
    /// How far it is, as a clause.
    pub progress: String,
    /// Why.
    pub failure: Option<Failure>,
    /// Whether the time was over, and not the failure final.
    pub timed_out: bool,
}

/// How far a Deployment is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rollout {
    done: bool,
    progress: String,
}

impl Installer {
    /// Waits until all routers run what was applied last. Returns their version, if they tell it.
    pub async fn ready(&self, limits: &Limits) -> Result<Option<String>, InstallError> {
        let (mut reached, mut stranded) = (Instant::now(), Stranded::default());
        let (mut said, mut known) = (String::new(), String::new());
        loop {
            let error = match self.look().await {
                Ok((rollout, _)) if rollout.done => return self.version(limits).await,
                Ok((rollout, failure)) => {
                    reached = Instant::now();
                    let timed_out = limits.remaining().is_zero();
                    let last = failure.as_ref().is_some_and(|failure| failure.terminal);
                    known = failure.as_ref().map_or_else(
                        || rollout.progress.clone(),
                        |failure| format!("{}; {}", rollout.progress, failure.message),
                    );
                    if rollout.progress != said {
                        tracing::info!(namespace = self.namespace.name(), "router: {}", rollout.progress);
                        said.clone_from(&rollout.progress);
                    }
                    if stranded.for_good(failure.as_ref()) || timed_out || last {
                        let namespace = self.namespace.name().to_owned();
                        let timed_out = timed_out && !last;
                        return Err(NotReady { namespace, progress: rollout.progress, failure, timed_out }.into());
                    }
                    None
                }
                Err(error) => Some(error),
            };
            if let Some(error) = error
                && (reached.elapsed() >= error.patience() || limits.remaining().is_zero())
            {
                return Err(error.into());
            }
            if pause(limits, PAUSE).await {
                return Err(InstallError::Interrupted { doing: format!("waiting for the router ({known})") });
            }
        }
    }

    /// Present state, and what is wrong with the pods of the present template.
    async fn look(&self) -> Result<(Rollout, Option<Failure>), ApiError> {
        let Some(deployment) = self.namespace.get::<Deployment>(ROUTER).await? else {
            let progress = format!("somebody has deleted the Deployment {ROUTER}");
            return Ok((Rollout { done: false, progress }, None));
        };
        let rollout = rollout(&deployment);
        if rollout.done {
            return Ok((rollout, None));
        }
        let selector = labels::selector(&[(label::COMPONENT, component::ROUTER)]);
        let pods: Vec<Pod> = self.namespace.list(&selector).await?;
        // What is wrong with those of an older template is what this change is perhaps to correct.
        let wanted_template = deployment.spec.as_ref().and_then(|spec| template(spec.template.metadata.as_ref()?));
        let wanted: Vec<&Pod> = pods
            .iter()
            .filter(|pod| template(&pod.metadata) == wanted_template && pod.metadata.deletion_timestamp.is_none())
            .collect();
        let failure = match failure::find(Some(&deployment), &wanted) {
            Some(found) => explain(&self.namespace, found).await,
            None => None,
        };
        Ok((rollout, failure))
    }

    /// What the routers say that they are.
    async fn version(&self, limits: &Limits) -> Result<Option<String>, InstallError> {
        let end = Instant::now() + CONFIRMATION_PATIENCE.min(limits.remaining());
        loop {
            if let Router::Running { version } = observe::router(&self.namespace).await?
                && !version.is_empty()
            {
                return Ok(Some(version));
            }
            if Instant::now() >= end || limits.cancel.is_cancelled() {
                return Ok(None);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Digest of the template that something was made by.
fn template(metadata: &ObjectMeta) -> Option<&String> {
    metadata.annotations.as_ref()?.get(TEMPLATE)
}

fn rollout(deployment: &Deployment) -> Rollout {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = deployment.status.clone().unwrap_or_default();
    if status.observed_generation < deployment.metadata.generation {
        return Rollout { done: false, progress: "the cluster has not taken up the change yet".to_owned() };
    }
    let (updated, all, available) =
        (status.updated_replicas.unwrap_or(0), status.replicas.unwrap_or(0), status.available_replicas.unwrap_or(0));
    let progress = format!("{updated} of {wanted} pods are up to date, {available} are ready, {all} run");
    Rollout { done: updated == wanted && all == wanted && available == wanted, progress }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(status: &serde_json::Value) -> Deployment {
        serde_json::from_value(json!({
            "metadata": { "name": ROUTER, "generation": 2 },
            "spec": { "replicas": 2, "selector": {}, "template": {} },
            "status": status,
        }))
        .expect("a deployment")
    }

    #[test]
    fn a_rollout_is_done_when_no_old_pod_is_left() {
        let status = |generation: i64, updated: i32, all: i32| json!({ "observedGeneration": generation, "updatedReplicas": updated, "replicas": all, "availableReplicas": all });
        assert!(rollout(&deployment(&status(2, 2, 2))).done);
        assert!(!rollout(&deployment(&status(1, 2, 2))).done, "of the former template");
        assert!(!rollout(&deployment(&status(2, 2, 3))).done, "an old one is still there");
        let half = rollout(&deployment(&status(2, 1, 2)));
        assert!(!half.done && half.progress.contains("1 of 2"), "{half:?}");
    }
}
