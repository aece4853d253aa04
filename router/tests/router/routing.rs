//! Which request goes where, and what becomes of its head.

use std::sync::{Arc, Mutex};

use crate::support::{Client, KEY, Router, TestReplica, TestService, TestVersion};
use serving::wire;

fn score(name: &str) -> String {
    format!("/api/v1/service/{name}/score")
}

#[test]
fn a_request_with_the_key_reaches_the_replica_and_its_answer_comes_back() {
    let replica = TestReplica::echo("a");
    let router = Router::start(Router::config(), &[&TestService::new("diabetes", &[&replica])]);
    let response = router.client().post(&score("diabetes"), "body").response();
    assert_eq!((response.status, response.text()), (200, "a:body"));
    assert_eq!(response.field("azureml-model-deployment"), Some("diabetes"));
    assert!(response.field("x-request-id").is_some_and(|id| id.len() == 36));
    assert!(response.field("date").is_some());
}

#[test]
fn a_wrong_or_missing_key_is_a_401_and_reaches_no_replica() {
    let replica = TestReplica::echo("a");
    let router = Router::start(Router::config(), &[&TestService::new("diabetes", &[&replica])]);
    let mut client = router.client();
    for (field, code, challenge) in [
        ("", "credential_missing", "Bearer"),
        ("Authorization: Bearer wrong\r\n", "credential_invalid", "Bearer error=\"invalid_token\""),
        ("Authorization: Basic YTpi\r\n", "credential_invalid", "Bearer error=\"invalid_token\""),
    ] {
        let response = client
            .send(format!("POST {} HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n{field}\r\nhi", score("diabetes")))
            .response();
        assert_eq!((response.status, response.code().as_str()), (401, code));
        assert_eq!(response.field("www-authenticate"), Some(challenge));
    }
    let twice = format!("Authorization: Bearer {KEY}\r\nAuthorization: Bearer {KEY}\r\n");
    let response = client.send(format!("GET {} HTTP/1.1\r\nHost: t\r\n{twice}\r\n", score("diabetes"))).response();
    assert_eq!(response.status, 401);
    assert_eq!(replica.count(), 0);
}

#[test]
fn either_key_is_accepted_and_an_anonymous_service_wants_none() {
    let replica = TestReplica::echo("a");
    let open = TestService::new("open", &[&replica]).anonymous();
    let router = Router::start(Router::config(), &[&TestService::new("keyed", &[&replica]), &open]);
    let mut client = router.client();
    let second = "Authorization: bearer another-key-that-is-long\r\n";
    assert_eq!(
        client.send(format!("GET {} HTTP/1.1\r\nHost: t\r\n{second}\r\n", score("keyed"))).response().status,
        200
    );
    assert_eq!(client.send(format!("GET {} HTTP/1.1\r\nHost: t\r\n\r\n", score("open"))).response().status, 200);
}

#[test]
fn an_unknown_service_is_a_404_only_to_those_who_have_a_key() {
    let replica = TestReplica::echo("a");
    let mut router = Router::start(Router::config(), &[&TestService::new("diabetes", &[&replica])]);
    let get = |router: &Router, path: &str, field: &str| {
        router.client().send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n{field}\r\n")).response()
    };
    let key = format!("Authorization: Bearer {KEY}\r\n");
    assert_eq!(get(&router, &score("nothing"), &key).code(), "service_not_found");
    assert_eq!(get(&router, &score("nothing"), "").code(), "credential_missing");
    assert_eq!(get(&router, &score("nothing"), "Authorization: Bearer x\r\n").code(), "credential_invalid");
    assert_eq!(get(&router, "/api/v1/endpoint/diabetes/score", &key).code(), "service_not_found");
    assert_eq!(get(&router, "/api/v1/service/diabetes/other", &key).code(), "route_not_found");
    router.apply(&[]);
    assert_eq!(get(&router, &score("nothing"), "").code(), "service_not_found");
}

