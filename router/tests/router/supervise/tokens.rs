use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use serving::admin::{Request, Response};
use serving::layout;
use serving::token::Issued;

use super::harness::{Caller, Compute, Running, executable};

const DAY: i64 = 86_400;

/// A compute with the service `diabetes`, whose callers need tokens, and the anonymous service `open`.
fn compute() -> Compute {
    let compute = Compute::new();
    let mut document = compute.document("diabetes", 1, &[]);
    document["auth"] = json!({ "mode": "token" });
    compute.write(&document);
    compute.write(&compute.document("open", 1, &[]));
    compute
}

fn started(compute: &Compute) -> Running {
    let running = compute.start();
    compute.settled("diabetes", 1);
    running
}

fn issue(compute: &Compute, service: &str, lifetime: Option<u64>) -> Result<Issued, String> {
    match compute.ask(&Request::Token { service: service.to_owned(), lifetime }) {
        Response::Token(issued) => Ok(issued),
        Response::Error { message } => Err(message),
        other => panic!("{other:?}"),
    }
}

fn score(running: &Running, token: &str) -> u16 {
    let field = format!("authorization: Bearer {token}\r\n");
    let mut caller = Caller::connect(&running.address).expect("connected");
    caller.score_with("diabetes", &field).expect("an answer").0
}

fn keys(compute: &Compute) -> Value {
    serde_json::from_slice(&std::fs::read(compute.path(layout::SIGNING_KEYS)).expect("the keys")).expect("JSON")
}

fn stop(compute: &Compute, mut running: Running) {
    assert_eq!(compute.ask(&Request::Stop), Response::Done);
    running.child.wait().expect("ended");
}

#[test]
fn the_owner_gets_tokens_over_the_admin_socket_and_their_key_is_in_a_file_for_nobody_else() {
    let compute = compute();
    let running = started(&compute);
    let issued = issue(&compute, "diabetes", Some(600)).expect("a token");
    assert_eq!(score(&running, &issued.access_token), 200);
    assert_eq!(issued.expiry_on - issued.refresh_after, 150);
    assert_eq!(score(&running, "no-token"), 401);
    for (service, lifetime, reason) in [
        ("nothing", None, "there is no such service"),
        ("open", None, "it does not authenticate by tokens"),
        ("diabetes", Some(5), "must be from 60 to 86400 seconds, not 5"),
    ] {
        let message = issue(&compute, service, lifetime).expect_err("refused");
        assert!(message.contains(reason) && message.contains(service), "{message}");
    }
    let mode = compute.path(layout::SIGNING_KEYS).metadata().expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    stop(&compute, running);
    let router = std::fs::read_to_string(compute.path("logs/router.log")).expect("a log");
    let log = router + &compute.log();
    let seed = keys(&compute)["keys"][0]["seed"].as_str().expect("a seed").to_owned();
    assert!(!log.contains(&seed) && !log.contains(&issued.access_token));
}

#[test]
fn tokens_are_good_after_a_restart_and_after_an_upgrade() {
    let compute = compute();
    let running = started(&compute);
    let token = issue(&compute, "diabetes", None).expect("a token").access_token;
    stop(&compute, running);
    let running = started(&compute);
    assert_eq!(score(&running, &token), 200);
    let executable = executable().to_str().expect("text").to_owned();
    assert_eq!(compute.ask(&Request::Upgrade { executable }), Response::Done);
    assert_eq!(score(&running, &token), 200);
    assert_eq!(keys(&compute)["keys"].as_array().map(Vec::len), Some(1));
}

#[test]
fn an_old_signing_key_is_replaced_and_its_tokens_stay_good_for_the_overlap() {
    let compute = compute();
    let running = started(&compute);
    let token = issue(&compute, "diabetes", None).expect("a token").access_token;
    stop(&compute, running);
    let mut old = keys(&compute);
    let long_ago = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(31 * DAY);
    old["keys"][0]["active_from"] = json!(long_ago.to_string());
    std::fs::write(compute.path(layout::SIGNING_KEYS), old.to_string()).expect("written");

    let running = started(&compute);
    let now = keys(&compute);
    assert_eq!((now["keys"].as_array().map(Vec::len), &now["keys"][0]["id"]), (Some(2), &old["keys"][0]["id"]));
    let until: jiff::Timestamp = now["keys"][0]["accepted_until"].as_str().expect("an end").parse().expect("a time");
    assert!(until > jiff::Timestamp::now() + jiff::SignedDuration::from_secs(DAY));
    assert_eq!(score(&running, &token), 200);
    stop(&compute, running);

    let mut over = now.clone();
    over["keys"][0]["accepted_until"] = json!(long_ago.to_string());
    over["keys"][1]["active_from"] = json!(jiff::Timestamp::now().to_string());
    std::fs::write(compute.path(layout::SIGNING_KEYS), over.to_string()).expect("written");
    let running = started(&compute);
    assert_eq!(keys(&compute)["keys"].as_array().map(Vec::len), Some(1), "the key is over");
    assert_eq!(score(&running, &token), 401);
    assert_eq!(score(&running, &issue(&compute, "diabetes", None).expect("a token").access_token), 200);
}

#[test]
fn damaged_signing_keys_are_replaced_by_new_ones_and_said_to_be_lost() {
    let compute = compute();
    std::fs::write(compute.path(layout::SIGNING_KEYS), "{\"keys\": [\"a-secret\"]}").expect("written");
    let running = started(&compute);
    let token = issue(&compute, "diabetes", None).expect("a token").access_token;
    assert_eq!(score(&running, &token), 200);
    assert!(compute.log().contains("the signing keys are lost") && !compute.log().contains("a-secret"));
}

#[test]
fn the_command_prints_a_token_whether_or_not_a_supervisor_runs() {
    let compute = compute();
    let output = compute.command(&["service", "token", "diabetes"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && text.contains(layout::SIGNING_KEYS), "{text}");
    let running = started(&compute);
    let output = compute.command(&["service", "token", "diabetes"]);
    assert_eq!(score(&running, String::from_utf8(output.stdout).expect("text").trim()), 200);
    stop(&compute, running);
    let output = compute.command(&["service", "token", "diabetes", "--json", "--lifetime", "120"]);
    let issued: Issued = serde_json::from_slice(&output.stdout).expect("a token");
    assert_eq!((issued.token_type.as_str(), issued.expiry_on - issued.refresh_after), ("Bearer", 30));
    let running = started(&compute);
    assert_eq!(score(&running, &issued.access_token), 200);
    for (args, exit, reason) in [
        (&["service", "token", "open"][..], 1, "do not authenticate by tokens"),
        (&["service", "token", "nothing"][..], 3, "there is no service"),
        (&["service", "token", "diabetes", "--lifetime", "1"][..], 1, "from 60 to 86400"),
    ] {
        let output = compute.command(args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(exit) && text.contains(reason), "{text}");
    }
}
