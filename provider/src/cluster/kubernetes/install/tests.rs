use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::cluster::kubernetes::attachment::{Purpose, Router, ServiceType};
use crate::cluster::kubernetes::testing::ApiServer;
use crate::diagnostics::Blame as _;

const WORKSPACE: &str = "az://account/container/ws";

async fn installer(server: &ApiServer, workspace: &str) -> Installer {
    let ownership = Ownership { workspace: workspace.into(), compute: "prod".into(), owner: "me".into() };
    Installer::new(server.namespace("ml").await, &format!("{workspace}/computes/prod"), ownership)
}

fn limits(time: Duration) -> Limits {
    Limits::new(time, CancellationToken::new())
}

fn attachment() -> Attachment {
    let router = Router { service_type: Some(ServiceType::ClusterIp), ..Router::default() };
    Attachment { router: Some(router), image: "registry.example/azureml-fe:1".into(), ..Attachment::default() }
}

fn storage() -> BTreeMap<String, String> {
    BTreeMap::from([("AZURE_STORAGE_SAS_TOKEN".to_owned(), "sig".to_owned())])
}

/// Everything is made anew each time, so that a test can compare what is left.
async fn installed(server: &ApiServer) -> Installer {
    let installer = installer(server, WORKSPACE).await;
    installer.ensure_namespace().await.expect("there");
    installer.claim().await.expect("claimed");
    installer.install(&attachment(), &storage()).await.expect("installed");
    installer
}

#[tokio::test]
async fn what_is_installed_is_there_is_ready_and_goes_again_with_the_namespace_that_was_made_for_it() {
    let server = ApiServer::start().await;
    let installer = installed(&server).await;
    installer.ready(&limits(Duration::from_secs(1))).await.expect("ready");
    let found = installer.found().await.expect("looked");
    assert_eq!((found.wrong.as_slice(), found.replicas), (&[] as &[String], Some(3)));
    assert!(found.reads_storage_with(Some(&storage())) && !found.reads_storage_with(Some(&BTreeMap::new())));
    let url = installer.base_url(&attachment(), &limits(Duration::ZERO)).await.expect("an address");
    assert_eq!(url, "http://azureml-fe.ml.svc");
    let (uid, _) = installer.owner().await.expect("read").expect("owned");
    installer.remove(Some(uid), true, &limits(Duration::from_mins(1))).await.expect("removed");
    assert_eq!(server.paths(), [] as [String; 0]);
}

#[tokio::test]
async fn a_namespace_that_was_there_stays_and_so_does_what_others_have_in_it() {
    let server = ApiServer::start().await;
    server.put("/api/v1/namespaces/ml", json!({ "metadata": { "name": "ml" } }));
    server.put("/api/v1/namespaces/ml/configmaps/theirs", json!({ "metadata": { "name": "theirs" } }));
    let before = server.paths();
    let installer = installed(&server).await;
    assert_eq!(installer.ensure_namespace().await.expect("there"), Made::Before);
    let (uid, _) = installer.owner().await.expect("read").expect("owned");
    installer.remove(Some(uid), true, &limits(Duration::from_mins(1))).await.expect("removed");
    assert_eq!(server.paths(), before);
}

#[tokio::test]
async fn a_namespace_that_the_attachment_made_stays_for_what_others_have_put_into_it() {
    let server = ApiServer::start().await;
    let installer = installed(&server).await;
    let theirs = "/api/v1/namespaces/ml/persistentvolumeclaims/theirs";
    server.put(theirs, json!({ "metadata": { "name": "theirs" } }));
    let (uid, _) = installer.owner().await.expect("read").expect("owned");
    let kept = installer.remove(Some(uid), true, &limits(Duration::from_mins(1))).await.expect("removed");
    assert_eq!(kept, ["PersistentVolumeClaim theirs"]);
    assert_eq!(server.paths(), ["/api/v1/namespaces/ml", theirs]);
}

#[tokio::test]
async fn a_claim_that_stops_half_way_says_that_it_has_left_something() {
    let server = ApiServer::start().await;
    server.deny("GET", "azureml-owner");
    let installer = installer(&server, WORKSPACE).await;
    let (made, error) = installer.claim().await.expect_err("it may not be looked at");
    assert_eq!(made, Made::Now);
    assert!(error.to_string().contains("read ConfigMap azureml-owner"), "{error}");
}

