//! What the host says to the plugin through environment variables.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The value of `TF_PLUGIN_MAGIC_COOKIE` that a Terraform host sets. No secret: it only tells a host from a person.
pub const MAGIC_COOKIE: &str = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";

const COOKIE: &str = "TF_PLUGIN_MAGIC_COOKIE";
const PROTOCOL_VERSIONS: &str = "PLUGIN_PROTOCOL_VERSIONS";
const CLIENT_CERT: &str = "PLUGIN_CLIENT_CERT";
const SOCKET_DIR: &str = "PLUGIN_UNIX_SOCKET_DIR";
const SOCKET_GROUP: &str = "PLUGIN_UNIX_SOCKET_GROUP";
const MIN_PORT: &str = "PLUGIN_MIN_PORT";
const MAX_PORT: &str = "PLUGIN_MAX_PORT";
const MULTIPLEX: &str = "PLUGIN_MULTIPLEX_GRPC";

/// The variables of the plugin protocol, as a value.
///
/// Nothing below [`serve`](crate::serve) reads the process environment, so the Core double and the tests can run
/// many providers side by side in one process. Variables that the protocol does not define (which may be secret) are
/// never taken in.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// The variables of the plugin protocol that this process was started with.
    #[must_use]
    pub fn from_process() -> Self {
        let known = [COOKIE, PROTOCOL_VERSIONS, CLIENT_CERT, SOCKET_DIR, SOCKET_GROUP, MIN_PORT, MAX_PORT, MULTIPLEX];
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| known.contains(&name.as_str()) || name.starts_with("TF_LOG"))
            .collect()
    }

    /// The value of a variable, `None` if it is not set or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether a Terraform host, and not a person, started this process.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.get(COOKIE) == Some(MAGIC_COOKIE)
    }

    /// The major protocol versions that the host speaks; empty if it does not say. Entries that are no numbers are skipped.
    #[must_use]
    pub fn protocol_versions(&self) -> Vec<u32> {
        self.get(PROTOCOL_VERSIONS)
            .unwrap_or_default()
            .split(',')
            .filter_map(|version| version.trim().parse().ok())
            .collect()
    }

    /// The host's certificate (PEM), if it asks for mutual TLS.
    #[must_use]
    pub fn client_certificate(&self) -> Option<&str> {
        self.get(CLIENT_CERT)
    }

    /// The directory in which the host wants the socket.
    #[must_use]
    pub fn socket_directory(&self) -> Option<PathBuf> {
        self.get(SOCKET_DIR).map(PathBuf::from)
    }

    /// The group (name or number) that shall be able to connect to the socket.
    #[must_use]
    pub fn socket_group(&self) -> Option<&str> {
        self.get(SOCKET_GROUP)
    }

    /// The lowest and highest TCP port that the host allows, in its defaults' place 10000 and 25000.
    #[must_use]
    pub fn ports(&self) -> (u16, u16) {
        let port = |name, default| self.get(name).and_then(|port| port.parse().ok()).unwrap_or(default);
        (port(MIN_PORT, 10_000), port(MAX_PORT, 25_000))
    }

    /// Whether the host reads a seventh field of the handshake line.
    #[must_use]
    pub fn asks_for_multiplexing(&self) -> bool {
        self.get(MULTIPLEX).is_some()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_cookie_makes_a_host() {
        let with = |cookie: &str| Environment::from_iter([(COOKIE, cookie)]).is_host();
        assert!(with(MAGIC_COOKIE));
        assert!(!with(&MAGIC_COOKIE[1..]));
        assert!(!with(""));
        assert!(!Environment::default().is_host());
    }

    #[test]
    fn protocol_versions_that_are_no_numbers_are_skipped() {
        let versions = |list: &str| Environment::from_iter([(PROTOCOL_VERSIONS, list)]).protocol_versions();
        assert_eq!(versions("5,6"), [5, 6]);
        assert_eq!(versions(" 6 ,x,"), [6]);
        assert!(versions("").is_empty());
    }

    #[test]
    fn ports_default_to_the_hosts_own_range() {
        assert_eq!(Environment::default().ports(), (10_000, 25_000));
        let given = Environment::from_iter([(MIN_PORT, "4000"), (MAX_PORT, "4001")]);
        assert_eq!(given.ports(), (4000, 4001));
    }
}
