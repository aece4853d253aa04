//! The published file against the code, and against an implementation that shares nothing with it.

use super::*;

fn published() -> Value {
    serde_json::from_str(include_str!("../../schemas/traffic-vectors.json")).expect("JSON")
}

#[test]
fn the_published_examples_are_what_the_code_does() {
    assert_eq!(published(), traffic(), "run `cargo xtask schemas` and commit");
}

#[test]
fn the_original_documents_examples_are_published() {
    let published = published();
    let table = |name: &str| {
        let examples = published["settle"]["examples"].as_array().expect("a list");
        let example = examples.iter().find(|example| example["name"] == name).unwrap_or_else(|| panic!("{name}"));
        (example["table"]["shares"].clone(), example["table"]["default"].clone())
    };
    assert_eq!(table("20 % alone serve everything"), (json!({ "versiona": 10_000 }), json!("versiona")));
    assert_eq!(
        table("20 % (default) and 10 % serve 90 and 10"),
        (json!({ "versiona": 9_000, "versionb": 1_000 }), json!("versiona"))
    );
    assert_eq!(
        table("20 % and 40 % (default) serve 20 and 80"),
        (json!({ "versiona": 2_000, "versionb": 8_000 }), json!("versionb"))
    );
    assert_eq!(
        table("test 10 %, prod 30 %, and the default the rest"),
        (json!({ "default": 6_000, "prod": 3_000, "test": 1_000 }), json!("default"))
    );
}

/// Tijdeman's rule in exact fractions, straight from the paper: of the versions whose lag has reached `1/(2m-2)`, the one
/// that would first reach `1 - 1/(2m-2)`.
fn tijdeman(shares: &[u64], count: usize) -> Vec<usize> {
    let members: Vec<usize> = (0..shares.len()).filter(|place| shares[*place] > 0).collect();
    let m = i128::try_from(members.len()).expect("few");
    let scale = 2 * m - 2;
    let mut counts = vec![0_i128; shares.len()];
    let mut picks = Vec::new();
    for request in 1..=i128::try_from(count).expect("few") {
        // Before the pick, in 10,000ths of a request: what the version is due, less what it got.
        let lag = |place: usize| i128::from(shares[place]) * request - counts[place] * 10_000;
        let pick = if scale == 0 {
            members[0]
        } else {
            let eligible = members.iter().copied().filter(|place| scale * lag(*place) >= 10_000);
            // Requests until the bound is passed, as a fraction over the share; the smallest one, of equals the first.
            let rest = |place: usize| (scale - 1) * 10_000 - scale * lag(place);
            eligible
                .reduce(|best, other| {
                    let (a, b) = (rest(best) * i128::from(shares[other]), rest(other) * i128::from(shares[best]));
                    if b < a { other } else { best }
                })
                .expect("some version is eligible")
        };
        counts[pick] += 1;
        picks.push(pick);
    }
    picks
}

#[test]
fn the_published_picks_follow_from_the_paper() {
    let published = published();
    let mut seen = 0;
    for example in published["picker"]["examples"].as_array().expect("a list") {
        let list = |name: &str| -> Vec<u64> { serde_json::from_value(example[name].clone()).expect("numbers") };
        let picks: Vec<usize> = list("picks").into_iter().map(|pick| usize::try_from(pick).expect("small")).collect();
        if example["ready"].is_null() {
            assert_eq!(tijdeman(&list("shares"), picks.len()), picks, "{example}");
            seen += 1;
        }
    }
    assert!(seen >= 5);
}
