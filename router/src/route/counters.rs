//! What is counted of one version.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use serving::snapshot::VersionStats;

use super::latency::Latencies;

/// Counters of one version.
#[derive(Debug, Default)]
pub(super) struct Counters {
    requests: AtomicU64,
    errors: AtomicU64,
    in_flight: AtomicU64,
    latency_us: AtomicU64,
    latencies: Latencies,
    diverted: AtomicU64,
    /// The version's requests go elsewhere, and that was logged.
    diverting: AtomicBool,
}

impl Counters {
    /// Counts an answered request.
    pub(super) fn answered(&self, status: u16, latency_us: u64) {
        self.requests.fetch_add(1, Relaxed);
        self.latency_us.fetch_add(latency_us, Relaxed);
        self.latencies.add(latency_us);
        if status >= 500 {
            self.errors.fetch_add(1, Relaxed);
        }
    }

    /// A request of the version goes to another one. Says so in the log, once.
    #[cold]
    pub(super) fn diverted(&self, service: &str, version: &str) {
        self.diverted.fetch_add(1, Relaxed);
        if !self.diverting.swap(true, Relaxed) {
            tracing::warn!(
                service,
                version,
                "the version has no ready replica; its share of the traffic goes to the other versions, to the default first"
            );
        }
    }

    /// The version takes its own requests. Says so in the log, once.
    #[cold]
    pub(super) fn serves_again(&self, service: &str, version: &str) {
        if self.diverting.swap(false, Relaxed) {
            let diverted = self.diverted.load(Relaxed);
            tracing::warn!(service, version, diverted, "the version is ready again and gets its share of the traffic");
        }
    }

    /// Some of the version's requests went elsewhere, and it has not taken its share again since then.
    pub(super) fn diverting(&self) -> bool {
        self.diverting.load(Relaxed)
    }

    /// A request is under way on a replica.
    pub(super) fn begun(&self) {
        self.in_flight.fetch_add(1, SeqCst);
    }

    /// It is not any more.
    pub(super) fn ended(&self) {
        self.in_flight.fetch_sub(1, SeqCst);
    }

    /// As the supervisor gets them.
    pub(super) fn read(&self, diverting: bool) -> VersionStats {
        let [latency_us_p50, latency_us_p99] = self.latencies.percentiles([50, 99]);
        VersionStats {
            requests: self.requests.load(SeqCst),
            errors: self.errors.load(SeqCst),
            in_flight: self.in_flight.load(SeqCst),
            latency_us_total: self.latency_us.load(SeqCst),
            latency_us_p50,
            latency_us_p99,
            diverted: self.diverted.load(SeqCst),
            diverting,
        }
    }
}
