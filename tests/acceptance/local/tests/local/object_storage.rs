//! A workspace in object storage with services on the local compute.

use acceptance_local::{Stack, post};
use objects::testing::{ACCOUNT, Azurite, KEY};
use serde_json::{Value, json};

#[test]
fn a_service_of_a_workspace_in_a_container_is_applied_scored_changed_and_destroyed() {
    let azurite = Azurite::start();
    let stack = Stack {
        provider: format!(r#"storage = {{ account_name = "{ACCOUNT}", endpoint = "{}" }}"#, azurite.endpoint()),
        storage_url: "az://models/team/ws".to_owned(),
        compute: r#"directory = "${abspath(path.module)}/compute""#.to_owned(),
        ..Stack::default()
    };
    let mut project = stack.project();
    project.set_variable("AZURE_STORAGE_ACCOUNT_KEY", KEY);
    project.set_variable("AZUREML_CACHE_DIR", project.path().join("cache"));
    let applied = project.apply().ok();
    assert!(!applied.contains(KEY));
    project.assert_no_changes();
    let score = |project: &acceptance_local::Project| -> Value {
        let answer = post(&project.scoring_uri(), &project.key("double"), r#"{"x": 21}"#);
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).expect("JSON")
    };
    assert_eq!(score(&project), json!({ "model": "one", "result": 42 }));

    project.write("model.txt", "two\n");
    project.apply().ok();
    assert_eq!(score(&project), json!({ "model": "two", "result": 42 }));
    let state = std::fs::read_to_string(project.path().join("terraform.tfstate")).expect("a state");
    assert!(!state.contains(KEY));

    // Nothing is taken for gone that only cannot be reached.
    project.set_variable("AZURE_STORAGE_ACCOUNT_KEY", "d3Jvbmc=");
    project.plan().fails_with(&["az://models/team/ws", "credential", "account_key"]);
    project.set_variable("AZURE_STORAGE_ACCOUNT_KEY", KEY);
    project.destroy().ok();
}
