//! What `run()` gets and gives, all the way through the router.

use acceptance_local::{Answer, Project, Stack, eventually, request};
use serde_json::{Value, json};

/// Does what the input asks for.
const SCRIPT: &str = r#"import json

from azureml.contrib.services.aml_response import AMLResponse


def init():
    print("loading")


def run(raw_data, request_headers):
    if raw_data.startswith("echo:"):
        return raw_data[5:]
    what = json.loads(raw_data)
    print("asked for", what)
    if not isinstance(what, str):
        return what
    if what == "set":
        return {1, 2}
    if what == "teapot":
        return AMLResponse({"why": "no coffee"}, 418, {"X-Tea": "pot, black", "Retry-After": "7"}, json_str=True)
    if what == "failed":
        return AMLResponse("upstream is down", 503, {"Content-Type": "text/plain"})
    if what == "bytes":
        return b"\x00\xff"
    if what == "headers":
        return {name: request_headers[name] for name in request_headers if name.lower().startswith("x-mine")}
    raise RuntimeError("secret reason of " + what)
"#;

/// The three ids of a request or an answer.
type Ids = [Option<&'static str>; 3];

struct Service {
    project: Project,
    uri: String,
    key: String,
}

impl Service {
    fn start() -> Self {
        let project = Stack::default().project();
        project.write("src/score.py", SCRIPT);
        project.apply().ok();
        let uri = project.scoring_uri();
        let key = project.key("double");
        Self { project, uri, key }
    }

    #[track_caller]
    fn send(&self, method: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.send_to(&self.uri, method, headers, body)
    }

    #[track_caller]
    fn send_to(&self, uri: &str, method: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        request(method, uri, Some(&self.key), headers, body).unwrap_or_else(|error| panic!("no answer: {error}"))
    }
}

fn parsed(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.body))
}

#[test]
fn results_responses_and_failures_of_run_pass_the_router_as_the_original_sends_them() {
    let service = Service::start();
    for value in [json!({"a": [1, 2.5, "ü"]}), json!([1, null]), json!(7), json!(true)] {
        let answer = service.send("POST", &[], &value.to_string());
        assert_eq!((answer.status, parsed(&answer)), (200, value));
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.headers["x-ms-run-function-failed"], "False");
        assert!(answer.headers["x-ms-run-fn-exec-ms"].parse::<f64>().is_ok());
        assert!(answer.headers["x-ms-server-version"].starts_with("azmlinfsrv/"));
    }
    assert_eq!(parsed(&service.send("POST", &[], "null")), json!({}), "None is an empty object");

    let teapot = service.send("POST", &[], "\"teapot\"");
    assert_eq!((teapot.status, parsed(&teapot)), (418, json!({"why": "no coffee"})));
    assert_eq!((teapot.headers["x-tea"].as_str(), teapot.headers["retry-after"].as_str()), ("pot, black", "7"));
    assert_eq!(teapot.headers["x-ms-run-function-failed"], "False");
    assert_eq!(teapot.headers["azureml-model-deployment"], "double");
    let failed = service.send("POST", &[], "\"failed\"");
    assert_eq!((failed.status, failed.body.as_str()), (503, "upstream is down"), "a script's 503 is not the router's");
    assert_eq!(failed.headers["x-ms-run-function-failed"], "True");
    assert_eq!(failed.headers["content-type"], "text/plain");
    assert_eq!(service.send("POST", &[], "\"bytes\"").headers["content-type"], "application/octet-stream");

    let mine = service.send("POST", &[("X-Mine-A", "1"), ("x-mine-b", "two words")], "\"headers\"");
    let lower: Vec<(String, Value)> = parsed(&mine)
        .as_object()
        .expect("headers")
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.clone()))
        .collect();
    assert_eq!(lower, [("x-mine-a".to_owned(), json!("1")), ("x-mine-b".to_owned(), json!("two words"))]);

    // Each is an error of the script, told to the log and not to the caller.
    for (number, (body, logged)) in [
        ("\"set\"", "not JSON serializable"),
        ("{not json", "JSONDecodeError"),
        ("\"raise\"", "secret reason of raise"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("failure-{number}");
        let answer = service.send("POST", &[("x-request-id", &id)], body);
        assert_eq!((answer.status, answer.headers["x-ms-run-function-failed"].as_str()), (500, "True"), "{body}");
        assert!(parsed(&answer)["message"].is_string() && !answer.body.contains(logged), "{}", answer.body);
        let lines = eventually("the traceback", || {
            let log = service.project.fe(&["service", "logs", "double"]);
            log.contains(logged).then_some(log)
        });
        assert!(lines.contains(&format!("[{id}]")), "no request id in:\n{lines}");
    }
    let log = service.project.fe(&["service", "logs", "double"]);
    assert!(log.contains("loading") && log.contains("asked for teapot"), "{log}");
    assert!(
        service.project.plan().code == Some(0)
            && service.project.status("double").versions["double"].replicas[0].restarts == 0
    );
}

