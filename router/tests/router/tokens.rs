//! Tokens of services: who gets one, what it is good for, and which ones are none.

use crate::support::client::Response;
use crate::support::issuer::{Mood, TestIssuer};
use crate::support::{Client, KEY, Router, TestReplica, TestService, eventually};
use azureml_fe::config::Config;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use ring::hmac;
use serde_json::{Value, json};
use serving::service::Kind;
use serving::token::{Issued, Order, RANDOM_BYTES, Settings, SigningKeys, issue};

fn ago(seconds: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_secs(seconds)
}

fn keys(byte: u8) -> SigningKeys {
    SigningKeys::default().rotated(&Settings::default(), ago(10_000), &[byte; RANDOM_BYTES])
}

/// A token of the key 1, issued so many seconds ago.
fn token(service: &str, age: i64) -> String {
    signed(&keys(1), &Settings::default(), service, age)
}

fn signed(keys: &SigningKeys, settings: &Settings, service: &str, age: i64) -> String {
    let order = Order { kind: Kind::Webservice, service, subject: "test", lifetime: Some(600) };
    issue(keys, settings, &order, ago(age), [0; 16]).expect("issued").access_token
}

fn score(client: &mut Client, service: &str, token: &str) -> Response {
    let path = format!("/api/v1/service/{service}/score");
    client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\n\r\n")).response()
}

fn ask(client: &mut Client, service: &str, query: &str, access_token: &str) -> Response {
    let path = format!("/api/v1/service/{service}/token{query}");
    let fields = format!("Host: t\r\nContent-Length: 0\r\nAuthorization: Bearer {access_token}\r\n");
    client.send(format!("POST {path} HTTP/1.1\r\n{fields}\r\n")).response()
}

/// A configuration that never slows, so that a test may fail often.
fn config() -> Config {
    let mut config = Router::config();
    config.attempts.failures = 10_000;
    config.issuers.refetch_ms = 1;
    config
}

/// A router with the services `diabetes` (tokens), `digits` (tokens) and `keyed`.
fn router(config: Config, replica: &TestReplica) -> Router {
    let service = |name| TestService::new(name, &[replica]).tokens();
    let keyed = TestService::new("keyed", &[replica]);
    Router::signing(config, &[&service("diabetes"), &service("digits"), &keyed], keys(1))
}

#[test]
fn a_token_of_the_service_scores_it_again_and_again() {
    let replica = TestReplica::echo("a");
    let router = router(config(), &replica);
    let (mut client, token) = (router.client(), token("diabetes", 0));
    for _ in 0..3 {
        assert_eq!(score(&mut client, "diabetes", &token).status, 200);
    }
    assert_eq!(score(&mut client, "nothing", &token).code(), "service_not_found", "who has a token may know");
    assert_eq!(replica.count(), 3);
}

/// Each of these is a 401 with a challenge, the same as for a service that does not exist.
fn refused(token: &str) {
    let replica = TestReplica::echo("a");
    let router = router(config(), &replica);
    let mut client = router.client();
    for service in ["diabetes", "nothing", "keyed"] {
        let response = score(&mut client, service, token);
        assert_eq!((response.status, response.code().as_str()), (401, "credential_invalid"), "{service}");
        assert_eq!(response.field("www-authenticate"), Some("Bearer error=\"invalid_token\""));
        assert!(!response.text().contains(token) || token.is_empty());
    }
    assert_eq!(replica.count(), 0);
}

/// Header and claims of a good token, and its signature.
fn parts() -> (Value, Value, String) {
    let good = token("diabetes", 0);
    let parts: Vec<&str> = good.split('.').collect();
    let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON");
    (json(parts[0]), json(parts[1]), parts[2].to_owned())
}

