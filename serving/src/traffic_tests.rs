use proptest::prelude::*;

use super::*;

fn version(traffic: u16, is_default: bool) -> Declaration {
    Declaration { traffic: BasisPoints(traffic * 100), is_default: is_default.then_some(true), is_control: false }
}

/// Versions in the order of their creation.
fn declared(versions: &[(&str, Declaration)]) -> BTreeMap<String, Declared> {
    let number = |(index, (name, declaration)): (usize, &(&str, Declaration))| {
        ((*name).to_owned(), Declared { sequence: index as u64 + 1, declaration: *declaration })
    };
    versions.iter().enumerate().map(number).collect()
}

fn percent(table: &Table) -> Vec<(&str, String)> {
    table.shares.iter().map(|(name, share)| (name.as_str(), share.to_string())).collect()
}

fn shares(list: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    list.iter().map(|(name, share)| (*name, (*share).to_owned())).collect()
}

#[test]
fn the_original_documents_example_is_served_as_it_says() {
    let first = [("versiona", version(20, true))];
    let table = settle(&declared(&first), None).expect("valid");
    assert_eq!(percent(&table), shares(&[("versiona", "100")]));

    let both = [("versiona", version(20, true)), ("versionb", version(10, false))];
    let table = settle(&declared(&both), Some(&table)).expect("valid");
    assert_eq!(percent(&table), shares(&[("versiona", "90"), ("versionb", "10")]));

    let moved = [("versiona", version(20, false)), ("versionb", version(40, true))];
    let table = settle(&declared(&moved), Some(&table)).expect("valid");
    assert_eq!(table.default, "versionb");
    assert_eq!(percent(&table), shares(&[("versiona", "20"), ("versionb", "80")]));
}

#[test]
fn what_test_and_production_leave_goes_to_the_default() {
    let set = [("test", version(10, false)), ("prod", version(30, false)), ("base", version(0, true))];
    let table = settle(&declared(&set), None).expect("valid");
    assert_eq!(percent(&table), shares(&[("base", "60"), ("prod", "30"), ("test", "10")]));
}

#[test]
fn without_a_claim_the_first_version_is_the_default() {
    let set = [("only", version(0, false))];
    let table = settle(&declared(&set), None).expect("valid");
    assert_eq!((table.default.as_str(), percent(&table)), ("only", shares(&[("only", "100")])));
}

#[test]
fn without_a_claim_and_without_a_present_default_the_largest_share_then_the_oldest_wins() {
    let set = [("old", version(10, false)), ("large", version(30, false)), ("also", version(30, false))];
    assert_eq!(settle(&declared(&set), None).expect("valid").default, "large");
    let even = [("zeta", version(0, false)), ("alpha", version(0, false))];
    assert_eq!(settle(&declared(&even), None).expect("valid").default, "zeta");
}

#[test]
fn dropping_a_claim_moves_nothing_until_another_claims() {
    let set = [("aaa", version(20, true)), ("bbb", version(50, false))];
    let table = settle(&declared(&set), None).expect("valid");
    let mut dropped = [("aaa", version(20, false)), ("bbb", version(50, false))];
    dropped[0].1.is_default = Some(false);
    let same = settle(&declared(&dropped), Some(&table)).expect("valid");
    assert_eq!(same, table);
    dropped[1].1.is_default = Some(true);
    let moved = settle(&declared(&dropped), Some(&same)).expect("valid");
    assert_eq!(percent(&moved), shares(&[("aaa", "20"), ("bbb", "80")]));
}

#[test]
fn removing_the_default_resolves_it_anew() {
    let set = [("aaa", version(20, true)), ("bbb", version(10, false)), ("ccc", version(30, false))];
    let table = settle(&declared(&set), None).expect("valid");
    let left = [("bbb", version(10, false)), ("ccc", version(30, false))];
    let table = settle(&declared(&left), Some(&table)).expect("valid");
    assert_eq!((table.default.as_str(), percent(&table)), ("ccc", shares(&[("bbb", "10"), ("ccc", "90")])));
}

#[test]
fn everything_in_conflict_is_named_at_once() {
    let mut set = [("aaa", version(80, true)), ("bbb", version(30, true))];
    set[0].1.is_control = true;
    set[1].1.is_control = true;
    let conflicts = settle(&declared(&set), None).expect_err("in conflict");
    assert_eq!(
        conflicts.to_string(),
        "the traffic percentages add up to 110.00, but must not exceed 100; several versions are declared the default: \
         aaa, bbb; several versions are declared the control: aaa, bbb (declared: aaa 80 %, bbb 30 %)"
    );
    let many: Vec<_> = ["aaa", "bbb", "ccc", "ddd", "eee", "fff", "ggg"].map(|name| (name, version(1, false))).into();
    assert_eq!(settle(&declared(&many), None).expect_err("in conflict").conflicts, [Conflict::TooManyVersions(7)]);
    assert_eq!(settle(&BTreeMap::new(), None).expect_err("in conflict").conflicts, [Conflict::NoVersion]);
}

