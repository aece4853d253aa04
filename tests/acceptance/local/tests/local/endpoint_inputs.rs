//! Bad input about endpoints: what the user reads, and that what was served keeps being served.

use acceptance_local::{ENDPOINT, Project, Split, answered_by, elsewhere, eventually, request};
use serde_json::{Value, json};

/// A split that is served, and one request that shows it.
#[track_caller]
fn assert_serves(project: &Project, shares: &[(&str, u16)]) {
    project.assert_shares(shares);
    let (uri, key) = project.endpoint_access();
    answered_by(request("POST", &uri, Some(&key), &[], "{}")).expect("an answer of a version");
}

#[test]
fn what_is_no_percentage_fails_the_plan_on_its_attribute_and_says_what_is_one() {
    let project = Split::of([("blue", "")]).project();
    for (percent, rule) in [
        ("33.333", "at most two decimals"),
        ("-1", "from 0 to 100"),
        ("100.01", "from 0 to 100"),
        ("101", "from 0 to 100"),
    ] {
        Split::of([("blue", &*format!("traffic_percentile = {percent}"))]).write(&project);
        project.plan().fails_with(&["traffic_percentile", percent, rule]);
        Split::assigned(["blue"], [("blue", percent)]).write(&project);
        project.plan().fails_with(&["azureml_endpoint_traffic", "traffic", percent, rule]);
    }
}

#[test]
fn contradictions_of_one_resource_fail_the_plan_and_never_show_a_key() {
    // Terraform shows the line of the configuration, which is the user's own.
    let (short, given) = ("too-short-to-be-a-key", "format(\"%s-be-a-key\", \"too-short-to\")");
    let (same, twice) =
        ("Rkq3vTz0XcW8nB5yL1sHd7Fj2Gp6Ma9UeQ4iYt", "format(\"%s2Gp6Ma9UeQ4iYt\", \"Rkq3vTz0XcW8nB5yL1sHd7Fj\")");
    let project = Split::default().project();
    for (endpoint, expected) in [
        ("auth_enabled = true\n token_auth_enabled = true".to_owned(), &["token_auth_enabled", "remove one"][..]),
        (format!("primary_key_wo = {given}"), &["primary_key_wo", "32"]),
        (format!("secondary_key_wo = {given}"), &["secondary_key_wo", "32"]),
        ("key_overlap = -1".to_owned(), &["key_overlap", "from 0 to"]),
        ("primary_key_version = 0".to_owned(), &["primary_key_version", "at least 1"]),
        ("sticky = {}".to_owned(), &["sticky", "exactly one of header, cookie and query"]),
        ("sticky = { header = \"a\", cookie = \"b\" }".to_owned(), &["sticky", "exactly one of"]),
    ] {
        Split { endpoint, ..Split::default() }.write(&project);
        let text = project.plan().fails_with(expected);
        assert!(!text.contains(short), "{text}");
    }
    let equal = format!("primary_key_wo = {twice}\n secondary_key_wo = {twice}");
    Split { endpoint: equal, ..Split::default() }.write(&project);
    let text = project.apply().fails_with(&["The two keys must differ"]);
    assert!(!text.contains(same), "{text}");
}

#[test]
fn traffic_that_one_resource_shows_to_be_wrong_fails_the_plan_on_the_attribute() {
    let project = Split::default().project();
    for (traffic, expected) in [
        ("traffic = { blue = 60, green = 40.01 }", &["traffic", "add up to 100.01", "must not exceed 100"][..]),
        ("traffic = { Blue = 60 }", &["traffic", "Blue"]),
        ("traffic = { blue = null }", &["traffic", "blue", "Leave it out, or give 0"]),
        ("traffic = {}\n default_version = \"B\"", &["default_version"]),
    ] {
        Split { traffic: traffic.to_owned(), ..Split::default() }.write(&project);
        project.plan().fails_with(expected);
    }
}

