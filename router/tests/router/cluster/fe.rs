//! A namespace, and the real `azureml-fe serve` that watches it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use serving::cluster::{self, Confirmation, component, label};
use serving::service::Service;
use tempfile::TempDir;

use super::api_server::ApiServer;
use super::replica::Replica;
use crate::support::client::Response;
use crate::support::{Client, TestService, TestVersion, until};

/// The hop secret of every service.
pub(crate) const HOP: &str = "hop-secret";

/// A service with one pod, which is ready.
pub(crate) fn one_pod() -> (Namespace, TestService, Replica) {
    let replica = Replica::start("r");
    let (namespace, a) = (Namespace::new(), service("diabetes"));
    namespace.access(&[(&a, &[1])]);
    namespace.document(&a, 1, 1);
    namespace.pod("a-1", "diabetes", "diabetes", &replica, true);
    (namespace, a, replica)
}

/// [`one_pod`], served by a router.
pub(crate) fn served(config: &str) -> (Namespace, TestService, Replica, Fe) {
    let (namespace, a, replica) = one_pod();
    let fe = namespace.serve(config);
    fe.wait_ready();
    namespace.generation("diabetes", 1);
    (namespace, a, replica, fe)
}

/// A namespace of a cluster.
pub(crate) struct Namespace {
    pub(crate) api: ApiServer,
    folder: TempDir,
}

impl Namespace {
    pub(crate) fn new() -> Self {
        Self { api: ApiServer::start(), folder: tempfile::tempdir().expect("a directory") }
    }

    /// Starts a router.
    pub(crate) fn serve(&self, config: &str) -> Fe {
        let path = |name: &str| self.folder.path().join(name);
        let config = format!("address = \"127.0.0.1\"\nport = 0\nthreads = 2\n{config}");
        std::fs::write(path("azureml-fe.toml"), config).expect("written");
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", self.api.address)}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "elsewhere"}}],
        });
        std::fs::write(path("kubeconfig"), kubeconfig.to_string()).expect("written");
        let log = path("log");
        let mut child = Command::new(env!("CARGO_BIN_EXE_azureml-fe"))
            .args(["serve", "--namespace", "ns", "--status-port", "0", "--config"])
            .arg(path("azureml-fe.toml"))
            .arg("--kubeconfig")
            .arg(path("kubeconfig"))
            .env("POD_NAME", "azureml-fe-1")
            .env("POD_UID", "uid-of-the-pod")
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("a file"))
            .spawn()
            .expect("started");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("readable");
        let log = move || std::fs::read_to_string(&log).expect("readable");
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}: {}", log()));
        let address = |name: &str| -> SocketAddr {
            let address: SocketAddr = said["listening"][name].as_str().expect("text").parse().expect("an address");
            ([127, 0, 0, 1], address.port()).into()
        };
        Fe { address: address("address"), status: address("status"), log: Box::new(log), child }
    }

    /// Writes a service document of this generation; its keys have the generation of their own.
    pub(crate) fn document(&self, service: &TestService, generation: u64, keys: u64) {
        let mut document: Service = service.entry().service;
        document.generation = generation;
        if service.keyed {
            document.auth.keys = Some(keys);
        }
        self.raw_document(&service.name, &serde_json::to_string(&document).expect("serialises"));
    }

    pub(crate) fn raw_document(&self, name: &str, text: &str) {
        let labels = labels(component::DOCUMENT);
        self.api.set("configmaps", &cluster::document(name), &labels, json!({"data": {"service.json": text}}));
    }

    /// Writes the Secret that routers verify and present: of each service its hop secret, and its keys by generation.
    pub(crate) fn access(&self, services: &[(&TestService, &[u64])]) {
        let mut data = serde_json::Map::new();
        for (service, generations) in services {
            data.insert(cluster::hop(&service.name), json!(STANDARD.encode(HOP)));
            for generation in *generations {
                let digests = serde_json::to_vec(&service.entry().keys.expect("keyed")).expect("serialises");
                data.insert(cluster::key_digests(&service.name, *generation), json!(STANDARD.encode(digests)));
            }
        }
        self.secret(cluster::ACCESS, &Value::Object(data));
    }

    pub(crate) fn secret(&self, name: &str, data: &Value) {
        self.api.set("secrets", name, &labels(component::ROUTER), json!({"data": data}));
    }

    /// A pod of a version, with containers that are ready or not.
    pub(crate) fn pod(&self, name: &str, service: &str, version: &str, replica: &Replica, ready: bool) {
        let mut labels = labels(component::SCORER);
        labels[label::SERVICE] = json!(service);
        labels[label::VERSION] = json!(version);
        let status = if ready { "True" } else { "False" };
        let conditions = ["ContainersReady", "Ready"].map(|name| json!({"type": name, "status": status}));
        let status = json!({"phase": "Running", "podIP": replica.ip, "conditions": conditions});
        self.api.set("pods", name, &labels, json!({"spec": {"containers": []}, "status": status}));
    }

    /// Begins to end a pod, which stays ready for the moment.
    pub(crate) fn terminate(&self, pod: &str) {
        self.api.edit("pods", pod, |pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    }

    /// What the router has confirmed last.
    pub(crate) fn confirmation(&self) -> Option<Confirmation> {
        let (_, lease) = self.api.leases().pop()?;
        let text = lease["metadata"]["annotations"][label::CONFIRMATION].as_str().expect("an annotation").to_owned();
        Some(serde_json::from_str(&text).expect("a confirmation"))
    }

    /// Waits until the router has confirmed this.
    pub(crate) fn confirmed(&self, what: &str, good: impl Fn(&Confirmation) -> bool) -> Confirmation {
        until(what, || self.confirmation().filter(|confirmation| good(confirmation)))
    }

    /// Waits until this generation of the service is confirmed.
    pub(crate) fn generation(&self, service: &str, generation: u64) -> Confirmation {
        let what = format!("generation {generation} of {service} is confirmed");
        self.confirmed(&what, |confirmation| confirmation.served.get(service) == Some(&generation))
    }
}