#[test]
fn a_removal_during_a_conflict_gives_its_share_to_the_default() {
    let set = [("aaa", version(20, true)), ("bbb", version(50, false)), ("ccc", version(30, false))];
    let table = settle(&declared(&set), None).expect("valid");
    // `ccc` claims the default and too much, `bbb` is gone.
    let conflict = [("aaa", version(20, true)), ("ccc", version(90, true))];
    assert!(settle(&declared(&conflict), Some(&table)).is_err());
    let left = table.retain(&declared(&conflict)).expect("something is left");
    assert_eq!((left.default.as_str(), percent(&left)), ("aaa", shares(&[("aaa", "70"), ("ccc", "30")])));
    let only = [("ccc", version(90, false))];
    assert_eq!(percent(&table.retain(&declared(&only)).expect("left")), shares(&[("ccc", "100")]));
    assert_eq!(table.retain(&BTreeMap::new()), None);
}

#[test]
fn percent_reads_and_writes_two_decimals_exactly() {
    for points in 0..=WHOLE {
        let points = BasisPoints(points);
        assert_eq!(BasisPoints::from_percent(points.percent()), Ok(points));
        assert_eq!(points.to_string().parse(), Ok(points));
        assert_eq!(points.to_string().parse::<f64>().map(BasisPoints::from_percent), Ok(Ok(points)));
    }
}

#[test]
fn what_is_not_a_percentage_is_refused_with_the_reason() {
    for bad in [-0.01, 100.01, f64::NAN, f64::INFINITY] {
        assert!(matches!(BasisPoints::from_percent(bad), Err(PercentError::Range(_))), "{bad}");
    }
    assert_eq!(
        BasisPoints::from_percent(33.333).expect_err("refused").to_string(),
        "33.333 is too fine a percentage: at most two decimals are allowed, for example 33.33"
    );
    assert_eq!("50.100".parse(), Ok(BasisPoints(5_010)));
    assert_eq!("100.00".parse(), Ok(BasisPoints(WHOLE)));
    assert!(matches!("0.001".parse::<BasisPoints>(), Err(PercentError::TooFine(_))));
    for bad in ["", ".5", "5.", "-1", "+1", "1e1", "101", "100.01", "99999999999", "a", "1,5"] {
        assert!(matches!(bad.parse::<BasisPoints>(), Err(PercentError::Range(_))), "{bad}");
    }
}

prop_compose! {
    fn set()(versions in proptest::collection::vec((0_u16..=WHOLE, proptest::option::of(any::<bool>()), any::<bool>()), 0..8))
        -> Vec<(String, Declaration)>
    {
        let name = |index: usize| char::from(b'a' + u8::try_from(index).expect("few")).to_string().repeat(3);
        versions.into_iter().enumerate().map(|(index, (traffic, is_default, is_control))| {
            // Small shares often enough that many sets are valid.
            let traffic = BasisPoints(if traffic % 3 == 0 { traffic } else { traffic / 8 });
            (name(index), Declaration { traffic, is_default, is_control: is_control && index % 4 == 0 })
        }).collect()
    }
}

proptest! {
    #[test]
    fn a_settled_table_serves_each_version_its_share_and_the_default_the_rest(first in set(), second in set()) {
        let mut served: Option<Table> = None;
        for set in [first, second] {
            let borrowed: Vec<(&str, Declaration)> = set.iter().map(|(name, declaration)| (name.as_str(), *declaration)).collect();
            let declared = declared(&borrowed);
            let sum: u32 = set.iter().map(|(_, declaration)| u32::from(declaration.traffic.0)).sum();
            let claims = set.iter().filter(|(_, declaration)| declaration.is_default == Some(true)).count();
            let controls = set.iter().filter(|(_, declaration)| declaration.is_control).count();
            let valid = !set.is_empty() && set.len() <= MAX_VERSIONS && sum <= u32::from(WHOLE) && claims <= 1 && controls <= 1;
            match settle(&declared, served.as_ref()) {
                Ok(table) => {
                    prop_assert!(valid);
                    prop_assert_eq!(table.shares.values().map(|share| share.0).sum::<u16>(), WHOLE);
                    for (name, declaration) in &set {
                        let rest = if *name == table.default { u32::from(WHOLE) - sum } else { 0 };
                        prop_assert_eq!(u32::from(table.shares[name].0), u32::from(declaration.traffic.0) + rest);
                        prop_assert_eq!(table.slots.counts().get(name.as_str()).copied().unwrap_or(0), table.shares[name].0);
                    }
                    // Settling again changes nothing.
                    prop_assert_eq!(settle(&declared, Some(&table)), Ok(table.clone()));
                    served = Some(table);
                }
                Err(conflicts) => {
                    prop_assert!(!valid);
                    prop_assert!(!conflicts.conflicts.is_empty());
                }
            }
        }
    }
}
