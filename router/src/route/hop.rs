//! The secret by which a scorer in a cluster knows its router.

use std::fmt;

use serving::snapshot::HopSecret;
use serving::wire;

use crate::http1::encode;

/// The header field with the secret, as it is sent. Never shown.
pub(super) struct Hop(Box<[u8]>);

impl Hop {
    pub(super) fn new(secret: &HopSecret) -> Self {
        let mut line = Vec::with_capacity(wire::HOP.len() + secret.0.len() + 4);
        encode::field(&mut line, wire::HOP.as_bytes(), secret.0.as_bytes());
        Self(line.into())
    }

    /// The field with its line end.
    pub(super) fn line(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Hop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hop(..)")
    }
}

/// Whether a secret can be sent: visible ASCII, which nothing between two hops changes.
pub(super) fn sendable(secret: &HopSecret) -> bool {
    !secret.0.is_empty() && secret.0.bytes().all(|byte| byte.is_ascii_graphic())
}
