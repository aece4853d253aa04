//! Between the webservice as users write it and the document that the router serves.

use std::collections::BTreeMap;

use serving::admin::ServiceStatus;
use serving::service::{Keys, Kind, Service, Template};
use serving::traffic::{Declared, settle};

use super::model::Webservice;
use crate::access::Access;
use crate::cluster::ServiceId;
use crate::deployment::{document, service};
use crate::workspace::ComputeId;

/// The document that a plan leads to. Generation, times, commitment and key generation are decided where it is put.
pub(super) fn service(id: &ServiceId, owner: &str, planned: &Webservice, template: Template) -> Service {
    let mut document =
        service::document(Kind::Webservice, &id.name, &id.compute, owner, &planned.labels, &planned.access);
    let mut version = document::version(&planned.deployment, template);
    version.configured = serde_json::to_value(document::configured(&planned.deployment)).unwrap_or_default();
    // The only version is the default and gets everything.
    let declared = BTreeMap::from([(id.name.clone(), Declared::from(&version))]);
    document.served = settle(&declared, None).ok();
    document.versions = BTreeMap::from([(id.name.clone(), version)]);
    document
}

/// The webservice as the document and its keys have it. `known` brings what only Terraform's state knows.
pub(super) fn webservice(id: &ServiceId, service: &Service, keys: Option<&Keys>, known: &Webservice) -> Webservice {
    let overlap = service::configured(service).key_overlap;
    let mut model = Webservice {
        id: id.to_string().into(),
        name: id.name.as_str().into(),
        compute_id: document::spelled::<ComputeId>(&known.compute_id, id.compute.to_string()),
        access: Access::shown(service.auth.mode, keys, overlap),
        labels: service::labels(service),
        scoring_uri: known.scoring_uri.clone(),
        swagger_uri: known.swagger_uri.clone(),
        state: known.state.clone(),
        created_time: service.created_time.as_str().into(),
        updated_time: service.updated_time.as_str().into(),
        timeouts: known.timeouts.clone(),
        ..Webservice::default()
    };
    if let Some(version) = service.versions.get(&service.name) {
        let configured = serde_json::from_value(version.configured.clone()).unwrap_or_default();
        model.deployment = document::shown(version, configured, &known.deployment);
    }
    model
}

/// The state that users see.
pub(super) fn observed_state(service: &Service, status: &ServiceStatus) -> &'static str {
    let whole = service.versions.iter().all(|(name, version)| document::is_whole(version, status.versions.get(name)));
    let stands = status.versions.values().all(|version| document::stands(Some(version)));
    document::state_of(service.committed && stands, whole)
}
