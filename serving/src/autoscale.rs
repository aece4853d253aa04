//! Utilisation autoscaling: a state machine without a clock, and the sizing formula.

use std::time::Duration;

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

impl Default for Policy {
    /// The original's defaults: 1 to 10 replicas, every second, at 70 %.
    fn default() -> Self {
        use crate::validate::default;

        Self {
            min_replicas: default::MIN_REPLICAS,
            max_replicas: default::MAX_REPLICAS,
            refresh_seconds: default::REFRESH_SECONDS,
            target_utilization: default::TARGET_UTILIZATION,
        }
    }
}

/// How long the load must stay below before replicas are taken away.
pub const STABILISATION: Duration = Duration::from_mins(1);

/// What was seen of one version over one refresh period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Length of the period in microseconds.
    pub period_us: u64,
    /// Time integral of busy and queued requests over the period, in request-microseconds: two requests that were busy
    /// or waiting for 3 ms each add 6,000. An integral, because a sample would mistake noise for load.
    pub load_us: u64,
    /// Requests that were refused in the period for lack of a slot.
    pub refused: u64,
    /// Mean service time of a request in microseconds. Refused requests count with it, because the load that was turned
    /// away is load, too.
    pub mean_service_us: u64,
}

impl Observation {
    /// Replicas that carry this load at the target utilisation: `ceil(concurrency / target / limit)`, without bounds.
    /// Zero for an idle period; none for a period of no length, which says nothing.
    #[must_use]
    pub fn wanted_replicas(&self, target_utilization: u32, max_concurrent_requests: u32) -> Option<u32> {
        if self.period_us == 0 {
            return None;
        }
        let refused = u128::from(self.refused) * u128::from(self.mean_service_us);
        let load = u128::from(self.load_us) + refused;
        let per_replica = u128::from(self.period_us)
            * u128::from(target_utilization.max(1))
            * u128::from(max_concurrent_requests.max(1));
        Some(u32::try_from((load * 100).div_ceil(per_replica)).unwrap_or(u32::MAX))
    }
}

/// The autoscaler of one version. Serialisable, so that the next elected router goes on where the last one stopped.
///
/// Above the target it goes at once to the number that the sizing formula gives. Below, it waits until the load has
/// stayed below for [`STABILISATION`], and then goes to the highest number that was wanted during that time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Autoscaler {
    replicas: u32,
    below: Option<Below>,
}

/// A stretch of time in which fewer replicas than there are would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Below {
    since: Duration,
    /// Most replicas that were wanted during it.
    most: u32,
}

impl Autoscaler {
    /// Starts from the number of replicas that there is.
    #[must_use]
    pub const fn new(replicas: u32) -> Self {
        Self { replicas, below: None }
    }

    /// The number of replicas decided last.
    #[must_use]
    pub const fn replicas(&self) -> u32 {
        self.replicas
    }

    /// The number of replicas to have from now on, to be called once per refresh period.
    ///
    /// `now` is the time since any fixed moment and does not go back (a step back restarts the wait). The policy may differ
    /// from call to call: its bounds hold at once. `max_concurrent_requests` is the version's limit per replica.
    pub fn decide(
        &mut self,
        policy: &Policy,
        max_concurrent_requests: u32,
        observation: &Observation,
        now: Duration,
    ) -> u32 {
        let min = policy.min_replicas.max(1);
        let bounded = |replicas: u32| replicas.clamp(min, policy.max_replicas.max(min));
        let current = bounded(self.replicas);
        let Some(wanted) = observation.wanted_replicas(policy.target_utilization, max_concurrent_requests) else {
            self.replicas = current;
            return current;
        };
        let wanted = bounded(wanted);
        if wanted >= current {
            self.below = None;
            self.replicas = wanted;
            return wanted;
        }
        let below = match self.below.take().filter(|below| below.since <= now) {
            Some(below) => Below { most: below.most.max(wanted), ..below },
            None => Below { since: now, most: wanted },
        };
        if now.saturating_sub(below.since) >= STABILISATION {
            // The next step down needs a stretch of its own.
            self.replicas = below.most;
        } else {
            self.replicas = current;
            self.below = Some(below);
        }
        self.replicas
    }
}

