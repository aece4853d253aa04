//! Who may change what is in the namespace: other workspaces, other programs, people with kubectl.

use acceptance_kubernetes::{Stack, Told, flat};
use acceptance_local::{Project, eventually};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::failures::Healthy;

/// Name of the Deployment of the webservice `double`.
fn deployment() -> String {
    serving::cluster::workload("double", "double")
}

#[test]
fn what_is_edited_or_deleted_by_hand_is_planned_and_repaired() {
    let Some(healthy) = Healthy::find("drift") else { return };
    let (kubectl, project, name) = (healthy.stack.kubectl(), &healthy.project, deployment());
    let planned = |spoilt: &str, address: &str, action: &str| {
        let actions = project.planned_actions();
        let found = actions.iter().any(|(found, actions)| found == address && actions == &[action]);
        assert!(found, "{spoilt}: {actions:?}");
    };
    kubectl.run(&["delete", "secret", "azureml-fe-access"]);
    planned("without what routers know of keys", "azureml_aks_attachment.this", "update");
    project.apply().ok();
    project.assert_no_changes();
    // The routers' secret towards scorers is another one, so those start again.
    eventually("the same key to be accepted by routers and scorers", || healthy.try_answer());

    for spoil in [
        vec!["delete", "deployment", &name],
        vec!["delete", "poddisruptionbudget", &name],
        vec!["delete", "configmap", "service.double"],
    ] {
        kubectl.run(&spoil);
        let gone = spoil[1] == "configmap";
        planned(&spoil.join(" "), "azureml_webservice.this", if gone { "create" } else { "update" });
        project.apply().ok();
        project.assert_no_changes();
    }
    kubectl.wait_for_pods("scorer", 1);

    for spoil in [
        ["service", "azureml-fe"],
        ["deployment", "azureml-fe"],
        ["rolebinding", "azureml-fe"],
        ["networkpolicy", "azureml-scorer"],
        ["secret", "azureml-storage"],
        ["configmap", "azureml-fe-config"],
    ] {
        kubectl.run(&["delete", spoil[0], spoil[1]]);
        planned(&spoil.join(" "), "azureml_aks_attachment.this", "update");
        if ["service", "configmap"].contains(&spoil[0]) {
            project.apply().ok();
            project.assert_no_changes();
        }
    }

    // What is still there, but another.
    let open = r#"{"spec":{"ingress":[{}]}}"#;
    kubectl.run(&["patch", "networkpolicy", "azureml-scorer", "--type=merge", "--patch", open]);
    let told = flat(&project.plan().ok());
    assert!(told.contains("ingress[0].ports of NetworkPolicy azureml-scorer was changed"), "{told}");
    planned("an open network", "azureml_aks_attachment.this", "update");
    Told::by_apply(project, &["NetworkPolicy azureml-scorer", "kubectl-patch", "force_conflicts"]);
    let mut forced = healthy.stack.clone();
    forced.attachment = "force_conflicts = true".into();
    project.configure(&forced.render());
    project.apply().ok();
    project.configure(&healthy.stack.render());
    project.apply().ok();
    project.assert_no_changes();

    // Of a key pods have a signature. Another credential is written as soon as the provider has it.
    let storage =
        kubectl.run(&["get", "secret", "azureml-storage", "--output=jsonpath={.data.AZURE_STORAGE_SAS_TOKEN}"]);
    let signature = String::from_utf8(STANDARD.decode(storage.trim()).expect("base64")).expect("UTF-8");
    let configuration = healthy.stack.render();
    let key = configuration.lines().find(|line| line.contains("account_key ")).expect("the key");
    let signed_with = |token: &str| configuration.replace(key, &format!("    sas_token = \"{token}\""));
    project.configure(&signed_with(&signature));
    project.assert_no_changes();
    let (first, rest) = signature.split_once('&').expect("parameters");
    project.configure(&signed_with(&format!("{rest}&{first}")));
    planned("another signature", "azureml_aks_attachment.this", "update");
    project.configure(&configuration);
    healthy.finish();
}

