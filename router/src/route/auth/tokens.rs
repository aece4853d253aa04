//! Tokens of services: one signature is verified once in each thread, not for every request.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serving::service::Service as Document;
use serving::token::{self, Settings, SigningKeys, Verified, Verifier};

use super::keys::Digest;

/// Verified tokens that a thread remembers.
const REMEMBERED: usize = 4_096;

/// What tokens are signed and verified with.
#[derive(Debug, Default)]
pub(in super::super) struct Signing {
    pub(in super::super) keys: SigningKeys,
    pub(in super::super) jwks: String,
    verifier: Verifier,
    skew: i64,
}

impl Signing {
    pub(in super::super) fn new(keys: SigningKeys, settings: &Settings) -> Self {
        let verifier = Verifier::new(&keys, settings);
        let skew = i64::try_from(settings.clock_skew_seconds).unwrap_or(0);
        Self { jwks: verifier.jwks(), verifier, keys, skew }
    }

    pub(in super::super) fn is_of(&self, keys: &SigningKeys) -> bool {
        // The value before the first snapshot is of none.
        !self.jwks.is_empty() && self.keys == *keys
    }
}

/// Which tokens a service accepts.
#[derive(Debug)]
pub(in super::super) struct TokenRule {
    audience: String,
    /// Unix seconds of the service's creation: a token is of no use for another service that later gets the same name.
    created: i64,
}

impl TokenRule {
    pub(in super::super) fn of(service: &Document) -> Self {
        let created = service.created_time.parse().map_or(i64::MIN, Timestamp::as_second);
        Self { audience: token::audience(service.kind, &service.name), created }
    }

    fn accepts(&self, token: &Verified, skew: i64) -> bool {
        token.audience == self.audience && token.issued.saturating_add(skew) >= self.created
    }
}

/// The tokens that one thread has verified.
#[derive(Debug, Default)]
pub(in super::super) struct Tokens {
    /// What they were verified with.
    signing: Option<Arc<Signing>>,
    good: HashMap<Digest, Verified>,
}

impl Tokens {
    /// Whether a token is good for a service; without a rule, for any.
    pub(super) fn accept(
        &mut self,
        signing: &Arc<Signing>,
        (value, digest): (&[u8], &Digest),
        rule: Option<&TokenRule>,
        now: Timestamp,
    ) -> bool {
        if self.signing.as_ref().is_none_or(|known| !Arc::ptr_eq(known, signing)) {
            self.signing = Some(Arc::clone(signing));
            self.good.clear();
        }
        let suits = |token: &Verified| {
            now.as_second() < token.until && rule.is_none_or(|rule| rule.accepts(token, signing.skew))
        };
        if let Some(token) = self.good.get(digest) {
            return suits(token);
        }
        let Ok(token) = signing.verifier.verify(value, now) else { return false };
        let suits = suits(&token);
        self.remember(*digest, token, now);
        suits
    }

    fn remember(&mut self, digest: Digest, token: Verified, now: Timestamp) {
        if self.good.len() >= REMEMBERED {
            self.good.retain(|_, token| now.as_second() < token.until);
        }
        if self.good.len() >= REMEMBERED {
            self.good.clear();
        }
        self.good.insert(digest, token);
    }
}
