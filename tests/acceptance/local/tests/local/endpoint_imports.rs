//! Import of endpoints, their versions and their traffic, and what happens to them outside of Terraform.

use acceptance_local::{Project, Split, answered_by, elsewhere, request, traffic, write_code};
use serde_json::json;

const VERSIONS: [&str; 2] = ["azureml_endpoint_version.blue", "azureml_endpoint_version.green"];

/// Forgets these resources and imports them by their ids.
fn import_again(project: &Project, addresses: &[&str]) {
    let ids: Vec<String> = addresses.iter().map(|address| project.attribute(address, "id")).collect();
    for (address, id) in addresses.iter().zip(ids).rev() {
        project.terraform(["state", "rm", address]).ok();
        project.terraform(["import", "-input=false", address, &id]).ok();
    }
    project.assert_no_changes();
}

const MODEL: &str = r#"
resource "azureml_model" "this" {
  name         = "model"
  workspace_id = azureml_workspace.this.id
  path         = "${path.module}/model.txt"
}
"#;

/// Every argument that a version has beside its traffic.
const EVERYTHING: &str = r#"
  model_ids                       = [azureml_model.this.version_id]
  num_replicas                    = 2
  rollout                         = { max_surge = 2 }
  replica_max_concurrent_requests = 3
  max_request_wait_time           = 700
  scoring_timeout_ms              = 30000
  description                     = "a version"
  tags                            = { a = "b" }
  properties                      = { p = "q" }
"#;

const ENDPOINT: &str = r#"
  key_overlap           = 60
  primary_key_version   = 3
  secondary_key_version = 2
  sticky                = { query = "user" }
  description           = "an endpoint"
  tags                  = {}
  properties            = { p = "q" }
"#;

#[test]
fn an_endpoint_and_its_versions_are_imported_with_an_empty_plan_after_it() {
    let split = Split {
        endpoint: ENDPOINT.to_owned(),
        more: MODEL.to_owned(),
        ..Split::of([
            ("blue", "traffic_percentile = 33.30\n is_default = true\n is_control_version_type = true"),
            ("green", "traffic_percentile = 10\n is_default = false\n is_control_version_type = false"),
        ])
    };
    let mut split = split;
    split.versions[1].1.push_str(EVERYTHING);
    let project = split.project();
    project.write("model.txt", "one\n");
    project.apply().ok();
    project.assert_no_changes();
    let addresses = ["azureml_workspace.this", "azureml_local_compute.this", "azureml_environment.this"];
    let addresses = addresses.into_iter().chain(["azureml_model.this", "azureml_endpoint.this"]).chain(VERSIONS);
    import_again(&project, &addresses.collect::<Vec<_>>());
    project.assert_shares(&[("blue", 9_000), ("green", 1_000)]);
    let (uri, key) = project.endpoint_access();
    answered_by(request("POST", &uri, Some(&key), &[], "{}")).expect("an answer of a version");
}

#[test]
fn the_traffic_is_imported_with_an_empty_plan_after_it_and_its_destruction_leaves_a_whole_table() {
    let shares = traffic(&[("blue", "20.50"), ("green", "70")]);
    let roles = "default_version = azureml_endpoint_version.green.name\n control_version = \
                 azureml_endpoint_version.blue.name";
    let split = Split { traffic: format!("{shares}\n{roles}"), ..Split::assigned(["blue", "green"], [("blue", "1")]) };
    let project = split.project();
    project.apply().ok();
    project.assert_no_changes();
    import_again(&project, &["azureml_endpoint.this", VERSIONS[0], VERSIONS[1], "azureml_endpoint_traffic.this"]);
    project.assert_shares(&[("blue", 2_050), ("green", 7_950)]);

    Split::of([("blue", ""), ("green", "")]).write(&project);
    project.apply().ok();
    project.assert_no_changes();
    project.assert_shares(&[("blue", 0), ("green", 10_000)]);
}

#[test]
fn a_second_object_for_the_traffic_of_an_endpoint_is_refused_with_the_id_to_import() {
    let split = Split::assigned(["blue", "green"], [("blue", "30"), ("green", "70")]);
    let project = split.project();
    project.apply().ok();
    let id = project.attribute("azureml_endpoint_traffic.this", "id");
    project.terraform(["state", "rm", "azureml_endpoint_traffic.this"]).ok();
    Split::assigned(["blue", "green"], [("blue", "70"), ("green", "30")]).write(&project);
    project.apply().fails_with(&["declared already", &format!("terraform import <address> '{id}'")]);
    project.assert_shares(&[("blue", 3_000), ("green", 7_000)]);
    // What declares the same is the same object, as after a create that was killed.
    split.write(&project);
    project.apply().ok();
    project.assert_no_changes();
}

#[test]
fn a_version_of_somebody_else_is_not_taken_over_and_the_error_has_the_id_to_import() {
    let project = Split::of([("blue", "traffic_percentile = 50")]).project();
    project.apply().ok();
    let other = elsewhere(&project, "blue", "traffic_percentile = 40");
    let id = project.attribute(VERSIONS[0], "id");
    other.apply().fails_with(&["already exists", &format!("terraform import <address> '{id}'")]);
    project.assert_shares(&[("blue", 10_000)]);
    project.assert_no_changes();
}

#[test]
fn what_was_removed_or_changed_by_hand_is_planned_and_applied_again() {
    let split = Split::of([("blue", "traffic_percentile = 40"), ("green", "traffic_percentile = 60")]);
    let project = split.project();
    project.apply().ok();
    project.edit_endpoint(|document| {
        let generation = document["generation"].as_u64().expect("a number");
        document["generation"] = json!(generation + 1);
        document["description"] = json!("by hand");
        document["versions"]["blue"]["scoring_timeout_ms"] = json!(1234);
    });
    let actions: Vec<String> = project.planned_actions().into_iter().map(|(address, _)| address).collect();
    assert_eq!(actions, ["azureml_endpoint.this", VERSIONS[0]]);
    project.apply().ok();
    project.assert_no_changes();

    std::fs::remove_file(project.endpoint_document_path()).expect("removed");
    let created = |address: &str| (address.to_owned(), vec!["create".to_owned()]);
    assert_eq!(
        project.planned_actions(),
        [created("azureml_endpoint.this"), created(VERSIONS[0]), created(VERSIONS[1])]
    );
    write_code(&project, "green", 2);
    project.apply().ok();
    project.assert_no_changes();
    project.assert_shares(&[("blue", 4_000), ("green", 6_000)]);
}
