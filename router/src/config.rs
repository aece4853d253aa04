//! The router's configuration: one TOML file, every key optional, unknown keys are errors.
//!
//! `router/azureml-fe.toml` in the repository documents each key beside its default; a test keeps the two equal.
//! Times are whole milliseconds (`_ms`), or whole seconds (`_seconds`) where they are what tokens say; sizes are bytes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Everything that can be set, with the documented defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address that the router answers on.
    pub address: IpAddr,
    /// Port that the router answers on.
    pub port: u16,
    /// Threads of the data path; 0 takes one for each available core.
    pub threads: usize,
    /// What a caller may send.
    pub limits: Limits,
    /// How long a caller, or the router's own stop, may take.
    pub timeouts: Timeouts,
    /// How replicas are called.
    pub upstream: Upstream,
    /// How failed credentials are slowed.
    pub attempts: Attempts,
    /// Tokens of services, and who may ask for one.
    pub tokens: serving::token::Settings,
    /// How issuers of access tokens are asked for their keys.
    pub issuers: Issuers,
    /// What is logged.
    pub log: Log,
}

/// Bounds of what a caller may send, and of what the router holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Request line and header fields together, of requests and of replicas' responses; more is a 431 (414 when it is
    /// the request target).
    pub head_bytes: usize,
    /// Header fields of one message; more is a 431.
    pub headers: usize,
    /// Request body; more is a 413. The original's limit is 100 MB.
    pub body_bytes: u64,
    /// Request bodies up to this size are kept until the response begins, so that the request can be repeated on another
    /// replica. Larger ones are announced to the replica with `Expect: 100-continue`.
    pub kept_body_bytes: usize,
    /// Open client connections of one thread; further ones wait in the listener's backlog.
    pub connections_per_thread: usize,
    /// Requests of one service that may wait for a slot; more are a 503 at once.
    pub queue_length: usize,
}

/// Time-outs towards callers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// A kept-alive client connection without a request is closed after this.
    pub idle_ms: u64,
    /// From the first byte of a request's head to its last; then 408.
    pub head_ms: u64,
    /// Longest pause between two reads or writes of a body, on either side.
    pub body_ms: u64,
    /// How long a router in a cluster serves on after it was told to end, and is not ready any more: until every node
    /// has heard of that and sends no more callers.
    pub withdraw_ms: u64,
    /// What a stopping router gives the requests in flight.
    pub drain_ms: u64,
    /// How long a worker that was replaced keeps unused client connections, within `drain_ms`. A caller that uses one in
    /// this time gets its answer, with the advice to connect anew.
    pub drain_idle_ms: u64,
}

/// How replicas are called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upstream {
    /// Longest wait for a connection to a replica.
    pub connect_ms: u64,
    /// An unused connection to a replica is closed after this. Replicas never close one first.
    pub idle_ms: u64,
    /// Unused connections that one thread keeps to one replica.
    pub idle_connections: usize,
    /// Longest wait for `100 Continue` before a large body is sent anyway.
    pub continue_ms: u64,
    /// How often a request is repeated after a replica could not be reached. One that a replica refused is repeated for as
    /// long as it may wait for a slot.
    pub retries: u32,
    /// How often a request is repeated after a replica dropped it without an answer. It may have run, and it may be what
    /// kills the replicas, so this is small.
    pub dropped_retries: u32,
    /// Pause of a replica after its first failure; doubles with each further one. Then one request probes it.
    pub backoff_ms: u64,
    /// Longest pause.
    pub backoff_max_ms: u64,
}

/// How failed credentials are slowed: each source (an IPv4 address, or the /64 of an IPv6 address) may fail so often, then
/// its failures are answered late, with 429. Valid credentials are never slowed, whoever sends them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Attempts {
    /// Failures of one source that are answered at once.
    pub failures: u32,
    /// One failure is forgiven each time.
    pub forgive_ms: u64,
    /// How late further ones are answered.
    pub delay_ms: u64,
    /// Answers that one thread holds back at the same time; above it they are given at once.
    pub delayed_per_thread: usize,
    /// Sources that are remembered.
    pub sources: usize,
}

