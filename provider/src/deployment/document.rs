//! Between a deployment as users write it and the version of a service document.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serving::admin::VersionStatus;
use serving::service::{Rollout, Scale, Template, Version};
use serving::traffic::Declaration;
use tfplugin::Attr;

use super::model::{Deployment, InferenceConfig, RolloutConfig};
use super::pod;
use super::schema::state;
use crate::workspace::EnvironmentId;

/// What was configured of a deployment, literally, so that an import plans no change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Configured {
    /// `inference_config.source_directory`.
    pub source_directory: String,
    /// `model_ids`.
    pub model_ids: Option<Vec<String>>,
    /// `rollout`.
    pub rollout: Option<ConfiguredRollout>,
    /// What a replica is given in a cluster.
    pub pod: pod::Configured,
}

/// `rollout`, literally.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfiguredRollout {
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

/// The version that a plan leads to, with its first number, and without a declared share.
#[must_use]
pub fn version(planned: &Deployment, template: Template) -> Version {
    Version {
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
        rollout: configured(planned).rollout.unwrap_or_default().effective(),
        configured: serde_json::Value::Null,
        unknown: BTreeMap::new(),
    }
}

/// What is written down of a deployment.
#[must_use]
pub fn configured(planned: &Deployment) -> Configured {
    Configured {
        source_directory: planned.inference().source_directory.unwrap_or_default(),
        model_ids: planned.model_ids.clone().known(),
        rollout: planned.rollout.get().map(ConfiguredRollout::of),
        pod: pod::Configured::of(&planned.pod),
    }
}

/// The deployment of a version, spelled as it was configured; `known` is the state's.
#[must_use]
pub fn shown(version: &Version, configured: Configured, known: &Deployment) -> Deployment {
    let template = &version.template;
    let models: Vec<String> = template.models.iter().map(|model| model.id.clone()).collect();
    let rollout = configured.rollout;
    Deployment {
        model_ids: literal(&models, configured.model_ids).into(),
        inference_config: Attr::Known(InferenceConfig {
            source_directory: configured.source_directory.into(),
            entry_script: template.code.entry_script.as_str().into(),
            environment_id: spelled::<EnvironmentId>(
                &known.inference().environment_id,
                template.environment.id.clone(),
            ),
        }),
        code_digest: template.code.digest.as_str().into(),
        environment_version: signed(template.environment.version).into(),
        num_replicas: match &version.scale {
            Scale::Fixed(replicas) => i64::from(*replicas).into(),
            Scale::Auto(_) => Attr::Null,
        },
        replica_max_concurrent_requests: i64::from(version.replica_max_concurrent_requests).into(),
        max_request_wait_time: signed(version.max_request_wait_time).into(),
        scoring_timeout_ms: signed(version.scoring_timeout_ms).into(),
        pod: pod::shown(configured.pod, template.pod.as_ref()),
        rollout: if rollout.clone().unwrap_or_default().effective() == version.rollout {
            rollout.map(|rollout| rollout.config()).into()
        } else {
            Attr::Known(ConfiguredRollout::shown(&version.rollout).config())
        },
    }
}

/// An id as the user spells it, if that is the same.
#[must_use]
pub fn spelled<T: FromStr + PartialEq>(known: &Attr<String>, found: String) -> Attr<String> {
    match (known.as_deref().map(str::parse::<T>), found.parse::<T>()) {
        (Some(Ok(user)), Ok(id)) if user == id => known.clone(),
        _ => found.into(),
    }
}

/// What was configured, if it still says what is in force (`null` and an empty collection are the same), else that.
pub fn literal<T: Clone + Default + PartialEq>(effective: &T, configured: Option<T>) -> Option<T> {
    if configured.clone().unwrap_or_default() == *effective { configured } else { Some(effective.clone()) }
}

/// Whether the version has all its replicas.
#[must_use]
pub fn is_whole(version: &Version, status: Option<&VersionStatus>) -> bool {
    status.is_some_and(|status| status.available_replicas >= version.scale.least() && status.failure.is_none())
}

/// Whether what the document asks for is what the cluster has, as far as it is known.
#[must_use]
pub fn stands(status: Option<&VersionStatus>) -> bool {
    status.is_none_or(|status| status.drifted.is_none())
}

/// The state that users see, from whether the last change is finished and all replicas are there.
#[must_use]
pub fn state_of(finished: bool, whole: bool) -> &'static str {
    match (finished, whole) {
        (false, _) => state::TRANSITIONING,
        (true, true) => state::HEALTHY,
        (true, false) => state::UNHEALTHY,
    }
}

/// A number for Terraform.
#[must_use]
pub fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A number that the checks have found in its range.
fn unsigned<T: TryFrom<i64> + Default>(value: Attr<i64>) -> T {
    value.known().and_then(|value| value.try_into().ok()).unwrap_or_default()
}
