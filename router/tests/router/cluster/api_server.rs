//! An API server of lists and watches: as much of it as a router uses, and the failures that a test asks for.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};

/// Plural names of what there is.
const KINDS: [(&str, &str); 3] = [("configmaps", "ConfigMap"), ("secrets", "Secret"), ("pods", "Pod")];

/// A running API server.
#[derive(Clone)]
pub(crate) struct ApiServer {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    version: u64,
    /// By plural and name.
    objects: BTreeMap<(&'static str, String), Value>,
    /// Number, plural, type and object.
    events: Vec<(u64, &'static str, &'static str, Value)>,
    /// Events up to this number are forgotten.
    compacted: u64,
    /// Nobody is answered.
    down: bool,
    /// Plural, or part of a path, that is answered with 503.
    refused: Option<&'static str>,
    /// Counts interruptions: watches of before end.
    epoch: u64,
    connections: Vec<TcpStream>,
    leases: Vec<(String, Value)>,
    /// Method and target.
    requests: Vec<(String, String)>,
    /// Answers of other paths.
    pages: BTreeMap<String, String>,
}

impl ApiServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let server = Self { address: listener.local_addr().expect("an address"), shared: Arc::default() };
        let shared = Arc::clone(&server.shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                let mut state = shared.state.lock().expect("not poisoned");
                if state.down {
                    continue;
                }
                state.connections.push(stream.try_clone().expect("a descriptor"));
                drop(state);
                // A client that goes away ends its connection.
                std::thread::spawn(move || while exchange(&stream, &shared).is_ok() {});
            }
        });
        server
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("not poisoned")
    }

    /// Creates or replaces an object.
    pub(crate) fn set(&self, plural: &'static str, name: &str, labels: &Value, rest: Value) {
        let mut object = rest;
        let metadata = object.as_object_mut().expect("an object").entry("metadata").or_insert_with(|| json!({}));
        metadata["name"] = json!(name);
        metadata["namespace"] = json!("ns");
        metadata["labels"] = labels.clone();
        self.change(plural, name, Some(object));
    }

    pub(crate) fn delete(&self, plural: &'static str, name: &str) {
        self.change(plural, name, None);
    }

    /// Changes an object that there is.
    pub(crate) fn edit(&self, plural: &'static str, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut object = self.state().objects.get(&(plural, name.to_owned())).cloned().expect("it is there");
        edit(&mut object);
        self.change(plural, name, Some(object));
    }

    fn change(&self, plural: &'static str, name: &str, object: Option<Value>) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        let key = (plural, name.to_owned());
        let (kind, mut object) = match object {
            Some(object) if state.objects.contains_key(&key) => ("MODIFIED", object),
            Some(object) => ("ADDED", object),
            None => ("DELETED", state.objects.remove(&key).expect("it was there")),
        };
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        object["apiVersion"] = json!("v1");
        object["kind"] = json!(KINDS.iter().find(|(known, _)| *known == plural).expect("a known kind").1);
        if kind != "DELETED" {
            state.objects.insert(key, object.clone());
        }
        state.events.push((version, plural, kind, object));
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Ends every connection, and forgets what has happened so far if told so: watches have to list anew.
    pub(crate) fn interrupt(&self, forget: bool) {
        let mut state = self.state();
        if forget {
            state.version += 1;
            state.compacted = state.version;
        }
        state.cut();
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Ends every connection, and answers nobody until `up`.
    pub(crate) fn down(&self) {
        let mut state = self.state();
        state.down = true;
        state.cut();
        drop(state);
        self.shared.changed.notify_all();
    }

    pub(crate) fn up(&self) {
        self.state().down = false;
    }

    /// Answers requests whose target has this part with 503.
    pub(crate) fn refuse(&self, part: Option<&'static str>) {
        self.state().refused = part;
    }

    pub(crate) fn page(&self, path: &str, body: String) {
        self.state().pages.insert(path.to_owned(), body);
    }

    /// The Leases that were written, by name, oldest first.
    pub(crate) fn leases(&self) -> Vec<(String, Value)> {
        self.state().leases.clone()
    }

    /// Methods and targets of requests.
    pub(crate) fn requests(&self) -> Vec<(String, String)> {
        self.state().requests.clone()
    }
}

impl State {
    fn cut(&mut self) {
        self.epoch += 1;
        for connection in self.connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

/// Answers one request.
fn exchange(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let mut length = 0;
    loop {
        let mut field = String::new();
        reader.read_line(&mut field)?;
        let Some((name, value)) = field.trim_end().split_once(": ") else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut parts = line.split(' ');
    let (method, target) = (parts.next().expect("a method").to_owned(), parts.next().expect("a target").to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut state = shared.state.lock().expect("not poisoned");
    state.requests.push((method.clone(), target.clone()));
    if state.refused.is_some_and(|part| target.contains(part)) {
        drop(state);
        return status(stream, 503, "ServiceUnavailable");
    }
    if let Some(page) = state.pages.get(path).cloned() {
        drop(state);
        return answer(stream, 200, &page);
    }
    if let Some((_, name)) = path.split_once("/namespaces/ns/leases/") {
        let lease: Value = serde_json::from_slice(&body).expect("a Lease");
        assert_eq!((method.as_str(), query.contains("fieldManager=azureml-fe")), ("PATCH", true));
        state.leases.push((name.to_owned(), lease.clone()));
        drop(state);
        return answer(stream, 200, &lease.to_string());
    }
    let plural = path
        .strip_prefix("/api/v1/namespaces/ns/")
        .and_then(|plural| KINDS.iter().map(|(known, _)| *known).find(|known| *known == plural));
    let Some(plural) = plural else {
        drop(state);
        return status(stream, 404, "NotFound");
    };
    let query: BTreeMap<String, String> =
        query.split('&').filter_map(|pair| pair.split_once('=')).map(decoded).collect();
    if query.get("watch").is_some_and(|watch| watch == "true" || watch == "1") {
        drop(state);
        return watch(stream, shared, plural, &query);
    }
    let found = state.objects.iter().filter(|((kind, _), object)| *kind == plural && selected(object, &query));
    let list = json!({
        "apiVersion": "v1", "kind": "List",
        "metadata": {"resourceVersion": state.version.to_string()},
        "items": found.map(|(_, object)| object).collect::<Vec<_>>(),
    });
    drop(state);
    answer(stream, 200, &list.to_string())
}

fn decoded((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.replace("%3D", "=").replace("%2F", "/").replace("%2C", ",").replace('+', " "))
}

fn selected(object: &Value, query: &BTreeMap<String, String>) -> bool {
    let pairs = |name: &str| -> Vec<(String, String)> {
        let text = query.get(name).map_or("", String::as_str);
        text.split(',').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    };
    let labels = &object["metadata"]["labels"];
    pairs("labelSelector").iter().all(|(name, value)| labels[name] == json!(value))
        && pairs("fieldSelector")
            .iter()
            .all(|(name, value)| name != "metadata.name" || object["metadata"]["name"] == json!(value))
}

/// Sends events until the connection ends.
fn watch(
    mut stream: &TcpStream,
    shared: &Shared,
    plural: &str,
    query: &BTreeMap<String, String>,
) -> std::io::Result<()> {
    let mut seen: u64 = query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")?;
    let mut send = |event: &Value| {
        let text = format!("{event}\n");
        stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
    };
    let mut state = shared.state.lock().expect("not poisoned");
    let epoch = state.epoch;
    if seen < state.compacted {
        drop(state);
        send(&json!({"type": "ERROR", "object": {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410,
            "reason": "Expired", "message": "too old resource version",
        }}))?;
        return Err(std::io::ErrorKind::ConnectionAborted.into());
    }
    loop {
        if state.epoch != epoch {
            return Err(std::io::ErrorKind::ConnectionAborted.into());
        }
        let new: Vec<_> = state.events.iter().filter(|(version, ..)| *version > seen).cloned().collect();
        if new.is_empty() {
            // The time-out only looks for clients that have gone.
            state = shared.changed.wait_timeout(state, Duration::from_secs(1)).expect("not poisoned").0;
            continue;
        }
        drop(state);
        for (version, kind, event, object) in new {
            seen = version;
            if kind == plural && selected(&object, query) {
                send(&json!({"type": event, "object": object}))?;
            }
        }
        state = shared.state.lock().expect("not poisoned");
    }
}

fn status(stream: &TcpStream, code: u16, reason: &str) -> std::io::Result<()> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason,
        "message": reason,
    });
    answer(stream, code, &status.to_string())
}

fn answer(mut stream: &TcpStream, code: u16, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {code} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all([head.as_bytes(), body.as_bytes()].concat().as_slice())
}
