//! An API server for tests: objects in memory, with the few rules of Kubernetes that matter here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use serving::cluster::label;
use serving::pod::{Liveness, Pod};
use serving::service::{CodeRef, EnvironmentRef, ModelRef, Service};
use tfplugin::Attr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::api::Namespace;
use crate::connections::{ConnectionBlock, Connections};

/// The server. It ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct ApiServer {
    state: Arc<Mutex<State>>,
    url: String,
}

/// What else happens, once, when a method was called on a path that contains a text.
type Happening = (&'static str, &'static str, Box<dyn FnOnce(&mut Objects<'_>) + Send>);

/// The objects, to change them.
pub(crate) struct Objects<'a>(&'a mut State);

impl Objects<'_> {
    pub(crate) fn put(&mut self, path: &str, object: Value) {
        self.0.store(path, object);
    }
}

#[derive(Default)]
struct State {
    happenings: Vec<Happening>,
    objects: BTreeMap<String, Value>,
    denied: Vec<(&'static str, &'static str)>,
    unserved: Vec<&'static str>,
    /// Status that Deployments get; by default that of a finished rollout.
    deployment_status: Option<Value>,
    counter: u64,
}

impl ApiServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let server = Self { state: Arc::default(), url };
        let answering = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answering.clone().serve(stream));
            }
        });
        server
    }

    pub(crate) async fn namespace(&self, name: &str) -> Namespace {
        let block = ConnectionBlock { host: self.url.as_str().into(), ..ConnectionBlock::default() };
        let block = Attr::Known([("test".to_owned(), Attr::Known(block))].into());
        let client = Connections::new(block, |_| None).client("test").await.expect("a client");
        Namespace::new(client, name, "test")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    /// Refuses a method on paths that contain a text, as without the right to.
    pub(crate) fn deny(&self, method: &'static str, path: &'static str) {
        self.state().denied.push((method, path));
    }

    /// Lets something happen after the first call of a method on a path that contains a text, as by another client.
    pub(crate) fn after(
        &self,
        method: &'static str,
        path: &'static str,
        happens: impl FnOnce(&mut Objects<'_>) + Send + 'static,
    ) {
        self.state().happenings.push((method, path, Box::new(happens)));
    }

    /// Knows nothing of paths that begin with a text, as a server of another version.
    pub(crate) fn does_not_serve(&self, path: &'static str) {
        self.state().unserved.push(path);
    }

    pub(crate) fn deployments_have(&self, status: Value) {
        self.state().deployment_status = Some(status);
    }

    /// Paths of all objects.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.state().objects.get(path).cloned()
    }

    pub(crate) fn put(&self, path: &str, object: Value) {
        self.state().store(path, object);
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut bytes = Vec::new();
        let (head, length) = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
                let length = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
                });
                break (head, (end + 4, end + 4 + length.unwrap_or(0)));
            }
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        };
        while bytes.len() < length.1 {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let mut words = head.split_whitespace();
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let url = url::Url::parse(&format!("http://server{target}")).expect("a URL");
        let body = serde_json::from_slice(&bytes[length.0..length.1]).unwrap_or(Value::Null);
        let served = !self.state().unserved.iter().any(|path| url.path().starts_with(path));
        let (code, kind, text) = if served {
            let mut state = self.state();
            let (code, answer) = state.answer(method, &url, body, head.contains("apply-patch"));
            state.happen(method, url.path());
            (code, "application/json", answer.to_string())
        } else {
            (404, "text/plain; charset=utf-8", "404 page not found\n".to_owned())
        };
        let answer = format!(
            "HTTP/1.1 {code} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
            text.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

fn status(code: u16, reason: &str, message: &str) -> (u16, Value) {
    let failure = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message });
    (code, failure)
}

/// Whether a path names one object, and not all of a kind.
fn is_object(path: &str) -> bool {
    let parts: Vec<_> = path.trim_matches('/').split('/').collect();
    let rest = if parts[0] == "api" { &parts[2..] } else { &parts[3..] };
    rest.len() % 2 == 0
}

impl State {
    fn happen(&mut self, method: &str, path: &str) {
        let due = self.happenings.iter().position(|(on, part, _)| *on == method && path.contains(part));
        if let Some((_, _, happens)) = due.map(|due| self.happenings.remove(due)) {
            happens(&mut Objects(self));
        }
    }