/// How the issuers of access tokens ([`serving::token::Settings::issuers`]) are asked for their keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Issuers {
    /// Longest wait for a connection.
    pub connect_ms: u64,
    /// Longest wait for a whole answer.
    pub answer_ms: u64,
    /// Longest answer.
    pub answer_bytes: u64,
    /// How often the keys are fetched anew.
    pub refresh_ms: u64,
    /// How long keys are used while the issuer does not answer.
    pub stale_ms: u64,
    /// Shortest time between two fetches, whatever tokens are presented.
    pub refetch_ms: u64,
}

/// What is logged. The files are bounded by the supervisor, which cuts one of more than 16 MiB every 30 seconds and keeps
/// its last 16 MiB; lines that are written in the moment of the cut are lost, because writers never wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// One JSON line for each request, on the log file of the router.
    pub access: bool,
    /// Lowest level of other messages, in the syntax of `RUST_LOG`: `info`, `azureml_fe=debug`.
    pub level: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8890,
            threads: 0,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            upstream: Upstream::default(),
            attempts: Attempts::default(),
            tokens: serving::token::Settings::default(),
            issuers: Issuers::default(),
            log: Log::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 32 * 1024,
            headers: 100,
            body_bytes: 100 * 1024 * 1024,
            kept_body_bytes: 64 * 1024,
            connections_per_thread: 8192,
            queue_length: 1000,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            idle_ms: 75_000,
            head_ms: 10_000,
            body_ms: 30_000,
            withdraw_ms: 5_000,
            drain_ms: 30_000,
            drain_idle_ms: 10_000,
        }
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            connect_ms: 1_000,
            idle_ms: 60_000,
            idle_connections: 256,
            continue_ms: 1_000,
            retries: 5,
            dropped_retries: 1,
            backoff_ms: 100,
            backoff_max_ms: 5_000,
        }
    }
}

impl Default for Attempts {
    fn default() -> Self {
        Self { failures: 20, forgive_ms: 3_000, delay_ms: 1_000, delayed_per_thread: 256, sources: 16_384 }
    }
}

