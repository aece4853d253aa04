//! Between the endpoint as users write it and its document.

use serving::service::{Keys, Kind, Service, Sticky};
use tfplugin::Attr;

use super::model::{Endpoint, StickyConfig};
use crate::access::Access;
use crate::cluster::EndpointId;
use crate::deployment::{document, service};
use crate::workspace::ComputeId;

/// The document of a new endpoint. Generation, times, commitment and key generation are decided where it is put.
pub(super) fn service(id: &EndpointId, owner: &str, planned: &Endpoint) -> Service {
    let mut document =
        service::document(Kind::Endpoint, &id.name, &id.compute, owner, &planned.labels, &planned.access);
    document.sticky = sticky(planned);
    document
}

/// Writes what the endpoint itself declares into a document that others change, too.
pub(super) fn declare(service: &mut Service, wanted: &Service) {
    service.auth.mode = wanted.auth.mode;
    service.sticky.clone_from(&wanted.sticky);
    service.description.clone_from(&wanted.description);
    service.tags.clone_from(&wanted.tags);
    service.properties.clone_from(&wanted.properties);
    let configured = service::configured(wanted);
    service::set_configured(service, |present| {
        present.labels = configured.labels;
        present.key_overlap = configured.key_overlap;
        present.changed = true;
    });
}

fn sticky(planned: &Endpoint) -> Option<Sticky> {
    let StickyConfig { header, cookie, query } = planned.sticky.clone().known()?;
    let header = header.known().map(Sticky::Header);
    header.or_else(|| cookie.known().map(Sticky::Cookie)).or_else(|| query.known().map(Sticky::Query))
}

/// The endpoint as the document and its keys have it. `known` brings what only Terraform's state knows.
pub(super) fn endpoint(id: &EndpointId, service: &Service, keys: Option<&Keys>, known: &Endpoint) -> Endpoint {
    let overlap = service::configured(service).key_overlap;
    Endpoint {
        id: id.to_string().into(),
        name: id.name.as_str().into(),
        compute_id: document::spelled::<ComputeId>(&known.compute_id, id.compute.to_string()),
        sticky: shown_sticky(service.sticky.as_ref()),
        force_destroy: Attr::Known(known.force_destroy.unwrap_or(false)),
        access: Access::shown(service.auth.mode, keys, overlap),
        labels: service::labels(service),
        scoring_uri: known.scoring_uri.clone(),
        swagger_uri: known.swagger_uri.clone(),
        created_time: service.created_time.as_str().into(),
        updated_time: service.updated_time.as_str().into(),
        timeouts: known.timeouts.clone(),
    }
}

fn shown_sticky(sticky: Option<&Sticky>) -> Attr<StickyConfig> {
    let Some(sticky) = sticky else { return Attr::Null };
    let mut config = StickyConfig::default();
    match sticky {
        Sticky::Header(name) => config.header = name.as_str().into(),
        Sticky::Cookie(name) => config.cookie = name.as_str().into(),
        Sticky::Query(name) => config.query = name.as_str().into(),
    }
    config.into()
}