fn encode(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

#[test]
fn an_expired_token_is_refused() {
    refused(&token("diabetes", 600 + 60));
}

#[test]
fn a_token_that_is_not_valid_yet_is_refused() {
    refused(&token("diabetes", -120));
}

#[test]
fn a_token_of_another_issuer_is_refused() {
    refused(&signed(&keys(1), &Settings { issuer: "another".into(), ..Settings::default() }, "diabetes", 0));
}

#[test]
fn a_token_of_another_key_is_refused() {
    refused(&signed(&keys(2), &Settings::default(), "diabetes", 0));
}

#[test]
fn a_token_with_an_unknown_key_id_is_refused() {
    let (mut header, claims, signature) = parts();
    header["kid"] = json!("nobody's");
    refused(&format!("{}.{}.{signature}", encode(&header), encode(&claims)));
}

#[test]
fn a_token_without_a_signature_is_refused() {
    let (mut header, claims, _) = parts();
    header["alg"] = json!("none");
    refused(&format!("{}.{}.", encode(&header), encode(&claims)));
}

#[test]
fn a_token_signed_with_the_public_key_as_a_secret_is_refused() {
    let replica = TestReplica::echo("a");
    let router = router(config(), &replica);
    let set = router.client().send("GET /.well-known/jwks.json HTTP/1.1\r\nHost: t\r\n\r\n").response();
    let set: Value = serde_json::from_slice(&set.body).expect("JSON");
    let public = URL_SAFE_NO_PAD.decode(set["keys"][0]["x"].as_str().expect("a key")).expect("base64");
    let (mut header, claims, _) = parts();
    header["alg"] = json!("HS256");
    let text = format!("{}.{}", encode(&header), encode(&claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &public), text.as_bytes());
    refused(&format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag)));
}

#[test]
fn a_token_with_a_changed_claim_is_refused() {
    let (header, mut claims, signature) = parts();
    claims["exp"] = json!(4_000_000_000_i64);
    refused(&format!("{}.{}.{signature}", encode(&header), encode(&claims)));
}

#[test]
fn a_truncated_token_is_refused() {
    let good = token("diabetes", 0);
    refused(&good[..good.len() - 1]);
}

#[test]
fn an_oversized_token_is_refused() {
    refused(&format!("{}{}", token("diabetes", 0), "A".repeat(20_000)));
}

#[test]
fn the_token_of_another_service_or_audience_is_refused() {
    let replica = TestReplica::echo("a");
    let router = router(config(), &replica);
    let mut client = router.client();
    for service in ["diabetes", "keyed"] {
        assert_eq!(score(&mut client, service, &token("digits", 0)).status, 401);
        assert_eq!(score(&mut client, service, &token("elsewhere", 0)).status, 401);
    }
    assert_eq!(score(&mut client, "digits", &token("digits", 0)).status, 200);
    assert_eq!(score(&mut client, "diabetes", KEY).status, 401, "a key is no token");
}

#[test]
fn a_token_is_of_no_use_for_a_later_service_of_the_same_name() {
    let replica = TestReplica::echo("a");
    let before = "2025-12-31T00:00:00Z".parse::<Timestamp>().expect("a time");
    let mut old = SigningKeys::default().rotated(&Settings::default(), before, &[1; RANDOM_BYTES]);
    let settings = Settings { max_lifetime_seconds: 100_000_000, ..Settings::default() };
    let order = Order { kind: Kind::Webservice, service: "diabetes", subject: "test", lifetime: Some(100_000_000) };
    let token = issue(&old, &settings, &order, before, [0; 16]).expect("issued").access_token;
    old.keys[0].accepted_until = None;
    // The test's services were created on 2026-01-01.
    let router = Router::signing(config(), &[&TestService::new("diabetes", &[&replica]).tokens()], old);
    assert_eq!(score(&mut router.client(), "diabetes", &token).status, 401);
}

#[test]
fn tokens_of_a_replaced_signing_key_are_good_until_it_is_over_and_both_are_published() {
    let replica = TestReplica::echo("a");
    let service = TestService::new("diabetes", &[&replica]).tokens();
    let mut router = Router::signing(config(), &[&service], keys(1));
    let old = token("diabetes", 0);
    let mut both = keys(1);
    both.keys.extend(keys(2).keys);
    both.keys[0].accepted_until = Some(ago(-3600));
    router.rotate(&[&service], both.clone());
    let mut client = router.client();
    let new = signed(&keys(2), &Settings::default(), "diabetes", 0);
    assert_eq!((score(&mut client, "diabetes", &old).status, score(&mut client, "diabetes", &new).status), (200, 200));
    let set = client.send("GET /.well-known/jwks.json HTTP/1.1\r\nHost: t\r\n\r\n").response();
    assert_eq!(set.field("content-type"), Some("application/json"));
    let set: Value = serde_json::from_slice(&set.body).expect("JSON");
    let ids: Vec<&str> = set["keys"].as_array().expect("keys").iter().filter_map(|key| key["kid"].as_str()).collect();
    assert_eq!(ids, [&"01".repeat(12), &"02".repeat(12)]);
    assert!(!set.to_string().contains("seed"), "only public keys");
    both.keys[0].accepted_until = Some(ago(0));
    router.rotate(&[&service], both);
    assert_eq!((score(&mut client, "diabetes", &old).status, score(&mut client, "diabetes", &new).status), (401, 200));
}

