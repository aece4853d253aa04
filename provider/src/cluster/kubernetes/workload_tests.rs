use serving::pod::Liveness;
use serving::service::{CodeRef, EnvironmentRef, ModelRef};

use super::*;

fn pod() -> Pod {
    Pod {
        cpu_cores: 0.5,
        cpu_cores_limit: Some(2.0),
        memory_gb: 1.0,
        memory_gb_limit: Some(1.5),
        gpu_cores: 1,
        extended_resources: BTreeMap::from([("example.com/fpga".to_owned(), "2".to_owned())]),
        content_bytes: 3 << 20,
        node_selector: BTreeMap::new(),
        tolerations: Vec::new(),
        liveness: Liveness::default(),
        service_account: None,
        priority_class: None,
        labels: BTreeMap::from([
            ("team".to_owned(), "ml".to_owned()),
            (label::SERVICE.to_owned(), "another".to_owned()),
        ]),
        annotations: BTreeMap::new(),
    }
}

fn service() -> Service {
    let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
    let template = json!({
        "models": [ModelRef { id: "az://c/models/one/1".into(), name: "one".into(), version: 1, digest: digest("0") }],
        "code": CodeRef { digest: digest("1"), directory: "src".into(), entry_script: "score.py".into() },
        "environment": EnvironmentRef {
            id: "az://c/environments/plain".into(),
            version: 1,
            hash: "h".into(),
            build_key: "b".into(),
            prefix: None,
            image: Some("registry/env@sha256:1".into()),
        },
        "environment_variables": { "LEVEL": "debug", "AML_APP_ROOT": "/elsewhere" },
        "pod": pod(),
    });
    let document = json!({
        "schema_version": 1, "generation": 1, "name": "diabetes", "kind": "webservice", "workspace": "az://c",
        "owner": "me", "committed": true, "created_time": "t", "updated_time": "t", "auth": { "mode": "key", "keys": 1 },
        "versions": { "diabetes": {
            "sequence": 1, "declared": { "traffic": 10_000 }, "scale": { "fixed": 2 }, "replica_max_concurrent_requests": 1,
            "max_request_wait_time": 500, "scoring_timeout_ms": 60_001, "template": template,
        } },
    });
    serde_json::from_value(document).expect("a document")
}

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
