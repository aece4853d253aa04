//! The keys of a service, as digests.

use jiff::Timestamp;
use serving::service::KeyDigests;
use subtle::{Choice, ConstantTimeEq};

/// SHA-256 of a credential.
pub(in super::super) type Digest = [u8; 32];

/// What a service accepts.
#[derive(Debug)]
pub(in super::super) struct Keys {
    lasting: Vec<Digest>,
    /// Keys that were replaced, and when they end.
    expiring: Vec<(Digest, Timestamp)>,
}

impl Keys {
    /// From the digests of a snapshot, or why they are none.
    pub(in super::super) fn read(digests: &KeyDigests) -> Result<Self, String> {
        const NOT_HEX: &str = "its key digests are not SHA-256 in hexadecimal";
        let lasting: Option<Vec<Digest>> = digests.accepted.iter().map(|digest| unhex(digest)).collect();
        let lasting = lasting.filter(|lasting| !lasting.is_empty()).ok_or(NOT_HEX)?;
        let mut expiring = Vec::with_capacity(digests.expiring.len());
        for replaced in &digests.expiring {
            let until = replaced.until.parse().map_err(|_| "the end of a replaced key is not a time")?;
            expiring.push((unhex(&replaced.digest).ok_or(NOT_HEX)?, until));
        }
        Ok(Self { lasting, expiring })
    }

    /// Whether a key of this digest is accepted now. The time that this takes does not depend on which one it is, or on how
    /// much of it is equal. `now` is asked only if there are keys that end.
    pub(super) fn accept(&self, digest: &Digest, now: impl FnOnce() -> Timestamp) -> bool {
        let mut found = matches(digest, &self.lasting);
        if !self.expiring.is_empty() {
            let now = now();
            for (key, until) in &self.expiring {
                found |= key.ct_eq(digest) & Choice::from(u8::from(now < *until));
            }
        }
        found.into()
    }

    /// Every digest, with its end if it has one.
    pub(in super::super) fn all(&self) -> impl Iterator<Item = (Digest, Option<Timestamp>)> + '_ {
        let lasting = self.lasting.iter().map(|digest| (*digest, None));
        lasting.chain(self.expiring.iter().map(|(digest, until)| (*digest, Some(*until))))
    }
}

/// What comparing with a service's keys costs, for a name that no service has.
pub(super) fn pretend(digest: &Digest) {
    std::hint::black_box(bool::from(matches(digest, &[Digest::default(); 2])));
}

fn matches(digest: &Digest, accepted: &[Digest]) -> Choice {
    accepted.iter().fold(Choice::from(0), |found, key| found | key.ct_eq(digest))
}

fn unhex(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, place) in digest.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(place..place + 2)?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use serving::service::ReplacedKey;

    use super::*;

    fn keys(expiring: &[(&str, &str)]) -> Result<Keys, String> {
        let replaced =
            |(digest, until): &(&str, &str)| ReplacedKey { digest: digest.repeat(32), until: (*until).into() };
        Keys::read(&KeyDigests {
            accepted: vec!["01".repeat(32), "02".repeat(32)],
            expiring: expiring.iter().map(replaced).collect(),
        })
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn only_an_equal_digest_is_accepted() {
        let keys = keys(&[]).expect("keys");
        let never = || -> Timestamp { panic!("no key ends, so the time does not matter") };
        assert!(keys.accept(&[2; 32], never));
        let mut near = [2; 32];
        near[31] = 3;
        assert!(!keys.accept(&near, never));
    }

    #[test]
    fn a_replaced_key_is_accepted_until_its_end_and_not_in_that_moment() {
        let keys = keys(&[("03", "2026-01-02T03:04:05Z")]).expect("keys");
        assert!(keys.accept(&[3; 32], || at("2026-01-02T03:04:04.999Z")));
        assert!(!keys.accept(&[3; 32], || at("2026-01-02T03:04:05Z")));
        assert!(keys.accept(&[1; 32], || at("2036-01-01T00:00:00Z")));
    }

    #[test]
    fn what_is_not_a_digest_or_a_time_is_refused() {
        assert!(keys(&[("0", "2026-01-02T03:04:05Z")]).is_err());
        assert!(keys(&[("03", "tomorrow")]).is_err());
        assert!(Keys::read(&KeyDigests { accepted: vec![], expiring: vec![] }).is_err());
    }
}
