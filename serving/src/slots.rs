//! Sticky requests: a key hashes to one of 10,000 slots, and each slot belongs to a version.
//!
//! A slot stands for a hundredth of a percent, so a version owns exactly as many slots as its share has basis points.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use crate::traffic::BasisPoints;

/// Number of slots.
pub const SLOTS: u16 = 10_000;

/// The slot of a sticky key within a service: `0..SLOTS`.
///
/// The algorithm is fixed, so that every router, and any program outside, agrees: take the first eight bytes of
/// `SHA-256(service ‖ 0x00 ‖ key)` as a big-endian number *h*; the slot is `h * 10000 / 2^64`, rounded down. The service's
/// name is part of it so that splits of different services are independent of each other.
#[must_use]
pub fn slot(service: &str, key: &[u8]) -> u16 {
    let digest = Sha256::new().chain_update(service).chain_update([0]).chain_update(key).finalize();
    let mut head = [0_u8; 8];
    head.copy_from_slice(&digest[..8]);
    let scaled = (u128::from(u64::from_be_bytes(head)) * u128::from(SLOTS)) >> 64;
    u16::try_from(scaled).unwrap_or(SLOTS - 1)
}

/// Owner of every slot, as runs of equal owners. In JSON: `"ridge*9000 forest*1000"`, which reads as slots 0 to 8,999
/// for `ridge` and the rest for `forest`. Empty means that no slot is assigned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotMap {
    runs: Vec<(String, u16)>,
}

/// Why a text is not a [`SlotMap`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlotMapError {
    /// A run is not of the form `name*count`.
    #[error("`{0}` is not a run of the form `version*count` with a count of at least 1")]
    Run(String),
    /// The runs do not add up to 10,000.
    #[error("the slot runs add up to {0}, but must add up to {SLOTS}")]
    Total(u64),
}

impl SlotMap {
    /// No slot is assigned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The owner of a slot; none if the slot is out of range or the map is empty. Cost grows with the number of runs;
    /// a router that serves sticky requests expands the map once per table with [`SlotMap::expand`].
    #[must_use]
    pub fn owner(&self, slot: u16) -> Option<&str> {
        let mut end = 0;
        self.runs.iter().find_map(|(name, length)| {
            end += length;
            (slot < end).then_some(name.as_str())
        })
    }

    /// The owner of every slot as an index into `names`, [`u8::MAX`] where the owner is not among them.
    #[must_use]
    pub fn expand(&self, names: &[&str]) -> Vec<u8> {
        let index = |name: &str| {
            names.iter().position(|known| *known == name).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
        };
        self.runs.iter().flat_map(|(name, length)| std::iter::repeat_n(index(name), usize::from(*length))).collect()
    }

    /// Slots by version; versions without a slot are absent.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&str, u16> {
        let mut counts = BTreeMap::new();
        for (name, length) in &self.runs {
            *counts.entry(name.as_str()).or_insert(0) += length;
        }
        counts
    }

    /// The runs in slot order: owner and length.
    pub fn runs(&self) -> impl Iterator<Item = (&str, u16)> {
        self.runs.iter().map(|(name, length)| (name.as_str(), *length))
    }

    fn push(&mut self, name: &str, length: u16) {
        if length == 0 {
            return;
        }
        match self.runs.last_mut() {
            Some((last, count)) if last == name => *count += length,
            _ => self.runs.push((name.to_owned(), length)),
        }
    }
}

/// A slot map for new shares that takes the fewest slots away from their owners: a version whose share shrinks gives up
/// just the difference (its highest slots), and one whose share grows gets just the difference.
///
/// `shares` must add up to [`SLOTS`], as those of a [`crate::traffic::Table`] do; from an empty `old` the slots are dealt
/// in the order of the names.
#[must_use]
pub fn reassign(old: &SlotMap, shares: &BTreeMap<String, BasisPoints>) -> SlotMap {
    let mut keep: BTreeMap<&str, u16> = shares.iter().map(|(name, share)| (name.as_str(), share.0)).collect();
    let mut wanted: Vec<(&str, u16)> = Vec::new();
    let held = old.counts();
    for (name, share) in &keep {
        let missing = share.saturating_sub(held.get(name).copied().unwrap_or(0));
        wanted.push((name, missing));
    }
    let mut takers = wanted.into_iter().filter(|(_, missing)| *missing > 0).peekable();
    let mut map = SlotMap::default();
    let mut deal = |map: &mut SlotMap, mut free: u16| {
        while free > 0 {
            let Some((name, missing)) = takers.peek_mut() else { break };
            let length = free.min(*missing);
            map.push(name, length);
            *missing -= length;
            free -= length;
            if *missing == 0 {
                takers.next();
            }
        }
    };
    for (name, length) in old.runs() {
        let left = keep.get(name).copied().unwrap_or(0);
        let kept = length.min(left);
        if let Some(left) = keep.get_mut(name) {
            *left -= kept;
        }
        map.push(name, kept);
        deal(&mut map, length - kept);
    }
    if old.is_empty() {
        deal(&mut map, SLOTS);
    }
    map
}

impl fmt::Display for SlotMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, length)) in self.runs.iter().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            write!(f, "{gap}{name}*{length}")?;
        }
        Ok(())
    }
}