#[test]
fn every_method_reaches_the_scorer_which_answers_each_as_the_original() {
    let service = Service::start();
    let query = service.send_to(&format!("{}?a=1&b=x", service.uri), "GET", &[], "");
    assert_eq!((query.status, parsed(&query)), (200, json!({"a": 1, "b": "x"})));
    let options = service.send("OPTIONS", &[], "");
    assert_eq!((options.status, options.body.as_str()), (200, ""));
    for method in ["PUT", "PATCH", "DELETE"] {
        let answer = service.send(method, &[], "1");
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.headers["azureml-model-deployment"], "double", "{method} did not reach a scorer");
        assert!(parsed(&answer)["message"].is_string(), "{}", answer.body);
    }
    let head = service.send("HEAD", &[], "");
    assert_eq!((head.status, head.body.as_str()), (405, ""));
    let large = "x".repeat(3_000_000);
    let answer = service.send("POST", &[("content-type", "text/plain")], &format!("echo:{large}"));
    assert!(answer.status == 200 && parsed(&answer) == json!(large), "{}", answer.status);
}

#[test]
fn request_ids_are_echoed_through_the_router_and_too_long_ones_refused() {
    const IDS: [&str; 3] = ["x-request-id", "x-ms-request-id", "x-ms-client-request-id"];
    let service = Service::start();
    let generated = Some("generated");
    let cases: [(Ids, Ids); 8] = [
        ([None, None, None], [generated, generated, None]),
        ([Some("A"), None, None], [Some("A"), Some("A"), None]),
        ([None, Some("B"), None], [generated, Some("B"), Some("B")]),
        ([None, None, Some("C")], [generated, Some("C"), Some("C")]),
        ([Some("A"), Some("B"), None], [Some("A"), Some("B"), Some("B")]),
        ([None, Some("B"), Some("C")], [generated, Some("B"), Some("C")]),
        ([Some("A"), None, Some("C")], [Some("A"), Some("C"), Some("C")]),
        ([Some("A"), Some("B"), Some("C")], [Some("A"), Some("B"), Some("C")]),
    ];
    for (sent, expected) in cases {
        let headers: Vec<(&str, &str)> = IDS.into_iter().zip(sent).filter_map(|(name, id)| Some((name, id?))).collect();
        let answer = service.send("POST", &headers, "1");
        let id = answer.headers[IDS[0]].as_str();
        assert!(sent[0].is_some() || id.len() == 36, "{id}");
        let expected = expected.map(|name| if name == generated { Some(id) } else { name });
        assert_eq!(IDS.map(|name| answer.headers.get(name).map(String::as_str)), expected, "{sent:?}");
    }
    for name in IDS {
        let answer = service.send("POST", &[(name, &"i".repeat(101))], "1");
        assert_eq!((answer.status, parsed(&answer)["error"]["code"].clone()), (431, json!("request_id_too_long")));
        assert!(answer.body.contains(name), "{}", answer.body);
        assert_eq!(service.send("POST", &[(name, &"i".repeat(100))], "1").status, 200);
    }
    // The router's own answers have an id too.
    let answer = request("POST", &service.uri, None, &[("x-request-id", "mine")], "1").expect("an answer");
    assert_eq!((answer.status, answer.headers["x-request-id"].as_str()), (401, "mine"));
    assert_eq!(parsed(&answer)["error"]["request_id"], "mine");
}

#[test]
fn a_pinned_version_answers_and_one_that_does_not_exist_is_a_404_that_lists_those_that_do() {
    let service = Service::start();
    let pinned = service.send("POST", &[("azureml-model-deployment", "double")], "1");
    assert_eq!((pinned.status, pinned.headers["azureml-model-deployment"].as_str()), (200, "double"));
    let unknown = service.send("POST", &[("azureml-model-deployment", "blue")], "1");
    assert_eq!((unknown.status, parsed(&unknown)["error"]["code"].clone()), (404, json!("version_not_found")));
    assert!(unknown.body.contains("no version blue; its versions are: double"), "{}", unknown.body);
    let swagger = service.uri.replace("/score", "/swagger.json");
    for (query, status, field) in [("", 200, "swagger"), ("?version=3", 200, "openapi"), ("?version=4", 404, "message")]
    {
        let answer = service.send_to(&format!("{swagger}{query}"), "GET", &[], "");
        assert_eq!(answer.status, status);
        assert!(parsed(&answer)[field].is_string(), "{}", answer.body);
    }
}