#[test]
fn a_field_that_another_program_manages_is_a_conflict_that_names_both_until_it_is_forced() {
    let Some(mut healthy) = Healthy::find("manager") else { return };
    let (kubectl, name) = (healthy.stack.kubectl(), format!("deployment/{}", deployment()));
    kubectl.run(&["set", "image", &name, "scorer=example.invalid/other:1", "--field-manager=colleague"]);
    let expected =
        ["Deployment double-", "colleague", ".spec.template.spec.containers[name=\"scorer\"].image", "force_conflicts"];
    healthy.project.planned_actions().iter().find(|(address, _)| address == "azureml_webservice.this").expect("drift");
    Told::by_apply(&healthy.project, &expected);
    healthy.answers();

    healthy.stack.attachment = "force_conflicts = true".into();
    healthy.recovers();
    healthy.stack.attachment = String::new();
    healthy.recovers();

    kubectl.run(&[
        "set",
        "image",
        "deployment/azureml-fe",
        "azureml-fe=example.invalid/other:1",
        "--field-manager=colleague",
    ]);
    Told::by_apply(&healthy.project, &["Deployment azureml-fe", "colleague", "image", "force_conflicts"]);
    healthy.answers();
    healthy.stack.attachment = "force_conflicts = true".into();
    healthy.recovers();
    healthy.finish();
}

#[test]
fn another_program_that_scales_a_service_is_named_and_refused() {
    let Some(mut healthy) = Healthy::find("scaler") else { return };
    let kubectl = healthy.stack.kubectl();
    kubectl.run(&["autoscale", "deployment", &deployment(), "--min=1", "--max=3", "--name=foreign"]);
    healthy.stack.webservice = "num_replicas = 1\n  scoring_timeout_ms = 30000".into();
    healthy.project.configure(&healthy.stack.render());
    Told::by_apply(&healthy.project, &["HorizontalPodAutoscaler foreign", "service double", "delete it"]);
    healthy.answers();
    kubectl.run(&["delete", "horizontalpodautoscaler", "foreign"]);
    healthy.recovers();
    healthy.finish();
}

#[test]
fn a_namespace_belongs_to_one_workspace_and_is_left_only_when_nothing_is_served_from_it() {
    let Some(mut stack) = Stack::find("owned") else { return };
    stack.make_namespace();
    let kubectl = stack.kubectl();
    let empty = kubectl.inventory();
    stack.provider = "owner = \"the platform team\"".into();
    let project = stack.project();
    project.apply().ok();

    let mut other = stack.clone();
    other.name = format!("{}-other", stack.name);
    other.provider = String::new();
    let configuration = other.base().replace(&other.namespace(), &stack.namespace());
    let rival: Project = other.project_of(&configuration);
    let workspace = format!("az://{}/workspace", stack.name);
    Told::by_apply(&rival, &["Cannot attach", &stack.namespace(), "compute cluster", &workspace, "the platform team"])
        .at("namespace");
    project.assert_no_changes();
    rival.destroy().ok();
    project.assert_no_changes();

    project.terraform(["state", "rm", "azureml_webservice.this"]).ok();
    project.configure(&stack.base());
    Told::by_destroy(&project, &["Cannot detach compute cluster", "double", "force_destroy", "/services/<name>"]);
    stack.attachment = "force_destroy = true\n  timeouts { delete = \"15s\" }".into();
    project.configure(&stack.base());
    project.apply().ok();

    kubectl.run(&["patch", "service", "azureml-fe", "--patch", r#"{"metadata":{"finalizers":["example.com/keep"]}}"#]);
    Told::by_destroy(&project, &["Cannot detach compute cluster", "Service azureml-fe", "example.com/keep"]);
    kubectl.run(&["patch", "service", "azureml-fe", "--type=merge", "--patch", r#"{"metadata":{"finalizers":null}}"#]);
    project.destroy().ok();
    assert_eq!(kubectl.inventory(), empty);

    // The namespace itself ends while it is to be attached, and whoever had rights in it alone.
    stack.apply_as_administrator();
    project.configure(&stack.base());
    kubectl.apply(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "kept", "finalizers": ["example.com/keep"] },
    }));
    stack.remove_namespace();
    Told::by_apply(
        &project,
        &["Cannot attach compute cluster", "the namespace is being deleted", "kubectl get namespace"],
    )
    .at("namespace");
    kubectl.run(&["patch", "configmap", "kept", "--type=merge", "--patch", r#"{"metadata":{"finalizers":null}}"#]);
    project.destroy().ok();
}