#[tokio::test]
async fn another_workspaces_namespace_is_refused_with_whose_it_is() {
    let server = ApiServer::start().await;
    let first = installed(&server).await;
    let uid = first.claim().await.expect("its own");
    let error = installer(&server, "az://account/container/other").await.claim().await.expect_err("refused");
    assert_eq!(error.0, Made::Before);
    let text = error.1.to_string();
    assert!(text.contains(WORKSPACE) && text.contains("prod") && text.contains("attached by me"), "{text}");
    assert_eq!(first.owner().await.expect("read").expect("owned").0, uid, "nothing was overwritten");
}

#[tokio::test]
async fn installing_again_keeps_the_entries_of_services_and_the_signing_keys() {
    let server = ApiServer::start().await;
    let installer = installed(&server).await;
    let access = "/api/v1/namespaces/ml/secrets/azureml-fe-access";
    let entry = json!({ "stringData": { "diabetes.hop": "secret" } });
    installer.namespace().merge::<Secret>(serving::cluster::ACCESS, &entry).await.expect("changed");
    let keys = |server: &ApiServer| {
        server.get("/api/v1/namespaces/ml/secrets/azureml-fe-signing-keys").expect("there")["data"].clone()
    };
    let before = keys(&server);
    installer.install(&attachment(), &storage()).await.expect("installed");
    assert!(server.get(access).expect("there")["data"]["diabetes.hop"].is_string());
    assert_eq!(keys(&server), before);
}

#[tokio::test]
async fn what_was_deleted_or_changed_by_hand_is_named_and_comes_back() {
    let server = ApiServer::start().await;
    let installer = installed(&server).await;
    installer.namespace().delete::<Service>(serving::cluster::ROUTER).await.expect("deleted");
    installer.namespace().delete::<Role>(serving::cluster::ROUTER).await.expect("deleted");
    let path = "/apis/networking.k8s.io/v1/namespaces/ml/networkpolicies/azureml-scorer";
    let mut open = server.get(path).expect("there");
    open["spec"]["ingress"] = json!([{}]);
    server.put(path, open);
    let expected = [
        "Service azureml-fe is gone",
        "Role azureml-fe is gone",
        "spec.ingress[0].ports of NetworkPolicy azureml-scorer was changed",
    ];
    assert_eq!(installer.found().await.expect("looked").wrong, expected);
    installer.install(&attachment(), &storage()).await.expect("installed");
    assert_eq!(installer.found().await.expect("looked").wrong, [] as [String; 0]);
}

#[tokio::test]
async fn a_finalizer_that_keeps_an_object_is_named() {
    let server = ApiServer::start().await;
    let installer = installed(&server).await;
    let path = "/api/v1/namespaces/ml/services/azureml-fe";
    let mut service = server.get(path).expect("there");
    service["metadata"]["finalizers"] = json!(["example.com/load-balancer"]);
    server.put(path, service);
    let error = installer.remove(None, true, &limits(Duration::ZERO)).await.expect_err("it stays").to_string();
    assert!(error.contains("Service azureml-fe (finalizers: example.com/load-balancer)"), "{error}");
    assert!(installer.owner().await.expect("read").is_some(), "the namespace is still owned");
}

#[tokio::test]
async fn a_missing_right_is_named_and_a_missing_optional_one_is_no_error() {
    let server = ApiServer::start().await;
    server.deny("GET", "/api/v1/namespaces/ml");
    server.deny("POST", "/api/v1/namespaces");
    let installer = installer(&server, WORKSPACE).await;
    let made = installer.ensure_namespace().await.expect("taken to be there");
    assert_eq!(made, Made::Before);
    let error = installer.claim().await.expect_err("refused").1.to_string();
    assert!(error.contains("create ConfigMap azureml-owner") && error.contains("grant this right"), "{error}");
    server.deny("GET", "/api/v1/nodes");
    assert!(matches!(installer.capacity(&attachment()).await, Ok(Capacity::Unknown(_))));
}

