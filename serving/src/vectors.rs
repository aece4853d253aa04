//! Examples of the traffic rules with their results, for those who implement the rules anew: `schemas/traffic-vectors.json`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::picker::Picker;
use crate::slots::{self, SLOTS, SlotMap};
use crate::traffic::{BasisPoints, Conflict, Declaration, Declared, Table, settle};

/// Everything, each part with a description of what it says.
#[must_use]
pub fn traffic() -> Value {
    json!({
        "description": "Examples of how the traffic of an endpoint is divided. Shares are basis points: hundredths of a percent, \
            10000 is everything. An implementation agrees with this one if it gives each example's result.",
        "settle": {
            "description": "`declared` is what each version declares (`sequence` is the order of creation), `served` the table before, \
                null if there was none. The result is the new table, or the kinds of conflict; then the table before stays.",
            "examples": settle_examples(),
        },
        "picker": {
            "description": "`picks` are the versions of the first requests after a table came into force, as places in the order of the \
                names of `shares`; one picker gives them (a router has one for each thread). `ready`, where given, lists the places \
                that have a ready replica; otherwise all have.",
            "examples": picker_examples(),
        },
        "slot": {
            "description": "The slot of a sticky key: the first eight bytes of SHA-256(service, a zero byte, key) as a big-endian number, \
                times 10000, divided by 2^64, rounded down. Keys are UTF-8.",
            "examples": slot_examples(),
        },
        "reassign": {
            "description": "Owners of the 10000 slots before and after a change of shares, as runs in the order of slots; an empty text \
                is no owner at all. `moved` is how many slots have another owner afterwards: always as few as possible.",
            "examples": reassign_examples(),
        },
    })
}

fn declaration(traffic: u16, default: bool) -> Declaration {
    Declaration { traffic: BasisPoints(traffic), is_default: default.then_some(true), is_control: false }
}

fn shares(list: &[(&str, u16)]) -> BTreeMap<String, BasisPoints> {
    list.iter().map(|(name, share)| ((*name).to_owned(), BasisPoints(*share))).collect()
}

/// A version: name, sequence, declaration.
type Step<'s> = (&'s str, u64, Declaration);

