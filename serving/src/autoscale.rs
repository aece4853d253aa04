//! Utilisation autoscaling.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `autoscale_*` of the original.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    /// Lowest number of replicas, at least 1.
    pub min_replicas: u32,
    /// Highest number of replicas.
    pub max_replicas: u32,
    /// Seconds between two decisions, at least 1.
    pub refresh_seconds: u32,
    /// Wanted percentage of busy slots, 1..=100.
    pub target_utilization: u32,
}
