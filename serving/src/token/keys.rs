//! The keys that a compute signs tokens with.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// All keys that are not over, oldest first. The content of the file [`crate::layout::SIGNING_KEYS`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeys {
    /// The keys.
    pub keys: Vec<SigningKey>,
}

/// One Ed25519 key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKey {
    /// Key id (`kid`).
    pub id: String,
    /// The private key, in hexadecimal digits.
    pub(super) seed: String,
    /// Nothing is signed with it before.
    pub active_from: Timestamp,
    /// Its tokens are not accepted from then on; `None` while it is not replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_until: Option<Timestamp>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.id)
            .field("active_from", &self.active_from)
            .field("accepted_until", &self.accepted_until)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Tokens of this key are accepted.
    #[must_use]
    pub fn accepted(&self, now: Timestamp) -> bool {
        self.accepted_until.is_none_or(|until| now < until)
    }
}

impl SigningKeys {
    /// The key to sign with: the newest that is active.
    #[must_use]
    pub fn active(&self, now: Timestamp) -> Option<&SigningKey> {
        let usable = || self.keys.iter().filter(|key| key.accepted(now));
        // A clock that was set back must not stop everything.
        usable().rfind(|key| key.active_from <= now).or_else(|| usable().next())
    }
}
