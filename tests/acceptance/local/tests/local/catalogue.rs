//! Updates of what the workspace's catalogue holds: the workspace itself, models and environments.

use acceptance_local::{Project, Stack, newest_revision, post};
use serde_json::{Value, json};

fn action(address: &str, actions: &[&str]) -> (String, Vec<String>) {
    (address.to_owned(), actions.iter().map(|action| (*action).to_owned()).collect())
}

fn score(project: &Project) -> Value {
    let uri = project.scoring_uri();
    let answer = post(&uri, &project.key("double"), r#"{"x": 1}"#);
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).expect("JSON")
}

/// Applies a configuration whose plan must be exactly these actions, and be empty afterwards.
#[track_caller]
fn change(project: &Project, stack: &Stack, expected: &[(String, Vec<String>)]) {
    project.configure(&stack.render());
    assert_eq!(project.planned_actions(), expected);
    project.apply().ok();
    project.assert_no_changes();
}

#[test]
fn name_and_force_destroy_of_a_workspace_change_in_place_and_its_url_replaces_everything() {
    let project = Stack::default().project();
    project.apply().ok();
    let before = project.replica_pids("double");
    let text = Stack::default().render().replace("\"acceptance\"", "\"renamed_workspace\"");
    project.configure(&text);
    assert_eq!(project.planned_actions(), [action("azureml_workspace.this", &["update"])]);
    project.apply().ok();
    project.assert_no_changes();
    let changed = Stack { workspace: "force_destroy = true".to_owned(), ..Stack::default() };
    project.configure(&changed.render().replace("\"acceptance\"", "\"renamed_workspace\""));
    assert_eq!(project.planned_actions(), [action("azureml_workspace.this", &["update"])]);
    project.apply().ok();
    project.assert_no_changes();
    let workspace = project.attributes("azureml_workspace.this");
    assert_eq!((&workspace["name"], &workspace["force_destroy"]), (&json!("renamed_workspace"), &json!(true)));
    assert_eq!(project.replica_pids("double"), before);

    project.configure(&Stack::default().render().replace("/ws\"", "/elsewhere\""));
    let actions = project.planned_actions();
    assert_eq!(actions.len(), 5, "{actions:?}");
    assert!(actions.iter().all(|(_, actions)| actions == &["delete", "create"]), "{actions:?}");
    project.apply().ok();
    project.assert_no_changes();
    assert_eq!(score(&project)["model"], "one");
    assert!(!project.path().join("ws").exists());
}

#[test]
fn a_workspace_that_holds_what_no_state_knows_is_destroyed_only_by_force_and_the_refusal_names_everything() {
    let project = Stack::default().project();
    project.apply().ok();
    let held =
        ["azureml_model.this", "azureml_environment.this", "azureml_local_compute.this", "azureml_webservice.this"];
    for address in held {
        project.terraform(["state", "rm", address]).ok();
    }
    project.destroy().fails_with(&["models model", "environments plain", "computes local", "force_destroy = true"]);

    // By force, but never under a running router.
    let forced = Stack { workspace: "force_destroy = true".to_owned(), ..Stack::default() };
    project.configure(&forced.render());
    project.terraform(["apply", "-auto-approve", "-input=false", "-target=azureml_workspace.this"]).ok();
    project.destroy().fails_with(&["compute local is running", "azureml_local_compute"]);
    let id = format!("{}/computes/local", project.attribute("azureml_workspace.this", "id"));
    project.terraform(["import", "-input=false", "azureml_local_compute.this", &id]).ok();
    project.destroy().fails_with(&["still runs the services double", &format!("{id}/services/<name>")]);
    project.terraform(["import", "-input=false", "azureml_webservice.this", &format!("{id}/services/double")]).ok();
    project.destroy().ok();
    assert!(!project.path().join("ws").exists());
}

#[test]
fn labels_of_a_model_change_in_place_without_a_new_version() {
    let labelled = |model: &str| Stack { model: model.to_owned(), ..Stack::default() };
    let project = labelled("properties = { framework = \"none\" }").project();
    project.apply().ok();
    let before = project.replica_pids("double");
    let updated = [action("azureml_model.this", &["update"])];
    let properties = "properties = { framework = \"none\", data = \"2026\" }";
    for model in [
        format!("description = \"d\"\n{properties}"),
        format!("description = \"e\"\n tags = {{ stage = \"test\" }}\n{properties}"),
        format!("tags = {{ stage = \"production\", team = \"a\" }}\n{properties}"),
        format!("keep_versions = 3\n{properties}"),
        format!("keep_versions = 2\n{properties}"),
        properties.to_owned(),
    ] {
        change(&project, &labelled(&model), &updated);
    }
    let model = project.attributes("azureml_model.this");
    assert_eq!(model["properties"], json!({"framework": "none", "data": "2026"}));
    assert_eq!([&model["description"], &model["tags"], &model["keep_versions"]], [&Value::Null; 3]);
    assert_eq!(model["version"], 1);
    assert_eq!(project.replica_pids("double"), before);
}

