//! What users read when replicas do not become ready.

use acceptance_kubernetes::Stack;
use acceptance_local::{Project, post};

use crate::lifecycle::{KEYS, key};

/// A service that answers, to be spoilt.
fn healthy(name: &str) -> Option<(Stack, Project)> {
    let mut stack = Stack::find(name)?;
    stack.make_namespace();
    stack.more = KEYS.into();
    let project = stack.project();
    project.apply().ok();
    Some((stack, project))
}

#[test]
fn a_change_that_cannot_run_is_told_with_its_reason_and_what_served_before_goes_on() {
    let Some((mut stack, project)) = healthy("broken") else { return };
    let (uri, key) = (project.scoring_uri(), key(&project));
    let answers = || assert_eq!(post(&uri, &key, r#"{"x": 21}"#).body, r#"{"model": "one", "result": 42}"#);
    answers();

    project
        .write("src/score.py", "def init():\n    raise ValueError('no weights')\n\ndef run(data):\n    return data\n");
    let text = project.apply().fails_with(&[
        "do not become ready",
        "ValueError: no weights",
        "What served before keeps serving",
    ]);
    assert!(text.contains("score.py"), "{text}");
    answers();
    project.write("src/score.py", acceptance_local::DOUBLE);
    project.apply().ok();

    let eater = "def init():\n    global data\n    data = b'x' * (512 << 20)\n\ndef run(data):\n    return data\n";
    stack.webservice = "num_replicas = 1\n  memory_gb_limit = 0.1".into();
    project.write("src/score.py", eater);
    project.configure(&stack.render());
    project.apply().fails_with(&["too much memory", "memory_gb_limit"]);
    answers();

    stack.webservice =
        "num_replicas = 1\n  node_selector = { nowhere = \"here\" }\n  timeouts { update = \"20s\" }".into();
    project.write("src/score.py", acceptance_local::DOUBLE);
    project.configure(&stack.render());
    project.apply().fails_with(&["no node takes pod", "node affinity", "node_selector"]);
    answers();
    stack.finish(project);
}

#[test]
fn a_model_that_is_gone_and_a_quota_that_is_full_are_told_by_name() {
    let Some((mut stack, project)) = healthy("blocked") else { return };
    let kubectl = stack.kubectl();
    kubectl.apply(&serde_json::json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "small" },
        "spec": { "hard": { "pods": "2" } },
    }));
    stack.webservice = "num_replicas = 3".into();
    project.configure(&stack.render());
    project.apply().fails_with(&["exceeded quota: small", "ResourceQuota"]);
    kubectl.run(&["delete", "resourcequota", "small"]);
    stack.finish(project);
}
