//! Access tokens of real issuers: `oauth2-mock-server`, and `oidc-provider` as one that has nothing in common with it. They
//! run as processes, and the router is the real program.

mod npm;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::supervise::harness::Compute;
use crate::support::client::{Client, Response};
use crate::support::until;
use serde_json::{Value, json};
use serving::token::Issued;

/// A running issuer. It ends with its standard input.
struct Issuer {
    url: String,
    orders: Option<ChildStdin>,
    said: BufReader<ChildStdout>,
    child: Child,
}

impl Issuer {
    fn start(script: &str) -> Self {
        let folder = npm::installed();
        let mut command = Command::new("node");
        command.arg(script).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("node cannot be started: {error}; install Node.js"));
        let (orders, said) = (child.stdin.take(), BufReader::new(child.stdout.take().expect("piped")));
        let mut issuer = Self { url: String::new(), orders, said, child };
        issuer.hear()["issuer"].as_str().expect("a URL").clone_into(&mut issuer.url);
        issuer
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("read");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("the issuer said {line:?}: {error}"))
    }

    /// Gives an order, and waits until it is carried out.
    fn order(&mut self, order: &str) {
        writeln!(self.orders.as_mut().expect("open"), "{order}").expect("it reads");
        assert_eq!(self.hear(), json!({ "done": order }));
    }

    /// A token by the client credentials grant, with further fields of the form.
    fn token(&self, fields: &str) -> String {
        let address = self.url.trim_start_matches("http://").replace("localhost", "127.0.0.1");
        let form = format!("grant_type=client_credentials&{fields}");
        let mut client = Client::connect(address.parse().expect("an address"));
        let head = format!(
            "POST /token HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n",
            self.url.trim_start_matches("http://"),
            form.len()
        );
        let response = client.send(head).send(form).response();
        let answer: Value = serde_json::from_slice(&response.body).expect("JSON");
        answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A compute that trusts this issuer, with the service `diabetes`, whose callers need tokens.
fn compute(issuer: &Issuer, settings: &str) -> Compute {
    let url = &issuer.url;
    let compute = Compute::at(&format!(
        "address = \"127.0.0.1\"\nport = 0\nthreads = 1\n[issuers]\nrefetch_ms = 50\n[[tokens.issuers]]\nissuer = \"{url}\"\n{settings}"
    ));
    let mut document = compute.document("diabetes", 1, &[]);
    document["auth"] = json!({ "mode": "token" });
    compute.write(&document);
    compute
}

fn ask(address: &str, service: &str, access_token: &str) -> Response {
    let mut client = Client::connect(address.parse().expect("an address"));
    let fields = format!("Host: t\r\nContent-Length: 0\r\nAuthorization: Bearer {access_token}\r\n");
    client.send(format!("POST /api/v1/service/{service}/token HTTP/1.1\r\n{fields}\r\n")).response()
}

fn score(address: &str, token: &str) -> u16 {
    let mut client = Client::connect(address.parse().expect("an address"));
    let fields = format!("Host: t\r\nContent-Length: 2\r\nAuthorization: Bearer {token}\r\n");
    client.send(format!("POST /api/v1/service/diabetes/score HTTP/1.1\r\n{fields}\r\n{{}}")).response().status
}

/// The token that an access token is exchanged for.
fn exchanged(address: &str, access_token: &str) -> Issued {
    let response = ask(address, "diabetes", access_token);
    assert_eq!(response.status, 200, "{}", response.text());
    serde_json::from_slice(&response.body).expect("a token")
}

fn code(response: &Response) -> (u16, String) {
    (response.status, response.code())
}

#[test]
fn tokens_of_oauth2_mock_server_are_exchanged_while_its_keys_change_and_while_it_is_down() {
    let mut issuer = Issuer::start("mock.js");
    let compute = compute(&issuer, "audiences = [\"api\"]\nroles = [\"score\"]\nservices = [\"diabetes\"]\n");
    let running = compute.start();
    compute.settled("diabetes", 1);
    let address = running.address.as_str();

    let good = issuer.token("aud=api&sub=me&roles=score");
    assert_eq!(score(address, &exchanged(address, &good).access_token), 200);
    assert_eq!(
        code(&ask(address, "diabetes", &issuer.token("aud=other&roles=score"))),
        (401, "credential_invalid".into())
    );
    assert_eq!(code(&ask(address, "diabetes", &issuer.token("aud=api&roles=read"))), (403, "forbidden".into()));
    assert_eq!(code(&ask(address, "digits", &good)), (403, "forbidden".into()));

    issuer.order("rotate");
    // Tokens are signed with both keys in turn.
    for token in [issuer.token("aud=api&roles=score"), issuer.token("aud=api&roles=score")] {
        until("the new key is fetched", || (ask(address, "diabetes", &token).status == 200).then_some(()));
    }
    issuer.order("rotate");
    let tokens: Vec<String> = (0..3).map(|_| issuer.token("aud=api&roles=score")).collect();
    issuer.order("stop");
    let statuses = || -> Vec<u16> { tokens.iter().map(|token| ask(address, "diabetes", token).status).collect() };
    // In the moment after a fetch, an unknown key is one that the issuer does not have.
    let statuses = until("the issuer is found to be down", || Some(statuses()).filter(|all| all.contains(&503)));
    let count = |status| statuses.iter().filter(|found| **found == status).count();
    assert_eq!((count(200), count(503)), (2, 1), "tokens of known keys go on, the third cannot be known");
    let undecided = tokens.iter().map(|token| ask(address, "diabetes", token)).find(|answer| answer.status == 503);
    assert_eq!(code(&undecided.expect("one")), (503, "issuer_unavailable".into()));

    let log = std::fs::read_to_string(compute.path("logs/router.log")).expect("a log") + &compute.log();
    for token in &tokens {
        assert!(!log.contains(token.as_str()), "a token is in a log");
    }
}

#[test]
fn tokens_of_oidc_provider_are_exchanged_whatever_accepted_algorithm_signs_them() {
    let issuer = Issuer::start("provider.js");
    let algorithms = ["RS256", "PS256", "ES256", "ES384", "EdDSA"];
    let audiences: Vec<String> = algorithms.iter().map(|name| format!("urn:azureml:{name}")).collect();
    let compute = compute(&issuer, &format!("audiences = {audiences:?}\nsubjects = [\"scorer\"]\n"));
    let running = compute.start();
    compute.settled("diabetes", 1);
    let client = "client_id=scorer&client_secret=not-a-secret-outside-of-this-test&scope=score";
    for audience in &audiences {
        let token = issuer.token(&format!("{client}&resource={audience}"));
        let exchanged = exchanged(&running.address, &token);
        assert_eq!(score(&running.address, &exchanged.access_token), 200, "{audience}");
        assert_eq!(score(&running.address, &token), 401, "an access token is not the service's token");
    }
}
