use proptest::prelude::*;

use super::*;

fn points(shares: &[u16]) -> Vec<BasisPoints> {
    shares.iter().map(|share| BasisPoints(*share)).collect()
}

/// Shares that add up to 10,000, with zeros and very uneven ones among them.
fn table() -> impl Strategy<Value = Vec<BasisPoints>> {
    proptest::collection::vec(prop_oneof![0_u32..3, 0_u32..100, 0_u32..10_000], 1..=6).prop_map(|weights| {
        let total: u32 = weights.iter().sum();
        let mut left = 10_000;
        let mut shares: Vec<u16> = weights
            .iter()
            .map(|weight| u16::try_from((weight * 10_000).checked_div(total).unwrap_or(0)).expect("at most 10,000"))
            .inspect(|share| left -= share)
            .collect();
        *shares.last_mut().expect("not empty") += left;
        points(&shares)
    })
}

fn assert_within_one(shares: &[BasisPoints], counts: &[i64], requests: i64) -> Result<(), TestCaseError> {
    for (share, count) in shares.iter().zip(counts) {
        let deviation = (count * 10_000 - requests * i64::from(share.0)).abs();
        prop_assert!(deviation < 10_000, "{counts:?} after {requests} of {shares:?}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_count_is_within_one_of_its_share_after_every_request(shares in table()) {
        let mut picker = Picker::new(&shares, 0);
        let mut counts = vec![0_i64; shares.len()];
        for requests in 1..=25_000 {
            counts[picker.pick()] += 1;
            assert_within_one(&shares, &counts, requests)?;
        }
    }

    #[test]
    fn a_version_that_is_not_ready_gives_its_share_to_the_default_and_takes_nothing_from_the_others(
        shares in table(), down in any::<u64>(), start in any::<usize>()
    ) {
        let default = start % shares.len();
        let ready = |version: usize| version == default || down >> version & 1 == 0;
        let mut picker = Picker::new(&shares, default);
        let mut counts = vec![0_i64; shares.len()];
        for requests in 1..=3_000_i64 {
            let version = picker.pick_ready(ready).expect("the default is ready");
            prop_assert!(ready(version));
            counts[version] += 1;
            for (index, share) in shares.iter().enumerate().filter(|(index, _)| *index != default && ready(*index)) {
                prop_assert!((counts[index] * 10_000 - requests * i64::from(share.0)).abs() < 10_000);
            }
        }
    }
}

#[test]
fn a_ninety_to_ten_split_sends_exactly_one_of_ten() {
    let mut picker = Picker::new(&points(&[9_000, 1_000]), 0);
    for round in 0..5 {
        let tenth = (0..10).filter(|_| picker.pick() == 1).count();
        assert_eq!(tenth, 1, "round {round}");
    }
}

#[test]
fn a_version_without_a_share_is_never_picked() {
    let mut picker = Picker::new(&points(&[0, 10_000, 0]), 1);
    assert!((0..1_000).all(|_| picker.pick() == 1));
}

#[test]
fn while_the_default_is_down_the_ready_versions_take_its_share_in_proportion() {
    let mut picker = Picker::new(&points(&[7_000, 2_000, 1_000]), 0);
    let mut counts = [0; 3];
    for _ in 0..10_000 {
        counts[picker.pick_ready(|version| version != 0).expect("two are ready")] += 1;
    }
    assert_eq!(counts[0], 0);
    assert!((6_665..=6_668).contains(&counts[1]), "{counts:?}");
}

#[test]
fn ready_versions_without_a_share_take_over_evenly_when_nothing_else_is_ready() {
    let mut picker = Picker::new(&points(&[10_000, 0, 0]), 0);
    let ones = (0..100).filter(|_| picker.pick_ready(|version| version != 0) == Some(1)).count();
    assert_eq!(ones, 50);
    assert_eq!(picker.pick_ready(|_| false), None);
}

#[test]
fn a_tables_picker_counts_versions_in_the_order_of_their_names() {
    let shares = [("blue".to_owned(), BasisPoints(0)), ("green".to_owned(), BasisPoints(10_000))];
    let mut table = Table { default: "green".into(), shares: shares.into(), slots: crate::slots::SlotMap::default() };
    assert_eq!(Picker::names(&table).collect::<Vec<_>>(), ["blue", "green"]);
    assert_eq!(Picker::for_table(&table).map(|mut picker| picker.pick()), Some(1));
    table.default = "red".into();
    assert!(Picker::for_table(&table).is_none());
}

/// Every way to divide `left` steps among so many versions, in rising order; the order does not matter to the picker's bound,
/// only which of equal versions comes first.
fn partitions(left: u16, versions: usize, least: u16, found: &mut Vec<Vec<u16>>, so_far: &mut Vec<u16>) {
    if versions == 1 {
        found.push([so_far.as_slice(), &[left]].concat());
        return;
    }
    for part in least..=left / u16::try_from(versions).expect("few") {
        so_far.push(part);
        partitions(left - part, versions - 1, part, found, so_far);
        so_far.pop();
    }
}

#[test]
fn every_table_of_steps_of_five_percent_is_exact_over_its_whole_period_and_within_one_at_each_request() {
    let mut tables = Vec::new();
    for versions in 1..=crate::traffic::MAX_VERSIONS {
        partitions(20, versions, 0, &mut tables, &mut Vec::new());
    }
    assert!(tables.len() > 150, "{}", tables.len());
    for mut steps in tables {
        // The largest share last and first: ties are decided by the place.
        for _ in 0..2 {
            let shares = points(&steps.iter().map(|step| step * 500).collect::<Vec<_>>());
            let mut picker = Picker::new(&shares, 0);
            let mut counts = vec![0_i64; shares.len()];
            for requests in 1..=400_i64 {
                counts[picker.pick()] += 1;
                assert_within_one(&shares, &counts, requests).expect("within one");
                if requests % 20 == 0 {
                    let exact: Vec<i64> = steps.iter().map(|step| i64::from(*step) * requests / 20).collect();
                    assert_eq!(counts, exact, "{steps:?} after {requests}");
                }
            }
            steps.reverse();
        }
    }
}
