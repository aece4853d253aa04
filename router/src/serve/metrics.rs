//! The router's numbers as Prometheus text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serving::snapshot::{ServiceStats, VersionStats};

use super::state::Served;

/// What [`render`] writes.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All numbers of one moment.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Counters of the data path by service.
    pub(super) services: BTreeMap<String, ServiceStats>,
    /// What every thread routes by.
    pub(super) served: Served,
    /// Services whose newest document is not accepted.
    pub(super) refused: Vec<String>,
    /// Number of the newest snapshot, and of the newest that every thread routes by.
    pub(super) sequences: (u64, u64),
    /// Watches, and whether the API server answers each.
    pub(super) links: Vec<(&'static str, bool)>,
    /// Callers may come.
    pub(super) ready: bool,
}

/// Writes all numbers.
pub(super) fn render(facts: &Facts) -> String {
    let mut page = Page(String::with_capacity(4096));
    page.about("build_info", "gauge", "The running program.");
    page.line("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.about("ready", "gauge", "1 while callers may come.");
    page.line("ready", &[], u8::from(facts.ready));
    page.about(
        "watch_connected",
        "gauge",
        "1 while the API server answers the watch; without it the last table is kept.",
    );
    for (watch, connected) in &facts.links {
        page.line("watch_connected", &[("watch", watch)], u8::from(*connected));
    }
    page.about("snapshot_sequence", "gauge", "Number of the newest snapshot of what to serve.");
    page.line("snapshot_sequence", &[], facts.sequences.0);
    page.about("snapshot_served_sequence", "gauge", "Number of the newest snapshot that every thread routes by.");
    page.line("snapshot_served_sequence", &[], facts.sequences.1);
    page.about("service_generation", "gauge", "Generation of the document that every thread routes by.");
    for (service, generation) in &facts.served.generations {
        page.line("service_generation", &[("service", service)], generation);
    }
    page.about("document_refused", "gauge", "1 while the newest document of the service is not accepted.");
    for service in &facts.refused {
        page.line("document_refused", &[("service", service)], 1);
    }
    page.about("replicas", "gauge", "Replicas that take requests.");
    for (service, versions) in &facts.served.replicas {
        for (version, count) in versions {
            page.line("replicas", &[("service", service), ("version", version)], count);
        }
    }
    page.about("queued_requests", "gauge", "Requests that wait for a slot.");
    for (service, stats) in &facts.services {
        page.line("queued_requests", &[("service", service)], stats.queued);
    }
    page.versions(facts, "requests_in_flight", "gauge", "Requests on a replica.", |stats| stats.in_flight);
    page.versions(facts, "requests_total", "counter", "Answered requests.", |stats| stats.requests);
    let errors = "Answered requests with a status of 500 and above.";
    page.versions(facts, "request_errors_total", "counter", errors, |stats| stats.errors);
    let diverted = "Requests that went to another version, because theirs had no ready replica.";
    page.versions(facts, "diverted_requests_total", "counter", diverted, |stats| stats.diverted);
    let diverting = "1 while the version's share goes to other versions.";
    page.versions(facts, "diverting", "gauge", diverting, |stats| u64::from(stats.diverting));
    page.durations(facts);
    page.0
}

/// The text so far.
struct Page(String);

impl Page {
    fn about(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(self.0, "# HELP azureml_fe_{name} {help}\n# TYPE azureml_fe_{name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let _ = write!(self.0, "azureml_fe_{name}");
        for (index, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if index == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn versions(&mut self, facts: &Facts, name: &str, kind: &str, help: &str, value: fn(&VersionStats) -> u64) {
        self.about(name, kind, help);
        for (service, stats) in &facts.services {
            for (version, stats) in &stats.versions {
                self.line(name, &[("service", service), ("version", version)], value(stats));
            }
        }
    }

    fn durations(&mut self, facts: &Facts) {
        let name = "request_duration_seconds";
        self.about(name, "summary", "Time from a request's head to the last byte of its answer, queueing included.");
        for (service, stats) in &facts.services {
            for (version, stats) in &stats.versions {
                let labels = [("service", service.as_str()), ("version", version.as_str())];
                let quantile = |quantile| [labels[0], labels[1], ("quantile", quantile)];
                self.line(name, &quantile("0.5"), Seconds(stats.latency_us_p50));
                self.line(name, &quantile("0.99"), Seconds(stats.latency_us_p99));
                self.line(&format!("{name}_sum"), &labels, Seconds(stats.latency_us_total));
                self.line(&format!("{name}_count"), &labels, stats.requests);
            }
        }
    }
}

/// Microseconds, shown as seconds.
struct Seconds(u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_prometheus_text_with_a_type_for_each_name() {
        let stats = VersionStats {
            requests: 7,
            errors: 2,
            latency_us_total: 1_500_000,
            latency_us_p50: 20,
            ..VersionStats::default()
        };
        let versions = BTreeMap::from([("blue".to_owned(), stats)]);
        let facts = Facts {
            services: BTreeMap::from([("a\"b".to_owned(), ServiceStats { queued: 3, versions })]),
            sequences: (5, 4),
            links: vec![("pods", true), ("access", false)],
            ready: true,
            ..Facts::default()
        };
        let text = render(&facts);
        for line in [
            "azureml_fe_ready 1",
            "azureml_fe_watch_connected{watch=\"pods\"} 1",
            "azureml_fe_watch_connected{watch=\"access\"} 0",
            "azureml_fe_snapshot_served_sequence 4",
            "azureml_fe_queued_requests{service=\"a\\\"b\"} 3",
            "azureml_fe_requests_total{service=\"a\\\"b\",version=\"blue\"} 7",
            "azureml_fe_request_errors_total{service=\"a\\\"b\",version=\"blue\"} 2",
            "azureml_fe_request_duration_seconds{service=\"a\\\"b\",version=\"blue\",quantile=\"0.5\"} 0.000020",
            "azureml_fe_request_duration_seconds_sum{service=\"a\\\"b\",version=\"blue\"} 1.500000",
            "azureml_fe_request_duration_seconds_count{service=\"a\\\"b\",version=\"blue\"} 7",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split([' ', '{']).next().expect("a name");
            let name = name.trim_end_matches("_sum").trim_end_matches("_count");
            assert!(text.contains(&format!("# TYPE {name} ")), "{line}");
        }
    }
}