impl FromStr for SlotMap {
    type Err = SlotMapError;

    fn from_str(text: &str) -> Result<Self, SlotMapError> {
        let mut map = Self::default();
        let mut total = 0_u64;
        for run in text.split_ascii_whitespace() {
            let (name, length) = run
                .split_once('*')
                .and_then(|(name, length)| Some((name, length.parse::<u16>().ok()?)))
                .filter(|(name, length)| !name.is_empty() && *length > 0)
                .ok_or_else(|| SlotMapError::Run(run.to_owned()))?;
            total += u64::from(length);
            if total > u64::from(SLOTS) {
                return Err(SlotMapError::Total(total));
            }
            map.push(name, length);
        }
        if total == 0 || total == u64::from(SLOTS) { Ok(map) } else { Err(SlotMapError::Total(total)) }
    }
}

impl Serialize for SlotMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SlotMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for SlotMap {
    fn schema_name() -> Cow<'static, str> {
        "SlotMap".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Owner of each of the 10,000 slots of sticky requests, as runs: `ridge*9000 forest*1000`.",
            "pattern": "^([^ *]+\\*[0-9]+( [^ *]+\\*[0-9]+)*)?$",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares(list: &[(&str, u16)]) -> BTreeMap<String, BasisPoints> {
        list.iter().map(|(name, share)| ((*name).to_owned(), BasisPoints(*share))).collect()
    }

    #[test]
    fn a_key_keeps_its_documented_slot() {
        // Computed apart from this code with Python's hashlib.
        for (service, key, expected) in VECTORS {
            assert_eq!(slot(service, key.as_bytes()), *expected, "{service} {key}");
        }
    }

    const VECTORS: &[(&str, &str, u16)] = &[
        ("diabetes", "", 4_188),
        ("diabetes", "alice", 3_224),
        ("diabetes", "bob", 3_622),
        ("churn", "alice", 3_337),
        ("churn", "0123456789", 453),
    ];

    #[test]
    fn the_text_form_is_compact_and_reads_back() {
        let map = reassign(&SlotMap::default(), &shares(&[("forest", 1_000), ("ridge", 9_000)]));
        assert_eq!(map.to_string(), "forest*1000 ridge*9000");
        assert_eq!(map.to_string().parse(), Ok(map));
    }

    #[test]
    fn a_damaged_text_is_refused_with_its_reason() {
        assert_eq!("a*5000 b".parse::<SlotMap>(), Err(SlotMapError::Run("b".into())));
        assert_eq!("a*0 b*10000".parse::<SlotMap>(), Err(SlotMapError::Run("a*0".into())));
        assert_eq!("a*9999".parse::<SlotMap>(), Err(SlotMapError::Total(9_999)));
        assert_eq!("a*9999 b*2".parse::<SlotMap>(), Err(SlotMapError::Total(10_001)));
    }

    #[test]
    fn a_version_that_joins_takes_only_its_own_share() {
        let old = reassign(&SlotMap::default(), &shares(&[("ridge", 10_000)]));
        let new = reassign(&old, &shares(&[("forest", 1_000), ("ridge", 9_000)]));
        assert_eq!(new.to_string(), "ridge*9000 forest*1000");
        assert_eq!(new.owner(8_999), Some("ridge"));
        assert_eq!(new.owner(9_000), Some("forest"));
        assert_eq!(new.owner(10_000), None);
        assert_eq!(new.expand(&["forest", "ridge"])[8_999..9_001], [1, 0]);
    }

    fn table() -> impl Strategy<Value = BTreeMap<String, BasisPoints>> {
        proptest::collection::btree_map("[a-h]", 1_u16..100, 1..7).prop_map(|weights| {
            let total: u32 = weights.values().map(|weight| u32::from(*weight)).sum();
            let mut left = SLOTS;
            let last = weights.len() - 1;
            let deal = |(index, (name, weight)): (usize, (String, u16))| {
                let fair = u16::try_from(u32::from(weight) * u32::from(SLOTS) / total).expect("at most SLOTS");
                let share = if index == last { left } else { fair };
                left -= share;
                (name, BasisPoints(share))
            };
            weights.into_iter().enumerate().map(deal).collect()
        })
    }

    proptest! {
        #[test]
        fn reassigning_gives_each_version_its_share_and_moves_the_fewest_slots(tables in proptest::collection::vec(table(), 2..6)) {
            let mut map = SlotMap::default();
            for shares in tables {
                let new = reassign(&map, &shares);
                let counts = new.counts();
                for (name, share) in &shares {
                    prop_assert_eq!(counts.get(name.as_str()).copied().unwrap_or(0), share.0);
                }
                if !map.is_empty() {
                    let moved = (0..SLOTS).filter(|slot| map.owner(*slot) != new.owner(*slot)).count();
                    let held = map.counts();
                    let surplus: usize = held.iter()
                        .map(|(name, count)| usize::from(count.saturating_sub(shares.get(*name).map_or(0, |share| share.0))))
                        .sum();
                    prop_assert_eq!(moved, surplus);
                }
                prop_assert_eq!(new.to_string().parse::<SlotMap>(), Ok(new.clone()));
                map = new;
            }
        }
    }
}
