//! Between the webservice as users write it and the document that the router serves.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serving::admin::ServiceStatus;
use serving::service::{Auth, AuthMode, Kind, Rollout, SCHEMA_VERSION, Scale, Service, Template, Version};
use serving::traffic::{Declaration, Declared, settle};
use tfplugin::Attr;

use super::model::{InferenceConfig, RolloutConfig, Webservice};
use super::schema::state;
use crate::cluster::ServiceId;
use crate::workspace::claim::spec_digest;
use crate::workspace::{ComputeId, Digest, EnvironmentId};

/// What was configured, literally, so that an import plans no change; and what adoption needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Configured {
    pub(super) source_directory: String,
    pub(super) model_ids: Option<Vec<String>>,
    pub(super) tags: Option<BTreeMap<String, String>>,
    pub(super) properties: Option<BTreeMap<String, String>>,
    pub(super) rollout: Option<ConfiguredRollout>,
    /// Digest of what the create was asked for.
    pub(super) spec: Option<Digest>,
    /// Whether anything was changed after the create.
    pub(super) changed: bool,
}

/// `rollout`, literally.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ConfiguredRollout {
    max_surge: Option<i64>,
    max_unavailable: Option<i64>,
    recreate: Option<bool>,
    progress_deadline_seconds: Option<i64>,
}

impl ConfiguredRollout {
    fn of(config: &RolloutConfig) -> Self {
        Self {
            max_surge: config.max_surge.known(),
            max_unavailable: config.max_unavailable.known(),
            recreate: config.recreate.known(),
            progress_deadline_seconds: config.progress_deadline_seconds.known(),
        }
    }

    fn effective(&self) -> Rollout {
        let default = Rollout::default();
        let count = |value: Option<i64>, default: u32| value.and_then(|value| value.try_into().ok()).unwrap_or(default);
        let seconds = self.progress_deadline_seconds.and_then(|seconds| seconds.try_into().ok());
        Rollout {
            max_surge: count(self.max_surge, default.max_surge),
            max_unavailable: count(self.max_unavailable, default.max_unavailable),
            recreate: self.recreate.unwrap_or(default.recreate),
            progress_deadline_seconds: seconds.unwrap_or(default.progress_deadline_seconds),
        }
    }

    fn config(&self) -> RolloutConfig {
        RolloutConfig {
            max_surge: self.max_surge.into(),
            max_unavailable: self.max_unavailable.into(),
            recreate: self.recreate.into(),
            progress_deadline_seconds: self.progress_deadline_seconds.into(),
        }
    }

    fn shown(rollout: &Rollout) -> Self {
        Self {
            max_surge: Some(rollout.max_surge.into()),
            max_unavailable: Some(rollout.max_unavailable.into()),
            recreate: Some(rollout.recreate),
            progress_deadline_seconds: Some(signed(rollout.progress_deadline_seconds)),
        }
    }
}

/// The document that a plan leads to. Generation, times, commitment and key generation are decided where it is put.
pub(super) fn service(id: &ServiceId, owner: &str, planned: &Webservice, template: Template) -> Service {
    let inference = planned.inference();
    let rollout = planned.rollout.get().map(ConfiguredRollout::of);
    let configured = Configured {
        source_directory: inference.source_directory.unwrap_or_default(),
        model_ids: planned.model_ids.clone().known(),
        tags: planned.tags.clone().known(),
        properties: planned.properties.clone().known(),
        rollout: rollout.clone(),
        spec: None,
        changed: false,
    };
    let version = Version {
        sequence: 1,
        committed: true,
        declared: Declaration::default(),
        settled: None,
        retiring_until: None,
        former: None,
        scale: Scale::Fixed(unsigned(planned.num_replicas)),
        replica_max_concurrent_requests: unsigned(planned.replica_max_concurrent_requests),
        max_request_wait_time: unsigned(planned.max_request_wait_time),
        scoring_timeout_ms: unsigned(planned.scoring_timeout_ms),
        template,
        rollout: rollout.unwrap_or_default().effective(),
        configured: serde_json::to_value(configured).unwrap_or_default(),
        unknown: BTreeMap::new(),
    };
    // The only version is the default and gets everything.
    let declared = BTreeMap::from([(id.name.clone(), Declared::from(&version))]);
    let served = settle(&declared, None).ok();
    Service {
        schema_version: SCHEMA_VERSION,
        generation: 1,
        name: id.name.clone(),
        kind: Kind::Webservice,
        workspace: id.compute.workspace.to_string(),
        owner: owner.to_owned(),
        committed: false,
        description: planned.description.clone().known(),
        tags: planned.tags.clone().unwrap_or_default(),
        properties: planned.properties.clone().unwrap_or_default(),
        created_time: crate::cluster::deploy::now(),
        updated_time: crate::cluster::deploy::now(),
        auth: Auth {
            mode: if planned.auth_enabled.unwrap_or(true) { AuthMode::Key } else { AuthMode::None },
            keys: Some(1),
        },
        sticky: None,
        assignment: None,
        versions: BTreeMap::from([(id.name.clone(), version)]),
        served,
        unknown: BTreeMap::new(),
    }
}

