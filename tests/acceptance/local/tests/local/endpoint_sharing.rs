//! Versions of one endpoint in several configurations that are applied at the same time.

use acceptance_local::{
    ENDPOINT, Project, Split, answered_by, elsewhere, elsewhere_configuration, request, write_code,
};

const NAMES: [&str; 6] = ["a01", "a02", "a03", "a04", "a05", "a06"];

/// Percentages of the versions, round after round; in the third, the code changes, too.
const ROUNDS: [[u16; 6]; 4] =
    [[10, 10, 10, 10, 10, 50], [50, 10, 10, 10, 10, 10], [0, 20, 20, 20, 20, 20], [5, 15, 25, 35, 20, 0]];

/// The message of an apply whose siblings needed more than the grace.
const LATE: [&str; 2] = ["cannot be served as they are declared", "then they are served without another apply"];

#[test]
fn six_configurations_that_are_applied_at_the_same_time_lead_to_all_their_shares() {
    let project = Split::default().project();
    project.apply().ok();
    let others: Vec<Project> = NAMES.iter().map(|name| elsewhere(&project, name, "")).collect();
    for (number, shares) in ROUNDS.iter().enumerate() {
        std::thread::scope(|scope| {
            for ((other, name), share) in others.iter().zip(NAMES).zip(shares) {
                other.configure(&elsewhere_configuration(&project, name, &format!("traffic_percentile = {share}")));
                if number == 2 {
                    write_code(other, name, 2);
                }
                scope.spawn(move || {
                    let outcome = other.apply();
                    if !outcome.success {
                        outcome.fails_with(&LATE);
                        eprintln!("round {number}: {name} did not wait for its siblings");
                    }
                });
            }
        });
        let wanted: Vec<(&str, u16)> = NAMES.into_iter().zip(shares.iter().map(|share| share * 100)).collect();
        project.assert_shares(&wanted);
        let (uri, key) = project.endpoint_access();
        for name in NAMES {
            let answer = request("POST", &uri, Some(&key), &[("azureml-model-deployment", name)], "{}");
            assert_eq!(answered_by(answer), Ok((name.to_owned(), if number < 2 { 1 } else { 2 })));
        }
    }
    std::thread::scope(|scope| {
        for other in &others {
            scope.spawn(|| other.assert_no_changes());
        }
    });
    std::thread::scope(|scope| {
        for other in &others {
            scope.spawn(|| other.destroy().ok());
        }
    });
    assert!(
        project.endpoint_document().is_some_and(|document| document.versions.is_empty()),
        "{ENDPOINT} has versions"
    );
    project.assert_no_changes();
}

#[test]
fn an_endpoint_without_versions_answers_503_until_the_first_one_serves_and_after_the_last_one_is_gone() {
    let project = Split::default().project();
    project.apply().ok();
    project.assert_no_changes();
    let (uri, key) = project.endpoint_access();
    let assert_none = || {
        let answer = request("POST", &uri, Some(&key), &[], "{}").expect("an answer");
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.body.contains("no_versions"), "{answer:?}");
    };
    assert_none();
    for split in [Split::of([("blue", "")]), Split::assigned(["blue"], [("blue", "100")])] {
        split.write(&project);
        project.apply().ok();
        project.assert_no_changes();
        answered_by(request("POST", &uri, Some(&key), &[], "{}")).expect("an answer of the version");
        Split::default().write(&project);
        project.apply().ok();
        project.assert_no_changes();
        assert_none();
    }
}
