//! What can go wrong with a registry.

use oci_client::errors::{OciDistributionError, OciErrorCode};

/// Why a registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No name of an image.
    #[error("`{image}` is not the name of an image: {why}")]
    Name {
        /// What was given.
        image: String,
        /// What is wrong.
        why: String,
    },
    /// The registry wants to know who asks, or does not let them.
    #[error(
        "registry {registry} does not allow to {action} {image}: {why}; sign in with `podman login {registry}` or `docker login {registry}` as somebody who may, or set REGISTRY_AUTH_FILE"
    )]
    Unauthorized {
        /// Its host.
        registry: String,
        /// What was tried.
        action: &'static str,
        /// The image.
        image: String,
        /// The registry's answer.
        why: String,
    },
    /// No answer.
    #[error(
        "registry {registry} cannot be reached to {action} {image}: {why}; check its name and the network, or, if it speaks plain HTTP, name it in the provider's registry.plain_http"
    )]
    Unreachable {
        /// Its host.
        registry: String,
        /// What was tried.
        action: &'static str,
        /// The image.
        image: String,
        /// The system's reason.
        why: String,
    },
    /// There is no such image.
    #[error("there is no image {image} in registry {registry}; check the name, and that it was pushed")]
    Missing {
        /// The host.
        registry: String,
        /// The image.
        image: String,
    },
    /// Another answer.
    #[error("registry {registry} could not {action} {image}: {why}")]
    Other {
        /// The host.
        registry: String,
        /// What was tried.
        action: &'static str,
        /// The image.
        image: String,
        /// The registry's answer.
        why: String,
    },
    /// A credential helper or file.
    #[error(
        "the credentials for registry {registry} cannot be read: {why}; repair what `docker login` or `podman login` has stored"
    )]
    Credentials {
        /// The registry.
        registry: String,
        /// What is wrong.
        why: String,
    },
    /// What connections are made with cannot be set up.
    #[error("no connections can be made: {0}")]
    Setup(String),
}

impl Error {
    /// An error of the client library.
    pub(super) fn of(error: &OciDistributionError, action: &'static str, image: &oci_client::Reference) -> Self {
        let registry = image.registry().to_owned();
        let image = image.whole();
        let why = said(error);
        match kind(error) {
            Kind::Unauthorized => Self::Unauthorized { registry, action, image, why },
            Kind::Missing => Self::Missing { registry, image },
            Kind::Unreachable => Self::Unreachable { registry, action, image, why },
            Kind::Other => Self::Other { registry, action, image, why },
        }
    }
}

enum Kind {
    Unauthorized,
    Missing,
    Unreachable,
    Other,
}

fn kind(error: &OciDistributionError) -> Kind {
    match error {
        OciDistributionError::ImageManifestNotFoundError(_) | OciDistributionError::ServerError { code: 404, .. } => {
            Kind::Missing
        }
        OciDistributionError::AuthenticationFailure(_)
        | OciDistributionError::UnauthorizedError { .. }
        | OciDistributionError::ServerError { code: 401 | 403, .. } => Kind::Unauthorized,
        OciDistributionError::RegistryError { envelope, .. } => {
            let has = |codes: &[OciErrorCode]| envelope.errors.iter().any(|error| codes.contains(&error.code));
            if has(&[OciErrorCode::Unauthorized, OciErrorCode::Denied]) {
                Kind::Unauthorized
            } else if has(&[OciErrorCode::ManifestUnknown, OciErrorCode::NameUnknown, OciErrorCode::NotFound]) {
                Kind::Missing
            } else {
                Kind::Other
            }
        }
        OciDistributionError::RequestError(_) | OciDistributionError::IoError(_) => Kind::Unreachable,
        _ => Kind::Other,
    }
}

/// The innermost reason: those around it only repeat the address.
fn said(error: &OciDistributionError) -> String {
    if let OciDistributionError::RegistryError { envelope, .. } = error {
        let messages: Vec<&str> = envelope.errors.iter().map(|error| error.message.as_str()).collect();
        return messages.join("; ");
    }
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
