use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use serving::admin::{Request, VersionStatus};

use super::harness::{Caller, Compute, executable, score};
use crate::support::until;

const PATH: &str = "/api/v1/endpoint/churn/score";

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// Waits until a version of the endpoint looks like that; `None` is a version that is not there.
fn until_version(compute: &Compute, version: &str, what: &str, look: impl Fn(Option<&VersionStatus>) -> bool) {
    compute.ask(&Request::Sync);
    until(what, || {
        let status = compute.status();
        let churn = status.services.get("churn").filter(|churn| churn.served_generation > 0)?;
        look(churn.versions.get(version)).then_some(())
    });
}

fn ready(compute: &Compute, version: &str) {
    until_version(compute, version, "the version is ready", |version| version.is_some_and(VersionStatus::settled));
}

fn pinned(caller: &mut Caller, version: &str) -> (u16, String) {
    let (status, body, _) = caller.post(PATH, &format!("azureml-model-deployment: {version}\r\n")).expect("an answer");
    (status, body)
}

fn answered(caller: &mut Caller) -> String {
    let (status, body, _) = caller.post(PATH, "").expect("an answer");
    assert_eq!(status, 200, "{body}");
    body
}

/// An assignment that goes on routing to both versions.
fn assigned(mut document: Value, until: Timestamp) -> Value {
    document["assignment"] = json!({ "shares": { "blue": 5_000, "green": 5_000 }, "default": "blue" });
    for version in ["blue", "green"] {
        document["versions"][version]["declared"] = json!({ "traffic": 0 });
    }
    document["versions"]["green"]["retiring_until"] = until.to_string().into();
    document
}

#[test]
fn a_retiring_version_leaves_by_itself_when_its_time_comes() {
    let compute = Compute::new();
    compute.write(&compute.endpoint("churn", 1, &[("blue", 50, &[]), ("green", 50, &[])]));
    let running = compute.start();
    ready(&compute, "blue");
    ready(&compute, "green");
    let mut caller = Caller::connect(&running.address).expect("connected");
    assert_eq!(pinned(&mut caller, "green"), (200, "green".to_owned()));
    let soon = Timestamp::now() + SignedDuration::from_millis(1_500);
    let document = compute.endpoint("churn", 2, &[("blue", 50, &[]), ("green", 50, &[])]);
    compute.write(&assigned(document, soon));
    until_version(&compute, "green", "the version is gone", |version| {
        answered(&mut Caller::connect(&running.address).expect("connected"));
        version.is_none()
    });
    assert!(Timestamp::now() >= soon, "not before its time");
    assert!((0..20).all(|_| answered(&mut caller) == "blue"));
    let (status, body) = pinned(&mut caller, "green");
    assert_eq!(status, 404);
    assert!(body.contains("\"versions\":[\"blue\"]"), "{body}");
    let show = text(&compute.command(&["endpoint", "show", "churn"]));
    assert!(!show.contains("green") && show.contains("100 %"), "{show}");
}

#[test]
fn a_version_that_retired_while_nothing_ran_is_not_started_again() {
    let compute = Compute::new();
    let document = compute.endpoint("churn", 1, &[("blue", 50, &[]), ("green", 50, &[])]);
    compute.write(&assigned(document, Timestamp::now()));
    let running = compute.start();
    ready(&compute, "blue");
    assert_eq!(compute.status().services["churn"].versions.keys().collect::<Vec<_>>(), ["blue"]);
    let mut caller = Caller::connect(&running.address).expect("connected");
    assert!((0..10).all(|_| answered(&mut caller) == "blue"));
    assert_eq!(pinned(&mut caller, "green").0, 404);
    assert!(!compute.path("logs/churn/green").exists());
}

