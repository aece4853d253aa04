//! The hop secret: replicas get it on every request, and nobody else sees or sets it.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use crate::support::{KEY, Router, TestReplica, TestService};

const SECRET: &str = "hop-secret-of-the-service";

/// Request lines with the hop secrets that came with them.
type Seen = Arc<Mutex<Vec<(String, Vec<String>)>>>;

/// A replica that notes request lines with their hop secrets, and answers with one of its own.
fn noting(seen: &Seen) -> TestReplica {
    let (seen, refused) = (Arc::clone(seen), AtomicBool::new(false));
    TestReplica::start("r", move |exchange| {
        let hops = exchange.fields.iter().filter(|(name, _)| name == "x-azureml-hop");
        let hops = hops.map(|(_, value)| value.clone()).collect();
        seen.lock().expect("not poisoned").push((exchange.line.clone(), hops));
        if exchange.field("expect").is_some() {
            exchange.write("HTTP/1.1 100 Continue\r\n\r\n");
        }
        exchange.body();
        if exchange.line.contains("/.azureml/slot") {
            exchange.answer("200 OK", "x-azureml-grant: 1\r\n", "");
        } else if exchange.line.contains("busy") && !refused.swap(true, SeqCst) {
            exchange.refuse("busy");
        } else {
            exchange.answer("200 OK", "x-azureml-hop: of-the-replica\r\n", "done");
        }
    })
}

#[test]
fn every_request_to_a_replica_carries_the_secret_of_its_service_and_never_the_callers() {
    let seen = Arc::default();
    let replica = noting(&seen);
    let service = TestService::new("a", &[&replica]).hop(SECRET);
    let router = Router::start(Router::config(), &[&service]);
    let mut client = router.client();
    let forged = "X-AzureML-Hop: forged\r\nx_azureml_hop: forged\r\n";
    let large = vec![b'x'; 200_000];
    for (path, body) in
        [(service.path(), &b"small"[..]), (service.path(), &large), (format!("{}?busy", service.path()), b"small")]
    {
        let response = client.post_with(&path, forged, body).response();
        assert_eq!((response.status, response.text()), (200, "done"));
        assert_eq!(response.field("x-azureml-hop"), None, "the replica's own does not reach the caller");
    }
    let swagger = format!(
        "GET /api/v1/service/a/swagger.json HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {KEY}\r\n{forged}\r\n"
    );
    assert_eq!(client.send(swagger).response().status, 200);
    let seen = seen.lock().expect("not poisoned");
    for part in ["POST /score HTTP", "POST /score?busy", "GET /.azureml/slot", "GET /swagger.json"] {
        assert!(seen.iter().any(|(line, _)| line.starts_with(part)), "{part} among {seen:?}");
    }
    for (line, hops) in &*seen {
        assert_eq!(hops, &[SECRET], "{line}");
    }
}

#[test]
fn a_service_without_a_secret_sends_none() {
    let seen = Arc::default();
    let replica = noting(&seen);
    let service = TestService::new("a", &[&replica]);
    let router = Router::start(Router::config(), &[&service]);
    let response = router.client().post_with(&service.path(), "x-azureml-hop: forged\r\n", "x").response();
    assert_eq!(response.status, 200);
    assert_eq!(*seen.lock().expect("not poisoned"), [("POST /score HTTP/1.1".to_owned(), vec![])]);
}

#[test]
fn debug_output_never_shows_the_secret() {
    let entry = TestService::new("a", &[]).hop(SECRET).entry();
    assert!(!format!("{entry:?}").contains(SECRET));
}