/// A router that exchanges tokens of this issuer.
fn trusting(issuer: &TestIssuer, replica: &TestReplica, change: impl FnOnce(&mut Config)) -> Router {
    let mut config = config();
    config.tokens.issuers = vec![issuer.entry()];
    change(&mut config);
    router(config, replica)
}

#[test]
fn an_access_token_of_a_configured_issuer_is_exchanged_for_a_token_that_scores() {
    let (issuer, replica) = (TestIssuer::start(9, Mood::Well), TestReplica::echo("a"));
    let router = trusting(&issuer, &replica, |_| ());
    let mut client = router.client();
    let response = ask(&mut client, "diabetes", "?lifetime=120", &issuer.token("me"));
    assert_eq!((response.status, response.field("cache-control")), (200, Some("no-store")));
    let fresh: Issued = serde_json::from_slice(&response.body).expect("a token");
    let now = Timestamp::now().as_second();
    assert_eq!(fresh.token_type, "Bearer");
    assert!((now + 60..=now + 120).contains(&fresh.expiry_on), "{}", fresh.expiry_on);
    assert!(fresh.refresh_after < fresh.expiry_on && fresh.refresh_after > now);
    assert_eq!(score(&mut client, "diabetes", &fresh.access_token).status, 200);
    assert_eq!(score(&mut client, "digits", &fresh.access_token).status, 401);
    let claims = URL_SAFE_NO_PAD.decode(fresh.access_token.split('.').nth(1).expect("claims")).expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    assert_eq!((&claims["sub"], &claims["aud"]), (&json!("me"), &json!("/api/v1/service/diabetes")));
    assert!(claims["jti"].as_str().is_some_and(|id| id.len() == 32));
    // The access token itself scores nothing.
    assert_eq!(score(&mut client, "diabetes", &issuer.token("me")).status, 401);
}

