//! What a whole document serves, whatever is written to it and in which order.

use proptest::prelude::*;

use super::*;
use crate::slots::SLOTS;
use crate::validate;

/// An endpoint without versions.
fn empty() -> Service {
    let mut service = Service::read(include_bytes!("../tests/documents/service-2.json")).expect("a recorded document");
    service.versions.clear();
    service.served = None;
    service
}

/// A version that is created, ready to be put into a document.
fn version(sequence: u64, declared: Declaration) -> Version {
    let recorded = Service::read(include_bytes!("../tests/documents/service-2.json")).expect("a recorded document");
    let mut version = recorded.versions["ridge"].clone();
    (version.sequence, version.committed, version.declared) = (sequence, true, declared);
    version
}

fn declares(traffic: u16, is_default: bool) -> Declaration {
    Declaration { traffic: BasisPoints(traffic), is_default: is_default.then_some(true), is_control: false }
}

/// An endpoint of versions that declare nothing, settled.
fn assigned(names: &[&str], assignment: Assignment) -> Service {
    let mut service = empty();
    for (name, sequence) in names.iter().zip(1..) {
        service.versions.insert((*name).to_owned(), version(sequence, Declaration::default()));
    }
    service.assignment = Some(assignment);
    service
}

fn assignment(shares: &[(&str, u16)], default: Option<&str>) -> Assignment {
    let shares = shares.iter().map(|(name, share)| ((*name).to_owned(), BasisPoints(*share))).collect();
    Assignment { shares, default: default.map(str::to_owned), control: None }
}

fn served(service: &Service) -> Vec<(&str, u16)> {
    let table = service.served.as_ref().expect("a table");
    table.shares.iter().map(|(name, share)| (name.as_str(), share.0)).collect()
}

#[test]
fn an_assignment_alone_divides_the_traffic() {
    let mut service = assigned(&["blue", "green"], assignment(&[("blue", 3_000), ("green", 2_000)], Some("green")));
    service.settle().expect("no conflict");
    assert_eq!(served(&service), [("blue", 3_000), ("green", 7_000)]);
    assert_eq!(service.served.as_ref().expect("a table").default, "green");
}

#[test]
fn an_assigned_version_that_does_not_exist_counts_for_nothing() {
    let mut service = assigned(&["blue"], assignment(&[("blue", 1_000), ("gone", 9_000)], Some("gone")));
    service.settle().expect("no conflict");
    assert_eq!(served(&service), [("blue", 10_000)]);
    // Not even when the rest would be too much together with it.
    service.assignment = Some(assignment(&[("blue", 9_000), ("gone", 9_000)], None));
    service.settle().expect("no conflict");
    assert_eq!(served(&service), [("blue", 10_000)]);
}

#[test]
fn a_version_that_is_not_created_yet_is_not_assigned_either() {
    let mut service = assigned(&["blue", "green"], assignment(&[("blue", 5_000), ("green", 5_000)], Some("blue")));
    service.versions.get_mut("green").expect("there").committed = false;
    service.settle().expect("no conflict");
    assert_eq!(served(&service), [("blue", 10_000)]);
    service.versions.get_mut("green").expect("there").committed = true;
    service.settle().expect("no conflict");
    assert_eq!(served(&service), [("blue", 5_000), ("green", 5_000)]);
}

#[test]
fn a_destroyed_version_serves_while_the_assignment_routes_to_it_and_leaves_with_that() {
    let mut service = assigned(&["blue", "green"], assignment(&[("green", 4_000)], Some("blue")));
    service.versions.get_mut("green").expect("there").retiring_until = Some("2126-01-01T00:00:00Z".into());
    service.settle().expect("no conflict");
    assert_eq!(served(&service), [("blue", 6_000), ("green", 4_000)]);
    service.assignment = Some(assignment(&[("green", 0)], Some("blue")));
    service.settle().expect("no conflict");
    assert_eq!(served(&service), [("blue", 10_000)]);
    // As the default it is routed to without a share of its own.
    service.assignment = Some(assignment(&[("blue", 1_000)], Some("green")));
    service.settle().expect("no conflict");
    assert_eq!(served(&service), [("blue", 1_000), ("green", 9_000)]);
    service.assignment = None;
    service.settle().expect("no conflict");
    assert_eq!(served(&service), [("blue", 10_000)]);
}