#[test]
fn traffic_for_a_version_that_does_not_exist_fails_before_anything_changes() {
    let project = Split::assigned(["blue", "green"], [("blue", "30"), ("green", "70")]).project();
    project.apply().ok();
    let before = project.endpoint_document();
    let wrong = "traffic = { blue = 50, red = 50 }\n default_version = \"black\"";
    Split { traffic: wrong.to_owned(), ..Split::of([("blue", ""), ("green", "")]) }.write(&project);
    project.apply().fails_with(&["no version", "black, red", "blue, green", "azureml_endpoint_version.<name>.name"]);
    assert_eq!(project.endpoint_document(), before);
    assert_serves(&project, &[("blue", 3_000), ("green", 7_000)]);
}

#[test]
fn a_seventh_version_is_refused_and_the_error_names_the_six() {
    let names = ["a01", "a02", "a03", "a04", "a05", "a06"];
    let project = Split::of(names.map(|name| (name, "traffic_percentile = 10"))).project();
    project.apply().ok();
    let shares = names.map(|name| (name, if name == "a01" { 5_000 } else { 1_000 }));
    let default = project.endpoint_document().expect("a document").served.expect("a table").default;
    let shares = shares.map(|(name, _)| (name, if name == default { 5_000 } else { 1_000 }));
    assert_serves(&project, &shares);

    let mut seven = Split::of(names.map(|name| (name, "traffic_percentile = 10")));
    seven.versions.push(("a07".to_owned(), String::new()));
    seven.write(&project);
    project.apply().fails_with(&["a07", "6 versions already", "a01, a02, a03, a04, a05, a06", "remove one"]);
    assert_serves(&project, &shares);

    // One goes, one comes, in the same apply.
    seven.versions.remove(0);
    seven.write(&project);
    project.apply().ok();
    project.assert_no_changes();
}

