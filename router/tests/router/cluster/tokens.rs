//! Tokens in a cluster: signing keys from their Secret, and access tokens of ServiceAccounts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use serving::cluster;
use serving::service::Kind;
use serving::token::{Order, RANDOM_BYTES, Settings, SigningKeys, Verifier, audience, issue};

use super::fe::{Fe, Namespace, service};
use super::replica::Replica;
use crate::support::{TestService, until};

const CLUSTER: &str = "https://kubernetes.default.svc.cluster.local";
const ACCOUNT: &str = "system:serviceaccount:ns:caller";

fn keys(byte: u8) -> SigningKeys {
    let long_ago = "2026-01-01T00:00:00Z".parse().expect("a time");
    SigningKeys::default().rotated(&Settings::default(), long_ago, &[byte; RANDOM_BYTES])
}

/// A token that an issuer has signed with the key of this number.
fn token(key: u8, issuer: &str, service: &str, subject: &str) -> String {
    let settings = Settings { issuer: issuer.to_owned(), ..Settings::default() };
    let order = Order { kind: Kind::Webservice, service, subject, lifetime: None };
    issue(&keys(key), &settings, &order, jiff::Timestamp::now(), [1; 16]).expect("issued").access_token
}

fn score(fe: &Fe, service: &TestService, token: &str) -> u16 {
    let path = service.path();
    fe.client()
        .send(format!("GET {path} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\n\r\n"))
        .response()
        .status
}

fn signing(namespace: &Namespace, key: u8) {
    let text = serde_json::to_vec(&keys(key)).expect("serialises");
    namespace.secret(cluster::SIGNING_KEYS, &json!({ "signing-keys.json": STANDARD.encode(text) }));
}

fn served(config: &str) -> (Namespace, TestService, Replica, Fe) {
    let replica = Replica::start("r");
    let (namespace, a) = (Namespace::new(), service("diabetes").tokens());
    namespace.access(&[(&a, &[])]);
    namespace.document(&a, 1, 1);
    namespace.pod("a-1", "diabetes", "diabetes", &replica, true);
    let fe = namespace.serve(config);
    fe.wait_ready();
    (namespace, a, replica, fe)
}

#[test]
fn tokens_are_verified_by_the_keys_of_the_secret_whenever_they_arrive() {
    let (namespace, a, _replica, fe) = served("[attempts]\nfailures = 1000000\n");
    let issued = token(1, &Settings::default().issuer, "diabetes", "terraform");
    assert_eq!(score(&fe, &a, &issued), 401, "there are no keys yet");
    signing(&namespace, 1);
    until("the token is good", || (score(&fe, &a, &issued) == 200).then_some(()));
    // What is no key leaves the former ones.
    namespace.secret(cluster::SIGNING_KEYS, &json!({ "signing-keys.json": STANDARD.encode("{") }));
    until("that is said", || (fe.log)().contains("the former signing keys stay in force").then_some(()));
    assert_eq!(score(&fe, &a, &issued), 200);
    signing(&namespace, 2);
    until("the token is not good any more", || (score(&fe, &a, &issued) == 401).then_some(()));
}

#[test]
fn a_service_account_of_the_cluster_gets_a_token_and_others_get_none() {
    let subjects = format!(
        "[attempts]\nfailures = 1000000\n[issuers]\nrefetch_ms = 1\n[tokens.service_accounts]\naudience = \"{}\"\nsubjects = [\"{ACCOUNT}\"]\n",
        audience(Kind::Webservice, "api")
    );
    let replica = Replica::start("r");
    let (namespace, a) = (Namespace::new(), service("diabetes").tokens());
    namespace.access(&[(&a, &[])]);
    namespace.document(&a, 1, 1);
    namespace.pod("a-1", "diabetes", "diabetes", &replica, true);
    signing(&namespace, 1);
    // The issuer has a place of its own for its keys, which is not asked.
    let described = json!({ "issuer": CLUSTER, "jwks_uri": "https://192.0.2.1/keys" });
    namespace.api.page("/.well-known/openid-configuration", described.to_string());
    namespace.api.page("/openid/v1/jwks", Verifier::new(&keys(9), &Settings::default()).jwks());
    let fe = namespace.serve(&subjects);
    fe.wait_ready();
    let ask = |access: &str| {
        let head = "POST /api/v1/service/diabetes/token HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n";
        fe.client().send(format!("{head}Authorization: Bearer {access}\r\n\r\n")).response()
    };
    let response = ask(&token(9, CLUSTER, "api", ACCOUNT));
    assert_eq!(response.status, 200, "{}", response.text());
    let issued: serde_json::Value = serde_json::from_str(response.text()).expect("JSON");
    let issued = ["accessToken", "access_token"].iter().find_map(|name| issued[name].as_str()).expect("a token");
    assert_eq!(score(&fe, &a, issued), 200);
    assert_eq!(ask(&token(9, CLUSTER, "api", "system:serviceaccount:ns:other")).status, 403);
    assert_eq!(ask(&token(9, CLUSTER, "other-audience", ACCOUNT)).status, 401);
    assert_eq!(ask(&token(8, CLUSTER, "api", ACCOUNT)).status, 401, "of another key");
    assert_eq!(ask(&token(9, "https://elsewhere", "api", ACCOUNT)).status, 401);
}
