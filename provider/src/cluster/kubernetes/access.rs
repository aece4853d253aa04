//! Keys, their digests, and hop secrets.
//!
//! Plain keys are Secrets of their own, which routers may not read. What routers need is in one Secret that they may read
//! by its name: each entry is added and removed by itself, so that services do not wait for each other.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};
use serving::cluster::{self, component};
use serving::service::{Keys, Service};
use serving::token::SigningKeys;

use super::api::{ApiError, Namespace, Problem};
use super::labels;
use crate::cluster::Error;
use crate::cluster::keys::generate;

/// How often a generation is counted on when others store keys at the same time.
const TRIES: usize = 10;

pub(super) async fn read(namespace: &Namespace, service: &str, generation: u64) -> Result<Option<Keys>, Error> {
    let name = cluster::keys(service, generation);
    let Some(secret) = namespace.get::<Secret>(&name).await? else { return Ok(None) };
    json_of(&secret, cluster::KEYS_KEY, &name).map(Some)
}

/// Stores keys under the next generation, and their digests for the routers.
pub(super) async fn put(namespace: &Namespace, workspace: &str, service: &str, keys: &Keys) -> Result<u64, Error> {
    let mut generation = generations(namespace, service).await?.last().map_or(1, |last| last + 1);
    for _ in 0..TRIES {
        if !namespace.create(&secret(workspace, service, generation, keys)).await? {
            generation += 1;
            continue;
        }
        // Both are there before a document names the generation.
        write_digests(namespace, &cluster::key_digests(service, generation), keys).await?;
        return Ok(generation);
    }
    Err(Error::Conflict { service: service.to_owned(), expected: Some(generation), found: None })
}

fn secret(workspace: &str, service: &str, generation: u64, keys: &Keys) -> Secret {
    let text = serde_json::to_vec(keys).unwrap_or_default();
    Secret {
        metadata: ObjectMeta {
            name: Some(cluster::keys(service, generation)),
            labels: Some(labels::service(component::KEYS, workspace, service)),
            ..ObjectMeta::default()
        },
        immutable: Some(true),
        data: Some(BTreeMap::from([(cluster::KEYS_KEY.to_owned(), ByteString(text))])),
        ..Secret::default()
    }
}

/// Removes all keys of a service but those of the generation `keep`.
pub(super) async fn retire(namespace: &Namespace, service: &str, keep: Option<u64>) -> Result<(), Error> {
    let retired: Vec<u64> =
        generations(namespace, service).await?.into_iter().filter(|generation| Some(*generation) != keep).collect();
    let mut entries: serde_json::Map<String, Value> =
        retired.iter().map(|generation| (cluster::key_digests(service, *generation), Value::Null)).collect();
    if keep.is_none() {
        entries.insert(cluster::hop(service), Value::Null);
    }
    if !entries.is_empty() && namespace.get::<Secret>(cluster::ACCESS).await?.is_some() {
        namespace.merge::<Secret>(cluster::ACCESS, &json!({ "data": entries })).await?;
    }
    for generation in retired {
        namespace.delete::<Secret>(&cluster::keys(service, generation)).await?;
    }
    Ok(())
}

/// Writes the digests of a service's keys again if somebody has removed them.
pub(super) async fn restore_digests(namespace: &Namespace, service: &Service) -> Result<(), Error> {
    let Some(generation) = service.auth.keys else { return Ok(()) };
    let entry = cluster::key_digests(&service.name, generation);
    if has(&access(namespace).await?, &entry) {
        return Ok(());
    }
    match read(namespace, &service.name, generation).await? {
        Some(keys) => write_digests(namespace, &entry, &keys).await,
        // Without keys there is nothing to bring back: the service's next apply makes new ones.
        None => Ok(()),
    }
}

async fn write_digests(namespace: &Namespace, entry: &str, keys: &Keys) -> Result<(), Error> {
    let digests = serde_json::to_string(&keys.digests()).unwrap_or_default();
    let patch = json!({ "stringData": { (entry): digests } });
    namespace.merge::<Secret>(cluster::ACCESS, &patch).await.map_err(missing_access)?;
    Ok(())
}

/// Whether a service has a hop secret.
pub(super) async fn has_hop(namespace: &Namespace, service: &str) -> Result<bool, Error> {
    Ok(has(&access(namespace).await?, &cluster::hop(service)))
}

/// The Secret of what routers need, which is the attachment's.
async fn access(namespace: &Namespace) -> Result<Secret, Error> {
    namespace.get::<Secret>(cluster::ACCESS).await?.ok_or_else(|| no_access(namespace))
}

fn has(secret: &Secret, entry: &str) -> bool {
    secret.data.as_ref().is_some_and(|data| data.contains_key(entry))
}

/// Makes the hop secret of a service unless it has one.
pub(super) async fn ensure_hop(namespace: &Namespace, service: &str) -> Result<(), Error> {
    let entry = cluster::hop(service);
    for _ in 0..TRIES {
        let access = access(namespace).await?;
        if has(&access, &entry) {
            return Ok(());
        }
        // Two that make one at the same time must agree on it.
        let patch = json!({
            "metadata": { "resourceVersion": access.metadata.resource_version },
            "stringData": { (entry.as_str()): generate()? },
        });
        match namespace.merge::<Secret>(cluster::ACCESS, &patch).await {
            Ok(_) => return Ok(()),
            Err(error) if error.problem == Problem::Changed => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(no_access(namespace))
}

/// The keys that tokens are signed with.
pub(super) async fn signing_keys(namespace: &Namespace) -> Result<Option<SigningKeys>, Error> {
    let Some(secret) = namespace.get::<Secret>(cluster::SIGNING_KEYS).await? else { return Ok(None) };
    json_of(&secret, serving::layout::SIGNING_KEYS, cluster::SIGNING_KEYS).map(Some)
}

/// Generations of a service's keys, in order.
async fn generations(namespace: &Namespace, service: &str) -> Result<Vec<u64>, Error> {
    let selector = labels::of_service(component::KEYS, service);
    let secrets: Vec<Secret> = namespace.list(&selector).await?;
    let generation = |secret: Secret| secret.metadata.name?.rsplit('.').next()?.parse().ok();
    let mut generations: Vec<u64> = secrets.into_iter().filter_map(generation).collect();
    generations.sort_unstable();
    Ok(generations)
}

/// What an entry of a Secret holds. The error never quotes it.
fn json_of<T: serde::de::DeserializeOwned>(secret: &Secret, key: &str, name: &str) -> Result<T, Error> {
    let bad = |problem: &str| Error::BadFile { path: format!("Secret {name}"), problem: problem.to_owned() };
    let value = secret.data.as_ref().and_then(|data| data.get(key)).ok_or_else(|| bad(&format!("it has no {key}")))?;
    serde_json::from_slice(&value.0)
        .map_err(|error| bad(&format!("{key} is not what this provider writes ({:?})", error.classify())))
}

fn missing_access(error: ApiError) -> Error {
    match error.problem {
        Problem::Absent(_) => Error::NoAccessSecret { namespace: error.namespace, secret: cluster::ACCESS },
        _ => error.into(),
    }
}

fn no_access(namespace: &Namespace) -> Error {
    Error::NoAccessSecret { namespace: namespace.name().to_owned(), secret: cluster::ACCESS }
}