#[test]
fn what_versions_declare_beside_an_assignment_is_a_conflict_that_changes_nothing() {
    let mut service = assigned(&["blue", "green"], assignment(&[("green", 4_000)], Some("blue")));
    service.settle().expect("no conflict");
    let before = service.served.clone();
    service.versions.get_mut("green").expect("there").declared = declares(500, false);
    service.versions.get_mut("blue").expect("there").declared = declares(0, true);
    service.assignment = Some(assignment(&[("green", 6_000)], Some("blue")));
    let conflicts = service.settle().expect_err("in conflict");
    assert_eq!(conflicts.conflicts, [Conflict::Beside(vec!["blue".into(), "green".into()])]);
    assert_eq!(service.served, before);
    // Of a version that is destroyed nothing counts any more.
    service.versions.get_mut("green").expect("there").retiring_until = Some("2126-01-01T00:00:00Z".into());
    service.versions.get_mut("blue").expect("there").declared = Declaration::default();
    service.settle().expect("no conflict");
    assert_eq!(served(&service), [("blue", 4_000), ("green", 6_000)]);
}

#[test]
fn an_assignments_control_replaces_those_of_the_versions() {
    let mut service = assigned(&["blue", "green"], assignment(&[], Some("blue")));
    for version in service.versions.values_mut() {
        version.declared.is_control = true;
    }
    let controls = |service: &Service| -> Vec<String> {
        let declared = service.declared();
        declared.iter().filter(|(_, one)| one.declaration.is_control).map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(controls(&service), ["blue", "green"]);
    let conflicts = service.settle().expect_err("two controls").conflicts;
    assert!(matches!(&conflicts[..], [Conflict::Controls(_)]), "{conflicts:?}");
    service.assignment.as_mut().expect("there").control = Some("green".into());
    assert_eq!(controls(&service), ["green"]);
    service.settle().expect("no conflict");
}

#[test]
fn an_assignment_of_too_much_is_a_conflict() {
    let mut service = assigned(&["blue", "green"], assignment(&[("blue", 6_000), ("green", 6_000)], Some("blue")));
    assert_eq!(service.settle().expect_err("in conflict").conflicts, [Conflict::OverWhole(12_000)]);
    assert_eq!(service.served, None);
}

#[test]
fn a_version_whose_time_is_over_leaves_the_table_and_the_document() {
    let mut service = assigned(&["blue", "green"], assignment(&[("green", 4_000)], Some("green")));
    service.settle().expect("no conflict");
    let until: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    service.versions.get_mut("green").expect("there").retiring_until = Some(until.to_string());
    let before = service.clone();
    let second = jiff::SignedDuration::from_secs(1);
    assert!(!service.drop_retired(until - second));
    assert_eq!(service, before);
    assert!(service.drop_retired(until));
    assert_eq!(served(&service), [("blue", 10_000)]);
    assert_eq!(validate::service(&service), []);
    service.versions.get_mut("blue").expect("there").retiring_until = Some(until.to_string());
    assert!(service.drop_retired(until + second));
    assert_eq!((service.versions.len(), &service.served), (0, &None));
}

#[test]
fn settling_notes_what_was_declared_and_a_conflict_does_not() {
    let mut service = empty();
    service.versions.insert("blue".into(), version(1, declares(2_000, true)));
    service.settle().expect("no conflict");
    assert_eq!(service.versions["blue"].settled, Some(declares(2_000, true)));
    service.versions.insert("green".into(), version(2, declares(9_000, false)));
    service.settle().expect_err("110 %");
    assert_eq!((served(&service), service.versions["green"].settled), (vec![("blue", 10_000)], None));
    service.versions.remove("blue");
    service.settle().expect("no conflict");
    assert_eq!(served(&service), [("green", 10_000)]);
}

/// One write of a document.
#[derive(Clone, Debug)]
enum Write {
    Add(usize, Declaration),
    Commit(usize),
    Change(usize, Declaration),
    Remove(usize),
    Retire(usize),
    Pass(i64),
    Assign(Vec<(usize, u16)>, Option<usize>, Option<usize>),
    Unassign,
}

const NAMES: [&str; 8] = ["aaa", "bbb", "ccc", "ddd", "eee", "fff", "ggg", "hhh"];

fn write() -> impl Strategy<Value = Write> {
    let name = 0..NAMES.len();
    // Small shares often enough that many sets are valid.
    let share = prop_oneof![Just(0), 0_u16..2_000, 0_u16..=WHOLE];
    let declaration =
        (share.clone(), prop_oneof![4 => Just(None), 1 => Just(Some(true)), 1 => Just(Some(false))], any::<bool>())
            .prop_map(|(traffic, is_default, is_control)| Declaration {
                traffic: BasisPoints(traffic),
                is_default,
                is_control,
            });
    let free = Just(Declaration::default());
    let declaration = prop_oneof![declaration, free];
    prop_oneof![
        4 => (name.clone(), declaration.clone()).prop_map(|(name, declared)| Write::Add(name, declared)),
        4 => name.clone().prop_map(Write::Commit),
        4 => (name.clone(), declaration).prop_map(|(name, declared)| Write::Change(name, declared)),
        2 => name.clone().prop_map(Write::Remove),
        2 => name.clone().prop_map(Write::Retire),
        1 => (0_i64..3_600).prop_map(Write::Pass),
        2 => (
            proptest::collection::vec((name.clone(), share), 0..4),
            proptest::option::of(name.clone()),
            proptest::option::of(name),
        )
            .prop_map(|(shares, default, control)| Write::Assign(shares, default, control)),
        1 => Just(Write::Unassign),
    ]
}

/// Carries out a write that is possible, as the provider would.
fn carry_out(service: &mut Service, write: Write, now: &mut jiff::Timestamp) {
    let name = |index: usize| NAMES[index].to_owned();
    match write {
        Write::Add(index, declared) if service.versions.len() < MAX_VERSIONS => {
            let sequence = service.versions.values().map(|version| version.sequence).max().unwrap_or(0) + 1;
            let mut new = version(sequence, declared);
            new.committed = false;
            service.versions.entry(name(index)).or_insert(new);
        }
        Write::Commit(index) => {
            service.versions.entry(name(index)).and_modify(|version| version.committed = true);
        }
        Write::Change(index, declared) => {
            service.versions.entry(name(index)).and_modify(|version| version.declared = declared);
        }
        Write::Remove(index) => {
            service.versions.remove(NAMES[index]);
        }
        Write::Retire(index) => {
            let until = (*now + jiff::SignedDuration::from_mins(30)).to_string();
            service.versions.entry(name(index)).and_modify(|version| version.retiring_until = Some(until));
        }
        Write::Pass(seconds) => {
            *now += jiff::SignedDuration::from_secs(seconds);
            service.drop_retired(*now);
        }
        Write::Assign(shares, default, control) => {
            let shares = shares.into_iter().map(|(index, share)| (name(index), BasisPoints(share))).collect();
            service.assignment = Some(Assignment { shares, default: default.map(name), control: control.map(name) });
        }
        Write::Unassign => service.assignment = None,
        Write::Add(..) => {}
    }
}

/// How many slots have another owner, and how many had to get one: what versions hold beyond their new shares.
fn moved(old: &Table, new: &Table) -> (usize, usize) {
    let moved = (0..SLOTS).filter(|slot| old.slots.owner(*slot) != new.slots.owner(*slot)).count();
    let surplus = |(name, count): (&str, u16)| count.saturating_sub(new.shares.get(name).map_or(0, |share| share.0));
    (moved, old.slots.counts().into_iter().map(surplus).map(usize::from).sum())
}

proptest! {
    #[test]
    fn whatever_is_written_in_whatever_order_the_served_table_is_valid_and_moves_the_fewest_slots(
        writes in proptest::collection::vec(write(), 1..40)
    ) {
        let mut service = empty();
        let mut now: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        for write in writes {
            let before = service.served.clone();
            carry_out(&mut service, write.clone(), &mut now);
            let settled = service.settle();
            prop_assert_eq!(validate::service(&service), [], "{:?}", write);
            prop_assert!(settled.is_ok() || !settled.as_ref().expect_err("in conflict").conflicts.is_empty());
            let declared = service.declared();
            prop_assert!(service.served.is_some() || declared.is_empty() || settled.is_err());
            let Some(table) = &service.served else { continue };
            prop_assert!(!table.slots.is_empty());
            prop_assert!(table.shares.contains_key(&table.default));
            prop_assert!(table.shares.keys().all(|name| declared.contains_key(name) && service.versions[name].committed));
            if settled.is_ok() {
                prop_assert_eq!(table.shares.len(), declared.len());
                for (name, declared) in &declared {
                    let own = declared.declaration.traffic;
                    prop_assert!(table.shares[name] == own || *name == table.default && table.shares[name] > own);
                }
            }
            if let Some(before) = &before {
                let (moved, least) = moved(before, table);
                prop_assert!(moved >= least);
                // A time that passes and a settling after it are two tables; each alone moves the fewest.
                if !matches!(write, Write::Pass(_)) {
                    prop_assert_eq!(moved, least, "{:?}", write);
                }
            }
            // Settling again changes nothing.
            let mut again = service.clone();
            let _ = again.settle();
            prop_assert_eq!(&again.served, &service.served);
        }
    }
}
