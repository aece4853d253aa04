//! Who may score.
//!
//! A caller without a valid credential learns nothing about which services exist: an unknown name gets the same 401, after
//! the same work, as a service that wants a key or a token. A caller whose credential is accepted by any service of this
//! router gets an honest 404 for a name that it has mistyped. Where no service wants credentials there is nothing to hide,
//! and every unknown name is a 404.

pub(super) mod attempts;
pub(super) mod keys;
pub(super) mod tokens;

use std::net::IpAddr;

use jiff::Timestamp;
use serving::error::RouterError;
use sha2::{Digest as _, Sha256};

use super::event_loop;
use super::table::{Access, Service, Table};
use super::thread::Thread;
use keys::Digest;
use tokens::TokenRule;

/// A presented credential, as far as it could be read.
pub(super) enum Credential<'r> {
    Missing,
    /// No `Bearer` scheme, or more than one field.
    Unreadable,
    Bearer(Bearer<'r>),
}

/// A key or a token.
pub(super) struct Bearer<'r> {
    pub(super) value: &'r [u8],
    digest: Digest,
}

impl<'r> Credential<'r> {
    /// Takes the value of an `Authorization` field.
    pub(super) fn add(&mut self, value: &'r [u8]) {
        *self = match (&self, bearer(value)) {
            (Self::Missing, Some(value)) => Self::Bearer(Bearer { value, digest: Sha256::digest(value).into() }),
            _ => Self::Unreadable,
        };
    }

    /// The error for a credential that is not accepted.
    pub(super) fn refused(&self, service: &str) -> RouterError {
        let service = service.to_owned();
        match self {
            Self::Missing => RouterError::CredentialMissing { service },
            _ => RouterError::CredentialInvalid { service },
        }
    }

    /// Whether the caller may use the service.
    pub(super) fn check(&self, thread: &Thread, table: &Table, service: &Service) -> Result<(), RouterError> {
        let accepted = match (&service.access, self) {
            (Access::Anyone, _) => true,
            (Access::Keys(keys), Self::Bearer(bearer)) => {
                let accepted = keys.accept(&bearer.digest, Timestamp::now);
                if !accepted {
                    std::hint::black_box(bearer.is_token(thread, table, None));
                }
                accepted
            }
            (Access::Tokens(rule), Self::Bearer(bearer)) => {
                let accepted = bearer.is_token(thread, table, Some(rule));
                if !accepted {
                    keys::pretend(&bearer.digest);
                }
                accepted
            }
            _ => false,
        };
        if accepted { Ok(()) } else { Err(self.refused(&service.name)) }
    }

    /// The answer for a name that no service has.
    pub(super) fn unknown(&self, thread: &Thread, table: &Table, name: &str, endpoint: bool) -> RouterError {
        let known = match self {
            Self::Bearer(bearer) if table.guarded() => {
                keys::pretend(&bearer.digest);
                table.knows(&bearer.digest, Timestamp::now) || bearer.is_token(thread, table, None)
            }
            _ => !table.guarded(),
        };
        if known { RouterError::ServiceNotFound { name: name.to_owned(), endpoint } } else { self.refused(name) }
    }
}

impl Bearer<'_> {
    /// Whether it is a good token, of the service with this rule or of any.
    fn is_token(&self, thread: &Thread, table: &Table, rule: Option<&TokenRule>) -> bool {
        let mut tokens = thread.tokens.borrow_mut();
        tokens.accept(&table.signing, (self.value, &self.digest), rule, Timestamp::now())
    }
}

/// The answer to a refused request, late if its source has failed too often. One without a credential guesses nothing and
/// is not counted.
pub(super) async fn slowed(thread: &Thread, source: IpAddr, error: RouterError) -> RouterError {
    if !matches!(error, RouterError::CredentialInvalid { .. }) {
        return error;
    }
    let Some(forgiven) = thread.attempts.failed(source, thread.clock.now()) else { return error };
    if let Some((delay, _held)) = thread.attempts.delay(&thread.delayed) {
        event_loop::sleep(delay).await;
    }
    RouterError::TooManyAttempts { retry_after: u32::try_from(forgiven.as_secs()).unwrap_or(u32::MAX).max(1) }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = crate::http1::trim(value).split_at_checked(7)?;
    let key = crate::http1::trim(rest);
    (scheme.eq_ignore_ascii_case(b"bearer ") && !key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_known_in_any_case_and_other_schemes_are_not() {
        assert_eq!(bearer(b"bEARER  abc "), Some(&b"abc"[..]));
        assert_eq!(bearer(b"Basic abcdef"), None);
        assert_eq!(bearer(b"Bearer "), None);
        assert_eq!(bearer(b"Bear"), None);
    }
}
