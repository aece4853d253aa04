//! Updates of a webservice: what rolls, what only changes numbers, what replaces it.

use std::collections::BTreeSet;

use acceptance_local::{DOUBLE, Load, Project, Stack, eventually, post};
use serde_json::{Value, json};

/// Needs a lock while it lives, so that it cannot start beside another one.
const ALONE: &str = r#"import fcntl
import os
import tempfile


def init():
    global lock
    lock = open(os.path.join(tempfile.gettempdir(), "alone-" + os.environ["LOCK"]), "a")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def run(raw_data):
    return "one"
"#;

fn updated() -> Vec<(String, Vec<String>)> {
    vec![("azureml_webservice.this".to_owned(), vec!["update".to_owned()])]
}

#[test]
fn script_directory_models_and_environment_roll_in_place_without_a_failed_request() {
    const MORE: &str = r#"
resource "azureml_environment" "other" {
  name                  = "other"
  workspace_id          = azureml_workspace.this.id
  pip_requirements      = ""
  environment_variables = { COLOUR = "blue" }
}
resource "azureml_model" "other" {
  name         = "other"
  workspace_id = azureml_workspace.this.id
  path         = "${path.module}/other/model.txt"
}"#;
    let text = Stack { more: MORE.to_owned(), ..Stack::of_webservice("num_replicas = 2") }.render();
    let project = Project::new(&text);
    project.write("model.txt", "one\n");
    project.write("other/model.txt", "two\n");
    project.write("src/score.py", DOUBLE);
    project.write("src/second.py", DOUBLE.replace("2 *", "3 *"));
    project.write("code/score.py", DOUBLE.replace("2 *", "4 *"));
    project.write("code/helper/__init__.py", "FACTOR = 5\n");
    project.write("code/uses_helper.py", format!("from helper import FACTOR\n{}", DOUBLE.replace("2 *", "FACTOR *")));
    project.apply().ok();
    let load = Load::start(&project.scoring_uri(), &project.key("double"), r#"{"x": 1}"#, 8, 200);
    let (code, script) = ("/src\"", "\"score.py\"");
    let environment = "azureml_environment.this.id";
    let model = "[azureml_model.this.version_id]";
    let steps: [(Vec<(&str, &str)>, Value); 6] = [
        (vec![(script, "\"second.py\"")], json!({"model": "one", "result": 3})),
        (vec![(code, "/code\"")], json!({"model": "one", "result": 4})),
        (vec![(code, "/code\""), (script, "\"uses_helper.py\"")], json!({"model": "one", "result": 5})),
        (vec![(model, "[azureml_model.other.version_id]")], json!({"model": "two", "result": 2})),
        (vec![(environment, "azureml_environment.other.id")], json!({"model": "one", "result": 2})),
        (
            vec![
                ("num_replicas = 2", "num_replicas = 2\n rollout = { max_surge = 2, max_unavailable = 1 }\n"),
                (script, "\"second.py\""),
            ],
            json!({"model": "one", "result": 3}),
        ),
    ];
    for (replacements, expected) in steps {
        let configuration = replacements.iter().fold(text.clone(), |text, (from, to)| text.replace(from, to));
        project.configure(&configuration);
        assert_eq!(project.planned_actions(), updated(), "{replacements:?}");
        let before = project.replica_pids("double");
        project.apply().ok();
        project.assert_no_changes();
        let after = project.replica_pids("double");
        assert!(after.len() == 2 && before.iter().all(|pid| !after.contains(pid)), "{before:?} {after:?}");
        let answer = post(&project.scoring_uri(), &project.key("double"), r#"{"x": 1}"#);
        assert_eq!(serde_json::from_str::<Value>(&answer.body).expect("JSON"), expected, "{replacements:?}");
    }
    let tally = load.stop();
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    assert!(tally.answers.len() >= 5, "{:?}", tally.answers);
}

#[test]
fn recreate_stops_the_old_replica_before_the_new_one_starts_where_a_surge_would_meet_it() {
    let lock = format!("{}-{:?}", std::process::id(), std::thread::current().id());
    let with = |rollout: &str, colour: &str| Stack {
        environment: format!("environment_variables = {{ LOCK = {lock:?}, COLOUR = {colour:?} }}"),
        ..Stack::of_webservice(&format!("num_replicas = 1\n rollout = {{ {rollout} }}"))
    };
    let project = with("max_surge = 1", "red").project();
    project.write("src/score.py", ALONE);
    project.apply().ok();
    let pids = project.replica_pids("double");

    // The rollout's settings alone restart nothing.
    project.configure(&with("max_surge = 2, progress_deadline_seconds = 30", "red").render());
    assert_eq!(project.planned_actions(), updated());
    project.apply().ok();
    project.assert_no_changes();
    assert_eq!(project.replica_pids("double"), pids);

    project.configure(&with("max_surge = 1", "blue").render());
    project.apply().fails_with(&["BlockingIOError", "score.py", "What served before keeps serving"]);
    assert_eq!(project.replica_pids("double"), pids);
    assert_eq!(post(&project.scoring_uri(), &project.key("double"), "{}").status, 200);

    for (rollout, colour) in [("recreate = true", "blue"), ("max_surge = 0, max_unavailable = 1", "green")] {
        project.configure(&with(rollout, colour).render());
        project.apply().ok();
        project.assert_no_changes();
        assert_eq!(post(&project.scoring_uri(), &project.key("double"), "{}").status, 200);
    }
    assert_ne!(project.replica_pids("double"), pids);
}

#[test]
fn an_init_that_outlasts_its_progress_deadline_fails_the_rollout_and_says_which_argument_gives_more_time() {
    let project = Stack::of_webservice("num_replicas = 1\n rollout = { progress_deadline_seconds = 2 }").project();
    project.apply().ok();
    let pids = project.replica_pids("double");
    project.write(
        "src/score.py",
        "import time\n\ndef init():\n    while True:\n        time.sleep(0.1)\n\ndef run(raw_data):\n    return 1\n",
    );
    project.apply().fails_with(&["score.py", "line ", "rollout.progress_deadline_seconds", "keeps serving"]);
    assert_eq!(project.replica_pids("double"), pids);
    assert_eq!(post(&project.scoring_uri(), &project.key("double"), r#"{"x": 1}"#).status, 200);
}

#[test]
fn texts_labels_and_time_limits_change_in_place_and_can_be_taken_back() {
    let project = Stack::of_webservice("num_replicas = 1").project();
    project.apply().ok();
    let (pids, created) =
        (project.replica_pids("double"), project.attribute("azureml_webservice.this", "created_time"));
    let full = "num_replicas = 1\n description = \"d\"\n tags = { a = \"b\" }\n timeouts { update = \"5m\" }";
    for webservice in [full, "num_replicas = 1\n tags = {}\n description = \"\"", "num_replicas = 1"] {
        project.configure(&Stack::of_webservice(webservice).render());
        assert_eq!(project.planned_actions(), updated());
        project.apply().ok();
        project.assert_no_changes();
    }
    let service = project.attributes("azureml_webservice.this");
    assert_eq!((&service["description"], &service["tags"]), (&Value::Null, &Value::Null));
    assert_eq!(service["created_time"], json!(created));
    assert_eq!(project.replica_pids("double"), pids);
}

#[test]
fn another_compute_replaces_the_service() {
    let more = r#"
resource "azureml_local_compute" "second" {
  name         = "second"
  workspace_id = azureml_workspace.this.id
}"#;
    let text = Stack { more: more.to_owned(), ..Stack::of_webservice("num_replicas = 1") }.render();
    let project = Project::new(&text);
    project.write("model.txt", "one\n");
    project.write("src/score.py", DOUBLE);
    project.apply().ok();
    let first = project.scoring_uri();
    project.configure(&text.replace("azureml_local_compute.this.id", "azureml_local_compute.second.id"));
    let replaced = ("azureml_webservice.this".to_owned(), vec!["delete".to_owned(), "create".to_owned()]);
    assert_eq!(project.planned_actions(), [replaced]);
    project.apply().ok();
    project.assert_no_changes();
    assert_ne!(project.scoring_uri(), first);
    let keys = std::fs::read(project.path().join("ws/local/second/keys/double/1.json")).expect("keys");
    let keys: Value = serde_json::from_slice(&keys).expect("JSON");
    let key = keys["primary"]["key"].as_str().expect("a key");
    assert_eq!(post(&project.scoring_uri(), key, r#"{"x": 1}"#).status, 200);
    assert_eq!(acceptance_local::request("POST", &first, Some(key), &[], "{}").expect("an answer").status, 404);
}

#[test]
fn combinations_that_make_no_sense_fail_the_plan_on_the_attribute() {
    let project = Stack::of_webservice("num_replicas = 1").project();
    for (webservice, expected) in [
        ("num_replicas = 1\n rollout = { max_surge = 0, max_unavailable = 0 }", ["max_surge", "both 0"]),
        ("num_replicas = 1\n rollout = { recreate = true, max_surge = 1 }", ["rollout", "recreate"]),
        ("num_replicas = 1\n rollout = { progress_deadline_seconds = 0 }", ["progress_deadline_seconds", "86400"]),
        ("num_replicas = 1\n primary_key_wo = \"short\"", ["primary_key_wo", "32"]),
        ("num_replicas = 1\n primary_key_version = 0", ["primary_key_version", "1"]),
        ("num_replicas = 1\n timeouts { create = \"soon\" }", ["create", "duration"]),
    ] {
        project.configure(&Stack::of_webservice(webservice).render());
        project.plan().fails_with(&expected);
    }
}

#[test]
fn more_replicas_and_a_higher_limit_serve_more_requests_at_once() {
    let with = |replicas: u32, limit: u32| {
        Stack::of_webservice(&format!(
            "num_replicas = {replicas}\n replica_max_concurrent_requests = {limit}\n max_request_wait_time = 20000"
        ))
    };
    let project = with(1, 1).project();
    let script = "import os\nimport time\n\n\ndef init():\n    pass\n\n\ndef run(raw_data):\n    time.sleep(0.02)\n    return os.getpid()\n";
    project.write("src/score.py", script);
    project.apply().ok();
    let load = Load::start(&project.scoring_uri(), &project.key("double"), "{}", 6, 60);
    for replicas in [3, 2, 4, 1] {
        project.configure(&with(replicas, 1).render());
        project.apply().ok();
        project.assert_no_changes();
        let pids: BTreeSet<String> = project.replica_pids("double").iter().map(u32::to_string).collect();
        assert_eq!(pids.len(), usize::try_from(replicas).expect("small"));
        let before = load.so_far().answers;
        eventually("answers of every replica", || {
            let now = load.so_far().answers;
            pids.iter().all(|pid| now.get(pid) > before.get(pid)).then_some(())
        });
    }
    let tally = load.stop();
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
}
