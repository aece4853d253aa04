//! A deployment as a Rust struct.

use tfplugin::{Attr, Model};

use super::pod::PodConfig;

/// The attributes that a webservice and a version of an endpoint share. What each field means says the schema.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct Deployment {
    pub model_ids: Attr<Vec<String>>,
    pub inference_config: Attr<InferenceConfig>,
    pub num_replicas: Attr<i64>,
    pub replica_max_concurrent_requests: Attr<i64>,
    pub max_request_wait_time: Attr<i64>,
    pub scoring_timeout_ms: Attr<i64>,
    pub rollout: Attr<RolloutConfig>,
    #[model(flatten)]
    pub pod: PodConfig,
    pub code_digest: Attr<String>,
    pub environment_version: Attr<i64>,
}

/// The code that answers requests, and where it runs.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct InferenceConfig {
    pub source_directory: Attr<String>,
    pub entry_script: Attr<String>,
    pub environment_id: Attr<String>,
}

/// How changed replicas replace the present ones.
#[derive(Clone, Debug, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct RolloutConfig {
    pub max_surge: Attr<i64>,
    pub max_unavailable: Attr<i64>,
    pub recreate: Attr<bool>,
    pub progress_deadline_seconds: Attr<i64>,
}

impl Deployment {
    /// The inference configuration, of which parts may be unknown.
    #[must_use]
    pub fn inference(&self) -> InferenceConfig {
        match &self.inference_config {
            Attr::Known(config) => config.clone(),
            Attr::Unknown => InferenceConfig {
                source_directory: Attr::Unknown,
                entry_script: Attr::Unknown,
                environment_id: Attr::Unknown,
            },
            Attr::Null => InferenceConfig::default(),
        }
    }
}
