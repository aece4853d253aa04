//! Keys that end, and what becomes of those who guess.

use crate::support::client::Response;
use crate::support::{Client, KEY, Router, TestReplica, TestService, eventually};
use serving::service::{KeySlot, ReplacedKey};

const OLD: &str = "the-key-that-was-replaced";

fn replaced(until: jiff::Timestamp) -> Vec<ReplacedKey> {
    let digest = KeySlot { key: OLD.to_owned(), version: 1 }.digest();
    vec![ReplacedKey { digest, until: until.to_string() }]
}

fn get(client: &mut Client, service: &str, key: &str) -> Response {
    let path = format!("/api/v1/service/{service}/score");
    client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {key}\r\n\r\n")).response()
}

#[test]
fn a_replaced_key_works_until_its_end_and_then_stops_without_a_new_snapshot() {
    let replica = TestReplica::echo("a");
    let mut service = TestService::new("diabetes", &[&replica]);
    service.replaced = replaced(jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2));
    let router = Router::start(Router::config(), &[&service]);
    let mut client = router.client();
    assert_eq!(get(&mut client, "diabetes", OLD).status, 200);
    assert_eq!(get(&mut client, "nothing", OLD).code(), "service_not_found", "it is a valid key of this router");
    eventually("the replaced key ends", || {
        let status = get(&mut client, "diabetes", OLD).status;
        assert!(matches!(status, 200 | 401), "{status}");
        status == 401
    });
    assert_eq!(get(&mut client, "nothing", OLD).code(), "credential_invalid");
    assert_eq!(get(&mut client, "diabetes", KEY).status, 200);
}

#[test]
fn a_key_whose_end_has_passed_is_refused_by_a_router_that_starts_later() {
    let replica = TestReplica::echo("a");
    let mut service = TestService::new("diabetes", &[&replica]);
    service.replaced = replaced(jiff::Timestamp::now());
    let router = Router::start(Router::config(), &[&service]);
    assert_eq!(get(&mut router.client(), "diabetes", OLD).status, 401);
}

#[test]
fn too_many_failures_of_a_source_are_slowed_with_429_and_valid_credentials_never_are() {
    let replica = TestReplica::echo("a");
    let mut config = Router::config();
    (config.attempts.failures, config.attempts.forgive_ms, config.attempts.delay_ms) = (3, 60_000, 1);
    let router = Router::start(config, &[&TestService::new("diabetes", &[&replica])]);
    let mut client = router.client();
    for service in ["diabetes", "nothing", "diabetes"] {
        let response = get(&mut client, service, "wrong");
        assert_eq!((response.status, response.code().as_str()), (401, "credential_invalid"));
    }
    for service in ["diabetes", "nothing"] {
        let mut client = router.client();
        let response = get(&mut client, service, "wrong");
        assert_eq!((response.status, response.code().as_str()), (429, "too_many_attempts"));
        let seconds: u32 = response.field("retry-after").expect("advice").parse().expect("seconds");
        assert!((1..=60).contains(&seconds), "{seconds}");
        assert_eq!(response.field("connection"), Some("close"));
        client.assert_closed();
    }
    for _ in 0..10 {
        assert_eq!(get(&mut client, "diabetes", KEY).status, 200);
        assert_eq!(get(&mut client, "nothing", KEY).status, 404);
    }
    let response = client.send("GET /api/v1/service/diabetes/score HTTP/1.1\r\nHost: t\r\n\r\n").response();
    assert_eq!(response.status, 401, "without a credential nothing is guessed");
}

#[test]
fn failures_are_forgiven_with_time() {
    let mut config = Router::config();
    (config.attempts.failures, config.attempts.forgive_ms, config.attempts.delay_ms) = (1, 20, 0);
    let replica = TestReplica::echo("a");
    let router = Router::start(config, &[&TestService::new("diabetes", &[&replica])]);
    eventually("a failure is one too many", || get(&mut router.client(), "diabetes", "wrong").status == 429);
    eventually("a failure is forgiven", || get(&mut router.client(), "diabetes", "wrong").status == 401);
}