fn labels(component: &str) -> Value {
    json!({ label::COMPONENT: component, label::PART_OF: cluster::PART_OF })
}

/// A keyed webservice with a version of its own name, any number of requests at once.
pub(crate) fn service(name: &str) -> TestService {
    let mut service = TestService::new(name, &[]);
    service.versions[0] = TestVersion { limit: 100, ..TestVersion::new(name, 10_000, &[]) };
    service
}

/// A running router; killed when it is dropped.
pub(crate) struct Fe {
    pub(crate) address: SocketAddr,
    pub(crate) status: SocketAddr,
    pub(crate) log: Box<dyn Fn() -> String>,
    pub(crate) child: Child,
}

impl Drop for Fe {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "{}", (self.log)());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Fe {
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Scores a service with its key.
    pub(crate) fn score(&self, service: &TestService) -> Response {
        self.client().post(&service.path(), "x").response()
    }

    /// Status and body of a page of the status port.
    pub(crate) fn page(&self, method: &str, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.status).expect("it listens");
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: t\r\n\r\n").expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head[9..12].parse().expect("a status"), body.to_owned())
    }

    pub(crate) fn ready(&self) -> bool {
        self.page("GET", "/readyz").0 == 200
    }

    /// Waits until callers may come.
    pub(crate) fn wait_ready(&self) {
        until("the router is ready", || self.ready().then_some(()));
    }

    /// The value of a metric with its labels.
    pub(crate) fn metric(&self, name: &str) -> Option<String> {
        let (status, text) = self.page("GET", "/metrics");
        assert_eq!(status, 200, "{text}");
        text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(' ')?.to_owned()))
    }

    pub(crate) fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    }

    pub(crate) fn exit(&mut self) -> ExitStatus {
        until("the router ends", || self.child.try_wait().expect("a child"))
    }
}
