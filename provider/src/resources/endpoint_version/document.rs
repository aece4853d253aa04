//! Between the version as users write it and the version of its endpoint's document.

use serde::{Deserialize, Serialize};
use serving::admin::ServiceStatus;
use serving::service::{Service, Template, Version};
use serving::traffic::{BasisPoints, Declaration};
use tfplugin::{Attr, Number};

use super::model::EndpointVersion;
use super::plan::share;
use crate::cluster::{EndpointId, EndpointVersionId, deploy};
use crate::deployment::{document, labels};
use crate::workspace::Digest;
use crate::workspace::claim::spec_digest;

/// What was configured, literally, so that an import plans no change; and what adoption needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Configured {
    #[serde(flatten)]
    deployment: document::Configured,
    labels: labels::Configured,
    traffic_percentile: Option<BasisPoints>,
    is_control_version_type: Option<bool>,
    pub(super) owner: String,
    /// Digest of what the create was asked for.
    pub(super) spec: Option<Digest>,
    /// Whether anything was changed after the create.
    pub(super) changed: bool,
    created_time: String,
    updated_time: String,
}

/// The version that a create leads to.
pub(super) fn created(planned: &EndpointVersion, template: Template, owner: &str) -> Version {
    let (mut version, mut configured) = declared(planned, template);
    owner.clone_into(&mut configured.owner);
    version.configured = serde_json::to_value(&configured).unwrap_or_default();
    configured.spec = Some(spec_digest(&version));
    (configured.created_time, configured.updated_time) = (deploy::now(), deploy::now());
    version.configured = serde_json::to_value(configured).unwrap_or_default();
    version
}

/// The version that an update of `present` leads to.
pub(super) fn updated(planned: &EndpointVersion, template: Template, present: &Version) -> Version {
    let (mut version, configured) = declared(planned, template);
    let before = self::configured(present);
    let configured = Configured {
        owner: before.owner,
        spec: before.spec,
        changed: true,
        created_time: before.created_time,
        updated_time: deploy::now(),
        ..configured
    };
    version.configured = serde_json::to_value(configured).unwrap_or_default();
    version
}

fn declared(planned: &EndpointVersion, template: Template) -> (Version, Configured) {
    let percent = planned.traffic_percentile.get().and_then(|percent| share(percent).ok());
    let mut version = document::version(&planned.deployment, template);
    version.declared = Declaration {
        traffic: percent.unwrap_or_default(),
        is_default: planned.is_default.known(),
        is_control: planned.is_control_version_type.unwrap_or(false),
    };
    let configured = Configured {
        deployment: document::configured(&planned.deployment),
        labels: planned.labels.configured(),
        traffic_percentile: percent,
        is_control_version_type: planned.is_control_version_type.known(),
        ..Configured::default()
    };
    (version, configured)
}

/// What was configured, as far as the document tells.
pub(super) fn configured(version: &Version) -> Configured {
    serde_json::from_value(version.configured.clone()).unwrap_or_default()
}

/// Whether a version is the one that the state means, and not another one that was made under its name since.
///
/// With `create_before_destroy`, what a failed create has left is destroyed only after its successor of the same name was
/// created.
pub(super) fn is_meant(version: &Version, state: &EndpointVersion) -> bool {
    state.created_time.as_deref().is_none_or(|time| time == configured(version).created_time)
}

/// The version as its endpoint's document has it; none if it is not in it. `known` brings what only Terraform's state
/// knows.
///
/// While what is declared is not served, because it is in conflict with other versions or because somebody edited the
/// table, this shows what is served, so that a plan shows the difference.
pub(super) fn version(id: &EndpointVersionId, service: &Service, known: &EndpointVersion) -> Option<EndpointVersion> {
    let version = service.versions.get(&id.name)?;
    let configured = configured(version);
    let effective = match version.settled {
        Some(settled) if settled == version.declared => version.declared,
        settled => settled.unwrap_or_default(),
    };
    let traffic = edited_share(service, &id.name).unwrap_or(effective.traffic);
    Some(EndpointVersion {
        id: id.to_string().into(),
        name: id.name.as_str().into(),
        endpoint_id: document::spelled::<EndpointId>(&known.endpoint_id, id.endpoint.to_string()),
        deployment: document::shown(version, configured.deployment, &known.deployment),
        traffic_percentile: document::literal(&traffic, configured.traffic_percentile).map(shown_share).into(),
        is_default: effective.is_default.into(),
        is_control_version_type: document::literal(&effective.is_control, configured.is_control_version_type).into(),
        labels: configured.labels.into(),
        state: known.state.clone(),
        created_time: configured.created_time.into(),
        updated_time: configured.updated_time.into(),
        timeouts: known.timeouts.clone(),
    })
}

/// The share in the document's table, if it is not the one that the declarations lead to.
fn edited_share(service: &Service, name: &str) -> Option<BasisPoints> {
    let share = |service: &Service| {
        service.served.as_ref().and_then(|table| table.shares.get(name)).copied().unwrap_or_default()
    };
    let mut settled = service.clone();
    settled.settle().ok()?;
    (share(service) != share(&settled)).then(|| share(service))
}

/// Whether what is declared is what the document says is served, and no change is under way.
pub(super) fn is_finished(service: &Service, version: &Version) -> bool {
    let mut settled = service.clone();
    let table_stands = settled.settle().is_err() || settled.served == service.served;
    version.committed && version.former.is_none() && version.settled == Some(version.declared) && table_stands
}

/// A share as users write it.
#[must_use]
pub fn shown_share(share: BasisPoints) -> Number {
    share.to_string().parse().unwrap_or_else(|_| i64::from(share.0 / 100).into())
}

/// The state that users see.
#[must_use]
pub fn observed_state(service: &Service, name: &str, status: Option<&ServiceStatus>) -> Attr<String> {
    let Some(version) = service.versions.get(name) else { return Attr::Null };
    let status = status.and_then(|status| status.versions.get(name));
    let finished = is_finished(service, version) && document::stands(status);
    document::state_of(finished, document::is_whole(version, status)).into()
}
