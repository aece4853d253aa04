//! What happens outside of Terraform, and what the next plan makes of it.

use std::path::Path;

use acceptance_local::{DOUBLE, Load, Project, Stack, eventually, newest_revision, post, processes_of};
use serde_json::{Value, json};

fn serving(webservice: &str) -> (Project, String, String) {
    let project = Stack { webservice: webservice.to_owned(), ..Stack::default() }.project();
    project.apply().ok();
    let uri = project.scoring_uri();
    let key = project.key("double");
    (project, uri, key)
}

fn kill(project: &Project, part: &str) {
    let found = processes_of(project.path()).into_iter().find(|process| process.command.contains(part));
    found.unwrap_or_else(|| panic!("no process with {part} in its command: {:?}", processes_of(project.path()))).kill();
}

#[test]
fn a_removed_document_is_created_again() {
    let (project, uri, _) = serving("num_replicas = 1");
    std::fs::remove_file(project.compute_directory().join(serving::layout::document("double")))
        .expect("the document is removed");
    assert_eq!(project.planned_actions(), [("azureml_webservice.this".to_owned(), vec!["create".to_owned()])]);
    project.apply().ok();
    assert_eq!(post(&uri, &project.key("double"), r#"{"x": 1}"#).status, 200);
}

#[test]
fn a_killed_supervisor_shows_only_the_computes_update_and_apply_brings_all_back() {
    let (project, uri, key) = serving("num_replicas = 2");
    kill(&project, "supervise");
    eventually("the end of every process", || processes_of(project.path()).is_empty().then_some(()));
    assert_eq!(project.planned_actions(), [("azureml_local_compute.this".to_owned(), vec!["update".to_owned()])]);
    project.apply().ok();
    assert_eq!(post(&uri, &key, r#"{"x": 1}"#).status, 200);
    project.assert_no_changes();
}

#[test]
fn a_killed_router_worker_costs_at_most_the_requests_in_flight_and_comes_back_by_itself() {
    let (project, uri, key) = serving("num_replicas = 2");
    let callers = 4;
    let load = Load::start(&uri, &key, r#"{"x": 1}"#, callers, 100);
    eventually("the load", || (load.so_far().answered() > 20).then_some(()));
    kill(&project, " route --listen-fd");
    let before = load.so_far().answered();
    eventually("answers after the kill", || (load.so_far().answered() > before + 50).then_some(()));
    let tally = load.stop();
    assert!(tally.failures.values().sum::<u64>() <= u64::from(callers), "{:?}", tally.failures);
    project.assert_no_changes();
}

#[test]
fn a_killed_scorer_costs_at_most_its_request_in_flight_and_is_started_again() {
    let (project, uri, key) = serving("num_replicas = 2");
    let load = Load::start(&uri, &key, r#"{"x": 1}"#, 4, 100);
    eventually("the load", || (load.so_far().answered() > 20).then_some(()));
    kill(&project, "azureml_scorer");
    let before = load.so_far().answered();
    eventually("answers after the kill", || (load.so_far().answered() > before + 50).then_some(()));
    let tally = load.stop();
    assert!(tally.failures.values().sum::<u64>() <= 1, "{:?}", tally.failures);
    eventually("the second replica", || {
        let scorers = processes_of(project.path())
            .into_iter()
            .filter(|process| process.command.contains("azureml_scorer"))
            .count();
        (scorers == 2).then_some(())
    });
    project.assert_no_changes();
}

/// Rewrites a JSON file as somebody with an editor does.
fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut document: Value = serde_json::from_slice(&std::fs::read(path).expect("a document")).expect("JSON");
    change(&mut document);
    std::fs::write(path, serde_json::to_vec_pretty(&document).expect("JSON")).expect("written");
}

#[test]
fn an_edited_document_shows_as_an_update_of_the_edited_attributes_and_apply_puts_them_back() {
    let (project, uri, key) = serving("num_replicas = 1\n tags = { stage = \"test\" }");
    let path = project.compute_directory().join(serving::layout::document("double"));
    edit(&path, |document| {
        document["tags"]["stage"] = json!("edited");
        document["description"] = json!("by hand");
        let version = &mut document["versions"]["double"];
        version["scale"] = json!({"fixed": 2});
        version["scoring_timeout_ms"] = json!(1234);
    });
    let changes = project.planned_changes();
    assert_eq!(changes.len(), 1, "{changes:?}");
    let (before, after) = (&changes[0]["change"]["before"], &changes[0]["change"]["after"]);
    for (attribute, edited, configured) in [
        ("num_replicas", json!(2), json!(1)),
        ("scoring_timeout_ms", json!(1234), json!(60000)),
        ("description", json!("by hand"), Value::Null),
        ("tags", json!({"stage": "edited"}), json!({"stage": "test"})),
    ] {
        assert_eq!((&before[attribute], &after[attribute]), (&edited, &configured), "{attribute}");
    }
    let pid = project.replica_pids("double");
    project.apply().ok();
    project.assert_no_changes();
    assert_eq!(post(&uri, &key, r#"{"x": 1}"#).status, 200);
    assert!(project.replica_pids("double").iter().all(|now| pid.contains(now)), "the template was never changed");
}

#[test]
fn a_document_that_breaks_the_rules_is_a_warning_and_one_that_is_damaged_an_error_while_the_last_good_one_serves() {
    let (project, uri, key) = serving("num_replicas = 1");
    let path = project.compute_directory().join(serving::layout::document("double"));
    let good = std::fs::read(&path).expect("a document");
    edit(&path, |document| {
        document["generation"] = json!(99);
        document["versions"]["double"]["scale"] = json!({"fixed": 0});
    });
    eventually("the refusal", || project.status("double").refused);
    let text = project.plan().ok();
    assert!(text.contains("The router refuses the document of double") && text.contains("num_replicas"), "{text}");
    assert_eq!(post(&uri, &key, r#"{"x": 1}"#).status, 200);

    std::fs::write(&path, "{ not json").expect("written");
    project.plan().fails_with(&["double.json is damaged", "restore it, or remove it"]);
    assert_eq!(post(&uri, &key, r#"{"x": 1}"#).status, 200);
    std::fs::write(&path, good).expect("written");
    project.assert_no_changes();
}

#[test]
fn a_replica_that_crashes_again_and_again_is_a_warning_with_the_reason_and_no_change() {
    let project = Stack::default().project();
    let flag = project.path().join("broken");
    let script = format!(
        "import os\n\n\ndef init():\n    if os.path.exists({flag:?}):\n        raise OSError('the disk is gone')\n\n\ndef run(raw_data):\n    return 1\n"
    );
    project.write("src/score.py", script);
    project.apply().ok();
    project.write("broken", "");
    kill(&project, "azureml_scorer");
    let failure = || project.status("double").versions["double"].failure.clone();
    eventually("two failed starts", || failure().filter(|failure| failure.count > 1));
    let outcome = project.plan();
    assert_eq!(outcome.code, Some(0), "{}", outcome.text);
    for part in ["Warning: Replicas of webservice double fail", "the disk is gone", "score.py"] {
        assert!(outcome.text.contains(part), "no {part:?} in:\n{}", outcome.text);
    }
    std::fs::remove_file(&flag).expect("removed");
    eventually("the end of the crashes", || failure().is_none().then_some(()));
    let healed = project.plan();
    assert!(healed.code == Some(0) && !healed.text.contains("Warning"), "{}", healed.text);
}

#[test]
fn a_compute_of_another_machine_is_an_error_that_names_its_host_and_never_a_second_router() {
    let (project, uri, key) = serving("num_replicas = 1");
    let path = newest_revision(&project.path().join("ws/computes/local"));
    let good = std::fs::read(&path).expect("a document");
    edit(&path, |document| {
        let location = &mut document["body"]["location"]["local"];
        assert!(location["machine"].is_string() && location["host"].is_string(), "{location}");
        (location["machine"], location["host"]) = (json!("0123456789abcdef"), json!("gpu-box-7"));
    });
    for outcome in [project.plan(), project.destroy()] {
        outcome.fails_with(&["runs on the host gpu-box-7", "run terraform there"]);
    }
    assert_eq!(post(&uri, &key, r#"{"x": 1}"#).status, 200);
    std::fs::write(&path, good).expect("written");
    project.assert_no_changes();
}

#[test]
fn what_was_removed_from_the_catalogue_is_planned_anew() {
    let (project, uri, key) = serving("num_replicas = 1");
    for (folder, address) in
        [("models/model", "azureml_model.this"), ("environments/plain", "azureml_environment.this")]
    {
        std::fs::remove_dir_all(project.path().join("ws").join(folder)).expect("removed");
        let actions = project.planned_actions();
        assert_eq!(actions[0], (address.to_owned(), vec!["create".to_owned()]), "{actions:?}");
        assert_eq!(actions[1], ("azureml_webservice.this".to_owned(), vec!["update".to_owned()]), "{actions:?}");
        project.apply().ok();
        project.assert_no_changes();
        assert_eq!(post(&uri, &key, r#"{"x": 1}"#).status, 200);
    }

    // The compute's own folder is still there, with its router: it is taken up again, and no second one is made.
    let supervisors =
        || processes_of(project.path()).iter().filter(|process| process.command.contains(" supervise ")).count();
    std::fs::remove_dir_all(project.path().join("ws/computes/local")).expect("removed");
    let created = |address: &str| (address.to_owned(), vec!["create".to_owned()]);
    assert_eq!(project.planned_actions(), [created("azureml_local_compute.this"), created("azureml_webservice.this")]);
    project.apply().ok();
    project.assert_no_changes();
    assert_eq!(supervisors(), 1);
    let uri = project.scoring_uri();
    assert_eq!(post(&uri, &project.key("double"), r#"{"x": 1}"#).status, 200);
}

#[test]
fn a_removed_virtual_environment_or_model_content_is_made_again_when_it_is_needed() {
    let (project, uri, key) = serving("num_replicas = 1");
    std::fs::remove_dir_all(project.path().join("ws/venvs")).expect("removed");
    assert_eq!(post(&uri, &key, r#"{"x": 1}"#).status, 200, "what runs goes on");
    project.write("src/score.py", DOUBLE.replace("2 *", "3 *"));
    project.apply().ok();
    project.assert_no_changes();
    assert_eq!(post(&uri, &key, r#"{"x": 1}"#).body, r#"{"model": "one", "result": 3}"#);

    std::fs::remove_dir_all(project.path().join("ws/blobs")).expect("removed");
    assert_eq!(project.planned_actions()[0], ("azureml_model.this".to_owned(), vec!["update".to_owned()]));
    project.apply().ok();
    project.assert_no_changes();
    project.write("src/score.py", DOUBLE.replace("2 *", "4 *"));
    project.apply().ok();
    assert_eq!(post(&uri, &key, r#"{"x": 1}"#).body, r#"{"model": "one", "result": 4}"#);
}

#[test]
fn a_removed_workspace_ends_its_router_and_everything_is_planned_anew() {
    let (project, _, _) = serving("num_replicas = 1");
    std::fs::remove_dir_all(project.path().join("ws")).expect("removed");
    eventually("the end of every process", || processes_of(project.path()).is_empty().then_some(()));
    let actions = project.planned_actions();
    assert!(actions.len() == 5 && actions.iter().all(|(_, actions)| actions == &["create"]), "{actions:?}");
    project.apply().ok();
    project.assert_no_changes();
    let uri = project.scoring_uri();
    assert_eq!(post(&uri, &project.key("double"), r#"{"x": 1}"#).status, 200);
}