/// Why a sizing question has no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SizingError {
    /// Not a finite number of at least 0.
    #[error("{0} is {1}, but must be a finite number of at least 0")]
    Negative(&'static str, f64),
    /// The target is not a fraction.
    #[error("target_utilization is {0}, but must be greater than 0 and at most 1, for example 0.7")]
    Target(f64),
    /// A replica must run at least one request.
    #[error("max_concurrent_requests is 0, but must be at least 1")]
    Limit,
    /// More replicas than can be counted.
    #[error("the load needs more than {} replicas", u32::MAX)]
    TooMany,
}

/// How many replicas a load needs: `ceil(target_rps * request_seconds / target_utilization / max_concurrent_requests)`,
/// at least 1.
///
/// `target_rps` is in requests per second, `request_seconds` is the mean service time, `target_utilization` is a fraction
/// of 1. Example: 20 requests per second of 10 s each at 0.7, one at a time, need 286 replicas.
pub fn required_replicas(
    target_rps: f64,
    request_seconds: f64,
    target_utilization: f64,
    max_concurrent_requests: u32,
) -> Result<u32, SizingError> {
    for (name, value) in [("target_rps", target_rps), ("request_seconds", request_seconds)] {
        if !(value.is_finite() && value >= 0.0) {
            return Err(SizingError::Negative(name, value));
        }
    }
    if !(target_utilization > 0.0 && target_utilization <= 1.0) {
        return Err(SizingError::Target(target_utilization));
    }
    if max_concurrent_requests == 0 {
        return Err(SizingError::Limit);
    }
    let replicas = target_rps * request_seconds / target_utilization / f64::from(max_concurrent_requests);
    // Rounding errors of the four inputs must not add a replica: 7 rps * 10 s / 0.7 is 100, not 100.00000000000001.
    let replicas = (replicas * (1.0 - 1e-12)).ceil().max(1.0);
    if replicas > f64::from(u32::MAX) {
        return Err(SizingError::TooMany);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1..=u32::MAX was checked above")]
    Ok(replicas as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000;

    /// One second in which `concurrency` hundredths of requests were busy or queued on average.
    fn load(concurrency: u64) -> Observation {
        Observation { period_us: SECOND, load_us: concurrency * SECOND / 100, ..Observation::default() }
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn the_documented_example_needs_286_replicas() {
        assert_eq!(required_replicas(20.0, 10.0, 0.7, 1), Ok(286));
        assert_eq!(required_replicas(20.0, 10.0, 0.7, 2), Ok(143));
    }

    #[test]
    fn rounding_errors_add_no_replica_and_nothing_needs_less_than_one() {
        assert_eq!(required_replicas(7.0, 10.0, 0.7, 1), Ok(100));
        assert_eq!(required_replicas(3.0, 0.1, 0.3, 1), Ok(1));
        assert_eq!(required_replicas(0.0, 10.0, 0.7, 1), Ok(1));
    }

    #[test]
    fn questions_without_an_answer_say_what_is_wrong() {
        assert!(matches!(required_replicas(-1.0, 1.0, 0.7, 1), Err(SizingError::Negative("target_rps", _))));
        assert!(matches!(required_replicas(1.0, f64::NAN, 0.7, 1), Err(SizingError::Negative("request_seconds", _))));
        for target in [0.0, 1.01, f64::NAN, 70.0] {
            assert!(matches!(required_replicas(1.0, 1.0, target, 1), Err(SizingError::Target(_))), "{target}");
        }
        assert_eq!(required_replicas(1.0, 1.0, 0.7, 0), Err(SizingError::Limit));
        assert_eq!(required_replicas(1e300, 1e300, 0.7, 1), Err(SizingError::TooMany));
    }

    #[test]
    fn a_rise_is_followed_at_once_and_to_the_full_number() {
        let mut scaler = Autoscaler::new(1);
        assert_eq!(scaler.decide(&Policy::default(), 1, &load(420), seconds(1)), 6);
        assert_eq!(scaler.decide(&Policy::default(), 1, &load(421), seconds(2)), 7);
        assert_eq!(scaler.decide(&Policy::default(), 1, &load(5_000), seconds(3)), 10);
    }

    #[test]
    fn refused_requests_count_as_the_load_that_they_would_have_been() {
        let refusing = Observation { refused: 20, mean_service_us: SECOND / 10, ..load(100) };
        assert_eq!(Autoscaler::new(1).decide(&Policy::default(), 1, &refusing, seconds(1)), 5);
    }

    #[test]
    fn replicas_go_only_after_a_minute_below_and_then_to_the_most_that_was_wanted() {
        let mut scaler = Autoscaler::new(10);
        for second in 0..60 {
            let noise = if second == 30 { 280 } else { 70 };
            assert_eq!(scaler.decide(&Policy::default(), 1, &load(noise), seconds(second)), 10, "second {second}");
        }
        assert_eq!(scaler.decide(&Policy::default(), 1, &load(70), seconds(60)), 4);
        assert_eq!(scaler.decide(&Policy::default(), 1, &load(70), seconds(61)), 4);
        assert_eq!(scaler.decide(&Policy::default(), 1, &load(70), seconds(121)), 1);
    }

    #[test]
    fn one_period_at_the_target_starts_the_minute_anew() {
        let mut scaler = Autoscaler::new(4);
        scaler.decide(&Policy::default(), 1, &load(70), seconds(0));
        scaler.decide(&Policy::default(), 1, &load(280), seconds(59));
        assert_eq!(scaler.decide(&Policy::default(), 1, &load(70), seconds(60)), 4);
        assert_eq!(scaler.decide(&Policy::default(), 1, &load(70), seconds(119)), 4);
        assert_eq!(scaler.decide(&Policy::default(), 1, &load(70), seconds(120)), 1);
    }

    #[test]
    fn new_bounds_hold_at_once_even_when_nothing_was_observed() {
        let narrow = Policy { min_replicas: 3, max_replicas: 5, ..Policy::default() };
        assert_eq!(Autoscaler::new(1).decide(&narrow, 1, &Observation::default(), seconds(0)), 3);
        assert_eq!(Autoscaler::new(9).decide(&narrow, 1, &load(70), seconds(0)), 5);
    }

    proptest! {
        #[test]
        fn decisions_stay_in_bounds_never_lag_behind_a_rise_and_fall_only_after_a_minute(
            loads in proptest::collection::vec(0_u64..2_000, 1..300), min in 1_u32..5, span in 0_u32..20, limit in 1_u32..4
        ) {
            let policy = Policy { min_replicas: min, max_replicas: min + span, ..Policy::default() };
            let mut scaler = Autoscaler::new(min);
            let mut before = min;
            let mut last_at_target = None;
            for (second, concurrency) in (0_u64..).zip(loads) {
                let observation = load(concurrency);
                let wanted = observation.wanted_replicas(70, limit).expect("a period").clamp(min, min + span);
                let replicas = scaler.decide(&policy, limit, &observation, seconds(second));
                prop_assert!((min..=min + span).contains(&replicas));
                prop_assert!(replicas >= wanted);
                if replicas < before {
                    prop_assert!(second - last_at_target.unwrap_or(0) >= 60);
                }
                if wanted >= before || replicas < before {
                    last_at_target = Some(second);
                }
                before = replicas;
            }
        }

        #[test]
        fn a_steady_load_settles_on_the_formulas_number(concurrency in 0_u64..700, start in 1_u32..=10) {
            let mut scaler = Autoscaler::new(start);
            for second in 0..=120 {
                scaler.decide(&Policy::default(), 1, &load(concurrency), seconds(second));
            }
            let rps = f64::from(u32::try_from(concurrency).expect("small")) / 100.0;
            prop_assert_eq!(Ok(scaler.replicas()), required_replicas(rps, 1.0, 0.7, 1).map(|wanted| wanted.min(10)));
        }
    }
}
