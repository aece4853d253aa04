//! Endpoints with the real terraform and over HTTP: how shares are served, and what every attribute does in place.

use acceptance_local::{Split, answered_by, assert_dealt, processes_of, request, write_code};
use serde_json::json;

/// Arguments of the versions, and what is served then.
type Example = (&'static [(&'static str, &'static str)], &'static [(&'static str, u64)]);

/// The examples that explain shares, one after the other.
const EXAMPLES: [Example; 3] = [
    (&[("blue", "traffic_percentile = 20")], &[("blue", 10_000)]),
    (
        &[("blue", "traffic_percentile = 20\n is_default = true"), ("green", "traffic_percentile = 10")],
        &[("blue", 9_000), ("green", 1_000)],
    ),
    (
        &[("blue", "traffic_percentile = 20"), ("green", "traffic_percentile = 40\n is_default = true")],
        &[("blue", 2_000), ("green", 8_000)],
    ),
];

#[test]
fn shares_are_served_exactly_and_the_rest_goes_to_the_default_by_every_router_thread() {
    let project = Split::default().project();
    project.apply().ok();
    for threads in [1, 3] {
        project.set_threads(u32::try_from(threads).expect("small"));
        for (versions, shares) in EXAMPLES {
            let versions = versions.iter().map(|(name, arguments)| ((*name).to_owned(), (*arguments).to_owned()));
            Split { versions: versions.collect(), ..Split::default() }.write(&project);
            project.apply().ok();
            project.assert_no_changes();
            let (uri, key) = project.endpoint_access();
            assert_dealt(&uri, &key, shares, 200, threads);
        }
    }
}

#[test]
fn an_endpoint_is_made_from_nothing_with_its_split_in_one_apply_and_destroyed_in_one() {
    let each = Split::of([
        ("blue", "traffic_percentile = 30"),
        ("green", "traffic_percentile = 10"),
        ("red", "traffic_percentile = 60"),
    ]);
    let whole = Split::assigned(["blue", "green", "red"], [("blue", "30"), ("green", "10"), ("red", "60")]);
    for split in [each, whole] {
        let project = split.project();
        project.apply().ok();
        project.assert_no_changes();
        project.assert_shares(&[("blue", 3_000), ("green", 1_000), ("red", 6_000)]);
        let (uri, key) = project.endpoint_access();
        project.set_threads(1);
        assert_dealt(&uri, &key, &[("blue", 3_000), ("green", 1_000), ("red", 6_000)], 100, 1);
        project.destroy().ok();
        assert!(processes_of(project.path()).is_empty(), "{:?}", processes_of(project.path()));
        assert!(!project.path().join("ws").exists(), "the workspace's directory is still there");
    }
}

#[test]
fn a_named_version_answers_even_without_a_share_and_an_unknown_one_is_an_error_that_says_so() {
    let project = Split::of([("blue", "traffic_percentile = 100"), ("green", "")]).project();
    project.apply().ok();
    let (uri, key) = project.endpoint_access();
    let named = |version: &str| {
        request("POST", &uri, Some(&key), &[("azureml-model-deployment", version)], "{}").expect("an answer")
    };
    for version in ["blue", "green"] {
        assert_eq!(answered_by(Ok(named(version))), Ok((version.to_owned(), 1)));
    }
    let unknown = named("red");
    assert!((400..500).contains(&unknown.status) && unknown.body.contains("red"), "{unknown:?}");
}

#[test]
fn a_versions_attributes_change_in_place_and_only_its_code_restarts_it() {
    let project = Split::of([("blue", "traffic_percentile = 70"), ("green", "traffic_percentile = 30")]).project();
    project.apply().ok();
    let pids = || {
        let all = processes_of(project.path()).into_iter().filter(|one| one.command.contains("azureml_scorer"));
        all.map(|process| process.pid).collect::<std::collections::BTreeSet<_>>()
    };
    let before = pids();
    let blue = "traffic_percentile = 60\n is_default = true\n is_control_version_type = true\n scoring_timeout_ms = 30000\n \
                max_request_wait_time = 900\n replica_max_concurrent_requests = 2\n description = \"d\"\n tags = { a = \
                \"b\" }\n properties = { p = \"q\" }\n rollout = { max_surge = 2 }";
    Split::of([("blue", blue), ("green", "traffic_percentile = 30")]).write(&project);
    assert_eq!(project.planned_actions(), [updated("azureml_endpoint_version.blue")]);
    project.apply().ok();
    project.assert_no_changes();
    assert_eq!(pids(), before, "nothing restarted");
    project.assert_shares(&[("blue", 7_000), ("green", 3_000)]);
    let attributes = project.attributes("azureml_endpoint_version.blue");
    for (name, value) in [
        ("traffic_percentile", json!(60)),
        ("is_default", json!(true)),
        ("is_control_version_type", json!(true)),
        ("scoring_timeout_ms", json!(30000)),
        ("max_request_wait_time", json!(900)),
        ("replica_max_concurrent_requests", json!(2)),
        ("description", json!("d")),
        ("tags", json!({"a": "b"})),
        ("properties", json!({"p": "q"})),
        ("state", json!("Healthy")),
    ] {
        assert_eq!(attributes[name], value, "{name}");
    }

    // Replicas and code are one version's own business, too.
    let green = "traffic_percentile = 30\n num_replicas = 2";
    Split::of([("blue", &blue.replace("= 60", "= 12.34")), ("green", green)]).write(&project);
    write_code(&project, "green", 2);
    project.apply().ok();
    project.assert_no_changes();
    project.assert_shares(&[("blue", 7_000), ("green", 3_000)]);
    let after = pids();
    assert_eq!((after.len(), before.intersection(&after).count()), (3, 1), "{before:?} {after:?}");
}

#[test]
fn an_endpoints_attributes_change_in_place_and_restart_nothing() {
    let plain = Split::of([("blue", "")]);
    let project = plain.project();
    project.apply().ok();
    let (uri, key) = project.endpoint_access();
    let scorer = project.process("azureml_scorer").pid;
    for (arguments, shown) in [
        ("description = \"d\"", ("description", json!("d"))),
        ("tags = { a = \"b\" }", ("tags", json!({"a": "b"}))),
        ("properties = { p = \"q\" }", ("properties", json!({"p": "q"}))),
        (
            "properties = { p = \"q\" }\n sticky = { header = \"x-user-id\" }",
            ("sticky", json!({"header": "x-user-id", "cookie": null, "query": null})),
        ),
        (
            "properties = { p = \"q\" }\n sticky = { cookie = \"user\" }",
            ("sticky", json!({"header": null, "cookie": "user", "query": null})),
        ),
        ("properties = { p = \"q\" }\n key_overlap = 60", ("key_overlap", json!(60))),
        ("properties = { p = \"q\" }\n force_destroy = true", ("force_destroy", json!(true))),
        ("properties = { p = \"q\" }\n auth_enabled = false", ("auth_enabled", json!(false))),
        ("properties = { p = \"q\" }", ("auth_enabled", json!(true))),
    ] {
        Split { endpoint: arguments.to_owned(), ..plain.clone() }.write(&project);
        assert_eq!(project.planned_actions(), [updated("azureml_endpoint.this")], "{arguments}");
        project.apply().ok();
        project.assert_no_changes();
        assert_eq!(project.attributes("azureml_endpoint.this")[shown.0], shown.1, "{arguments}");
        let anonymous = request("POST", &uri, None, &[], "{}").expect("an answer").status;
        assert_eq!(anonymous, if arguments.contains("auth_enabled") { 200 } else { 401 }, "{arguments}");
        assert_eq!(request("POST", &uri, Some(&key), &[], "{}").expect("an answer").status, 200, "{arguments}");
    }
    assert_eq!(project.process("azureml_scorer").pid, scorer);
}

fn updated(address: &str) -> (String, Vec<String>) {
    (address.to_owned(), vec!["update".to_owned()])
}
