//! Tokens of services: what the router issues to callers, and what those show it to get one.
//!
//! A service of the mode `token` is scored with a JSON Web Token that its compute's router has signed (Ed25519). It names
//! the service as its audience, so it is of no use anywhere else. The owner of the compute issues tokens from the signing
//! key's file (`issue`); other callers ask the router for one with an access token of an issuer that the router's
//! configuration names (`access`). Everything is verified locally.

#[cfg(feature = "token")]
pub mod access;
mod keys;
#[cfg(feature = "token")]
mod own;
#[cfg(feature = "token")]
mod provider;
#[cfg(feature = "token")]
mod rotation;
#[cfg(feature = "token")]
mod settings;

use serde::{Deserialize, Serialize};

pub use keys::{SigningKey, SigningKeys};
#[cfg(feature = "token")]
pub use own::{IssueError, Order, Verified, Verifier, issue};
#[cfg(feature = "token")]
pub use rotation::RANDOM_BYTES;
#[cfg(feature = "token")]
pub use settings::{Issuer, ServiceAccounts, Settings, SettingsError, reachable};

use crate::service::Kind;

/// Longest token that is looked at, in bytes. Access tokens with many groups have a few thousand.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Where the router publishes the public keys of its tokens.
pub const JWKS_PATH: &str = "/.well-known/jwks.json";

/// The `type` of every token.
pub const TOKEN_TYPE: &str = "Bearer";

/// The audience of a service's tokens: the part of its URLs that is its own.
#[must_use]
pub fn audience(kind: Kind, service: &str) -> String {
    let family = match kind {
        Kind::Webservice => "service",
        Kind::Endpoint => "endpoint",
    };
    format!("/api/v1/{family}/{service}")
}

/// An issued token, with the original's fields. On the wire their names are in camel case (`accessToken`).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Issued {
    /// The token.
    pub access_token: String,
    /// Always [`TOKEN_TYPE`].
    pub token_type: String,
    /// Unix seconds of its end.
    pub expiry_on: i64,
    /// Unix seconds after which a new one should be fetched; the old one still works until its end.
    pub refresh_after: i64,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("expiry_on", &self.expiry_on).finish_non_exhaustive()
    }
}

/// A token is not accepted. Callers learn only that; the reason is for messages to whoever looks after the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Too long, cut off, or not a signed JSON Web Token at all.
    #[error("it is not a signed JSON Web Token")]
    Malformed,
    /// Its algorithm is not one for this key, or none that is accepted.
    #[error("its algorithm is not accepted")]
    Algorithm,
    /// No key has its key id.
    #[error("its key is not known")]
    UnknownKey,
    /// The signature is not by the key.
    #[error("its signature is wrong")]
    Signature,
    /// Another issuer.
    #[error("it is of another issuer")]
    Issuer,
    /// Another audience.
    #[error("it is for another audience")]
    Audience,
    /// Its `exp` has passed.
    #[error("it has expired")]
    Expired,
    /// Its `nbf` has not come.
    #[error("it is not valid yet")]
    NotYet,
}

#[cfg(all(test, feature = "token"))]
mod tests {
    use base64::Engine as _;

    /// A part of a token.
    pub(super) fn part(json: &serde_json::Value) -> String {
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json.to_string())
    }
}
