use super::{Findings, Violation, default, range};
use crate::name;
use crate::traffic::{BasisPoints, PercentError};

/// What a user sets on a webservice or an endpoint version; `None` is "not given". Field names are the parameter names.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(
    missing_docs,
    reason = "the fields are the original's parameters; ranges are in `range`, defaults in `default`"
)]
pub struct Settings {
    pub autoscale_enabled: Option<bool>,
    pub autoscale_min_replicas: Option<i64>,
    pub autoscale_max_replicas: Option<i64>,
    pub autoscale_refresh_seconds: Option<i64>,
    pub autoscale_target_utilization: Option<i64>,
    pub num_replicas: Option<i64>,
    pub cpu_cores: Option<f64>,
    pub cpu_cores_limit: Option<f64>,
    pub memory_gb: Option<f64>,
    pub memory_gb_limit: Option<f64>,
    pub gpu_cores: Option<i64>,
    pub scoring_timeout_ms: Option<i64>,
    pub replica_max_concurrent_requests: Option<i64>,
    pub max_request_wait_time: Option<i64>,
    pub auth_enabled: Option<bool>,
    pub token_auth_enabled: Option<bool>,
    pub period_seconds: Option<i64>,
    pub initial_delay_seconds: Option<i64>,
    pub timeout_seconds: Option<i64>,
    pub success_threshold: Option<i64>,
    pub failure_threshold: Option<i64>,
    pub namespace: Option<String>,
    pub traffic_percentile: Option<f64>,
    /// Number of `model_ids`.
    pub model_count: Option<usize>,
    pub entry_script: Option<String>,
    pub rollout_max_surge: Option<i64>,
    pub rollout_max_unavailable: Option<i64>,
    pub rollout_recreate: Option<bool>,
    pub rollout_progress_deadline_seconds: Option<i64>,
}

/// Every rule that the settings break, in the order of the fields.
#[must_use]
pub fn settings(settings: &Settings) -> Vec<Violation> {
    let mut findings = Findings::default();
    ranges(&mut findings, settings);
    scaling(&mut findings, settings);
    resources(&mut findings, settings);
    rollout(&mut findings, settings);
    if settings.auth_enabled == Some(true) && settings.token_auth_enabled == Some(true) {
        findings.add(
            "token_auth_enabled",
            "is true together with auth_enabled, but a service has one mode: keys, tokens, or neither",
        );
    }
    if let Some(namespace) = &settings.namespace
        && let Err(violation) = name::namespace(namespace)
    {
        findings.add("namespace", format!("is not valid: {violation}"));
    }
    match settings.traffic_percentile.map(BasisPoints::from_percent) {
        Some(Err(PercentError::Range(value))) => {
            findings.add("traffic_percentile", format!("is {value}, but must be from 0 to 100"));
        }
        Some(Err(PercentError::TooFine(value))) => {
            findings.add("traffic_percentile", format!("is {value}, but must have at most two decimals"));
        }
        Some(Ok(_)) | None => {}
    }
    if let Some(script) = &settings.entry_script
        && let Err(violation) = name::entry_script(script)
    {
        findings.add("inference_config.entry_script", format!("is not valid: {violation}"));
    }
    findings.0
}

fn ranges(findings: &mut Findings, settings: &Settings) {
    let models = settings.model_count.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    if models.is_some_and(|count| !range::MODELS.contains(&count)) {
        findings.add("model_ids", format!("has {} entries, but at most 1000 are allowed", models.unwrap_or_default()));
    }
    for (field, value, allowed) in [
        ("autoscale_min_replicas", settings.autoscale_min_replicas, range::REPLICAS),
        ("autoscale_max_replicas", settings.autoscale_max_replicas, range::REPLICAS),
        ("autoscale_refresh_seconds", settings.autoscale_refresh_seconds, range::REFRESH_SECONDS),
        ("autoscale_target_utilization", settings.autoscale_target_utilization, range::TARGET_UTILIZATION),
        ("num_replicas", settings.num_replicas, range::REPLICAS),
        ("gpu_cores", settings.gpu_cores, range::GPU_CORES),
        ("scoring_timeout_ms", settings.scoring_timeout_ms, range::SCORING_TIMEOUT_MS),
        ("replica_max_concurrent_requests", settings.replica_max_concurrent_requests, range::CONCURRENT_REQUESTS),
        ("max_request_wait_time", settings.max_request_wait_time, range::REQUEST_WAIT_MS),
        ("period_seconds", settings.period_seconds, range::PROBE_SECONDS),
        ("initial_delay_seconds", settings.initial_delay_seconds, range::INITIAL_DELAY_SECONDS),
        ("timeout_seconds", settings.timeout_seconds, range::PROBE_SECONDS),
        ("success_threshold", settings.success_threshold, range::SUCCESS_THRESHOLD),
        ("failure_threshold", settings.failure_threshold, range::FAILURE_THRESHOLD),
        ("rollout.max_surge", settings.rollout_max_surge, range::ROLLOUT_REPLICAS),
        ("rollout.max_unavailable", settings.rollout_max_unavailable, range::ROLLOUT_REPLICAS),
        (
            "rollout.progress_deadline_seconds",
            settings.rollout_progress_deadline_seconds,
            range::PROGRESS_DEADLINE_SECONDS,
        ),
    ] {
        if let Some(value) = value {
            findings.whole(field, value, &allowed);
        }
    }
}