#[test]
fn properties_only_grow_and_a_plan_that_loses_one_says_which() {
    let with = |model: &str, webservice: &str| Stack {
        model: format!("properties = {{ {model} }}"),
        webservice: format!("num_replicas = 1\n properties = {{ {webservice} }}"),
        ..Stack::default()
    };
    let all = "a = \"1\", b = \"2\"";
    let project = with(all, all).project();
    project.apply().ok();
    for (lossy, lost) in [("a = \"1\"", "b"), ("a = \"1\", b = \"other\"", "b"), ("", "a, b")] {
        project.configure(&with(lossy, all).render());
        project.plan().fails_with(&["with azureml_model.this", "properties", &format!("{lost} cannot be changed")]);
        project.configure(&with(all, lossy).render());
        project.plan().fails_with(&[
            "with azureml_webservice.this",
            "properties",
            &format!("{lost} cannot be changed"),
        ]);
    }
    let more = "a = \"1\", b = \"2\", c = \"3\"";
    let both = [action("azureml_model.this", &["update"]), action("azureml_webservice.this", &["update"])];
    change(&project, &with(more, more), &both);
}

#[test]
fn content_and_path_of_a_model_make_the_next_version_and_its_name_replaces_it() {
    let project = Stack::default().project();
    project.apply().ok();
    let both = [action("azureml_model.this", &["update"]), action("azureml_webservice.this", &["update"])];
    project.write("model.txt", "two\n");
    change(&project, &Stack::default(), &both);
    assert_eq!(
        (project.attributes("azureml_model.this")["version"].clone(), score(&project)["model"].clone()),
        (json!(2), json!("two"))
    );

    project.write("folder/model.txt", "three\n");
    let text = Stack::default().render().replace("/model.txt", "/folder/model.txt");
    project.configure(&text);
    assert_eq!(project.planned_actions(), both);
    project.apply().ok();
    project.assert_no_changes();
    assert_eq!(score(&project)["model"], "three");

    project.configure(&text.replace("\"model\"", "\"other\""));
    assert_eq!(
        project.planned_actions(),
        [action("azureml_model.this", &["delete", "create"]), action("azureml_webservice.this", &["update"])]
    );
    project.apply().ok();
    project.assert_no_changes();
    let id = project.attribute("azureml_model.this", "version_id");
    assert!(id.ends_with("/models/other/1"), "{id}");
    assert_eq!(score(&project)["model"], "three");
}

#[test]
fn surplus_versions_go_except_those_that_a_service_uses() {
    let pinned = |version: u32| {
        let text = Stack { model: "keep_versions = 1".to_owned(), ..Stack::default() }.render();
        text.replace("[azureml_model.this.version_id]", &format!("[\"${{azureml_model.this.id}}/{version}\"]"))
    };
    let project = Project::new(&pinned(1));
    project.write("src/score.py", acceptance_local::DOUBLE);
    let versions = || -> Vec<u64> {
        let newest = newest_revision(&project.path().join("ws/models/model"));
        let text = std::fs::read_to_string(newest).expect("a revision");
        let document: Value = serde_json::from_str(&text).expect("JSON");
        let versions = document["body"]["versions"].as_object().unwrap_or_else(|| panic!("{document}")).clone();
        versions.keys().map(|version| version.parse().expect("a number")).collect()
    };
    for (content, expected) in [("one\n", vec![1]), ("two\n", vec![1, 2]), ("three\n", vec![1, 3])] {
        project.write("model.txt", content);
        project.apply().ok();
        project.assert_no_changes();
        assert_eq!(versions(), expected);
        assert_eq!(score(&project)["model"], "one");
    }
    project.configure(&pinned(3));
    project.apply().ok();
    project.assert_no_changes();
    assert_eq!((versions(), score(&project)["model"].clone()), (vec![3], json!("three")));
    project.configure(&pinned(2));
    project.apply().fails_with(&["model_ids", "models/model/2 does not exist"]);
    assert_eq!(score(&project)["model"], "three");
    project.configure(&pinned(3));
}
