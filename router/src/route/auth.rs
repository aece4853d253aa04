//! Who may score.
//!
//! A caller without a valid credential learns nothing about which services exist: an unknown name gets the same 401, after
//! the same work, as a service that wants a key. A caller whose key is accepted by any service of this router gets an
//! honest 404 for a name that it has mistyped. Where no service wants keys there is nothing to hide, and every unknown name
//! is a 404.

use serving::error::RouterError;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::table::{Digest, Service, Table};

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
            && matches(digest, keys)
        {
            return Ok(());
        }
        Err(self.refused(&service.name))
    }

    /// The answer for a name that no service has.
    pub(super) fn unknown(&self, table: &Table, name: &str, endpoint: bool) -> RouterError {
        match self {
            Self::Key(digest) if table.knows(digest) => {}
            _ if !table.has_keys() => {}
            Self::Key(digest) => {
                // The comparisons that a service's two slots would have cost.
                std::hint::black_box(matches(digest, &[Digest::default(); 2]));
                return self.refused(name);
            }
            _ => return self.refused(name),
        }
        RouterError::ServiceNotFound { name: name.to_owned(), endpoint }
    }
}

/// The digest is one of these; the time does not depend on which, or on how much of it is equal.
fn matches(digest: &Digest, accepted: &[Digest]) -> bool {
    accepted.iter().fold(Choice::from(0), |found, key| found | key.ct_eq(digest)).into()
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

    #[test]
    fn only_an_equal_digest_matches() {
        let keys = [[1; 32], [2; 32]];
        assert!(matches(&[2; 32], &keys));
        let mut near = [2; 32];
        near[31] = 3;
        assert!(!matches(&near, &keys));
    }
}