fn scaling(findings: &mut Findings, settings: &Settings) {
    match settings.autoscale_enabled {
        Some(true) if settings.num_replicas.is_some() => {
            findings.add("num_replicas", "is given, but autoscale_enabled is true; remove one of the two");
        }
        Some(false) if settings.num_replicas.is_none() => {
            findings.add("num_replicas", "is not given, but is required when autoscale_enabled is false");
        }
        _ => {}
    }
    // Without either, the service scales by the defaults.
    let scales = settings.autoscale_enabled.unwrap_or(settings.num_replicas.is_none());
    for (field, given) in [
        ("autoscale_min_replicas", settings.autoscale_min_replicas.is_some()),
        ("autoscale_max_replicas", settings.autoscale_max_replicas.is_some()),
        ("autoscale_refresh_seconds", settings.autoscale_refresh_seconds.is_some()),
        ("autoscale_target_utilization", settings.autoscale_target_utilization.is_some()),
    ] {
        if given && settings.autoscale_enabled != Some(true) {
            findings.add(field, "is given, but autoscale_enabled is not true");
        }
    }
    let min = settings.autoscale_min_replicas.unwrap_or(default::MIN_REPLICAS.into());
    let max = settings.autoscale_max_replicas.unwrap_or(default::MAX_REPLICAS.into());
    if scales && min > max {
        let (field, other) = if settings.autoscale_max_replicas.is_some() {
            (
                "autoscale_max_replicas",
                format!("is {max}, but must not be less than autoscale_min_replicas, which is {min}"),
            )
        } else {
            (
                "autoscale_min_replicas",
                format!("is {min}, but must not exceed autoscale_max_replicas, whose default is {max}"),
            )
        };
        findings.add(field, other);
    }
}

fn resources(findings: &mut Findings, settings: &Settings) {
    for (request_field, limit_field, request, limit, fallback) in [
        ("cpu_cores", "cpu_cores_limit", settings.cpu_cores, settings.cpu_cores_limit, default::CPU_CORES),
        ("memory_gb", "memory_gb_limit", settings.memory_gb, settings.memory_gb_limit, default::MEMORY_GB),
    ] {
        let mut sound = true;
        for (field, value) in [(request_field, request), (limit_field, limit)] {
            if let Some(value) = value.filter(|value| !(value.is_finite() && *value > 0.0)) {
                findings.add(field, format!("is {value}, but must be a number greater than 0"));
                sound = false;
            }
        }
        let effective = request.unwrap_or(fallback);
        if let Some(limit) = limit.filter(|limit| sound && *limit < effective) {
            findings.add(
                limit_field,
                format!("is {limit}, but must not be less than {request_field}, which is {effective}"),
            );
        }
    }
}

