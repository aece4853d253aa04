//! Service documents as ConfigMaps, changed by compare-and-swap on their resource version.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;
use serving::cluster::{self, component, label};
use serving::service::Service;

use super::api::Namespace;
use super::labels;
use crate::cluster::Error;

/// All documents, those of services that are being removed, too.
async fn list(namespace: &Namespace) -> Result<Vec<ConfigMap>, Error> {
    let selector = format!("{} in ({}, {})", label::COMPONENT, component::DOCUMENT, component::WITHDRAWN);
    Ok(namespace.list(&selector).await?)
}

/// Names of all services, sorted.
pub(super) async fn names(namespace: &Namespace) -> Result<Vec<String>, Error> {
    let name = |map: ConfigMap| map.metadata.labels?.remove(label::SERVICE);
    let mut names: Vec<String> = list(namespace).await?.into_iter().filter_map(name).collect();
    names.sort();
    Ok(names)
}

/// All services.
pub(super) async fn all(namespace: &Namespace) -> Result<Vec<Service>, Error> {
    list(namespace).await?.iter().map(parse).collect()
}

pub(super) async fn read(namespace: &Namespace, name: &str) -> Result<Option<Service>, Error> {
    let map = namespace.get::<ConfigMap>(&cluster::document(name)).await?;
    map.as_ref().map(parse).transpose()
}

/// As [`read`], unless the service is being removed.
pub(super) async fn read_served(namespace: &Namespace, name: &str) -> Result<Option<Service>, Error> {
    let map = namespace.get::<ConfigMap>(&cluster::document(name)).await?;
    map.as_ref().filter(|map| !is_withdrawn(map)).map(parse).transpose()
}

fn is_withdrawn(map: &ConfigMap) -> bool {
    let component = map.metadata.labels.as_ref().and_then(|labels| labels.get(label::COMPONENT));
    component.is_some_and(|component| component == component::WITHDRAWN)
}

/// Takes a document from the routers' sight. It stays until all of its service is gone, so that a removal which stops
/// half-way is finished by the next.
pub(super) async fn withdraw(namespace: &Namespace, name: &str) -> Result<(), Error> {
    let name = cluster::document(name);
    if namespace.get::<ConfigMap>(&name).await?.is_some() {
        let labels = json!({ "metadata": { "labels": { (label::COMPONENT): component::WITHDRAWN } } });
        namespace.merge::<ConfigMap>(&name, &labels).await?;
    }
    Ok(())
}

/// Writes a document if the present one has the generation `expected`.
pub(super) async fn put(
    namespace: &Namespace,
    workspace: &str,
    service: &Service,
    expected: Option<u64>,
) -> Result<(), Error> {
    let name = cluster::document(&service.name);
    let present = namespace.get::<ConfigMap>(&name).await?;
    let found = present.as_ref().map(parse).transpose()?.map(|service| service.generation);
    let conflict = |found| Err(Error::Conflict { service: service.name.clone(), expected, found });
    if found != expected {
        return conflict(found);
    }
    let text = String::from_utf8(service.write()).unwrap_or_default();
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name),
            labels: Some(labels::service(component::DOCUMENT, workspace, &service.name)),
            resource_version: present.as_ref().and_then(|map| map.metadata.resource_version.clone()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(cluster::DOCUMENT_KEY.to_owned(), text)])),
        ..ConfigMap::default()
    };
    let written = if present.is_some() { namespace.replace(&map).await? } else { namespace.create(&map).await? };
    if written {
        return Ok(());
    }
    conflict(read(namespace, &service.name).await?.map(|service| service.generation))
}

/// Removes a document that was taken from the routers' sight, unless somebody has written it anew.
pub(super) async fn remove_withdrawn(namespace: &Namespace, name: &str) -> Result<(), Error> {
    let name = cluster::document(name);
    match namespace.get::<ConfigMap>(&name).await? {
        Some(map) if is_withdrawn(&map) => Ok(namespace.delete_unchanged(&map).await?),
        _ => Ok(()),
    }
}

fn parse(map: &ConfigMap) -> Result<Service, Error> {
    let text = map.data.as_ref().and_then(|data| data.get(cluster::DOCUMENT_KEY)).map_or("", String::as_str);
    Service::read(text.as_bytes()).map_err(|source| Error::BadDocument {
        path: format!("ConfigMap {}", map.metadata.name.as_deref().unwrap_or_default()),
        source,
    })
}
