//! Documents, secrets and pods come, change and go.

use serde_json::{Value, json};
use serving::cluster;

use super::fe::{HOP, Namespace, one_pod, service};
use super::replica::Replica;
use crate::support::until;

#[test]
fn a_service_is_scored_with_its_keys_through_the_pods_that_are_ready() {
    let (first, second) = (Replica::start("first"), Replica::start("second"));
    let (namespace, a) = (Namespace::new(), service("diabetes"));
    namespace.access(&[(&a, &[1])]);
    namespace.document(&a, 1, 1);
    namespace.pod("a-1", "diabetes", "diabetes", &first, true);
    namespace.pod("a-2", "diabetes", "diabetes", &second, false);
    let fe = namespace.serve("");
    fe.wait_ready();
    for _ in 0..4 {
        assert_eq!(fe.score(&a).text(), "first");
    }
    assert_eq!(fe.client().send(format!("GET {} HTTP/1.1\r\nHost: t\r\n\r\n", a.path())).response().status, 401);
    namespace.pod("a-2", "diabetes", "diabetes", &second, true);
    until("the second pod is used", || (fe.score(&a).text() == "second").then_some(()));
    namespace.terminate("a-1");
    until("only the second pod is listed", || {
        (fe.metric("azureml_fe_replicas{service=\"diabetes\",version=\"diabetes\"}").as_deref() == Some("1"))
            .then_some(())
    });
    let before = first.count();
    for _ in 0..10 {
        assert_eq!(fe.score(&a).text(), "second");
    }
    assert_eq!(first.count(), before, "a pod that ends gets nothing, although it is ready still");
    assert!(second.hops.lock().expect("not poisoned").iter().all(|hop| hop.as_deref() == Some(HOP)));
    namespace.api.delete("configmaps", &cluster::document("diabetes"));
    until("the service is gone", || (fe.score(&a).status == 404).then_some(()));
}

#[test]
fn pods_of_a_node_that_is_not_heard_of_serve_on() {
    let (namespace, a, _replica) = one_pod();
    let fe = namespace.serve("");
    fe.wait_ready();
    // As the controller of nodes does it.
    namespace.api.edit("pods", "a-1", |pod| {
        let conditions = pod["status"]["conditions"].as_array_mut().expect("a list");
        let ready = conditions.iter_mut().find(|condition| condition["type"] == "Ready").expect("there");
        ready["status"] = json!("False");
    });
    let second = Replica::start("second");
    namespace.pod("a-2", "diabetes", "diabetes", &second, true);
    let both = || fe.metric("azureml_fe_replicas{service=\"diabetes\",version=\"diabetes\"}").as_deref() == Some("2");
    until("both pods are listed", || both().then_some(()));
    until("the first serves on", || (fe.score(&a).text() == "r").then_some(()));
}

#[test]
fn what_is_served_is_confirmed_in_the_lease_of_the_pod() {
    let replica = Replica::start("r");
    let (namespace, a, b) = (Namespace::new(), service("diabetes"), service("digits"));
    namespace.access(&[(&a, &[1]), (&b, &[1])]);
    namespace.document(&a, 7, 1);
    namespace.pod("a-1", "diabetes", "diabetes", &replica, true);
    let fe = namespace.serve("");
    let confirmation = namespace.generation("diabetes", 7);
    assert_eq!(confirmation.version, env!("CARGO_PKG_VERSION"));
    assert!(confirmation.refused.is_empty() && confirmation.diverted.is_empty());
    namespace.document(&b, 3, 1);
    namespace.document(&a, 8, 1);
    namespace.generation("diabetes", 8);
    namespace.generation("digits", 3);
    assert_eq!(fe.metric("azureml_fe_service_generation{service=\"diabetes\"}").as_deref(), Some("8"));
    namespace.api.delete("configmaps", &cluster::document("digits"));
    namespace.confirmed("b is gone", |confirmation| !confirmation.served.contains_key("digits"));
    let leases = namespace.api.leases();
    let (name, lease) = leases.last().expect("a Lease");
    assert_eq!(name, "azureml-fe.azureml-fe-1");
    let owner = json!([{"apiVersion": "v1", "kind": "Pod", "name": "azureml-fe-1", "uid": "uid-of-the-pod"}]);
    assert_eq!(lease["metadata"]["ownerReferences"], owner);
    assert_eq!(lease["metadata"]["labels"]["app.kubernetes.io/component"], json!("confirmation"));
    assert_eq!(lease["spec"]["holderIdentity"], json!("azureml-fe-1"));
    assert!(lease["spec"]["renewTime"].is_string());
}

