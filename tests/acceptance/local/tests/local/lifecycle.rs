//! Create, read, update, import, replace and destroy with the real terraform.

use acceptance_local::{DOUBLE, Load, Stack, eventually, post, processes_of, request};
use serde_json::{Value, json};

fn scored(answer: &str) -> Value {
    serde_json::from_str(answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

#[test]
fn apply_puts_a_model_behind_an_authenticated_uri_and_destroy_leaves_nothing() {
    let project = Stack::of_webservice("num_replicas = 2").project();
    project.apply().ok();
    project.assert_no_changes();

    let uri = project.scoring_uri();
    let answer = post(&uri, &project.key("double"), r#"{"x": 21}"#);
    assert_eq!((answer.status, scored(&answer.body)), (200, json!({"model": "one", "result": 42})));
    assert_eq!(answer.headers["x-ms-run-function-failed"], "False");
    assert_eq!(answer.headers["azureml-model-deployment"], "double");
    assert!(
        answer.headers.contains_key("x-request-id") && answer.headers.contains_key("x-ms-run-fn-exec-ms"),
        "{:?}",
        answer.headers
    );

    let swagger = project.attribute("azureml_webservice.this", "swagger_uri");
    let document = request("GET", &swagger, Some(&project.key("double")), &[], "").expect("an answer");
    assert_eq!(scored(&document.body)["swagger"], "2.0");

    assert_eq!(project.attribute("azureml_webservice.this", "state"), "Healthy");
    project.destroy().ok();
    assert!(processes_of(project.path()).is_empty(), "{:?}", processes_of(project.path()));
    assert!(!project.path().join("ws").exists(), "the workspace's directory is still there");
}

#[test]
fn a_wrong_or_missing_key_is_refused_and_the_refusal_says_how_to_authenticate() {
    let project = Stack::of_webservice("num_replicas = 1").project();
    project.apply().ok();
    let uri = project.scoring_uri();
    for key in [None, Some("wrong")] {
        let answer = request("POST", &uri, key, &[], r#"{"x": 1}"#).expect("an answer");
        assert_eq!(answer.status, 401, "{}", answer.body);
        assert!(answer.headers["www-authenticate"].starts_with("Bearer"), "{:?}", answer.headers);
    }
    let unknown = uri.replace("/double/", "/other/");
    let answer = request("POST", &unknown, Some(&project.key("double")), &[], "{}").expect("an answer");
    assert_eq!(answer.status, 404, "{}", answer.body);
}

#[test]
fn without_authentication_anybody_may_score_until_it_is_switched_on() {
    let project = Stack::of_webservice("num_replicas = 1\n auth_enabled = false").project();
    project.apply().ok();
    let uri = project.scoring_uri();
    assert_eq!(request("POST", &uri, None, &[], r#"{"x": 1}"#).expect("an answer").status, 200);

    project.configure(&Stack::of_webservice("num_replicas = 1\n auth_enabled = true").render());
    project.apply().ok();
    assert_eq!(request("POST", &uri, None, &[], r#"{"x": 1}"#).expect("an answer").status, 401);
    assert_eq!(post(&uri, &project.key("double"), r#"{"x": 1}"#).status, 200);
}

#[test]
fn changed_code_models_and_environment_roll_without_a_failed_request() {
    let project = Stack::of_webservice("num_replicas = 2").project();
    project.apply().ok();
    let uri = project.scoring_uri();
    let load = Load::start(&uri, &project.key("double"), r#"{"x": 1}"#, 8, 200);

    project.write("src/score.py", DOUBLE.replace("2 * json", "3 * json"));
    project.apply().ok();
    eventually("an answer of the new code", || {
        load.so_far().answers.keys().any(|body| scored(body)["result"] == 3).then_some(())
    });
    project.assert_no_changes();

    project.write("model.txt", "two\n");
    assert!(
        project.planned_actions().iter().all(|(_, actions)| actions == &["update"]),
        "{:?}",
        project.planned_actions()
    );
    project.apply().ok();
    eventually("an answer of the new model", || {
        load.so_far().answers.keys().any(|body| scored(body)["model"] == "two").then_some(())
    });

    let changed = Stack {
        environment: r#"environment_variables = { COLOUR = "blue" }"#.to_owned(),
        ..Stack::of_webservice("num_replicas = 2")
    };
    project.configure(&changed.render());
    project.apply().ok();
    project.assert_no_changes();

    let tally = load.stop();
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    assert!(tally.answered() > 0);
}

#[test]
fn numbers_change_in_place_and_restart_nothing() {
    let project = Stack::of_webservice("num_replicas = 1").project();
    project.apply().ok();
    let before = project.replica_pids("double");

    let changes = "num_replicas = 1\n scoring_timeout_ms = 30000\n max_request_wait_time = 900\n replica_max_concurrent_requests = 2\n description = \"d\"\n tags = { a = \"b\" }\n properties = { p = \"q\" }";
    project.configure(&Stack::of_webservice(changes).render());
    assert_eq!(project.planned_actions(), [("azureml_webservice.this".to_owned(), vec!["update".to_owned()])]);
    project.apply().ok();
    project.assert_no_changes();
    assert_eq!(project.replica_pids("double"), before);
    let attributes = project.attributes("azureml_webservice.this");
    assert_eq!((&attributes["scoring_timeout_ms"], &attributes["max_request_wait_time"]), (&json!(30000), &json!(900)));
    assert_eq!((&attributes["description"], &attributes["tags"]), (&json!("d"), &json!({"a": "b"})));

    project.configure(&Stack::of_webservice("num_replicas = 3\n properties = { p = \"q\" }").render());
    project.apply().ok();
    let after = project.replica_pids("double");
    assert_eq!(after.len(), 3);
    assert!(before.iter().all(|pid| after.contains(pid)), "{before:?} {after:?}");
}

#[test]
fn every_resource_can_be_imported_and_the_plan_after_it_is_empty() {
    let configuration = Stack {
        provider: "owner = \"importer\"".to_owned(),
        compute: "address = \"127.0.0.1\"\n directory = \"${abspath(path.module)}/compute\"".to_owned(),
        environment: "environment_variables = { COLOUR = \"blue\" }".to_owned(),
        model: "description = \"a model\"\n tags = {}\n properties = { p = \"q\" }\n keep_versions = 2".to_owned(),
        webservice:
            "num_replicas = 2\n tags = { a = \"b\" }\n description = \"imported\"\n properties = {}\n rollout = { \
                     max_surge = 2 }\n secondary_key_version = 3\n max_request_wait_time = 700"
                .to_owned(),
        ..Stack::default()
    };
    let project = configuration.project();
    project.apply().ok();
    let addresses = [
        "azureml_workspace.this",
        "azureml_local_compute.this",
        "azureml_model.this",
        "azureml_environment.this",
        "azureml_webservice.this",
    ];
    let ids = addresses.map(|address| (address, project.attribute(address, "id")));
    for (address, id) in ids.iter().rev() {
        project.terraform(["state", "rm", address]).ok();
        project.terraform(["import", "-input=false", address, id]).ok();
    }
    project.assert_no_changes();
    let uri = project.scoring_uri();
    assert_eq!(post(&uri, &project.key("double"), r#"{"x": 2}"#).status, 200);
}

#[test]
fn a_new_name_replaces_the_service() {
    let project = Stack::of_webservice("num_replicas = 1").project();
    project.apply().ok();
    project.configure(&Stack::of_webservice("num_replicas = 1").render().replace("\"double\"", "\"twice\""));
    assert_eq!(
        project.planned_actions(),
        [("azureml_webservice.this".to_owned(), vec!["delete".to_owned(), "create".to_owned()])]
    );
    project.apply().ok();
    let uri = project.scoring_uri();
    assert!(uri.contains("/twice/"), "{uri}");
    assert_eq!(post(&uri, &project.key("twice"), r#"{"x": 2}"#).status, 200);
    project.assert_no_changes();
}

#[test]
fn data_sources_and_the_sizing_function_read_what_is_there() {
    let more = r#"
data "azureml_workspace" "this" {
  storage_url = azureml_workspace.this.storage_url
}
data "azureml_model" "this" {
  workspace_id = azureml_workspace.this.id
  name         = azureml_model.this.name
}
data "azureml_webservice" "this" {
  id = azureml_webservice.this.id
}
output "read" {
  value = {
    workspace = data.azureml_workspace.this.name
    model     = data.azureml_model.this.version
    uri       = data.azureml_webservice.this.scoring_uri
    replicas  = provider::azureml::required_replicas(20, 10, 1, 70)
  }
}"#;
    let project = Stack { more: more.to_owned(), ..Stack::of_webservice("num_replicas = 1") }.project();
    project.apply().ok();
    let outputs: Value = scored(&project.terraform(["output", "-json", "read"]).ok());
    assert_eq!(outputs["workspace"], "acceptance");
    assert_eq!(outputs["model"].to_string().trim_matches('"'), "1");
    assert_eq!(outputs["replicas"], 286);
    assert_eq!(outputs["uri"], project.scoring_uri());
}