#[test]
fn the_routers_health_needs_no_service() {
    let router = Router::start(Router::config(), &[]);
    let mut client = router.client();
    let response = client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n").response();
    assert_eq!((response.status, response.text()), (200, "Healthy"));
    client.send("HEAD / HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.try_response("HEAD").map(|response| response.status), Some(200));
    let response = client.send("DELETE / HTTP/1.1\r\nHost: t\r\n\r\n").response();
    assert_eq!((response.status, response.field("allow")), (405, Some("GET, HEAD")));
}

/// Request lines and fields, in the order of their arrival.
type Heads = Arc<Mutex<Vec<(String, Vec<(String, String)>)>>>;

/// A replica that keeps the heads that it got.
fn recorder() -> (TestReplica, Heads) {
    recorder_with("")
}

/// A replica that keeps the heads that it got, and answers with these fields.
fn recorder_with(fields: &str) -> (TestReplica, Heads) {
    let heads = Heads::default();
    let (kept, fields) = (Arc::clone(&heads), fields.to_owned());
    let replica = TestReplica::start("a", move |exchange| {
        exchange.body();
        kept.lock().expect("not poisoned").push((exchange.line.clone(), exchange.fields.clone()));
        exchange.answer("200 OK", &fields, "");
    });
    (replica, heads)
}

#[test]
fn the_head_is_written_anew_without_what_ends_at_the_router() {
    let (replica, heads) = recorder();
    let router = Router::start(Router::config(), &[&TestService::new("a", &[&replica])]);
    let fields = "Connection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nUpgrade: h2c\r\n\
                  Proxy-Authorization: Basic x\r\nX-AzureML-Limit: 99\r\nx-azureml-grant: 7\r\nContent_Length: 3\r\n\
                  X-Kept:   two words \r\n";
    let path = format!("{}?a=%00&b=1?2", score("a"));
    assert_eq!(router.client().post_with(&path, fields, "x").response().status, 200);
    let heads = heads.lock().expect("not poisoned");
    let (line, fields) = &heads[0];
    assert_eq!(line, "POST /score?a=%00&b=1?2 HTTP/1.1");
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["host", "x-kept", "x-request-id", "x-azureml-limit", "x-azureml-deadline-ms", "content-length"]);
    assert_eq!(fields[0].1, "test");
    assert_eq!(fields[1].1, "two words");
    assert_eq!(fields[3].1, "1");
}

#[test]
fn the_host_of_an_absolute_target_replaces_the_host_field() {
    let (replica, heads) = recorder();
    let router = Router::start(Router::config(), &[&TestService::new("a", &[&replica]).anonymous()]);
    let request = format!("GET http://real.example:81{} HTTP/1.1\r\nHost: other\r\n\r\n", score("a"));
    assert_eq!(router.client().send(request).response().status, 200);
    assert_eq!(heads.lock().expect("not poisoned")[0].1[0], ("host".into(), "real.example:81".into()));
}

#[test]
fn every_method_reaches_score_but_only_reads_reach_the_swagger_document() {
    let replica = TestReplica::start("a", |exchange| {
        exchange.body();
        let line = exchange.line.clone();
        if line.starts_with("HEAD") {
            exchange.write("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
        } else {
            exchange.ok(line);
        }
    });
    let router = Router::start(Router::config(), &[&TestService::new("a", &[&replica]).anonymous()]);
    let mut client = router.client();
    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let response = client.send(format!("{method} {} HTTP/1.1\r\nHost: t\r\n\r\n", score("a"))).response();
        assert_eq!(response.text(), format!("{method} /score HTTP/1.1"));
    }
    client.send(format!("HEAD {} HTTP/1.1\r\nHost: t\r\n\r\n", score("a")));
    assert_eq!(client.try_response("HEAD").expect("a head").field("content-length"), Some("5"));
    let swagger = "/api/v1/service/a/swagger.json";
    let response = client.send(format!("GET {swagger}?version=3 HTTP/1.1\r\nHost: t\r\n\r\n")).response();
    assert_eq!(response.text(), "GET /swagger.json?version=3 HTTP/1.1");
    assert_eq!(client.send(format!("POST {swagger} HTTP/1.1\r\nHost: t\r\n\r\n")).response().status, 405);
}