#[test]
fn a_bad_document_leaves_the_last_good_one_in_force_and_the_lease_says_why() {
    let replica = Replica::start("r");
    let (namespace, a, b) = (Namespace::new(), service("diabetes"), service("digits"));
    namespace.access(&[(&a, &[1]), (&b, &[1])]);
    namespace.document(&a, 1, 1);
    namespace.raw_document("digits", "{");
    namespace.pod("a-1", "diabetes", "diabetes", &replica, true);
    let fe = namespace.serve("");
    fe.wait_ready();
    let confirmation = namespace.generation("diabetes", 1);
    assert!(confirmation.refused["digits"].reason.contains("the ConfigMap service.digits"), "{confirmation:?}");
    let mut bad: Value = serde_json::to_value(a.entry().service).expect("serialises");
    bad["generation"] = json!(2);
    bad["versions"]["diabetes"]["replica_max_concurrent_requests"] = json!(0);
    namespace.raw_document("diabetes", &bad.to_string());
    let refused = namespace.confirmed("a is refused", |confirmation| confirmation.refused.contains_key("diabetes"));
    assert_eq!((refused.served["diabetes"], refused.refused["diabetes"].generation), (1, 2));
    assert!(refused.refused["diabetes"].reason.contains("replica_max_concurrent_requests"), "{refused:?}");
    assert_eq!(fe.score(&a).status, 200);
    assert_eq!(fe.metric("azureml_fe_document_refused{service=\"diabetes\"}").as_deref(), Some("1"));
    namespace.document(&a, 3, 1);
    let good = namespace.generation("diabetes", 3);
    assert!(!good.refused.contains_key("diabetes"));
}

#[test]
fn a_document_waits_for_its_secrets_and_what_was_before_stays_meanwhile() {
    let replica = Replica::start("r");
    let (namespace, a) = (Namespace::new(), service("diabetes"));
    namespace.document(&a, 1, 1);
    namespace.pod("a-1", "diabetes", "diabetes", &replica, true);
    let fe = namespace.serve("");
    until("it waits for the secrets", || {
        let (status, text) = fe.page("GET", "/readyz");
        (status == 503 && text.contains("the secrets of diabetes")).then_some(())
    });
    namespace.access(&[(&a, &[1])]);
    fe.wait_ready();
    assert_eq!(fe.score(&a).status, 200);
    namespace.generation("diabetes", 1);
    // The document comes before its keys.
    namespace.document(&a, 2, 2);
    namespace.pod("other", "digits", "digits", &replica, true);
    namespace.pod("other", "digits", "digits", &replica, false);
    assert_eq!(fe.score(&a).status, 200);
    assert!(fe.ready());
    assert_eq!(namespace.confirmation().expect("confirmed").served["diabetes"], 1);
    namespace.access(&[(&a, &[1, 2])]);
    namespace.generation("diabetes", 2);
    // A Secret that is deleted takes nothing away.
    namespace.api.delete("secrets", cluster::ACCESS);
    namespace.document(&service("digits"), 1, 1);
    assert_eq!(fe.score(&a).status, 200);
}

#[test]
fn a_version_without_a_ready_pod_is_told_to_be_diverted() {
    let (blue, green) = (Replica::start("blue"), Replica::start("green"));
    let namespace = Namespace::new();
    let version = |name: &str| crate::support::TestVersion::new(name, 5_000, &[]);
    let e = crate::support::TestService::endpoint("ranking", vec![version("blue"), version("green")]);
    namespace.access(&[(&e, &[])]);
    namespace.document(&e, 1, 1);
    namespace.pod("e-blue", "ranking", "blue", &blue, true);
    let fe = namespace.serve("");
    let diverted = namespace.confirmed("green is diverted", |confirmation| !confirmation.diverted.is_empty());
    assert_eq!(diverted.diverted["ranking"], ["green"]);
    for _ in 0..4 {
        assert_eq!(fe.score(&e).text(), "blue");
    }
    namespace.pod("e-green", "ranking", "green", &green, true);
    namespace.confirmed("green serves", |confirmation| confirmation.diverted.is_empty());
    until("green gets its share", || (fe.score(&e).text() == "green").then_some(()));
}

#[test]
fn a_burst_of_changes_is_few_snapshots_and_few_leases() {
    let replica = Replica::start("r");
    let (namespace, a) = (Namespace::new(), service("diabetes"));
    namespace.access(&[(&a, &[1])]);
    namespace.document(&a, 1, 1);
    let fe = namespace.serve("");
    namespace.generation("diabetes", 1);
    for generation in 2..=200 {
        namespace.document(&a, generation, 1);
        namespace.pod(&format!("a-{generation}"), "diabetes", "diabetes", &replica, true);
    }
    namespace.generation("diabetes", 200);
    let sequence: u64 = fe.metric("azureml_fe_snapshot_served_sequence").expect("there").parse().expect("a number");
    assert!(sequence < 200, "{sequence} snapshots");
    assert!(namespace.api.leases().len() < 100, "{} Leases", namespace.api.leases().len());
}
