//! Clusters, storages and registries that cannot be reached.

use std::path::PathBuf;

use acceptance_kubernetes::{Stack, Told};
use serde_json::{Value, json};

#[test]
fn a_cluster_that_cannot_be_used_is_told_with_the_connection_and_the_way_out() {
    let Some(mut stack) = Stack::find("away") else { return };
    stack.make_namespace();
    let own = stack.kubeconfig.clone();
    let project = stack.project_of(&stack.base());
    let others = ["-target=azureml_model.this", "-target=azureml_environment.this"];
    project.terraform([&["apply", "-auto-approve", "-input=false"][..], &others].concat()).ok();
    let right: Value = serde_json::from_slice(&std::fs::read(&own).expect("a kubeconfig")).expect("JSON");
    let spoilt = |path: &str, value: Value| {
        let mut config = right.clone();
        *config.pointer_mut(path).expect("the place") = value;
        config
    };
    let user = json!({ "token": "expired" });
    let mut renamed = right["clusters"][0]["cluster"].clone();
    renamed["tls-server-name"] = "elsewhere.example".into();
    let cases = [
        (None, &["does not exist", "kubeconfig_path"][..]),
        (Some(spoilt("/users/0/user", user)), &["does not accept the connection's credentials", "renew them"][..]),
        (
            Some(spoilt("/clusters/0/cluster/server", "https://127.0.0.1:9".into())),
            &["the API server cannot be reached", "connection test", "check the connection's address"][..],
        ),
        (
            Some(spoilt("/clusters/0/cluster", renamed)),
            &["certificate is not trusted", "elsewhere.example", "cluster_ca_certificate"][..],
        ),
    ];
    for (config, expected) in cases {
        stack.kubeconfig = PathBuf::from(project.path()).join("kubeconfig");
        match config {
            Some(config) => project.write("kubeconfig", config.to_string()),
            None => stack.kubeconfig = project.path().join("absent"),
        }
        project.configure(&stack.base());
        Told::by_apply(&project, &[&["Cannot attach compute cluster"], expected].concat()).at("connection");
    }
    let fine = right.to_string();
    project.write("kubeconfig", &fine);
    stack.kubeconfig = project.path().join("kubeconfig");
    let wrong = stack.base().replace("kubeconfig_path = ", "context = \"elsewhere\", kubeconfig_path = ");
    project.configure(&wrong);
    Told::by_apply(&project, &["elsewhere", "context"]).at("connection");
    let wrong = stack.base().replace("connection       = \"test\"", "connection = \"tset\"");
    project.configure(&wrong);
    Told::by_apply(&project, &["has no connection \"tset\"; it has", "test"]).at("connection");

    stack.kubeconfig = own;
    project.configure(&stack.base());
    project.apply().ok();
    stack.finish(project);
}

#[test]
fn a_storage_or_a_registry_that_cannot_be_used_is_told_with_its_address() {
    let Some(mut stack) = Stack::find("afar") else { return };
    stack.make_namespace();
    let project = stack.project_of(&stack.base());
    let wrong = "a-key-that-is-not-the-accounts-one-at-all".repeat(2);
    let key = project.path().join("main.tf");
    let text = std::fs::read_to_string(&key).expect("the configuration");
    let line = text.lines().find(|line| line.contains("account_key")).expect("the key");
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &wrong);
    project.configure(&text.replace(line, &format!("    account_key = \"{encoded}\"")));
    Told::by_apply(&project, &["workspace", "account_key"]).without(&[&encoded]);

    project.configure(&text.replace(&stack.site.storage, "http://127.0.0.1:9/devstoreaccount1"));
    let expected = ["nothing listens at the storage's address", &stack.name, "correct the account's"];
    Told::by_apply(&project, &expected);

    project
        .configure(&text.replace(&format!("registry    = \"{}", stack.site.registry), "registry    = \"127.0.0.1:9"));
    Told::by_apply(&project, &["127.0.0.1:9", "registry"]);
    stack.finish(project);
}
