//! Creates that fail leave nothing behind that no state knows.

use acceptance_kubernetes::{Kubectl, RESOURCES, Stack, Told};
use acceptance_local::{DOUBLE, ENDPOINT, Project, eventually, score_script, version};
use serde_json::json;

use super::policy::Policy;

/// Name of the Deployment of the webservice `double`.
fn deployment() -> String {
    serving::cluster::workload("double", "double")
}

/// A failed create: what it tells, and that the namespace and the state are as they were.
fn fails(project: &Project, kubectl: &Kubectl, before: &[String], expected: &[&str]) -> Told {
    let told = Told::by_apply(project, expected);
    // Pods and what their controllers make take a moment to go.
    eventually("the namespace to be as it was", || (kubectl.inventory() == before).then_some(()));
    let state = project.terraform(["state", "list"]).ok();
    assert!(!state.contains("azureml_webservice."), "{state}");
    told
}

#[test]
fn a_create_that_fails_leaves_nothing_behind_and_goes_through_once_its_cause_is_gone() {
    let Some(mut stack) = Stack::find("create") else { return };
    stack.make_namespace();
    let kubectl = stack.kubectl();
    let empty = kubectl.inventory();
    let project = stack.project_of(&stack.base());
    project.apply().ok();
    let before = kubectl.inventory();

    project.configure(&stack.render());
    project
        .write("src/score.py", "def init():\n    raise ValueError('no weights')\n\ndef run(data):\n    return data\n");
    let expected = ["do not become ready", "ValueError: no weights", "Nothing of it is left but its logs"];
    fails(&project, &kubectl, &before, &expected);
    project.write("src/score.py", DOUBLE);

    stack.webservice = "num_replicas = 1\n  service_account = \"absent\"".into();
    project.configure(&stack.render());
    fails(&project, &kubectl, &before, &["serviceaccount \"absent\" not found", "does not let the pod be created"])
        .at("service_account");

    // What is refused before there is a pod.
    stack.webservice = "num_replicas = 1\n  pod_labels = { team = \"none\" }".into();
    project.configure(&stack.render());
    let policy = Policy::refusing(&kubectl, "deployments");
    fails(&project, &kubectl, &before, &["Cannot create webservice double", "this team may not deploy"]);
    drop(policy);

    kubectl.apply(&json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "foreign" },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": deployment() },
            "minReplicas": 1, "maxReplicas": 3,
        },
    }));
    let expected = ["HorizontalPodAutoscaler foreign", "scales replicas of service double", "delete it"];
    fails(&project, &kubectl, &before, &expected);
    kubectl.run(&["delete", "horizontalpodautoscaler", "foreign"]);

    project.apply().ok();
    project.assert_no_changes();
    project.destroy().ok();
    assert_eq!(kubectl.inventory(), empty);
    stack.finish(project);
}

#[test]
fn a_version_that_the_cluster_refuses_leaves_its_endpoint_as_it_was_for_all_others() {
    let Some(mut stack) = Stack::find("refusal") else { return };
    stack.make_namespace();
    let kubectl = stack.kubectl();
    let endpoint = format!(
        "{}\nresource \"azureml_endpoint\" \"this\" {{\n  name = \"{ENDPOINT}\"\n  \
         compute_id = azureml_aks_attachment.this.id\n}}\n",
        stack.base()
    );
    let of = |name: &str, more: &str| version(name, &format!("num_replicas = 1\n  {more}\n  {RESOURCES}"));
    let blue = |deadline| of("blue", &format!("is_default = true\n  scoring_timeout_ms = {deadline}"));
    let project = stack.project_of(&format!("{endpoint}{}", blue(60_000)));
    for name in ["blue", "green"] {
        project.write(&format!("{name}/score.py"), score_script(name, 1));
    }
    project.apply().ok();
    let before = kubectl.inventory();

    let green = of("green", "pod_labels = { team = \"none\" }");
    project.configure(&format!("{endpoint}{}{green}", blue(60_000)));
    let policy = Policy::refusing(&kubectl, "deployments");
    Told::by_apply(&project, &["green", "this team may not deploy"]);
    eventually("the namespace to be as it was", || (kubectl.inventory() == before).then_some(()));

    // Others go on, as if nobody had tried.
    project.configure(&format!("{endpoint}{}", blue(61_000)));
    project.apply().ok();
    project.assert_no_changes();
    policy.lift();
    project.configure(&format!("{endpoint}{}{green}", blue(61_000)));
    project.apply().ok();
    project.assert_no_changes();
    stack.finish(project);
}
