//! Ranges and cross-field rules: all violations at once, each with the path of its field.
//!
//! [`settings`] checks what a user writes, under the original's parameter names; [`service`] checks a whole document.
//! Both judge the resulting state, never the difference to an earlier one.

mod document;
mod settings;

use std::fmt;
use std::ops::RangeInclusive;

pub use document::service;
pub use settings::{Settings, settings};

/// A value that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, with the original's parameter names: `scoring_timeout_ms`, `versions.ridge.traffic_percentile`.
    pub field: String,
    /// What is wrong and what is allowed, as one clause that follows the field's name: `is 0, but must be from 1 to 100`.
    pub problem: String,
}

impl Violation {
    fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.problem)
    }
}

impl std::error::Error for Violation {}

/// Allowed values of the whole-number settings. Where the original states no upper bound, the bound here only keeps
/// obvious mistakes out.
pub mod range {
    use super::RangeInclusive;

    /// `num_replicas`, `autoscale_min_replicas`, `autoscale_max_replicas`.
    pub const REPLICAS: RangeInclusive<i64> = 1..=10_000;
    /// `replica_max_concurrent_requests`.
    pub const CONCURRENT_REQUESTS: RangeInclusive<i64> = 1..=10_000;
    /// `max_request_wait_time`, milliseconds.
    pub const REQUEST_WAIT_MS: RangeInclusive<i64> = 1..=300_000;
    /// `scoring_timeout_ms`.
    pub const SCORING_TIMEOUT_MS: RangeInclusive<i64> = 1..=300_000;
    /// `autoscale_refresh_seconds`.
    pub const REFRESH_SECONDS: RangeInclusive<i64> = 1..=3_600;
    /// `autoscale_target_utilization`, percent.
    pub const TARGET_UTILIZATION: RangeInclusive<i64> = 1..=100;
    /// `gpu_cores`.
    pub const GPU_CORES: RangeInclusive<i64> = 0..=64;
    /// `period_seconds`, `timeout_seconds` of the liveness probe.
    pub const PROBE_SECONDS: RangeInclusive<i64> = 1..=3_600;
    /// `initial_delay_seconds` of the liveness probe.
    pub const INITIAL_DELAY_SECONDS: RangeInclusive<i64> = 0..=86_400;
    /// `success_threshold`: Kubernetes accepts no other for a liveness probe.
    pub const SUCCESS_THRESHOLD: RangeInclusive<i64> = 1..=1;
    /// `failure_threshold`.
    pub const FAILURE_THRESHOLD: RangeInclusive<i64> = 1..=1_000;
    /// `rollout.max_surge`, `rollout.max_unavailable`.
    pub const ROLLOUT_REPLICAS: RangeInclusive<i64> = 0..=10_000;
    /// `rollout.progress_deadline_seconds`.
    pub const PROGRESS_DEADLINE_SECONDS: RangeInclusive<i64> = 1..=86_400;
    /// Number of `model_ids`.
    pub const MODELS: RangeInclusive<i64> = 0..=1_000;
}

/// The original's defaults, which its server applied.
pub mod default {
    /// `autoscale_min_replicas`.
    pub const MIN_REPLICAS: u32 = 1;
    /// `autoscale_max_replicas`.
    pub const MAX_REPLICAS: u32 = 10;
    /// `autoscale_refresh_seconds`.
    pub const REFRESH_SECONDS: u32 = 1;
    /// `autoscale_target_utilization`, percent.
    pub const TARGET_UTILIZATION: u32 = 70;
    /// `replica_max_concurrent_requests`.
    pub const CONCURRENT_REQUESTS: u32 = 1;
    /// `max_request_wait_time`, milliseconds.
    pub const REQUEST_WAIT_MS: u64 = 500;
    /// `scoring_timeout_ms`.
    pub const SCORING_TIMEOUT_MS: u64 = 60_000;
    /// `cpu_cores`.
    pub const CPU_CORES: f64 = 0.1;
    /// `memory_gb`.
    pub const MEMORY_GB: f64 = 0.5;
}

/// Shortest and longest key that a user may give, in characters. A plain digest protects a key only if it cannot be
/// guessed.
pub const KEY_LENGTH: RangeInclusive<usize> = 32..=256;

/// Checks a key that a user gives: visible ASCII characters that fit into an `Authorization: Bearer` header. The problem
/// never shows the key.
pub fn key(field: &str, key: &str) -> Result<(), Violation> {
    if !KEY_LENGTH.contains(&key.len()) {
        let (min, max) = (KEY_LENGTH.start(), KEY_LENGTH.end());
        return Err(Violation::new(
            field,
            format!("has {} characters, but must have {min} to {max}", key.chars().count()),
        ));
    }
    if !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)) {
        return Err(Violation::new(field, "contains a character other than letters, digits and - . _ ~ + / ="));
    }
    Ok(())
}

/// Collects violations.
#[derive(Default)]
struct Findings(Vec<Violation>);

impl Findings {
    fn add(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.0.push(Violation::new(field, problem));
    }

    /// Reports a number outside its range; true if it is inside.
    fn whole(&mut self, field: impl Into<String>, value: i64, allowed: &RangeInclusive<i64>) -> bool {
        let inside = allowed.contains(&value);
        if !inside {
            let (min, max) = (allowed.start(), allowed.end());
            let rule = if min == max { format!("must be {min}") } else { format!("must be from {min} to {max}") };
            self.add(field, format!("is {value}, but {rule}"));
        }
        inside
    }
}
