//! The router's Lease: what it serves, for whoever waits for a change to be served everywhere.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use serving::cluster::{self, Confirmation, component, label};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::pauses::Pauses;

/// Writes are so far apart at least; what changes meanwhile is written at once.
const APART: Duration = Duration::from_millis(250);
/// The Lease is written anew after this, so that one that was deleted comes back.
const RENEW: Duration = Duration::from_mins(1);
/// Longest wait for the API server's answer to one write.
const ANSWER: Duration = Duration::from_secs(10);

/// The pod that this process runs in.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) pod: String,
    /// UID of the Pod object.
    pub(super) uid: Option<String>,
}

impl Identity {
    /// From the environment that the Deployment sets by the downward API.
    pub(super) fn of_environment() -> Option<Self> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Some(Self { pod: variable("POD_NAME")?, uid: variable("POD_UID") })
    }

    fn lease(&self, confirmation: &Confirmation) -> serde_json::Result<Lease> {
        let labels = [
            (label::PART_OF, cluster::PART_OF),
            (label::NAME, cluster::ROUTER),
            (label::COMPONENT, component::CONFIRMATION),
        ];
        let owner = self.uid.as_ref().map(|uid| OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: self.pod.clone(),
            uid: uid.clone(),
            ..OwnerReference::default()
        });
        Ok(Lease {
            metadata: ObjectMeta {
                name: Some(cluster::lease(&self.pod)),
                labels: Some(labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
                annotations: Some(BTreeMap::from([(
                    label::CONFIRMATION.to_owned(),
                    serde_json::to_string(confirmation)?,
                )])),
                owner_references: owner.map(|owner| vec![owner]),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.pod.clone()),
                renew_time: Some(MicroTime(Timestamp::now())),
                ..LeaseSpec::default()
            }),
        })
    }
}

/// Writes every confirmation that comes, for ever; of several that wait, the newest.
pub(super) async fn publish(api: Api<Lease>, identity: Identity, mut wanted: watch::Receiver<Option<Confirmation>>) {
    let name = cluster::lease(&identity.pod);
    let parameters = PatchParams::apply(cluster::ROUTER).force();
    let mut pauses = Pauses::default();
    let mut failing = false;
    loop {
        let Some(confirmation) = wanted.borrow_and_update().clone() else {
            if wanted.changed().await.is_err() {
                return;
            }
            continue;
        };
        match write(&api, &name, &parameters, &identity, &confirmation).await {
            Ok(()) => {
                if std::mem::take(&mut failing) {
                    tracing::warn!(lease = name, "the Lease is written again");
                }
                pauses = Pauses::default();
                sleep(APART).await;
                // The renewal's time-out is no news.
                if let Ok(Err(_)) = timeout(RENEW, wanted.changed()).await {
                    return;
                }
            }
            Err(reason) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(lease = name, reason, "the Lease cannot be written; trying on");
                }
                let pause = pauses.next().unwrap_or(APART);
                sleep(pause.max(APART)).await;
            }
        }
    }
}

async fn write(
    api: &Api<Lease>,
    name: &str,
    parameters: &PatchParams,
    identity: &Identity,
    confirmation: &Confirmation,
) -> Result<(), String> {
    let lease = identity.lease(confirmation).map_err(|error| error.to_string())?;
    match timeout(ANSWER, api.patch(name, parameters, &Patch::Apply(&lease))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(super::chain(&error)),
        Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
    }
}