#[tokio::test]
async fn a_cluster_that_does_not_serve_a_kind_is_told_with_the_object_and_what_it_must_run_and_left_clean() {
    let server = ApiServer::start().await;
    server.does_not_serve("/apis/policy/v1/");
    server.put("/api/v1/namespaces/ml", json!({ "metadata": { "name": "ml" } }));
    let before = server.paths();
    let installer = installer(&server, WORKSPACE).await;
    installer.claim().await.expect("claimed");
    let refused = installer.install(&attachment(), &storage()).await.expect_err("refused");
    let text = refused.to_string();
    assert!(text.contains("cannot apply PodDisruptionBudget azureml-fe in namespace ml"), "{text}");
    assert!(text.contains("does not serve") && text.contains("Kubernetes 1.30 or newer"), "{text}");
    assert_eq!(refused.attribute(), Some("connection"));
    let (uid, _) = installer.owner().await.expect("read").expect("owned");
    installer.remove(Some(uid), true, &limits(Duration::from_secs(10))).await.expect("removed");
    assert_eq!(server.paths(), before);
}

#[tokio::test]
async fn a_small_cluster_is_a_warning_or_an_error_as_configured() {
    let server = ApiServer::start().await;
    let node = |cpu: &str| json!({ "metadata": { "name": "n" }, "status": { "capacity": { "cpu": cpu } } });
    server.put("/api/v1/nodes/a", node("4"));
    server.put("/api/v1/nodes/b", node("3920m"));
    let installer = installer(&server, WORKSPACE).await;
    let wanted = attachment();
    assert!(
        matches!(installer.capacity(&wanted).await, Ok(Capacity::TooSmall(text)) if text.contains("7.92 cores on 2"))
    );
    let strict = Attachment { enforce_capacity: true, ..wanted.clone() };
    assert!(matches!(installer.capacity(&strict).await, Err(InstallError::TooSmall { .. })));
    let development = Attachment { cluster_purpose: Purpose::DevTest, ..strict };
    assert_eq!(installer.capacity(&development).await.expect("looked"), Capacity::Enough);
}

#[tokio::test]
async fn a_router_whose_image_is_not_there_ends_the_wait_at_once() {
    let server = ApiServer::start().await;
    server.deployments_have(json!({ "observedGeneration": 1, "replicas": 3, "updatedReplicas": 3 }));
    let installer = installed(&server).await;
    let deployment = server.get("/apis/apps/v1/namespaces/ml/deployments/azureml-fe").expect("there");
    let template = &deployment["spec"]["template"];
    let waiting = json!({ "reason": "ErrImagePull", "message": "registry.example/azureml-fe:1: not found" });
    server.put(
        "/api/v1/namespaces/ml/pods/azureml-fe-1",
        json!({
            "metadata": {
                "name": "azureml-fe-1",
                "labels": labels::compute(component::ROUTER, WORKSPACE),
                "annotations": template["metadata"]["annotations"],
            },
            "status": { "containerStatuses": [{
                "name": "azureml-fe", "image": "registry.example/azureml-fe:1", "imageID": "", "ready": false,
                "restartCount": 0, "state": { "waiting": waiting },
            }] },
        }),
    );
    let error = installer.ready(&limits(Duration::from_mins(5))).await.expect_err("not ready");
    let text = error.to_string();
    assert!(text.contains("0 are ready") && text.contains("azureml-fe:1: not found"), "{text}");
    assert!(matches!(error, InstallError::NotReady(not_ready) if !not_ready.timed_out));
}

#[tokio::test]
async fn an_address_that_no_cloud_gives_is_an_error_on_the_external_url_which_replaces_it() {
    let server = ApiServer::start().await;
    let installer = installed(&server).await;
    let balanced = Attachment { router: None, ..attachment() };
    let error = installer.base_url(&balanced, &limits(Duration::ZERO)).await.expect_err("no address");
    assert!(error.to_string().contains("external_url"), "{error}");
    let own = Attachment { external_url: Some("https://ml.example.com/".into()), ..balanced.clone() };
    assert_eq!(installer.base_url(&own, &limits(Duration::ZERO)).await.expect("said"), "https://ml.example.com");
    let mut service = server.get("/api/v1/namespaces/ml/services/azureml-fe").expect("there");
    service["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": "fd00::1" }] } });
    server.put("/api/v1/namespaces/ml/services/azureml-fe", service);
    assert_eq!(installer.base_url(&balanced, &limits(Duration::ZERO)).await.expect("given"), "http://[fd00::1]");
}