#[test]
fn a_share_that_goes_elsewhere_is_seen_in_the_state_and_once_in_the_log() {
    let compute = Compute::new();
    compute.write(&compute.endpoint("churn", 1, &[("blue", 50, &[]), ("green", 50, &[("FAKE", "init")])]));
    let running = compute.start();
    ready(&compute, "blue");
    until_version(&compute, "green", "it fails", |version| version.is_some_and(|version| version.failure.is_some()));
    let mut caller = Caller::connect(&running.address).expect("connected");
    assert!((0..20).all(|_| answered(&mut caller) == "blue"));
    let versions = &compute.status().services["churn"].versions;
    assert!(versions["green"].diverted && !versions["blue"].diverted);
    let show = text(&compute.command(&["endpoint", "show", "churn"]));
    for part in ["failing, share goes elsewhere (10 requests so far)", "version green:", "score.py:3: no model"] {
        assert!(show.contains(part), "{part}: {show}");
    }
    let logged = |what: &str| {
        let log = std::fs::read_to_string(compute.path("logs/router.log")).expect("a log");
        log.lines().filter(|line| line.contains(what) && line.contains("version=\"green\"")).count()
    };
    assert_eq!(logged("has no ready replica"), 1);

    compute.write(&compute.endpoint("churn", 2, &[("blue", 50, &[]), ("green", 50, &[])]));
    ready(&compute, "green");
    assert_eq!((0..20).filter(|_| answered(&mut caller) == "green").count(), 10);
    assert!(!compute.status().services["churn"].versions["green"].diverted);
    assert_eq!((logged("has no ready replica"), logged("is ready again")), (1, 1));
}

#[test]
fn show_draws_the_versions_as_a_table() {
    let compute = Compute::new();
    let mut document = compute.endpoint("churn", 1, &[("blue", 20, &[]), ("green", 10, &[])]);
    document["versions"]["green"]["declared"]["is_control"] = true.into();
    document["served"]["shares"] = json!({ "blue": 9_000, "green": 1_000 });
    document["sticky"] = json!({ "header": "x-user" });
    compute.write(&document);
    compute.write(&compute.document("diabetes", 1, &[]));
    let running = compute.start();
    ready(&compute, "blue");
    ready(&compute, "green");
    compute.settled("diabetes", 1);
    let mut caller = Caller::connect(&running.address).expect("connected");
    for _ in 0..10 {
        answered(&mut caller);
    }
    until("all are counted", || {
        let json = compute.command(&["endpoint", "show", "churn", "--json"]);
        let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
        let versions = &json["stats"]["versions"];
        let p99 = versions["blue"]["latency_us_p99"].as_u64()?;
        (versions["blue"]["requests"] == 9 && versions["green"]["requests"] == 1 && p99 > 0).then_some(())
    });
    let show = text(&compute.command(&["endpoint", "show", "churn"]));
    let row = |name: &str| -> Vec<String> {
        let line = show.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {show}"));
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    };
    assert_eq!(row("VERSION")[..5], ["VERSION", "SHARE", "ROLE", "REPLICAS", "STATE"]);
    assert_eq!(row("blue")[..9], ["blue", "90 % (declared 20 %)", "DEFAULT", "1/1", "ready", "9", "-", "0", "0"]);
    assert_eq!(row("green")[..9], ["green", "10 %", "CONTROL", "1/1", "ready", "1", "-", "0", "0"]);
    assert!(row("blue")[9].ends_with("ms"), "{show}");
    assert!(show.contains("sticky by the header `x-user`") && show.contains("REPLICA"), "{show}");

    let list = text(&compute.command(&["endpoint", "list"]));
    assert!(list.contains("churn  endpoint") && !list.contains("diabetes"), "{list}");
    let list = text(&compute.command(&["service", "list"]));
    assert!(list.contains("diabetes  webservice") && !list.contains("churn"), "{list}");
}

#[test]
fn each_noun_refuses_the_other_kind_and_says_which_command_to_use() {
    let compute = Compute::new();
    compute.write(&compute.endpoint("churn", 1, &[("blue", 100, &[])]));
    compute.write(&compute.document("diabetes", 1, &[]));
    for command in ["show", "keys", "logs"] {
        for (noun, name, other) in [
            ("service", "churn", "an endpoint; use `azureml-fe endpoint"),
            ("endpoint", "diabetes", "a webservice; use `azureml-fe service"),
        ] {
            let output = compute.command(&[noun, command, name]);
            assert_eq!(output.status.code(), Some(3), "{}", errors(&output));
            let expected = format!("`{name}` is {other} {command} {name}`");
            assert!(errors(&output).contains(&expected), "{expected}: {}", errors(&output));
        }
    }
    let unknown = compute.command(&["endpoint", "show", "churm"]);
    assert_eq!(unknown.status.code(), Some(3));
    assert!(
        errors(&unknown).contains("no endpoint `churm`; endpoints of this compute: churn\n"),
        "{}",
        errors(&unknown)
    );
}

