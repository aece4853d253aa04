//! What versions declare of the traffic, and the table that is served.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::slots::SlotMap;

/// A share of the traffic in hundredths of a percent: 0..=10,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct BasisPoints(#[schemars(range(max = 10_000))] pub u16);

/// What one version declares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Declaration {
    /// `traffic_percentile`.
    pub traffic: BasisPoints,
    /// `is_default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_default: Option<bool>,
    /// `is_control_version_type`; otherwise the version is a treatment. A label without effect on the traffic.
    #[serde(default)]
    pub is_control: bool,
}

/// The traffic table in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Table {
    /// The version that gets what no version claims.
    pub default: String,
    /// Effective shares by version; they add up to 10,000.
    pub shares: BTreeMap<String, BasisPoints>,
    /// Which version owns which of the 10,000 slots of sticky requests.
    #[serde(default)]
    pub slots: SlotMap,
}