#[test]
fn the_models_own_status_headers_and_empty_answers_pass_unchanged() {
    let replica = TestReplica::start("a", |exchange| {
        exchange.body();
        match exchange.field("x-want").unwrap_or_default() {
            "204" => exchange.write("HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n"),
            "304" => exchange.write("HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n"),
            "500" => exchange.answer(
                "500 Oh No",
                "X-Ms-Run-Function-Failed: True\r\nx-azureml-busy-us: 9\r\nConnection: x-hop\r\nx-hop: 1\r\n",
                "boom",
            ),
            _ => exchange
                .write("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        }
    });
    let router = Router::start(Router::config(), &[&TestService::new("a", &[&replica])]);
    let mut client = router.client();
    let mut ask = |want: &str| client.post_with(&score("a"), &format!("X-Want: {want}\r\n"), "").response();
    let response = ask("204");
    assert_eq!((response.status, response.field("content-length"), response.field("x-a")), (204, None, Some("1")));
    let response = ask("304");
    assert_eq!((response.status, response.field("content-length")), (304, Some("9")));
    let response = ask("500");
    assert_eq!((response.status, response.text()), (500, "boom"));
    assert_eq!(response.field("x-ms-run-function-failed"), Some("True"));
    assert_eq!((response.field("x-azureml-busy-us"), response.field("x-hop")), (None, None));
    assert_eq!(ask("interim").status, 200);
}

#[test]
fn what_router_and_scorer_tell_each_other_is_for_nobody_else() {
    let all =
        [wire::LIMIT, wire::DEADLINE, wire::GRANT, wire::REFUSED, wire::BUSY, "X-AzureML-Later", "x_azureml_later"];
    let all = all.map(|name| format!("{name}: 7\r\n")).concat();
    let (replica, heads) = recorder_with(&all);
    let router = Router::start(Router::config(), &[&TestService::new("a", &[&replica])]);
    let response = router.client().post_with(&score("a"), &all, "").response();
    assert_eq!(response.status, 200);
    let internal = |(name, _): &&(String, String)| name.replace('_', "-").starts_with("x-azureml-");
    assert_eq!(response.fields.iter().find(internal), None);
    let (_, fields) = &heads.lock().expect("not poisoned")[0];
    let names: Vec<&str> = fields.iter().filter(internal).map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-azureml-limit", "x-azureml-deadline-ms"], "the router's own");
}

#[test]
fn traffic_is_split_exactly_and_the_pin_header_chooses_any_version() {
    let (blue, green, idle) = (TestReplica::echo("blue"), TestReplica::echo("green"), TestReplica::echo("idle"));
    let service = TestService::endpoint(
        "e",
        vec![
            TestVersion::new("blue", 8_000, &[&blue]),
            TestVersion::new("green", 2_000, &[&green]),
            TestVersion::new("idle", 0, &[&idle]),
        ],
    );
    let router = Router::start(Router::config(), &[&service]);
    // One connection stays on one thread, which counts exactly.
    let mut client = router.client();
    for _ in 0..50 {
        assert_eq!(client.post(&service.path(), "").response().status, 200);
    }
    assert_eq!((blue.count(), green.count(), idle.count()), (40, 10, 0));
    let response = client.post_with(&service.path(), "azureml-model-deployment: idle\r\n", "x").response();
    assert_eq!((response.text(), response.field("azureml-model-deployment")), ("idle:x", Some("idle")));
    let response = client.post_with(&service.path(), "azureml-model-deployment: no\r\n", "").response();
    assert_eq!((response.status, response.code().as_str()), (404, "version_not_found"));
}

#[test]
fn request_ids_are_passed_on_and_errors_carry_them() {
    let (replica, heads) = recorder();
    let router = Router::start(Router::config(), &[&TestService::new("a", &[&replica])]);
    let mut client = router.client();
    let ids = "x-request-id: A\r\nx-ms-client-request-id: C\r\n";
    let response = client.post_with(&score("a"), ids, "").response();
    assert_eq!(response.field("x-request-id"), Some("A"));
    let fields = heads.lock().expect("not poisoned")[0].1.clone();
    assert!(fields.contains(&("x-request-id".into(), "A".into())));
    assert!(fields.contains(&("x-ms-client-request-id".into(), "C".into())));
    let response = client.send(format!("GET /nothing HTTP/1.1\r\nHost: t\r\n{ids}\r\n")).response();
    assert_eq!(response.status, 404);
    assert_eq!(response.field("x-request-id"), Some("A"));
    assert_eq!(response.field("x-ms-request-id"), Some("C"));
    assert_eq!(response.field("x-ms-client-request-id"), Some("C"));
    assert!(response.text().contains("\"request_id\":\"A\""));
    let long = format!("x-ms-request-id: {}\r\n", "x".repeat(101));
    let response = client.post_with(&score("a"), &long, "").response();
    assert_eq!((response.status, response.code().as_str()), (431, "request_id_too_long"));
}

#[test]
fn callers_of_http_1_0_get_bodies_that_they_understand() {
    let replica = TestReplica::start("a", |exchange| {
        exchange.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    });
    let router = Router::start(Router::config(), &[&TestService::new("a", &[&replica]).anonymous()]);
    let mut client = router.client();
    client.send(format!("GET {} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", score("a")));
    let response = client.response();
    assert_eq!((response.field("connection"), response.field("transfer-encoding")), (Some("close"), None));
    assert_eq!(response.text(), "abc");
    let mut client: Client = router.client();
    let response = client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").response();
    assert_eq!(response.field("connection"), Some("keep-alive"));
    assert_eq!(client.send("GET / HTTP/1.0\r\n\r\n").response().status, 200);
    client.assert_closed();
}

#[test]
fn a_response_that_ends_with_its_connection_is_delivered_in_chunks() {
    let replica = TestReplica::start("a", |exchange| {
        exchange.write("HTTP/1.1 200 OK\r\n\r\nabc");
        exchange.close = true;
    });
    let router = Router::start(Router::config(), &[&TestService::new("a", &[&replica]).anonymous()]);
    let mut client = router.client();
    for _ in 0..2 {
        let response = client.send(format!("GET {} HTTP/1.1\r\nHost: t\r\n\r\n", score("a"))).response();
        assert_eq!((response.text(), response.field("transfer-encoding")), ("abc", Some("chunked")));
    }
}
