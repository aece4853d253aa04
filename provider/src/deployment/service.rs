//! What the resources of webservices and of endpoints share: the service document around the deployments.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serving::service::{Auth, Kind, SCHEMA_VERSION, Service};
use tfplugin::{Attr, Context, Diagnostic, Diagnostics};

use super::labels::{self, Labels};
use crate::access::Access;
use crate::cluster::wait::Limits;
use crate::cluster::{Cluster, deploy};
use crate::diagnostics::OrExplain as _;
use crate::provider::Settings;
use crate::workspace::claim::spec_digest;
use crate::workspace::{Catalogue, ComputeId, Digest, WorkspaceId};

/// What was configured of a service, literally, so that an import plans no change; and what adoption needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Configured {
    /// Its labels.
    pub labels: labels::Configured,
    /// `key_overlap`, in seconds.
    pub key_overlap: u64,
    /// Digest of what the create was asked for.
    pub spec: Option<Digest>,
    /// Whether anything was changed after the create.
    pub changed: bool,
}

/// What was configured, as far as the document tells.
#[must_use]
pub fn configured(service: &Service) -> Configured {
    serde_json::from_value(service.configured.clone()).unwrap_or_default()
}

/// Writes down what was configured.
pub fn set_configured(service: &mut Service, change: impl FnOnce(&mut Configured)) {
    let mut all = configured(service);
    change(&mut all);
    service.configured = serde_json::to_value(all).unwrap_or_default();
}

/// A service without versions that a plan leads to. Generation, commitment and key generation are decided where it is put.
#[must_use]
pub fn document(kind: Kind, name: &str, compute: &ComputeId, owner: &str, labels: &Labels, access: &Access) -> Service {
    let configured =
        Configured { labels: labels.configured(), key_overlap: access.overlap(), spec: None, changed: false };
    Service {
        schema_version: SCHEMA_VERSION,
        generation: 1,
        name: name.to_owned(),
        kind,
        workspace: compute.workspace.to_string(),
        owner: owner.to_owned(),
        committed: false,
        description: labels.description.clone().known(),
        tags: labels.tags.clone().unwrap_or_default(),
        properties: labels.properties.clone().unwrap_or_default(),
        created_time: deploy::now(),
        updated_time: deploy::now(),
        auth: Auth { mode: access.mode(), keys: Some(1) },
        sticky: None,
        assignment: None,
        versions: BTreeMap::new(),
        served: None,
        configured: serde_json::to_value(configured).unwrap_or_default(),
        unknown: BTreeMap::new(),
    }
}

/// The labels of a service.
#[must_use]
pub fn labels(service: &Service) -> Labels {
    Labels::shown(service.description.clone(), &service.tags, &service.properties, configured(service).labels)
}

/// Writes down the digest of all of the document that comes from the configuration and what it refers to.
pub fn set_spec(service: &mut Service) {
    let mut spec = service.clone();
    (spec.created_time, spec.updated_time) = (String::new(), String::new());
    let digest = spec_digest(&spec);
    set_configured(service, |configured| configured.spec = Some(digest));
}

/// An existing document, seen by a create.
pub enum Claim {
    /// It is what this create was to make.
    Adopted(Box<Service>),
    /// There is none, or an unfinished one of this owner.
    Create(Option<Box<Service>>),
}

/// Whether a create may go on. `wanted` has its specification's digest; `id` is how to import the present one.
pub fn claim(what: &str, id: &str, present: Option<Service>, wanted: &Service) -> Result<Claim, Diagnostics> {
    let Some(present) = present else { return Ok(Claim::Create(None)) };
    if present.owner == wanted.owner && present.kind == wanted.kind {
        let before = configured(&present);
        if deploy::committed_before(&present).is_none() {
            return Ok(Claim::Create(Some(Box::new(present))));
        }
        if present.committed && !before.changed && before.spec == configured(wanted).spec {
            return Ok(Claim::Adopted(Box::new(present)));
        }
    }
    let advice = match (present.kind, wanted.kind) {
        (Kind::Webservice, Kind::Endpoint) => "It is a webservice; choose another name.".to_owned(),
        (Kind::Endpoint, Kind::Webservice) => "It is an endpoint; choose another name.".to_owned(),
        _ => format!("Choose another name, or take it over with: terraform import <address> '{id}'"),
    };
    let detail = format!("It belongs to {}. {advice}", present.owner);
    Err(Diagnostic::error(format!("{what} already exists"), detail).at_attribute("name").into())
}

/// Whether a service is the one that the state means, and not another one that was made under its name since.
///
/// With `create_before_destroy`, what a failed create has left is destroyed only after its successor of the same name was
/// created.
#[must_use]
pub fn is_meant(service: &Service, created_time: &Attr<String>) -> bool {
    created_time.as_deref().is_none_or(|time| time == service.created_time)
}

/// Every rule of documents.
pub fn check_rules(service: &Service) -> Result<(), Diagnostics> {
    serving::validate::service(service).iter().map(super::checks::violation).collect::<Diagnostics>().into_result()
}

/// The limits of an operation.
#[must_use]
pub fn limits(context: &Context<Settings>) -> Limits {
    Limits { deadline: tokio::time::Instant::from_std(context.deadline()), cancel: context.token() }
}

/// The catalogue of a workspace.
pub fn catalogue(workspace: &WorkspaceId, settings: &Settings) -> Result<Catalogue, Diagnostics> {
    Ok(settings.catalogue(workspace).or_explain(format!("Cannot open workspace {workspace}"))?)
}

/// The place of a compute that must exist; the error is on `attribute`.
pub async fn cluster(
    id: &ComputeId,
    settings: &Settings,
    attribute: &'static str,
) -> Result<Arc<dyn Cluster>, Diagnostics> {
    let found = crate::cluster::open(id, settings).await;
    let found = found.or_explain(format!("Cannot use compute {}", id.name))?;
    found.ok_or_else(|| {
        Diagnostic::error(
            format!("Compute {id} does not exist"),
            "Create it, or name one that exists, such as azureml_local_compute.<name>.id.",
        )
        .at_attribute(attribute)
        .into()
    })
}

/// Scoring URI and Swagger URI; `known` stay where nobody can tell.
pub async fn uris(
    cluster: &dyn Cluster,
    service: &Service,
    known: (&Attr<String>, &Attr<String>),
) -> Result<(Attr<String>, Attr<String>), Diagnostics> {
    let family = match service.kind {
        Kind::Webservice => "service",
        Kind::Endpoint => "endpoint",
    };
    match cluster.base_url().await {
        Ok(url) => {
            let route = format!("{url}/api/v1/{family}/{}", service.name);
            Ok((format!("{route}/score").into(), format!("{route}/swagger.json").into()))
        }
        // Without a configuration nobody knows where the router will answer; the compute's next apply decides it.
        Err(crate::cluster::Error::NotRunning { .. }) => Ok((known.0.clone(), known.1.clone())),
        Err(error) => Ok(Err(error).or_explain(format!("Cannot tell the address of {}", service.name))?),
    }
}
