//! Why a cluster cannot be connected to.

use kube::client::AuthError;

/// How much of a plugin's last words is shown.
const SHOWN_BYTES: usize = 1_000;
const SHOWN_LINES: usize = 5;

/// Why a connection cannot be used. What the cluster answers is not the business of this type.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The provider block has no `kubernetes`.
    #[error(
        "the provider block has no `kubernetes`, so there is no connection {connection:?}; a kubeconfig is never used unasked. Add kubernetes = {{ {connection} = {{ kubeconfig_path = \"~/.kube/config\", context = \"...\" }} }} to it"
    )]
    NoBlock {
        /// Name of the connection.
        connection: String,
    },
    /// The provider block has other connections.
    #[error("`kubernetes` of the provider block has no connection {connection:?}; it has {known}")]
    NoConnection {
        /// Name of the connection.
        connection: String,
        /// Those that there are.
        known: String,
    },
    /// It depends on something that is known only after apply.
    #[error(
        "connection {connection:?} of the provider block is known only after apply, so its cluster cannot be reached yet; apply what it depends on first (terraform apply -target=...)"
    )]
    Unknown {
        /// Name of the connection.
        connection: String,
    },
    /// It does not say which cluster it leads to.
    #[error(
        "connection {connection:?} of the provider block does not say which cluster it leads to, and neither does the environment (KUBE_CONFIG_PATH, KUBECONFIG, KUBE_HOST); set its `kubeconfig_path`, `host` or `in_cluster`"
    )]
    Nothing {
        /// Name of the connection.
        connection: String,
    },
    /// Something that it says cannot be used.
    #[error("{place} {problem}")]
    Setting {
        /// Attribute of the provider block, or environment variable.
        place: String,
        /// What is wrong, as the rest of a sentence, with what to do.
        problem: String,
    },
    /// The exec plugin did not give credentials.
    #[error("connection {connection:?}: {problem}")]
    Plugin {
        /// Name of the connection.
        connection: String,
        /// What is wrong, with what to do.
        problem: String,
    },
}

impl crate::diagnostics::Blame for Error {}

impl Error {
    pub(super) fn setting(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Setting { place: place.into(), problem: problem.into() }
    }
}

/// What is wrong with a credential, without what a plugin printed for us alone: its standard output may hold a token.
///
/// Credentials are also renewed in the middle of requests, so whoever reports an error of a request uses this.
#[must_use]
pub fn credential_problem(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecStart(source) if source.kind() == std::io::ErrorKind::NotFound => {
            "the program of `exec` that prints credentials does not exist or is not on PATH; install it, or give its path"
                .to_owned()
        }
        AuthError::AuthExecStart(source) => format!("the program of `exec` that prints credentials cannot be run: {source}"),
        AuthError::AuthExecRun { out, .. } => {
            let words = last_words(&out.stderr);
            let words = if words.is_empty() { "it said nothing".to_owned() } else { format!("it said:\n{words}") };
            format!("the program of `exec` that prints credentials failed ({}); {words}", out.status)
        }
        AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed => {
            "the program of `exec` did not print an ExecCredential with a status; see the plugin's documentation for its \
             `api_version` and arguments"
                .to_owned()
        }
        AuthError::MissingCommand => "`exec` of the kubeconfig has no command".to_owned(),
        AuthError::ReadTokenFile(source, path) => format!("its token file {} cannot be read: {source}", path.display()),
        AuthError::InvalidBearerToken(_) | AuthError::InvalidBasicAuth(_) => {
            "its token or password has characters that no HTTP header may have, perhaps a line break".to_owned()
        }
        AuthError::NoValidNativeRootCA(source) => {
            format!("this system has no trusted certificates ({source}); set `cluster_ca_certificate`")
        }
        // Their texts quote nothing of the credential.
        AuthError::AuthExec(text) => text.clone(),
        AuthError::MalformedTokenExpirationDate(_) => "the expiration time of its credential is not a time".to_owned(),
        AuthError::ExecMissingClusterInfo
        | AuthError::UnrefreshableTokenResponse
        | AuthError::AuthExecSerialize(_)
        | AuthError::ParseTokenKey(_) => "its credential could not be renewed".to_owned(),
    }
}

/// The end of what a program said on its standard error.
fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(&stderr[stderr.len().saturating_sub(SHOWN_BYTES)..]);
    let lines: Vec<_> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}