impl Default for Issuers {
    fn default() -> Self {
        Self {
            connect_ms: 3_000,
            answer_ms: 5_000,
            answer_bytes: 1 << 20,
            refresh_ms: 300_000,
            stale_ms: 86_400_000,
            refetch_ms: 10_000,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { access: true, level: "info".to_owned() }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of a wrong type; the text has line and column.
    #[error("the configuration is not valid: {0}")]
    Syntax(#[from] toml::de::Error),
    /// What is said of tokens cannot be used.
    #[error("the configuration is not valid: in [tokens], {0}")]
    Tokens(#[from] serving::token::SettingsError),
    /// Only a cluster has ServiceAccounts.
    #[error("the configuration is not valid: [tokens.service_accounts] is for a router in a cluster; remove it")]
    ServiceAccounts,
    /// A value is out of range.
    #[error("the configuration is not valid: `{key}` is {value}, but must be from {min} to {max}")]
    Range {
        /// Dotted key.
        key: &'static str,
        /// What it is.
        value: u64,
        /// Lowest allowed.
        min: u64,
        /// Highest allowed.
        max: u64,
    },
}

impl Config {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text)
    }

    /// Reads the text of a file.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)?;
        config.check()?;
        Ok(config)
    }

    /// Reads the file of a router in a cluster, which answers on every address and the port of its container where the
    /// file says nothing else.
    pub fn load_in_cluster(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let said: toml::Table = toml::from_str(&text)?;
        let mut config = Self::parse(&text)?;
        if !said.contains_key("address") {
            config.address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        }
        if !said.contains_key("port") {
            config.port = serving::cluster::ROUTER_PORT;
        }
        Ok(config)
    }

    /// Checks what is of no use on a local compute.
    pub fn check_local(&self) -> Result<(), ConfigError> {
        match self.tokens.service_accounts {
            Some(_) => Err(ConfigError::ServiceAccounts),
            None => Ok(()),
        }
    }

    /// Where the router answers.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    /// Threads of the data path, at least 1.
    #[must_use]
    pub fn effective_threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => threads,
        }
    }

    /// Checks the ranges.
    pub fn check(&self) -> Result<(), ConfigError> {
        const DAY: u64 = 86_400_000;
        let size = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let (limits, times, upstream) = (&self.limits, &self.timeouts, &self.upstream);
        let (attempts, issuers) = (&self.attempts, &self.issuers);
        let rules = [
            ("threads", size(self.threads), 0, 1024),
            ("limits.head_bytes", size(limits.head_bytes), 1024, 1 << 20),
            ("limits.headers", size(limits.headers), 8, size(crate::http1::MAX_HEADERS)),
            ("limits.body_bytes", limits.body_bytes, 0, 1 << 50),
            ("limits.kept_body_bytes", size(limits.kept_body_bytes), 0, 64 << 20),
            ("limits.connections_per_thread", size(limits.connections_per_thread), 1, 1 << 20),
            ("limits.queue_length", size(limits.queue_length), 0, 1 << 20),
            ("timeouts.idle_ms", times.idle_ms, 1, DAY),
            ("timeouts.head_ms", times.head_ms, 1, DAY),
            ("timeouts.body_ms", times.body_ms, 1, DAY),
            ("timeouts.withdraw_ms", times.withdraw_ms, 0, DAY),
            ("timeouts.drain_ms", times.drain_ms, 0, DAY),
            ("timeouts.drain_idle_ms", times.drain_idle_ms, 0, DAY),
            ("upstream.connect_ms", upstream.connect_ms, 1, DAY),
            ("upstream.idle_ms", upstream.idle_ms, 1, DAY),
            ("upstream.idle_connections", size(upstream.idle_connections), 0, 1 << 16),
            ("upstream.continue_ms", upstream.continue_ms, 1, DAY),
            ("upstream.retries", u64::from(upstream.retries), 0, 1000),
            ("upstream.dropped_retries", u64::from(upstream.dropped_retries), 0, 10),
            ("upstream.backoff_ms", upstream.backoff_ms, 1, DAY),
            ("upstream.backoff_max_ms", upstream.backoff_max_ms, upstream.backoff_ms, DAY),
            ("attempts.failures", u64::from(attempts.failures), 1, 1 << 20),
            ("attempts.forgive_ms", attempts.forgive_ms, 1, DAY),
            ("attempts.delay_ms", attempts.delay_ms, 0, 60_000),
            ("attempts.delayed_per_thread", size(attempts.delayed_per_thread), 0, 1 << 20),
            ("attempts.sources", size(attempts.sources), 2, 1 << 20),
            ("issuers.connect_ms", issuers.connect_ms, 1, 60_000),
            ("issuers.answer_ms", issuers.answer_ms, 1, 60_000),
            ("issuers.answer_bytes", issuers.answer_bytes, 1024, 64 << 20),
            ("issuers.refresh_ms", issuers.refresh_ms, issuers.refetch_ms, DAY),
            ("issuers.stale_ms", issuers.stale_ms, issuers.refresh_ms, 30 * DAY),
            ("issuers.refetch_ms", issuers.refetch_ms, 1, DAY),
        ];
        self.tokens.check()?;
        match rules.into_iter().find(|(_, value, min, max)| !(min..=max).contains(&value)) {
            Some((key, value, min, max)) => Err(ConfigError::Range { key, value, min, max }),
            None => Ok(()),
        }
    }
}

/// A number of milliseconds as a duration.
pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_file_states_every_key_with_its_default() {
        let text = include_str!("../azureml-fe.toml");
        assert_eq!(Config::parse(text).expect("the documented file is valid"), Config::default());
        let documented: toml::Table = toml::from_str(text).expect("TOML");
        let all = toml::Table::try_from(Config::default()).expect("a configuration is TOML");
        assert_eq!(documented, all);
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        assert_eq!(Config::parse("").expect("valid"), Config::default());
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        let error = Config::parse("[limits]\nbody_byte = 3\n").expect_err("unknown key");
        assert!(error.to_string().contains("body_byte"), "{error}");
    }

    #[test]
    fn a_value_out_of_range_is_an_error_that_states_the_range() {
        let error = Config::parse("[timeouts]\nhead_ms = 0\n").expect_err("out of range");
        assert_eq!(
            error.to_string(),
            "the configuration is not valid: `timeouts.head_ms` is 0, but must be from 1 to 86400000"
        );
    }
}
