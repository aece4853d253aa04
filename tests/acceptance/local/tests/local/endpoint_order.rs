//! Versions of one endpoint in every order that Terraform may take: the end is right, or the error says what to do.

use acceptance_local::{Outcome, Project, Split, answered_by, request, traffic};
use serving::traffic::BasisPoints;

/// Versions with their arguments, and the shares that they lead to.
type Step = (&'static [(&'static str, &'static str)], &'static [(&'static str, u16)]);

const STEPS: [Step; 6] = [
    (&[("blue", "traffic_percentile = 20")], &[("blue", 10_000)]),
    (
        &[("blue", "traffic_percentile = 20\n is_default = true"), ("green", "traffic_percentile = 10")],
        &[("blue", 9_000), ("green", 1_000)],
    ),
    (
        &[("blue", "traffic_percentile = 20"), ("green", "traffic_percentile = 40\n is_default = true")],
        &[("blue", 2_000), ("green", 8_000)],
    ),
    // Whoever is changed first claims what the other one has not let go yet.
    (
        &[("blue", "traffic_percentile = 90\n is_default = true"), ("green", "traffic_percentile = 10")],
        &[("blue", 9_000), ("green", 1_000)],
    ),
    (&[("blue", "traffic_percentile = 0"), ("green", "traffic_percentile = 100")], &[("blue", 0), ("green", 10_000)]),
    (&[("blue", "traffic_percentile = 100"), ("green", "traffic_percentile = 0")], &[("blue", 10_000), ("green", 0)]),
];

/// The advice of an apply that could not wait for a sibling, because Terraform changes that one later.
const ADVICE: &[&str] =
    &["cannot be served as they are declared", "apply once more without both", "azureml_endpoint_traffic"];

/// What is served is always a whole table, and a request is answered by it.
#[track_caller]
fn assert_valid(project: &Project) {
    let Some(document) = project.endpoint_document() else { return };
    assert_eq!(serving::validate::service(&document), [], "{document:#?}");
    let (uri, key) = project.endpoint_access();
    let (version, _) = answered_by(request("POST", &uri, Some(&key), &[], "{}")).expect("an answer of a version");
    assert!(project.shares()[&version] > 0, "{version} answered: {:?}", project.shares());
}

fn apply(project: &Project, parallelism: &str) -> Outcome {
    let parallelism = format!("-parallelism={parallelism}");
    project.terraform(["apply", "-auto-approve", "-input=false", "-no-color", &parallelism])
}

/// Takes the steps with this parallelism, and with this dependency of one version on the other.
///
/// An error is right if what it advises helps: a run that changes both versions at once, or a split that is one object.
fn take(steps: &[Step], parallelism: &str, first: Option<&str>) {
    let project = Split::default().project();
    apply(&project, parallelism).ok();
    for (versions, shares) in steps {
        let plain = Split {
            versions: versions.iter().map(|(name, arguments)| ((*name).to_owned(), (*arguments).to_owned())).collect(),
            ..Split::default()
        };
        let mut ordered = plain.clone();
        if let Some(first) = first.filter(|_| versions.len() > 1) {
            let second = ordered.versions.iter_mut().find(|(name, _)| name != first).expect("another version");
            second.1 = format!("{}\n depends_on = [azureml_endpoint_version.{first}]", second.1);
        }
        ordered.write(&project);
        let outcome = apply(&project, parallelism);
        assert_valid(&project);
        if !outcome.success {
            outcome.fails_with(ADVICE);
            eprintln!("parallelism {parallelism}, {first:?} first: {shares:?} needed the advice");
            if first == Some("blue") {
                let percents: Vec<_> =
                    shares.iter().map(|(name, share)| (*name, BasisPoints(*share).to_string())).collect();
                let percents: Vec<_> = percents.iter().map(|(name, share)| (*name, share.as_str())).collect();
                let whole =
                    Split { traffic: traffic(&percents), ..Split::of(["blue", "green"].map(|name| (name, ""))) };
                whole.write(&project);
                apply(&project, "10").ok();
                project.assert_no_changes();
                project.assert_shares(shares);
            }
            plain.write(&project);
            apply(&project, "10").ok();
        }
        project.assert_shares(shares);
        project.assert_no_changes();
    }
}

#[test]
fn shares_that_change_hands_are_right_at_the_end_in_parallel() {
    take(&STEPS, "10", None);
}

#[test]
fn shares_that_change_hands_one_after_the_other_are_right_at_the_end_or_the_error_says_what_to_do() {
    // Some wait for the grace, so they wait together.
    std::thread::scope(|scope| {
        for (parallelism, first) in [("1", None), ("10", Some("blue")), ("10", Some("green"))] {
            scope.spawn(move || take(&STEPS[..4], parallelism, first));
        }
    });
}

#[test]
fn a_split_that_is_one_object_moves_in_one_apply_in_every_order() {
    for parallelism in ["1", "10"] {
        let shares = [("100", "0"), ("0", "100"), ("33.33", "66.67")];
        let project = Split::assigned(["blue", "green"], [("blue", "0"), ("green", "100")]).project();
        apply(&project, parallelism).ok();
        for (blue, green) in shares {
            Split::assigned(["blue", "green"], [("blue", blue), ("green", green)]).write(&project);
            apply(&project, parallelism).ok();
            project.assert_no_changes();
            assert_valid(&project);
            let points = |text: &str| text.parse::<BasisPoints>().expect("a share").0;
            project.assert_shares(&[("blue", points(blue)), ("green", points(green))]);
        }
    }
}

#[test]
fn what_a_failed_create_has_left_goes_and_the_version_that_takes_its_place_before_stays() {
    let each = "lifecycle {\n create_before_destroy = true\n }";
    let split = |blue: &str| {
        let blue = format!("traffic_percentile = {blue}");
        Split::of([("blue", &*blue), ("green", "traffic_percentile = 60")]).with_each(each)
    };
    let project = Split::of([("blue", "traffic_percentile = 60")]).with_each(each).project();
    project.apply().ok();
    split("60").write(&project);
    project.apply().fails_with(ADVICE);
    assert_valid(&project);
    split("40").write(&project);
    project.apply().ok();
    project.assert_shares(&[("blue", 4_000), ("green", 6_000)]);
    project.assert_no_changes();
    assert_valid(&project);
}