/// What a conflict is about: what was served, what is declared then, what the error says, and the sibling's change that
/// resolves it.
struct Conflict {
    before: [(&'static str, &'static str); 2],
    shares: [(&'static str, u16); 2],
    green: &'static str,
    says: &'static [&'static str],
    /// The attribute of `green` that the next plan shows, with what is served and what is declared.
    shown: (&'static str, Value, Value),
    blue: &'static str,
    after: [(&'static str, u16); 2],
}

fn conflicts() -> [Conflict; 3] {
    [
        Conflict {
            before: [("blue", "traffic_percentile = 60"), ("green", "traffic_percentile = 40")],
            shares: [("blue", 6_000), ("green", 4_000)],
            green: "traffic_percentile = 90.5",
            says: &["add up to 150.50, but must not exceed 100", "blue 60 %", "green 90.5 %"],
            shown: ("traffic_percentile", json!(40), json!(90.5)),
            blue: "traffic_percentile = 9.5",
            after: [("blue", 950), ("green", 9_050)],
        },
        Conflict {
            before: [("blue", "traffic_percentile = 20\n is_default = true"), ("green", "traffic_percentile = 30")],
            shares: [("blue", 7_000), ("green", 3_000)],
            green: "traffic_percentile = 30\n is_default = true",
            says: &["several versions are declared the default: blue, green", "blue 20 %", "green 30 %"],
            shown: ("is_default", Value::Null, json!(true)),
            blue: "traffic_percentile = 20",
            after: [("blue", 2_000), ("green", 8_000)],
        },
        Conflict {
            before: [("blue", "is_control_version_type = true"), ("green", "traffic_percentile = 30")],
            shares: [("blue", 7_000), ("green", 3_000)],
            green: "traffic_percentile = 40\n is_control_version_type = true",
            says: &["several versions are declared the control: blue, green", "blue 0 %", "green 40 %"],
            shown: ("traffic_percentile", json!(30), json!(40)),
            blue: "",
            after: [("blue", 6_000), ("green", 4_000)],
        },
    ]
}

#[test]
fn declarations_in_conflict_are_not_served_until_a_sibling_resolves_them_and_the_plan_shows_what_is() {
    // Each waits for the grace, so they wait together.
    std::thread::scope(|scope| {
        for conflict in conflicts() {
            scope.spawn(move || {
                let project = Split::of(conflict.before).project();
                if conflict.says[0].contains("control") {
                    // Without shares the default is whoever comes first, so blue does.
                    Split::of([conflict.before[0]]).write(&project);
                    project.apply().ok();
                    Split::of(conflict.before).write(&project);
                }
                project.apply().ok();
                assert_serves(&project, &conflict.shares);

                Split::of([conflict.before[0], ("green", conflict.green)]).write(&project);
                let advice = ["version green of endpoint split", "azureml_endpoint_traffic", "its declaration stands"];
                project.apply().fails_with(&[conflict.says, &advice].concat());
                assert_serves(&project, &conflict.shares);
                let changes = project.planned_changes();
                let (attribute, served, declared) = &conflict.shown;
                assert_eq!(changes.len(), 1, "{changes:?}");
                assert_eq!(changes[0]["address"], "azureml_endpoint_version.green");
                let change = &changes[0]["change"];
                assert_eq!((&change["before"][attribute], &change["after"][attribute]), (served, declared));

                Split::of([("blue", conflict.blue), ("green", conflict.green)]).write(&project);
                let sibling = "-target=azureml_endpoint_version.blue";
                project.terraform(["apply", "-auto-approve", "-input=false", "-no-color", sibling]).ok();
                assert_serves(&project, &conflict.after);
                project.assert_no_changes();
            });
        }
    });
}

#[test]
fn shares_beside_a_split_that_is_one_object_are_refused_by_both() {
    let project = Split::assigned(["blue", "green"], [("blue", "30"), ("green", "70")]).project();
    project.apply().ok();
    let mut both = Split::assigned(["blue", "green"], [("blue", "30"), ("green", "70")]);
    both.versions[1].1 = "traffic_percentile = 10".to_owned();
    both.write(&project);
    project.apply().fails_with(&["green", "azureml_endpoint_traffic", "remove traffic_percentile and is_default"]);
    assert_serves(&project, &[("blue", 3_000), ("green", 7_000)]);
}

#[test]
fn an_endpoint_with_versions_made_elsewhere_is_destroyed_only_by_force() {
    let plain = Split::of([("blue", "traffic_percentile = 40")]);
    let project = plain.project();
    project.apply().ok();
    let other = elsewhere(&project, "green", "traffic_percentile = 60").keep_objects();
    other.apply().ok();
    project.destroy().fails_with(&[
        &format!("Cannot delete endpoint {ENDPOINT}"),
        "versions green",
        "force_destroy = true",
    ]);
    assert_serves(&project, &[("green", 10_000)]);

    Split { endpoint: "force_destroy = true".to_owned(), ..plain }.write(&project);
    project.apply().ok();
    project.destroy().ok();
    assert!(project.endpoint_document().is_none());
}

#[test]
fn a_table_that_was_edited_to_an_invalid_one_is_not_served_and_the_next_apply_repairs_it() {
    let project = Split::of([("blue", "traffic_percentile = 20"), ("green", "traffic_percentile = 80")]).project();
    project.apply().ok();
    project.edit_endpoint(|document| {
        document["generation"] = json!(document["generation"].as_u64().expect("a number") + 1);
        document["served"]["shares"]["blue"] = json!(1_000);
    });
    eventually("the refusal", || {
        let shown: Value = serde_json::from_str(&project.fe(&["endpoint", "show", ENDPOINT, "--json"])).expect("JSON");
        shown["status"]["refused"].is_string().then_some(())
    });
    let (uri, key) = project.endpoint_access();
    answered_by(request("POST", &uri, Some(&key), &[], "{}")).expect("the last good table serves");
    let text = project.plan().ok();
    assert!(text.contains("The router refuses the document of endpoint split"), "{text}");
    assert!(project.planned_actions().iter().any(|(address, _)| address == "azureml_endpoint_version.blue"), "{text}");
    project.apply().ok();
    assert_serves(&project, &[("blue", 2_000), ("green", 8_000)]);
    project.assert_no_changes();

    project.edit_endpoint(|document| {
        document["generation"] = json!(document["generation"].as_u64().expect("a number") + 1);
        document["served"]["shares"] = json!({"blue": 1_000, "green": 9_000});
    });
    let changes = project.planned_changes();
    let shares =
        |side: &str| changes.iter().map(|change| &change["change"][side]["traffic_percentile"]).collect::<Vec<_>>();
    assert_eq!((shares("before"), shares("after")), (vec![&json!(10), &json!(90)], vec![&json!(20), &json!(80)]));
    project.apply().ok();
    assert_serves(&project, &[("blue", 2_000), ("green", 8_000)]);
    project.assert_no_changes();
}
