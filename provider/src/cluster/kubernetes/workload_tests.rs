use super::*;
use crate::cluster::kubernetes::testing::service;

fn built(service: &Service) -> Workload {
    let site = Site { workspace: "az://c".into(), image_pull_secret: Some("pull".into()) };
    build(&site, service, "diabetes", &service.versions["diabetes"]).expect("a workload")
}

fn spec(workload: &Workload) -> &Value {
    &workload.deployment["spec"]["template"]["spec"]
}

#[test]
fn a_pod_is_as_restricted_as_pod_security_asks_for() {
    let workload = built(&service());
    let spec = spec(&workload);
    assert_eq!(spec["automountServiceAccountToken"], false);
    assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
    assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    for container in [&spec["containers"][0], &spec["initContainers"][0]] {
        let security = &container["securityContext"];
        assert_eq!(
            (&security["allowPrivilegeEscalation"], &security["readOnlyRootFilesystem"]),
            (&json!(false), &json!(true))
        );
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
    }
    assert_eq!(spec["containers"][0]["volumeMounts"][0]["readOnly"], true);
    assert_eq!(spec["imagePullSecrets"], json!([{ "name": "pull" }]));
}

#[test]
fn users_can_change_neither_the_contract_nor_the_selector() {
    let workload = built(&service());
    let environment = spec(&workload)["containers"][0]["env"].as_array().expect("a list").clone();
    let value = |name: &str| {
        environment.iter().find(|variable| variable["name"] == name).map(|variable| variable["value"].clone())
    };
    assert_eq!(value("AML_APP_ROOT"), Some(cluster::APP_ROOT.into()));
    assert_eq!(value("AZUREML_MODEL_DIR"), Some("/var/azureml-app/azureml-models/one/1".into()));
    assert_eq!(value("LEVEL"), Some("debug".into()));
    let labels = &workload.deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!((&labels[label::SERVICE], &labels["team"]), (&json!("diabetes"), &json!("ml")));
}

#[test]
fn resources_are_written_as_the_cluster_spells_them() {
    let workload = built(&service());
    let resources = &spec(&workload)["containers"][0]["resources"];
    assert_eq!(
        resources["requests"],
        json!({ "cpu": "500m", "memory": "1Gi", "ephemeral-storage": "67Mi", "nvidia.com/gpu": "1", "example.com/fpga": "2" })
    );
    assert_eq!(
        resources["limits"],
        json!({ "cpu": "2", "memory": "1536Mi", "nvidia.com/gpu": "1", "example.com/fpga": "2" })
    );
}

#[test]
fn a_pod_gets_the_time_of_its_longest_request_to_end() {
    assert_eq!(spec(&built(&service()))["terminationGracePeriodSeconds"], 2 + 61 + 10);
}

#[test]
fn replicas_that_the_router_decides_are_not_written() {
    let mut scaled = service();
    assert_eq!(built(&scaled).deployment["spec"]["replicas"], 2);
    let policy = serde_json::from_value(
        json!({ "min_replicas": 1, "max_replicas": 3, "target_utilization": 70, "refresh_seconds": 1 }),
    );
    if let (Some(version), Ok(policy)) = (scaled.versions.get_mut("diabetes"), policy) {
        version.scale = Scale::Auto(policy);
        assert_eq!(built(&scaled).deployment["spec"].get("replicas"), None);
    }
}

#[test]
fn an_environment_without_an_image_cannot_run_in_a_cluster() {
    let mut service = service();
    let version = service.versions.get_mut("diabetes").expect("the version");
    version.template.environment.image = None;
    let error = check(&version.template).expect_err("no image").to_string();
    assert!(error.contains("az://c/environments/plain") && error.contains("`registry`"), "{error}");
}