#[test]
fn requests_for_tokens_are_judged_before_anything_is_said_of_the_service() {
    let (issuer, replica) = (TestIssuer::start(9, Mood::Well), TestReplica::echo("a"));
    let other = TestIssuer::start(8, Mood::Well);
    let router = trusting(&issuer, &replica, |_| ());
    let mut client = router.client();
    let good = issuer.token("me");
    // Signed, but by a signature that is another token's: any single character might happen to be right already.
    let (claims, _) = good.rsplit_once('.').expect("a signature");
    let forged = format!("{claims}.{}", issuer.token("you").rsplit_once('.').expect("a signature").1);
    for service in ["diabetes", "keyed", "nothing"] {
        for bad in
            [&other.token("me"), &issuer.token_for("other", "me"), &token("diabetes", 0), &forged, &KEY.to_owned()]
        {
            let response = ask(&mut client, service, "", bad);
            assert_eq!((response.status, response.code().as_str()), (401, "credential_invalid"), "{service} {bad}");
            assert!(response.field("www-authenticate").is_some());
        }
        let path = format!("/api/v1/service/{service}/token");
        let response = client.send(format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n")).response();
        assert_eq!((response.status, response.code().as_str()), (401, "credential_missing"));
        let response = client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n")).response();
        assert_eq!((response.status, response.field("allow")), (405, Some("POST")));
    }
    assert_eq!(ask(&mut client, "nothing", "", &good).code(), "service_not_found");
    assert_eq!(ask(&mut client, "keyed", "", &good).code(), "no_tokens");
    for lifetime in ["59", "86401", "x", "-1"] {
        let response = ask(&mut client, "diabetes", &format!("?lifetime={lifetime}"), &good);
        assert_eq!((response.status, response.code().as_str()), (400, "lifetime_out_of_range"));
    }
}

#[test]
fn a_valid_access_token_that_does_not_allow_it_is_a_403() {
    let (issuer, replica) = (TestIssuer::start(9, Mood::Well), TestReplica::echo("a"));
    let router = trusting(&issuer, &replica, |config| {
        config.tokens.issuers[0].subjects = vec!["me".into()];
        config.tokens.issuers[0].services = vec!["diabetes".into()];
    });
    let mut client = router.client();
    assert_eq!(ask(&mut client, "diabetes", "", &issuer.token("me")).status, 200);
    for (service, subject) in [("diabetes", "you"), ("digits", "me"), ("nothing", "me")] {
        let response = ask(&mut client, service, "", &issuer.token(subject));
        assert_eq!((response.status, response.code().as_str()), (403, "forbidden"), "{service} {subject}");
    }
}

#[test]
fn without_issuers_only_the_owner_gets_tokens() {
    let (issuer, replica) = (TestIssuer::start(9, Mood::Well), TestReplica::echo("a"));
    let router = router(config(), &replica);
    assert_eq!(ask(&mut router.client(), "diabetes", "", &issuer.token("me")).status, 401);
    assert_eq!(issuer.asked(), 0);
}

#[test]
fn a_new_key_of_the_issuer_is_fetched_when_a_token_names_it() {
    let (issuer, replica) = (TestIssuer::start(9, Mood::Well), TestReplica::echo("a"));
    let router = trusting(&issuer, &replica, |_| ());
    let mut client = router.client();
    let old = issuer.token("me");
    assert_eq!(ask(&mut client, "diabetes", "", &old).status, 200);
    issuer.rotate(10);
    // Not in the same moment as the fetch before.
    eventually("the new key is fetched", || ask(&mut client, "diabetes", "", &issuer.token("me")).status == 200);
    assert_eq!(ask(&mut client, "diabetes", "", &old).status, 401, "the issuer has withdrawn its key");
}

#[test]
fn unknown_keys_cause_at_most_one_fetch_in_the_interval() {
    let (issuer, replica) = (TestIssuer::start(9, Mood::Well), TestReplica::echo("a"));
    let router = trusting(&issuer, &replica, |config| config.issuers.refetch_ms = 300_000);
    let mut client = router.client();
    assert_eq!(ask(&mut client, "diabetes", "", &issuer.token("me")).status, 200);
    issuer.rotate(10);
    for _ in 0..20 {
        assert_eq!(ask(&mut client, "diabetes", "", &issuer.token("me")).status, 401);
    }
    assert_eq!(issuer.asked(), 1);
}

#[test]
fn while_the_issuer_fails_known_keys_go_on_and_unknown_ones_are_a_503() {
    for mood in [Mood::Broken, Mood::Garbage, Mood::Slow, Mood::Endless] {
        let (issuer, replica) = (TestIssuer::start(9, Mood::Well), TestReplica::echo("a"));
        let router = trusting(&issuer, &replica, |config| config.issuers.answer_ms = 300);
        let mut client = router.client();
        assert_eq!(ask(&mut client, "diabetes", "", &issuer.token("me")).status, 200);
        issuer.set(mood);
        let known = issuer.token("me");
        issuer.rotate(10);
        eventually("the issuer is found to fail", || {
            let response = ask(&mut client, "diabetes", "", &issuer.token("me"));
            response.status == 503 && response.code() == "issuer_unavailable" && response.field("retry-after").is_some()
        });
        assert_eq!(ask(&mut client, "diabetes", "", &known).status, 200);
        issuer.set(Mood::Well);
        eventually("the issuer answers again", || ask(&mut client, "diabetes", "", &issuer.token("me")).status == 200);
    }
}

#[test]
fn keys_of_a_silent_issuer_are_used_no_longer_than_the_bound() {
    let (issuer, replica) = (TestIssuer::start(9, Mood::Well), TestReplica::echo("a"));
    let router = trusting(&issuer, &replica, |config| {
        (config.issuers.refresh_ms, config.issuers.stale_ms) = (20, 200);
    });
    let mut client = router.client();
    let token = issuer.token("me");
    assert_eq!(ask(&mut client, "diabetes", "", &token).status, 200);
    issuer.set(Mood::Broken);
    eventually("the keys are too old", || {
        ask(&mut client, "diabetes", "", &token).code_or_ok() == "issuer_unavailable"
    });
    issuer.set(Mood::Well);
    eventually("the keys are new", || ask(&mut client, "diabetes", "", &token).status == 200);
}

#[test]
fn an_issuer_that_was_never_reached_is_a_503_and_not_a_401() {
    let (issuer, replica) = (TestIssuer::start(9, Mood::Broken), TestReplica::echo("a"));
    let router = trusting(&issuer, &replica, |_| ());
    let mut client = router.client();
    let response = ask(&mut client, "diabetes", "", &issuer.token("me"));
    assert_eq!((response.status, response.code().as_str()), (503, "issuer_unavailable"));
    assert_eq!(score(&mut client, "diabetes", &token("diabetes", 0)).status, 200, "scoring needs no issuer");
    issuer.set(Mood::Well);
    eventually("the issuer answers", || ask(&mut client, "diabetes", "", &issuer.token("me")).status == 200);
}
