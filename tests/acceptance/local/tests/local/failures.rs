//! Bad input: what the user reads, and that nothing is lost or half made.

use acceptance_local::{DOUBLE, Load, Project, Stack, post, processes_of};

/// A service that already answers.
fn serving() -> (Project, String, String) {
    let project = Stack::of_webservice("num_replicas = 1").project();
    project.apply().ok();
    let uri = project.scoring_uri();
    let key = project.key("double");
    (project, uri, key)
}

#[test]
fn every_violated_range_is_one_error_of_the_plan_and_names_the_allowed_range() {
    let bad = "num_replicas = 0\n replica_max_concurrent_requests = 0\n max_request_wait_time = 0\n scoring_timeout_ms = 300001";
    let text = Stack::of_webservice(bad).project().plan().fails_with(&[
        "num_replicas",
        "replica_max_concurrent_requests",
        "max_request_wait_time",
        "scoring_timeout_ms",
        "300000",
    ]);
    assert_eq!(text.matches("Error:").count(), 4, "{text}");
}

#[test]
fn a_bad_name_fails_the_plan_with_the_rule() {
    let configuration = Stack::of_webservice("num_replicas = 1").render().replace("\"double\"", "\"Double_\"");
    let project = Project::new(&configuration);
    project.write("model.txt", "one");
    project.write("src/score.py", DOUBLE);
    project.plan().fails_with(&["name", "lower", "3", "32"]);
}

#[test]
fn missing_files_fail_the_plan_on_their_attribute() {
    let project = Stack::of_webservice("num_replicas = 1").project();
    std::fs::remove_file(project.path().join("model.txt")).expect("the model is removed");
    project.plan().fails_with(&["azureml_model", "model.txt"]);

    let project = Stack::of_webservice("num_replicas = 1").project();
    std::fs::remove_file(project.path().join("src/score.py")).expect("the script is removed");
    project.plan().fails_with(&["entry_script", "score.py"]);
}

#[test]
fn a_syntax_error_fails_the_apply_with_its_line_and_nothing_half_made_serves() {
    let project = Stack::of_webservice("num_replicas = 1").project();
    project.write("src/score.py", "def init():\n    pass\n\ndef run(raw_data)\n    return 1\n");
    project.apply().fails_with(&["score.py", "line 4"]);
    let scorers = processes_of(project.path())
        .into_iter()
        .filter(|process| process.command.contains("azureml_scorer"))
        .collect::<Vec<_>>();
    assert!(scorers.is_empty(), "{scorers:?}");

    project.write("src/score.py", DOUBLE);
    project.apply().ok();
    project.assert_no_changes();
}

#[test]
fn a_script_without_run_fails_the_apply_and_says_what_is_missing() {
    let project = Stack::of_webservice("num_replicas = 1").project();
    project.write("src/score.py", "def init():\n    pass\n");
    project.apply().fails_with(&["score.py", "run"]);
}

#[test]
fn a_failed_rollout_keeps_the_old_replicas_serving_and_shows_the_exception() {
    let (project, uri, key) = serving();
    let load = Load::start(&uri, &key, r#"{"x": 1}"#, 4, 100);
    project.write(
        "src/score.py",
        "def init():\n    raise ValueError('no weights in the file')\n\ndef run(raw_data):\n    return 1\n",
    );
    project.apply().fails_with(&["ValueError", "no weights in the file", "score.py", "line 2"]);
    let tally = load.stop();
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);

    assert_eq!(post(&uri, &key, r#"{"x": 4}"#).status, 200);
    assert_eq!(project.plan().code, Some(2), "the change is still to be made");
    project.write("src/score.py", DOUBLE.replace("2 *", "5 *"));
    project.apply().ok();
    assert!(post(&uri, &key, r#"{"x": 4}"#).body.contains("20"));
    project.assert_no_changes();
}

#[test]
fn a_missing_package_fails_the_apply_with_its_name() {
    let (project, uri, key) = serving();
    project.write("src/score.py", format!("import torchlight\n{DOUBLE}"));
    project.apply().fails_with(&["torchlight", "ModuleNotFoundError"]);
    assert_eq!(post(&uri, &key, r#"{"x": 4}"#).status, 200);
}

#[test]
fn a_package_that_no_index_has_fails_the_environment_with_the_resolvers_words() {
    let bad =
        Stack { requirements: "no-such-package-of-ours==1.0".to_owned(), ..Stack::of_webservice("num_replicas = 1") };
    bad.project().apply().fails_with(&["azureml_environment", "no-such-package-of-ours"]);
}

#[test]
fn an_init_that_never_returns_fails_the_apply_with_the_line_that_it_hangs_at() {
    let project = Stack::of_webservice("num_replicas = 1\n timeouts { create = \"5s\" }").project();
    project.write(
        "src/score.py",
        "import time\n\ndef init():\n    while True:\n        time.sleep(0.1)\n\ndef run(raw_data):\n    return 1\n",
    );
    project.apply().fails_with(&["init", "score.py"]);
}

#[test]
fn exceptions_of_run_answer_500_without_their_text_and_leave_it_in_the_log() {
    let project = Stack::of_webservice("num_replicas = 1").project();
    project.write("src/score.py", "import json\n\ndef init():\n    pass\n\ndef run(raw_data):\n    raise RuntimeError('secret reason ' + json.loads(raw_data))\n");
    project.apply().ok();
    let uri = project.scoring_uri();
    let answer = post(&uri, &project.key("double"), "\"here\"");
    assert_eq!(answer.status, 500);
    assert_eq!(answer.headers["x-ms-run-function-failed"], "True");
    assert!(!answer.body.contains("secret reason"), "{}", answer.body);
    let logs = project.fe(&["service", "logs", "double"]);
    assert!(logs.contains("RuntimeError: secret reason here"), "{logs}");
}

#[test]
fn a_port_in_use_fails_the_apply_with_the_port() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let project = Stack { compute: format!("port = {port}"), ..Stack::of_webservice("num_replicas = 1") }.project();
    project.apply().fails_with(&["azureml_local_compute", &port.to_string(), "in use"]);
}

#[test]
fn a_second_state_that_claims_the_name_is_told_the_owner_and_the_import_id() {
    let (project, _, _) = serving();
    let root = project.path().join("ws");
    let second = Stack { provider: "owner = \"somebody-else\"".to_owned(), ..Stack::of_webservice("num_replicas = 1") };
    let other = Project::new(&second.render().replace("${abspath(path.module)}/ws", root.to_str().expect("UTF-8")))
        .keep_objects();
    other.write("model.txt", "one\n");
    other.write("src/score.py", DOUBLE);
    let id = project.attribute("azureml_workspace.this", "id");
    other.apply().fails_with(&["terraform import", &id]);
    project.assert_no_changes();
}