#[test]
fn an_endpoint_without_versions_is_shown_as_empty() {
    let compute = Compute::new();
    compute.write(&compute.endpoint("churn", 1, &[]));
    let running = compute.start();
    until("it is served", || (compute.status().services.get("churn")?.served_generation == 1).then_some(()));
    let (status, body, _) =
        Caller::connect(&running.address).and_then(|mut caller| caller.post(PATH, "")).expect("an answer");
    assert_eq!(status, 503);
    assert!(body.contains("no_versions"), "{body}");
    let show = compute.command(&["endpoint", "show", "churn"]);
    assert!(text(&show).starts_with("churn  empty  ") && text(&show).contains("no version"), "{}", text(&show));
    assert!(text(&compute.command(&["endpoint", "list"])).contains(" 0/0    empty "));
}

#[test]
fn logs_of_an_endpoint_are_those_of_all_its_versions() {
    let compute = Compute::new();
    compute.write(&compute.endpoint("churn", 1, &[("blue", 50, &[]), ("green", 50, &[])]));
    let _running = compute.start();
    ready(&compute, "blue");
    ready(&compute, "green");
    let replica = |version: &str| compute.status().services["churn"].versions[version].replicas[0].id.clone();
    let all = text(&compute.command(&["endpoint", "logs", "churn"]));
    for id in [replica("blue"), replica("green")] {
        assert!(all.contains(&format!("{id} | starting as ok")), "{all}");
    }
    let one = text(&compute.command(&["endpoint", "logs", "churn", "--version", "green"]));
    assert!(one.contains(&replica("green")) && !one.contains(&replica("blue")), "{one}");
}

/// A command that goes on, killed when it is dropped.
struct Watching(Child);

impl Watching {
    fn start(compute: &Compute, arguments: &[&str]) -> Self {
        let mut command = Command::new(executable());
        command.args(arguments).arg("--directory").arg(compute.root());
        Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("started"))
    }

    fn lines(&mut self) -> impl Iterator<Item = String> {
        BufReader::new(self.0.stdout.take().expect("piped")).lines().map(|line| line.expect("text"))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn watch_prints_a_block_each_time_without_escape_codes_when_it_is_no_terminal() {
    let compute = Compute::new();
    compute.write(&compute.endpoint("churn", 1, &[("blue", 100, &[])]));
    compute.write(&compute.document("diabetes", 1, &[]));
    let running = compute.start();
    ready(&compute, "blue");
    compute.settled("diabetes", 1);
    let mut caller = Caller::connect(&running.address).expect("connected");
    answered(&mut caller);
    let mut watching = Watching::start(&compute, &["endpoint", "show", "churn", "--watch"]);
    let mut rows = Vec::new();
    for line in watching.lines() {
        assert!(!line.contains('\x1b'), "{line:?}");
        if line.starts_with("blue ") {
            rows.push(
                line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).nth(6).expect("a rate").to_owned(),
            );
            answered(&mut caller);
        }
        // A rate is there from the second block on; the request above is in the third at the latest.
        if rows.len() == 3 {
            break;
        }
    }
    assert_eq!(rows[0], "-");
    assert!(rows[1..].iter().any(|rate| rate.parse::<f64>().is_ok_and(|rate| rate > 0.0)), "{rows:?}");

    score(&running.address, "diabetes");
    let mut watching = Watching::start(&compute, &["service", "show", "diabetes", "--watch", "--json"]);
    let objects: Vec<Value> =
        watching.lines().take(2).map(|line| serde_json::from_str(&line).expect("one object a line")).collect();
    assert!(objects.iter().all(|object| object["service"]["name"] == "diabetes"));
}
