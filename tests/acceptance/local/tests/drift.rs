//! What happens outside of Terraform, and what the next plan makes of it.

#![allow(missing_docs, reason = "a test crate")]

use acceptance_local::{Load, Project, Stack, eventually, post, processes_of};

fn serving(webservice: &str) -> (Project, String, String) {
    let project = Stack { webservice: webservice.to_owned(), ..Stack::default() }.project();
    project.apply().ok();
    let uri = project.attribute("azureml_webservice.this", "scoring_uri");
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