/// Digest of all of a document that comes from the configuration and what it refers to.
pub(super) fn spec(service: &Service) -> Digest {
    let mut service = service.clone();
    (service.created_time, service.updated_time) = (String::new(), String::new());
    spec_digest(&service)
}

/// What was configured, as far as the document tells.
pub(super) fn configured(service: &Service) -> Configured {
    let version = service.versions.get(&service.name);
    version.and_then(|version| serde_json::from_value(version.configured.clone()).ok()).unwrap_or_default()
}

/// Writes down what was configured.
pub(super) fn set_configured(service: &mut Service, change: impl FnOnce(&mut Configured)) {
    let mut all = configured(service);
    change(&mut all);
    if let Some(version) = service.versions.get_mut(&service.name.clone()) {
        version.configured = serde_json::to_value(all).unwrap_or_default();
    }
}

/// The webservice as the document has it. `known` brings what only Terraform's state knows.
pub(super) fn webservice(id: &ServiceId, service: &Service, known: &Webservice) -> Webservice {
    let configured = configured(service);
    let mut model = Webservice {
        id: id.to_string().into(),
        name: id.name.as_str().into(),
        compute_id: spelled::<ComputeId>(&known.compute_id, id.compute.to_string()),
        auth_enabled: match service.auth.mode {
            AuthMode::Key => true.into(),
            AuthMode::None => false.into(),
            // Not a mode that this resource sets.
            AuthMode::Token => Attr::Null,
        },
        primary_key_version: known.primary_key_version,
        secondary_key_version: known.secondary_key_version,
        description: service.description.clone().into(),
        tags: literal(&service.tags, configured.tags).into(),
        properties: literal(&service.properties, configured.properties).into(),
        scoring_uri: known.scoring_uri.clone(),
        swagger_uri: known.swagger_uri.clone(),
        state: known.state.clone(),
        created_time: service.created_time.as_str().into(),
        updated_time: service.updated_time.as_str().into(),
        timeouts: known.timeouts.clone(),
        ..Webservice::default()
    };
    let Some(version) = service.versions.get(&service.name) else { return model };
    let template = &version.template;
    let models: Vec<String> = template.models.iter().map(|model| model.id.clone()).collect();
    model.model_ids = literal(&models, configured.model_ids).into();
    model.inference_config = Attr::Known(InferenceConfig {
        source_directory: configured.source_directory.into(),
        entry_script: template.code.entry_script.as_str().into(),
        environment_id: spelled::<EnvironmentId>(&known.inference().environment_id, template.environment.id.clone()),
    });
    model.code_digest = template.code.digest.as_str().into();
    model.environment_version = signed(template.environment.version).into();
    model.num_replicas = match &version.scale {
        Scale::Fixed(replicas) => i64::from(*replicas).into(),
        Scale::Auto(_) => Attr::Null,
    };
    model.replica_max_concurrent_requests = i64::from(version.replica_max_concurrent_requests).into();
    model.max_request_wait_time = signed(version.max_request_wait_time).into();
    model.scoring_timeout_ms = signed(version.scoring_timeout_ms).into();
    let rollout = configured.rollout;
    model.rollout = if rollout.clone().unwrap_or_default().effective() == version.rollout {
        rollout.map(|rollout| rollout.config()).into()
    } else {
        Attr::Known(ConfiguredRollout::shown(&version.rollout).config())
    };
    model
}

/// An id as the user spells it, if that is the same.
pub(super) fn spelled<T: FromStr + PartialEq>(known: &Attr<String>, found: String) -> Attr<String> {
    match (known.as_deref().map(str::parse::<T>), found.parse::<T>()) {
        (Some(Ok(user)), Ok(id)) if user == id => known.clone(),
        _ => found.into(),
    }
}

/// What was configured, if it still says what is in force (`null` and an empty collection are the same), else that.
fn literal<T: Clone + Default + PartialEq>(effective: &T, configured: Option<T>) -> Option<T> {
    if configured.clone().unwrap_or_default() == *effective { configured } else { Some(effective.clone()) }
}

/// The state that users see.
pub(super) fn observed_state(service: &Service, status: &ServiceStatus) -> &'static str {
    if !service.committed {
        return state::TRANSITIONING;
    }
    let whole = |(name, version): (&String, &Version)| {
        let wanted = match &version.scale {
            Scale::Fixed(replicas) => *replicas,
            Scale::Auto(policy) => policy.min_replicas,
        };
        status
            .versions
            .get(name)
            .is_some_and(|version| version.available_replicas >= wanted && version.failure.is_none())
    };
    if service.versions.iter().all(whole) { state::HEALTHY } else { state::UNHEALTHY }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A number that the checks have found in its range.
fn unsigned<T: TryFrom<i64> + Default>(value: Attr<i64>) -> T {
    value.known().and_then(|value| value.try_into().ok()).unwrap_or_default()
}

/// Scoring URI and Swagger URI below the router's URL.
pub(super) fn uris(base_url: &str, name: &str) -> (Attr<String>, Attr<String>) {
    let route = format!("{base_url}/api/v1/service/{name}");
    (format!("{route}/score").into(), format!("{route}/swagger.json").into())
}
