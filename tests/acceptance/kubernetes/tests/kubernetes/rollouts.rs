//! Changes under load, through two routers.

use acceptance_kubernetes::Stack;
use acceptance_local::Load;

use crate::lifecycle::{KEYS, key};

#[test]
fn no_request_fails_while_code_replicas_and_pods_change() {
    let Some(mut stack) = Stack::find("load") else { return };
    stack.make_namespace();
    stack.routers = 2;
    stack.webservice = "num_replicas = 2\n  max_request_wait_time = 30000".into();
    stack.more = KEYS.into();
    let project = stack.project();
    project.apply().ok();
    let (uri, key) = (project.scoring_uri(), key(&project));
    let kubectl = stack.kubectl();
    kubectl.wait_for_pods("router", 2);
    let load = Load::start(&uri, &key, r#"{"x": 21}"#, 4, 50);

    project.write("src/score.py", acceptance_local::DOUBLE.replace("2 *", "3 *"));
    project.apply().ok();
    for replicas in [4, 1, 2] {
        stack.webservice = format!("num_replicas = {replicas}\n  max_request_wait_time = 30000");
        project.configure(&stack.render());
        project.apply().ok();
    }
    kubectl.run(&["delete", "pod", &kubectl.pods("scorer")[0], "--wait=false"]);
    kubectl.wait_for_pods("scorer", 2);
    kubectl.run(&["delete", "pod", &kubectl.pods("router")[0], "--wait=false"]);
    kubectl.wait_for_pods("router", 2);
    kubectl.run(&["rollout", "restart", "deployment/azureml-fe"]);
    kubectl.run(&["rollout", "status", "deployment/azureml-fe", "--timeout=120s"]);
    kubectl.wait_for_pods("router", 2);

    let tally = load.stop();
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    assert!(tally.answered() > 100, "{tally:?}");
    stack.finish(project);
}