fn rollout(findings: &mut Findings, settings: &Settings) {
    let recreate = settings.rollout_recreate == Some(true);
    let surge = settings.rollout_max_surge.unwrap_or(1);
    if !recreate && surge == 0 && settings.rollout_max_unavailable.unwrap_or(0) == 0 {
        findings.add(
            "rollout.max_surge",
            "and rollout.max_unavailable are both 0, so that no replica could ever be replaced; set one of them or recreate",
        );
    }
    for (field, value) in [
        ("rollout.max_surge", settings.rollout_max_surge),
        ("rollout.max_unavailable", settings.rollout_max_unavailable),
    ] {
        if recreate && value.is_some_and(|value| value != 0) {
            findings.add(field, "is given, but rollout.recreate stops all old replicas first; remove one of the two");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn broken(settings: &Settings) -> Vec<String> {
        super::settings(settings).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nothing_given_is_allowed() {
        assert_eq!(broken(&Settings::default()), Vec::<String>::new());
    }

    #[test]
    fn all_violations_come_at_once_with_their_ranges() {
        let settings = Settings {
            num_replicas: Some(0),
            scoring_timeout_ms: Some(300_001),
            replica_max_concurrent_requests: Some(-1),
            traffic_percentile: Some(f64::NAN),
            auth_enabled: Some(true),
            token_auth_enabled: Some(true),
            success_threshold: Some(2),
            ..Settings::default()
        };
        assert_eq!(
            broken(&settings),
            [
                "num_replicas is 0, but must be from 1 to 10000",
                "scoring_timeout_ms is 300001, but must be from 1 to 300000",
                "replica_max_concurrent_requests is -1, but must be from 1 to 10000",
                "success_threshold is 2, but must be 1",
                "token_auth_enabled is true together with auth_enabled, but a service has one mode: keys, tokens, or neither",
                "traffic_percentile is NaN, but must be from 0 to 100",
            ]
        );
    }

    #[test]
    fn fixed_and_automatic_scaling_exclude_each_other() {
        let both = Settings { autoscale_enabled: Some(true), num_replicas: Some(2), ..Settings::default() };
        assert_eq!(broken(&both), ["num_replicas is given, but autoscale_enabled is true; remove one of the two"]);
        let neither = Settings { autoscale_enabled: Some(false), ..Settings::default() };
        assert_eq!(broken(&neither), ["num_replicas is not given, but is required when autoscale_enabled is false"]);
        let stray = Settings {
            num_replicas: Some(1),
            autoscale_min_replicas: Some(0),
            autoscale_refresh_seconds: Some(1),
            ..Settings::default()
        };
        assert_eq!(
            broken(&stray),
            [
                "autoscale_min_replicas is 0, but must be from 1 to 10000",
                "autoscale_min_replicas is given, but autoscale_enabled is not true",
                "autoscale_refresh_seconds is given, but autoscale_enabled is not true",
            ]
        );
    }

    #[test]
    fn the_bounds_are_compared_after_the_defaults_are_applied() {
        let min = Settings { autoscale_enabled: Some(true), autoscale_min_replicas: Some(20), ..Settings::default() };
        assert_eq!(
            broken(&min),
            ["autoscale_min_replicas is 20, but must not exceed autoscale_max_replicas, whose default is 10"]
        );
        let both = Settings { autoscale_max_replicas: Some(19), ..min.clone() };
        assert_eq!(
            broken(&both),
            ["autoscale_max_replicas is 19, but must not be less than autoscale_min_replicas, which is 20"]
        );
        assert_eq!(broken(&Settings { autoscale_max_replicas: Some(20), ..min }), Vec::<String>::new());
    }

    #[test]
    fn limits_are_not_below_requests_even_when_the_request_is_a_default() {
        let settings = Settings {
            cpu_cores_limit: Some(0.05),
            memory_gb: Some(2.0),
            memory_gb_limit: Some(1.0),
            ..Settings::default()
        };
        assert_eq!(
            broken(&settings),
            [
                "cpu_cores_limit is 0.05, but must not be less than cpu_cores, which is 0.1",
                "memory_gb_limit is 1, but must not be less than memory_gb, which is 2",
            ]
        );
        let negative = Settings { cpu_cores: Some(-1.0), cpu_cores_limit: Some(f64::INFINITY), ..Settings::default() };
        assert_eq!(broken(&negative).len(), 2);
    }

    #[test]
    fn a_rollout_can_always_replace_a_replica() {
        let stuck = Settings { rollout_max_surge: Some(0), rollout_max_unavailable: Some(0), ..Settings::default() };
        assert_eq!(broken(&stuck).len(), 1);
        assert_eq!(broken(&Settings { rollout_recreate: Some(true), ..stuck }), Vec::<String>::new());
        let contradiction =
            Settings { rollout_recreate: Some(true), rollout_max_surge: Some(1), ..Settings::default() };
        assert_eq!(broken(&contradiction).len(), 1);
    }

    proptest! {
        #[test]
        fn a_number_is_refused_exactly_when_it_is_outside_its_range(value in -10_i64..400_000) {
            let settings = Settings {
                scoring_timeout_ms: Some(value), max_request_wait_time: Some(value), gpu_cores: Some(value), ..Settings::default()
            };
            let expected = usize::from(!range::SCORING_TIMEOUT_MS.contains(&value)) * 2
                + usize::from(!range::GPU_CORES.contains(&value));
            prop_assert_eq!(super::super::settings(&settings).len(), expected);
        }
    }
}
