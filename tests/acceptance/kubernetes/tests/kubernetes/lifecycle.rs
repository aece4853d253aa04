//! A service from nothing to nothing.

use acceptance_kubernetes::{KEYS, Stack, Told, key};
use acceptance_local::post;

#[test]
fn a_service_is_created_scored_changed_imported_and_leaves_the_namespace_as_it_was() {
    let Some(mut stack) = Stack::find("life") else { return };
    stack.make_namespace();
    let kubectl = stack.kubectl();
    let before = kubectl.inventory();
    stack.more = KEYS.into();
    let project = stack.project();
    project.apply().ok();
    let (uri, key) = (project.scoring_uri(), key(&project));
    let answer = post(&uri, &key, r#"{"x": 21}"#);
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"model": "one", "result": 42}"#));
    assert_eq!(post(&uri, "a-key-that-is-wrong-but-long-enough", r#"{"x": 1}"#).status, 401);
    project.assert_no_changes();

    project.write("src/score.py", acceptance_local::DOUBLE.replace("2 *", "3 *"));
    stack.webservice = "num_replicas = 2\n  scoring_timeout_ms = 30000".into();
    project.configure(&stack.render());
    project.apply().ok();
    assert_eq!(post(&uri, &key, r#"{"x": 21}"#).body, r#"{"model": "one", "result": 63}"#);
    project.assert_no_changes();
    kubectl.wait_for_pods("scorer", 2);

    for address in ["azureml_webservice.this", "azureml_aks_attachment.this"] {
        let id = project.attribute(address, "id");
        project.terraform(["state", "rm", address]).ok();
        project.terraform(["import", "-no-color", "-input=false", address, id.as_str()]).ok();
    }
    project.assert_no_changes();

    project.destroy().ok();
    assert_eq!(kubectl.inventory(), before);
    stack.finish(project);
}

#[test]
fn a_surplus_version_of_a_model_stays_while_a_service_in_the_cluster_names_it_and_goes_after_that() {
    let Some(mut stack) = Stack::find("surplus") else { return };
    stack.make_namespace();
    let configuration = stack.render().replace("/model.txt\"", "/model.txt\"\n  keep_versions = 1");
    let project = stack.project_of(&configuration);
    project.apply().ok();
    let first = "data \"azureml_model\" \"first\" {\n  workspace_id = azureml_workspace.this.id\n  \
                 name = \"model\"\n  version = 1\n}\n";
    let looking = format!("{configuration}{first}");
    project.write("model.txt", "two\n");
    project.terraform(["apply", "-auto-approve", "-input=false", "-no-color", "-target=azureml_model.this"]).ok();
    project.configure(&looking);
    project.plan().ok();

    project.configure(&configuration);
    project.apply().ok();
    project.configure(&looking);
    Told::by_apply(&project, &["There is no version 1 of it", "Its versions: 2"]);
    project.configure(&configuration);
    stack.finish(project);
}
