//! When signing keys are replaced.

use jiff::{SignedDuration, Timestamp};

use super::{Settings, SigningKey, SigningKeys};

/// Random bytes that a new key is made of: its seed, and its id.
pub const RANDOM_BYTES: usize = SEED_BYTES + ID_BYTES;
const SEED_BYTES: usize = 32;
const ID_BYTES: usize = 12;
/// A new key is published for so long before anything is signed with it, so that whoever reads the published keys from time
/// to time knows it by then.
const PUBLISHED_AHEAD: SignedDuration = SignedDuration::from_secs(60);

impl SigningKeys {
    /// Something has to be replaced or dropped now.
    #[must_use]
    pub fn due(&self, settings: &Settings, now: Timestamp) -> bool {
        self.old(settings, now) || !self.keys.iter().all(|key| key.accepted(now))
    }

    fn old(&self, settings: &Settings, now: Timestamp) -> bool {
        self.keys.last().is_none_or(|newest| newest.active_from + seconds(settings.rotation_seconds) <= now)
    }

    /// The keys as they should be now: those that are over dropped, and if the newest is too old, a new one, made of the
    /// random bytes, that replaces it.
    #[must_use]
    pub fn rotated(&self, settings: &Settings, now: Timestamp, random: &[u8; RANDOM_BYTES]) -> Self {
        let mut keys = self.clone();
        keys.keys.retain(|key| key.accepted(now));
        if keys.old(settings, now) {
            let active_from = if keys.keys.is_empty() { now } else { now + PUBLISHED_AHEAD };
            if let Some(replaced) = keys.keys.last_mut() {
                replaced.accepted_until = Some(active_from + seconds(settings.overlap_seconds));
            }
            keys.keys.push(SigningKey::new(random, active_from));
        }
        keys
    }
}

impl SigningKey {
    fn new(random: &[u8; RANDOM_BYTES], active_from: Timestamp) -> Self {
        let (seed, id) = random.split_at(SEED_BYTES);
        Self { id: crate::hex(id), seed: crate::hex(seed), active_from, accepted_until: None }
    }
}

fn seconds(seconds: u64) -> SignedDuration {
    SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    fn ids(keys: &SigningKeys) -> Vec<&str> {
        keys.keys.iter().map(|key| &key.id[..2]).collect()
    }

    #[test]
    fn a_key_is_replaced_after_its_time_and_accepted_for_the_overlap() {
        let settings = Settings { rotation_seconds: 1_000, overlap_seconds: 500, ..Settings::default() };
        let none = SigningKeys::default();
        assert!(none.due(&settings, at(0)));
        let first = none.rotated(&settings, at(0), &[1; RANDOM_BYTES]);
        assert_eq!(first.active(at(0)).map(|key| &key.id[..2]), Some("01"), "the first is used at once");
        assert!(!first.due(&settings, at(999)));
        assert!(first.due(&settings, at(1_000)));
        let second = first.rotated(&settings, at(1_000), &[2; RANDOM_BYTES]);
        assert_eq!(ids(&second), ["01", "02"]);
        assert!(!second.due(&settings, at(1_000)));
        let active = |now| second.active(now).map(|key| &key.id[..2]);
        assert_eq!((active(at(1_059)), active(at(1_060))), (Some("01"), Some("02")));
        assert!(!second.due(&settings, at(1_559)));
        assert!(second.due(&settings, at(1_560)));
        assert_eq!(ids(&second.rotated(&settings, at(1_560), &[3; RANDOM_BYTES])), ["02"]);
    }

    #[test]
    fn a_compute_that_slept_for_long_starts_with_one_new_key() {
        let settings = Settings::default();
        let keys = SigningKeys::default().rotated(&settings, at(0), &[1; RANDOM_BYTES]);
        let keys = keys.rotated(&settings, at(3_000_000), &[2; RANDOM_BYTES]);
        let keys = keys.rotated(&settings, at(9_000_000), &[3; RANDOM_BYTES]);
        assert_eq!(ids(&keys), ["02", "03"]);
        assert!(keys.active(at(9_000_000)).is_some());
    }

    #[test]
    fn debug_output_never_shows_the_private_key() {
        let keys = SigningKeys::default().rotated(&Settings::default(), at(0), &[0xab; RANDOM_BYTES]);
        assert!(!format!("{keys:?}").contains(&"ab".repeat(SEED_BYTES)));
    }
}
