//! Who may score.
//!
//! A caller without a valid credential learns nothing about which services exist: an unknown name gets the same 401, after
//! the same work, as a service that wants a key. A caller whose key is accepted by any service of this router gets an
//! honest 404 for a name that it has mistyped. Where no service wants keys there is nothing to hide, and every unknown name
//! is a 404.

pub(super) mod attempts;
pub(super) mod keys;

use std::net::IpAddr;

use jiff::Timestamp;
use serving::error::RouterError;
use sha2::{Digest as _, Sha256};

use super::event_loop;
use super::table::{Service, Table};
use super::thread::Thread;
use keys::Digest;

/// A presented credential, as far as it could be read.
pub(super) enum Credential {
    Missing,
    /// No `Bearer` scheme, or more than one field.
    Unreadable,
    Key(Digest),
}

impl Credential {
    /// Takes the value of an `Authorization` field.
    pub(super) fn add(&mut self, value: &[u8]) {
        *self = match (&self, bearer(value)) {
            (Self::Missing, Some(key)) => Self::Key(Sha256::digest(key).into()),
            _ => Self::Unreadable,
        };
    }

    fn refused(&self, service: &str) -> RouterError {
        let service = service.to_owned();
        match self {
            Self::Missing => RouterError::CredentialMissing { service },
            _ => RouterError::CredentialInvalid { service },
        }
    }

    /// Whether the caller may use the service.
    pub(super) fn check(&self, service: &Service) -> Result<(), RouterError> {
        let Some(keys) = &service.keys else { return Ok(()) };
        if let Self::Key(digest) = self
            && keys.accept(digest, Timestamp::now)
        {
            return Ok(());
        }
        Err(self.refused(&service.name))
    }

    /// The answer for a name that no service has.
    pub(super) fn unknown(&self, table: &Table, name: &str, endpoint: bool) -> RouterError {
        match self {
            Self::Key(digest) if table.knows(digest, Timestamp::now) => {}
            _ if !table.has_keys() => {}
            Self::Key(digest) => {
                keys::pretend(digest);
                return self.refused(name);
            }
            _ => return self.refused(name),
        }
        RouterError::ServiceNotFound { name: name.to_owned(), endpoint }
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
