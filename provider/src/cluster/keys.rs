//! Making and replacing the keys of a service.

use serving::service::{KeySlot, Keys};

/// Random bytes in a generated key.
const KEY_BYTES: usize = 32;

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
pub fn rotate(present: &Keys, primary: &Wanted, secondary: &Wanted) -> Result<Vec<Keys>, getrandom::Error> {
    let mut steps: Vec<Keys> = Vec::new();
    let mut keys = present.clone();
    if keys.primary.version != primary.version {
        keys.primary = primary.slot()?;
        steps.push(keys.clone());
    }
    if keys.secondary.version != secondary.version {
        keys.secondary = secondary.slot()?;
        steps.push(keys);
    }
    Ok(steps)
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

    #[test]
    fn a_slot_is_replaced_exactly_when_its_version_differs() {
        let keys = present();
        assert!(
            rotate(&keys, &wanted(1, Some("another-key-of-the-test")), &wanted(1, None)).expect("steps").is_empty()
        );
        let steps = rotate(&keys, &wanted(1, None), &wanted(2, Some("another-key-of-the-test"))).expect("steps");
        assert_eq!(steps.len(), 1);
        assert_eq!(steps[0].primary, keys.primary);
        assert_eq!((steps[0].secondary.key.as_str(), steps[0].secondary.version), ("another-key-of-the-test", 2));
    }

    #[test]
    fn two_bumps_replace_one_slot_after_the_other() {
        let keys = present();
        let steps = rotate(&keys, &wanted(7, None), &wanted(8, None)).expect("steps");
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