    fn answer(&mut self, method: &str, url: &url::Url, body: Value, apply: bool) -> (u16, Value) {
        let path = url.path();
        if self.denied.iter().any(|(denied, part)| *denied == method && path.contains(part)) {
            return status(403, "Forbidden", &format!("User \"test\" cannot {method} resource at {path}"));
        }
        let present = self.objects.get(path).cloned();
        match (method, present) {
            ("GET", None) if !is_object(path) => (200, self.list(url)),
            ("POST", _) => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap_or_default());
                if self.objects.contains_key(&path) {
                    return status(409, "AlreadyExists", "exists");
                }
                (201, self.store(&path, body))
            }
            ("PATCH", None) if apply => (201, self.store(path, body)),
            (_, None) => status(404, "NotFound", &format!("{path} not found")),
            ("GET", Some(object)) => (200, object),
            ("PATCH", Some(mut object)) => {
                merge(&mut object, body);
                (200, self.store(path, object))
            }
            ("PUT", Some(object)) => {
                if object["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] {
                    return status(409, "Conflict", "changed");
                }
                (200, self.store(path, body))
            }
            ("DELETE", Some(mut object)) => {
                if object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty()) {
                    object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
                    return (200, self.store(path, object));
                }
                self.objects.remove(path);
                (200, json!({ "kind": "Status", "apiVersion": "v1", "status": "Success", "code": 200 }))
            }
            _ => status(405, "MethodNotAllowed", method),
        }
    }

    fn list(&self, url: &url::Url) -> Value {
        let selector = url.query_pairs().find(|(name, _)| name == "labelSelector").map(|(_, value)| value.into_owned());
        let wanted: Vec<_> =
            selector.iter().flat_map(|text| text.split(',')).filter_map(|part| part.split_once('=')).collect();
        let prefix = format!("{}/", url.path());
        let items: Vec<_> = self
            .objects
            .iter()
            .filter(|(path, _)| path.strip_prefix(&prefix).is_some_and(|name| !name.contains('/')))
            .filter(|(_, object)| wanted.iter().all(|(name, value)| object["metadata"]["labels"][*name] == **value))
            .map(|(_, object)| object)
            .collect();
        json!({ "kind": "List", "apiVersion": "v1", "metadata": {}, "items": items })
    }

    fn store(&mut self, path: &str, mut object: Value) -> Value {
        self.counter += 1;
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = format!("uid-{}", self.counter).into();
        }
        object["metadata"]["resourceVersion"] = self.counter.to_string().into();
        if let Some(Value::Object(texts)) = object.as_object_mut().and_then(|object| object.remove("stringData")) {
            for (name, text) in texts {
                object["data"][name] = STANDARD.encode(text.as_str().unwrap_or_default()).into();
            }
        }
        if path.contains("/deployments/") {
            object["metadata"]["generation"] = 1.into();
            let replicas = object["spec"]["replicas"].clone();
            object["status"] = self.deployment_status.clone().unwrap_or_else(|| {
                json!({
                    "observedGeneration": 1,
                    "replicas": replicas,
                    "updatedReplicas": replicas,
                    "availableReplicas": replicas,
                })
            });
        }
        self.objects.insert(path.to_owned(), object.clone());
        object
    }
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        if value.is_null() {
            target.as_object_mut().map(|target| target.remove(&name));
        } else {
            merge(&mut target[name.as_str()], value);
        }
    }
}

fn pod() -> Pod {
    Pod {
        cpu_cores: 0.5,
        cpu_cores_limit: Some(2.0),
        memory_gb: 1.0,
        memory_gb_limit: Some(1.5),
        gpu_cores: 1,
        extended_resources: BTreeMap::from([("example.com/fpga".to_owned(), "2".to_owned())]),
        content_bytes: 3 << 20,
        node_selector: BTreeMap::new(),
        tolerations: Vec::new(),
        liveness: Liveness::default(),
        service_account: None,
        priority_class: None,
        labels: BTreeMap::from([
            ("team".to_owned(), "ml".to_owned()),
            (label::SERVICE.to_owned(), "another".to_owned()),
        ]),
        annotations: BTreeMap::new(),
    }
}

/// A webservice in a cluster.
pub(crate) fn service() -> Service {
    let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
    let template = json!({
        "models": [ModelRef { id: "az://c/models/one/1".into(), name: "one".into(), version: 1, digest: digest("0") }],
        "code": CodeRef { digest: digest("1"), directory: "src".into(), entry_script: "score.py".into() },
        "environment": EnvironmentRef {
            id: "az://c/environments/plain".into(),
            version: 1,
            hash: "h".into(),
            build_key: "b".into(),
            prefix: None,
            image: Some("registry/env@sha256:1".into()),
        },
        "environment_variables": { "LEVEL": "debug", "AML_APP_ROOT": "/elsewhere" },
        "pod": pod(),
    });
    let document = json!({
        "schema_version": 1, "generation": 1, "name": "diabetes", "kind": "webservice", "workspace": "az://c",
        "owner": "me", "committed": true, "created_time": "t", "updated_time": "t", "auth": { "mode": "key", "keys": 1 },
        "versions": { "diabetes": {
            "sequence": 1, "declared": { "traffic": 10_000 }, "scale": { "fixed": 2 }, "replica_max_concurrent_requests": 1,
            "max_request_wait_time": 500, "scoring_timeout_ms": 60_001, "template": template,
        } },
    });
    serde_json::from_value(document).expect("a document")
}
