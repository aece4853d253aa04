use std::collections::BTreeMap;

use serde_json::Value;
use serving::cluster;

use super::testing::{ApiServer, service};
use super::*;

const WORKSPACE: &str = "az://c";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/ml/deployments/";
const ACCESS: &str = "/api/v1/namespaces/ml/secrets/azureml-fe-access";

/// The Secret of the attachment is there.
async fn attached(server: &ApiServer) -> KubernetesCluster {
    server.put(ACCESS, json!({ "metadata": { "name": cluster::ACCESS } }));
    let site = Site { workspace: WORKSPACE.to_owned(), image_pull_secret: None };
    KubernetesCluster::new("az://c/computes/prod", server.namespace("ml").await, site)
}

/// An endpoint with these versions and numbers of replicas.
fn endpoint(generation: u64, versions: &[(&str, u32)]) -> Service {
    let mut service = service();
    let version = service.versions.remove("diabetes").expect("there");
    (service.kind, service.generation) = (serving::service::Kind::Endpoint, generation);
    let scaled = |(name, replicas): &(&str, u32)| {
        ((*name).to_owned(), Version { scale: serving::service::Scale::Fixed(*replicas), ..version.clone() })
    };
    service.versions = versions.iter().map(scaled).collect();
    service
}

fn document(service: &Service) -> (String, Value) {
    let name = cluster::document(&service.name);
    let text = String::from_utf8(service.write()).expect("UTF-8");
    let labels = labels::service(component::DOCUMENT, WORKSPACE, &service.name);
    let map = json!({ "metadata": { "name": name, "labels": labels }, "data": { (cluster::DOCUMENT_KEY): text } });
    (format!("/api/v1/namespaces/ml/configmaps/{name}"), map)
}

/// Replicas of each Deployment.
fn deployed(server: &ApiServer) -> BTreeMap<String, Value> {
    let paths = server.paths().into_iter().filter(|path| path.starts_with(DEPLOYMENTS));
    let replicas = |path: String| {
        let replicas = server.get(&path).expect("there")["spec"]["replicas"].clone();
        (path.trim_start_matches(DEPLOYMENTS).to_owned(), replicas)
    };
    paths.map(replicas).collect()
}

#[tokio::test]
async fn a_writer_that_is_overtaken_by_another_leaves_what_the_newest_document_says() {
    let server = ApiServer::start().await;
    let cluster = attached(&server).await;
    let newer = endpoint(2, &[("blue", 3), ("green", 1)]);
    let (path, map) = document(&newer);
    let green = cluster::workload(&newer.name, "green");
    // While the first applies its own version, the second writes the document and brings up a version of its own.
    server.after("PATCH", DEPLOYMENTS, move |objects| {
        objects.put(&path, map);
        let labels = labels::service(component::SCORER, WORKSPACE, "diabetes");
        let theirs = json!({ "metadata": { "name": green, "labels": labels }, "spec": { "replicas": 1 } });
        objects.put(&format!("{DEPLOYMENTS}{green}"), theirs);
    });
    cluster.put_service(&endpoint(1, &[("blue", 1)]), None).await.expect("written");
    let expected = newer.versions.iter().map(|(name, version)| {
        let serving::service::Scale::Fixed(replicas) = version.scale else { panic!("a number") };
        (cluster::workload(&newer.name, name), json!(replicas))
    });
    assert_eq!(deployed(&server), expected.collect());
}

#[tokio::test]
async fn a_service_that_somebody_has_written_meanwhile_is_not_taken_for_what_a_removal_has_left() {
    let server = ApiServer::start().await;
    let cluster = attached(&server).await;
    let service = endpoint(1, &[("blue", 1)]);
    let generation = cluster.put_keys(&service.name, &keys()).await.expect("stored");
    cluster.put_service(&service, None).await.expect("written");
    let before = server.paths();
    let refused = cluster.forget_service(&service.name, true).await.expect_err("it is served");
    assert!(matches!(refused, Error::Conflict { found: Some(1), .. }), "{refused}");
    assert_eq!(server.paths(), before);
    assert!(cluster.keys(&service.name, generation).await.expect("read").is_some());

    cluster.delete_service(&service.name).await.expect("withdrawn");
    cluster.forget_service(&service.name, true).await.expect("forgotten");
    assert_eq!(server.paths(), [ACCESS]);
}

#[tokio::test]
async fn what_routers_need_of_services_comes_back_after_its_secret_was_deleted() {
    let server = ApiServer::start().await;
    let cluster = attached(&server).await;
    let mut service = endpoint(1, &[("blue", 1)]);
    service.auth.keys = Some(cluster.put_keys(&service.name, &keys()).await.expect("stored"));
    cluster.put_service(&service, None).await.expect("written");
    let entries =
        |server: &ApiServer| server.get(ACCESS).expect("there")["data"].as_object().cloned().expect("entries");
    let before = entries(&server);
    cluster.restore_access().await.expect("nothing to do");
    assert_eq!(entries(&server), before);

    server.put(ACCESS, json!({ "metadata": { "name": cluster::ACCESS } }));
    cluster.restore_access().await.expect("restored");
    let (digests, hop) = (cluster::key_digests(&service.name, 1), cluster::hop(&service.name));
    let after = entries(&server);
    assert_eq!(after[&digests], before[&digests]);
    assert_ne!(after[&hop], before[&hop], "nobody knows the former one any more");
    // Scorers read it when they start.
    let workload = server.get(&format!("{DEPLOYMENTS}{}", cluster::workload(&service.name, "blue"))).expect("there");
    let annotations = &workload["spec"]["template"]["metadata"]["annotations"];
    assert!(annotations["kubectl.kubernetes.io/restartedAt"].is_string(), "{annotations}");
}

#[tokio::test]
async fn whatever_changes_a_pod_is_waited_for() {
    let cluster = attached(&ApiServer::start().await).await;
    let service = endpoint(1, &[("blue", 1)]);
    let same = service.versions["blue"].clone();
    assert!(!cluster.moves_replicas(&service, "blue", &same));
    let slower = Version { scoring_timeout_ms: same.scoring_timeout_ms + 5000, ..same.clone() };
    assert!(cluster.moves_replicas(&service, "blue", &slower), "pods get another time to end");
    let more = Version { scale: serving::service::Scale::Fixed(2), ..same.clone() };
    assert!(cluster.moves_replicas(&service, "blue", &more));
    let shared = Version { max_request_wait_time: same.max_request_wait_time + 1, ..same };
    assert!(!cluster.moves_replicas(&service, "blue", &shared), "only routers wait");
}

fn keys() -> Keys {
    let wanted = crate::cluster::keys::Wanted::default();
    crate::cluster::keys::first(&wanted, &wanted).expect("keys")
}