/// A chain of examples: each starts from the table of the one before.
fn chain(examples: &mut Vec<Value>, steps: &[(&str, &[Step<'_>])]) {
    let mut served: Option<Table> = None;
    for (name, versions) in steps {
        let declared: BTreeMap<String, Declared> = versions
            .iter()
            .map(|(name, sequence, declaration)| {
                ((*name).to_owned(), Declared { sequence: *sequence, declaration: *declaration })
            })
            .collect();
        let listed: BTreeMap<&String, Value> = declared
            .iter()
            .map(|(name, version)| {
                let mut value = json!(version.declaration);
                value["sequence"] = version.sequence.into();
                (name, value)
            })
            .collect();
        let before = json!(served);
        let result = settle(&declared, served.as_ref());
        let (table, conflicts) = match result {
            Ok(table) => {
                let value = json!(table);
                served = Some(table);
                (value, json!([]))
            }
            Err(conflicts) => (Value::Null, conflicts.conflicts.iter().map(kind).collect()),
        };
        examples.push(
            json!({ "name": name, "declared": listed, "served": before, "table": table, "conflicts": conflicts }),
        );
    }
}

fn kind(conflict: &Conflict) -> Value {
    match conflict {
        Conflict::NoVersion => json!({ "kind": "no_version" }),
        Conflict::TooManyVersions(count) => json!({ "kind": "too_many_versions", "versions": count }),
        Conflict::OverWhole(sum) => json!({ "kind": "over_whole", "sum": sum }),
        Conflict::Defaults(names) => json!({ "kind": "defaults", "names": names }),
        Conflict::Controls(names) => json!({ "kind": "controls", "names": names }),
        Conflict::Beside(names) => json!({ "kind": "beside", "names": names }),
    }
}

fn settle_examples() -> Vec<Value> {
    let mut examples = Vec::new();
    let free = |traffic| declaration(traffic, false);
    let default = |traffic| declaration(traffic, true);
    chain(
        &mut examples,
        &[
            ("20 % alone serve everything", &[("versiona", 1, default(2_000))]),
            (
                "20 % (default) and 10 % serve 90 and 10",
                &[("versiona", 1, default(2_000)), ("versionb", 2, free(1_000))],
            ),
            (
                "20 % and 40 % (default) serve 20 and 80",
                &[("versiona", 1, free(2_000)), ("versionb", 2, default(4_000))],
            ),
            ("more than 100 % changes nothing", &[("versiona", 1, free(7_000)), ("versionb", 2, default(4_000))]),
            ("a dropped claim moves nothing", &[("versiona", 1, free(2_000)), ("versionb", 2, free(4_000))]),
            ("without its default the other version serves everything", &[("versiona", 1, free(2_000))]),
        ],
    );
    chain(
        &mut examples,
        &[(
            "test 10 %, prod 30 %, and the default the rest",
            &[("test", 1, free(1_000)), ("prod", 2, free(3_000)), ("default", 3, default(0))],
        )],
    );
    chain(
        &mut examples,
        &[
            ("without a claim the largest share is the default", &[("old", 1, free(1_000)), ("large", 2, free(3_000))]),
            (
                "the present default stays without a claim",
                &[("old", 1, free(1_000)), ("large", 2, free(3_000)), ("larger", 3, free(5_000))],
            ),
        ],
    );
    let control = |traffic| Declaration { is_control: true, ..free(traffic) };
    let many: Vec<Step<'_>> = ["a", "b", "c", "d", "e", "f", "g"]
        .iter()
        .zip(1..)
        .map(|(name, sequence)| (*name, sequence, free(1)))
        .collect();
    for (name, versions) in [
        ("of equal shares the oldest is the default", &[("beta", 1, free(0)), ("alpha", 2, free(0))][..]),
        ("two claims are a conflict", &[("a", 1, default(1_000)), ("b", 2, default(1_000))]),
        ("two controls are a conflict", &[("a", 1, control(1_000)), ("b", 2, control(1_000))]),
        ("seven versions are too many", &many),
        ("no version is a conflict", &[]),
    ] {
        chain(&mut examples, &[(name, versions)]);
    }
    examples
}

fn picker_examples() -> Vec<Value> {
    let example = |shares: &[u16], default: usize, count: usize, ready: Option<&[usize]>| {
        let points: Vec<BasisPoints> = shares.iter().map(|share| BasisPoints(*share)).collect();
        let mut picker = Picker::new(&points, default);
        let mut pick = || match ready {
            Some(ready) => picker.pick_ready(|place| ready.contains(&place)).unwrap_or_default(),
            None => picker.pick(),
        };
        let picks: Vec<usize> = (0..count).map(|_| pick()).collect();
        let mut value = json!({ "shares": shares, "default": default, "picks": picks });
        if let Some(ready) = ready {
            value["ready"] = json!(ready);
        }
        value
    };
    vec![
        example(&[10_000], 0, 5, None),
        example(&[9_000, 1_000], 0, 40, None),
        example(&[2_000, 8_000], 1, 40, None),
        example(&[3_333, 3_333, 3_334], 2, 60, None),
        example(&[6_000, 3_000, 1_000], 0, 60, None),
        example(&[0, 10_000, 0], 1, 10, None),
        example(&[4_500, 2_500, 1_500, 1_000, 500], 0, 80, None),
        example(&[6_000, 3_000, 1_000], 0, 40, Some(&[0, 2])),
        example(&[6_000, 3_000, 1_000], 0, 40, Some(&[1, 2])),
    ]
}

fn slot_examples() -> Vec<Value> {
    let keys = ["", "alice", "bob", "0123456789", "550e8400-e29b-41d4-a716-446655440000", "Jörg", "a b&c=d"];
    let pairs = ["diabetes", "churn"].into_iter().flat_map(|service| keys.map(|key| (service, key)));
    pairs
        .map(|(service, key)| json!({ "service": service, "key": key, "slot": slots::slot(service, key.as_bytes()) }))
        .collect()
}

fn reassign_examples() -> Vec<Value> {
    let mut map = SlotMap::default();
    let steps: [&[(&str, u16)]; 7] = [
        &[("ridge", 10_000)],
        &[("forest", 1_000), ("ridge", 9_000)],
        &[("forest", 2_500), ("ridge", 7_500)],
        &[("boost", 2_000), ("forest", 2_500), ("ridge", 5_500)],
        &[("boost", 6_000), ("forest", 0), ("ridge", 4_000)],
        &[("boost", 10_000)],
        &[("boost", 3_333), ("forest", 3_333), ("ridge", 3_334)],
    ];
    let example = |list: &&[(&str, u16)]| {
        let shares = shares(list);
        let new = slots::reassign(&map, &shares);
        let moved = (0..SLOTS).filter(|slot| map.owner(*slot) != new.owner(*slot)).count();
        let value = json!({ "before": map, "shares": shares, "after": new, "moved": moved });
        map = new;
        value
    };
    steps.iter().map(example).collect()
}

#[cfg(test)]
#[path = "vectors_tests.rs"]
mod tests;
