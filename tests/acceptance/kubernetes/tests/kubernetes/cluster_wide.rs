//! What needs rights in the whole cluster, which nobody but an administrator has.

use acceptance_kubernetes::{KEYS, Stack, Told, flat, key};
use acceptance_local::post;
use serde_json::json;

const STRICTEST: &str = "jsonpath={.metadata.labels.pod-security\\.kubernetes\\.io/enforce}";

#[test]
fn a_namespace_that_was_not_there_is_made_and_goes_with_its_compute_unless_others_have_something_in_it() {
    let Some(mut stack) = Stack::find("made") else { return };
    let (kubectl, namespace) = (stack.kubectl(), stack.namespace());
    stack.create_namespace = true;
    stack.more = KEYS.into();
    let project = stack.project();
    project.apply().ok();
    assert_eq!(kubectl.run(&["get", "namespace", &namespace, "--output", STRICTEST]), "restricted");
    assert_eq!(post(&project.scoring_uri(), &key(&project), r#"{"x": 21}"#).status, 200);
    project.assert_no_changes();

    kubectl.apply(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "notes" }, "data": { "text": "not ours" },
    }));
    let told = flat(&project.destroy().ok());
    for text in [format!("Namespace {namespace} stays"), "ConfigMap notes".to_owned()] {
        assert!(told.contains(&text), "no {text:?} in:\n{told}");
    }
    assert_eq!(kubectl.inventory(), ["configmap/notes"]);

    kubectl.run(&["delete", "namespace", &namespace]);
    project.apply().ok();
    project.destroy().ok();
    assert!(!kubectl.succeeds(&["get", "namespace", &namespace]), "the namespace is gone when the destroy is over");
}

#[test]
fn what_the_nodes_together_or_any_of_them_cannot_give_is_said_before_anything_is_made() {
    let Some(mut stack) = Stack::find("small") else { return };
    stack.make_namespace_alone();
    let (kubectl, empty) = (stack.kubectl(), stack.kubectl().inventory());
    stack.resources = "cpu_cores = 900\n  memory_gb = 0.1".into();
    let plain = stack.render();
    let nodes = kubectl.run(&["get", "nodes", "--output", "jsonpath={.items[*].status.capacity.cpu}"]);
    let cores: u32 = nodes.split_whitespace().map(|cores| cores.parse::<u32>().expect("whole cores")).sum();
    let project = stack.project_of(&plain);
    if cores < 12 {
        let strict = "cluster_purpose  = \"FastProd\"\n  enforce_capacity = true";
        project.configure(&plain.replace("cluster_purpose  = \"DevTest\"", strict));
        let found = format!("{cores} cores on");
        Told::by_apply(&project, &["Cannot attach compute cluster", &found, "FastProd wants 12", "enforce_capacity"]);
        assert_eq!(kubectl.inventory(), empty);
    }

    project.configure(&stack.base());
    project.apply().ok();
    project.configure(&plain);
    let told = flat(&project.plan().ok());
    for text in ["No node can run the replicas", "900 of cpu is asked for", "cpu_cores = 900"] {
        assert!(told.contains(text), "no {text:?} in:\n{told}");
    }
    project.configure(&stack.base());
    stack.finish(project);
}
