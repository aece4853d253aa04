//! Making and replacing the keys of a service.

use jiff::{SignedDuration, Timestamp};
use serving::service::{KeySlot, Keys, ReplacedKey};

/// Random bytes in a generated key.
const KEY_BYTES: usize = 32;
/// Replaced keys that are accepted at the same time; of more, those that end first are dropped.
const MAX_REPLACED: usize = 32;

/// What the configuration says of one slot.
#[derive(Clone, Default)]
pub struct Wanted {
    /// The declared version.
    pub version: u64,
    /// A given key; without one, a key is generated.
    pub key: Option<String>,
}

impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Wanted {
    fn slot(&self) -> Result<KeySlot, getrandom::Error> {
        let key = self.key.clone().map_or_else(generate, Ok)?;
        Ok(KeySlot { key, version: self.version })
    }
}

/// A new random key: 256 bits as 43 characters of the URL-safe alphabet.
pub fn generate() -> Result<String, getrandom::Error> {
    use base64::Engine as _;

    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

/// The first keys of a service.
pub fn first(primary: &Wanted, secondary: &Wanted) -> Result<Keys, getrandom::Error> {
    Ok(Keys { primary: primary.slot()?, secondary: secondary.slot()?, replaced: Vec::new() })
}

/// The steps that lead from the present keys to the wanted versions: each replaces one slot, so that a caller who holds
/// both keys always has one that works. No step when both slots have their version.
///
/// A replaced key stays valid for the `overlap`, and one that was replaced before for what is left of its own.
pub fn rotate(
    present: &Keys,
    primary: &Wanted,
    secondary: &Wanted,
    overlap: Overlap,
) -> Result<Vec<Keys>, getrandom::Error> {
    let mut steps: Vec<Keys> = Vec::new();
    let mut keys = present.clone();
    keys.replaced.retain(|replaced| replaced.until.parse().is_ok_and(|until: Timestamp| overlap.now < until));
    if keys.primary.version != primary.version {
        let replaced = std::mem::replace(&mut keys.primary, primary.slot()?);
        overlap.keep(&mut keys.replaced, &replaced);
        steps.push(keys.clone());
    }
    if keys.secondary.version != secondary.version {
        let replaced = std::mem::replace(&mut keys.secondary, secondary.slot()?);
        overlap.keep(&mut keys.replaced, &replaced);
        steps.push(keys);
    }
    Ok(steps)
}

/// How long a key stays valid after its replacement (`key_overlap`).
#[derive(Clone, Copy, Debug)]
pub struct Overlap {
    /// Time of the replacement.
    pub now: Timestamp,
    /// Seconds from then.
    pub seconds: u64,
}

impl Overlap {
    /// This many seconds from now.
    #[must_use]
    pub fn seconds(seconds: u64) -> Self {
        Self { now: Timestamp::now(), seconds }
    }

    fn keep(self, all: &mut Vec<ReplacedKey>, slot: &KeySlot) {
        if self.seconds == 0 {
            return;
        }
        // The time only overflows in the year 9999.
        let until = self
            .now
            .checked_add(SignedDuration::from_secs(self.seconds.try_into().unwrap_or(i64::MAX)))
            .unwrap_or(Timestamp::MAX);
        all.push(ReplacedKey { digest: slot.digest(), until: until.to_string() });
        all.sort_by_key(|replaced| std::cmp::Reverse(replaced.until.parse::<Timestamp>().ok()));
        all.truncate(MAX_REPLACED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(version: u64, key: Option<&str>) -> Wanted {
        Wanted { version, key: key.map(str::to_owned) }
    }

    fn present() -> Keys {
        first(&wanted(1, Some("the-primary-key-of-tests")), &wanted(1, None)).expect("keys")
    }

    #[test]
    fn generated_keys_are_long_different_and_accepted_by_the_rule_of_given_keys() {
        let (one, two) = (generate().expect("a key"), generate().expect("a key"));
        assert_ne!(one, two);
        assert!(one.len() >= 32);
        assert_eq!(serving::validate::key("primary_key_wo", &one), Ok(()));
    }

    fn none() -> Overlap {
        Overlap { now: "2026-01-02T03:04:05Z".parse().expect("a time"), seconds: 0 }
    }

    #[test]
    fn a_replaced_key_stays_for_the_overlap_and_earlier_ones_for_what_is_left_of_theirs() {
        let keys = present();
        let first = Overlap { seconds: 60, ..none() };
        let steps = rotate(&keys, &wanted(2, None), &wanted(1, None), first).expect("steps");
        let [once] = &steps[..] else { panic!("one step") };
        assert_eq!(
            once.replaced,
            [ReplacedKey { digest: keys.primary.digest(), until: "2026-01-02T03:05:05Z".into() }]
        );
        let later = Overlap { now: "2026-01-02T03:05:04Z".parse().expect("a time"), seconds: 5 };
        let steps = rotate(once, &wanted(3, None), &wanted(2, None), later).expect("steps");
        let digests = |keys: &Keys| keys.replaced.iter().map(|replaced| replaced.digest.clone()).collect::<Vec<_>>();
        assert_eq!(digests(&steps[0]), [once.primary.digest(), keys.primary.digest()]);
        assert_eq!(steps[1].replaced.len(), 3);
        let over = Overlap { now: "2026-01-02T03:05:09Z".parse().expect("a time"), seconds: 0 };
        let steps = rotate(&steps[1], &wanted(4, None), &wanted(2, None), over).expect("steps");
        assert_eq!(steps[0].replaced, [], "all are over, and nothing stays without an overlap");
    }

    #[test]
    fn keys_that_are_replaced_very_often_do_not_pile_up() {
        let mut keys = present();
        for version in 2..100 {
            let step = rotate(&keys, &wanted(version, None), &wanted(1, None), Overlap { seconds: 9, ..none() });
            keys = step.expect("steps").remove(0);
        }
        assert_eq!(keys.replaced.len(), MAX_REPLACED);
    }

    #[test]
    fn a_slot_is_replaced_exactly_when_its_version_differs() {
        let keys = present();
        assert!(
            rotate(&keys, &wanted(1, Some("another-key-of-the-test")), &wanted(1, None), none())
                .expect("steps")
                .is_empty()
        );
        let steps =
            rotate(&keys, &wanted(1, None), &wanted(2, Some("another-key-of-the-test")), none()).expect("steps");
        assert_eq!(steps.len(), 1);
        assert_eq!(steps[0].primary, keys.primary);
        assert_eq!((steps[0].secondary.key.as_str(), steps[0].secondary.version), ("another-key-of-the-test", 2));
    }

    #[test]
    fn two_bumps_replace_one_slot_after_the_other() {
        let keys = present();
        let steps = rotate(&keys, &wanted(7, None), &wanted(8, None), none()).expect("steps");
        assert_eq!(steps.len(), 2);
        assert_eq!(steps[0].secondary, keys.secondary);
        assert_ne!(steps[0].primary.key, keys.primary.key);
        assert_eq!(steps[1].primary, steps[0].primary);
        assert_eq!((steps[1].primary.version, steps[1].secondary.version), (7, 8));
    }

    #[test]
    fn debug_output_never_shows_a_key() {
        let text = format!("{:?} {:?}", present(), wanted(1, Some("the-primary-key-of-tests")));
        assert!(!text.contains("the-primary-key-of-tests"), "{text}");
    }
}
