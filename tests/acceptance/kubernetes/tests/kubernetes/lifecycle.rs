//! A service from nothing to nothing.

use acceptance_kubernetes::{KEYS, Stack, key};
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
