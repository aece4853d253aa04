//! The servers that are measured: how each is started as its documents recommend, and what it is asked.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::super::contest::Translation;
use super::super::error::BenchError;
use super::super::tools;

pub(super) const OURS: &str = "azureml-scorer";
pub(super) const ORIGINAL: &str = "azureml";
pub(super) const GRANIAN: &str = "granian";
pub(super) const GRANIAN_ASGI: &str = "granian-asgi";

/// A server to measure.
pub(super) struct Subject {
    name: &'static str,
    /// The package that has the version.
    pub(super) package: &'static str,
    /// Its program below `bin` of its environment.
    pub(super) program: &'static str,
    /// Gives the program its arguments and settings.
    pub(super) arguments: fn(&mut Command, &Place<'_>),
    /// Where it is asked for a score.
    pub(super) path: &'static str,
    /// Where it is asked for its health.
    pub(super) health: &'static str,
    pub(super) protocol: Protocol,
    /// Whether its environment has scikit-learn.
    pub(super) models: bool,
}

/// What a server is to serve, and where.
pub(super) struct Place<'a> {
    /// A module of `bench/scorer/scripts`.
    pub(super) script: &'a str,
    pub(super) port: u16,
    /// For servers that listen for more than scores.
    pub(super) more_ports: [u16; 2],
}

/// How values are asked for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Protocol {
    /// `{"data": [...]}`, as the score script reads it; the answer is what the script says.
    Plain,
    /// `{"instances": [...]}` of the first protocol of `KServe`.
    Instances,
    /// `{"inputs": [...]}` of the Open Inference Protocol.
    Inputs,
}

impl Protocol {
    /// Turns a body of [`Protocol::Plain`] into one of this protocol.
    pub(super) fn translation(self) -> Option<Translation> {
        match self {
            Self::Plain => None,
            Self::Instances => Some(instances),
            Self::Inputs => Some(inputs),
        }
    }

    /// Where the sum is in an answer, as a JSON pointer.
    pub(super) fn sum(self) -> &'static str {
        match self {
            Self::Plain => "/sum",
            Self::Instances => "/predictions/0",
            Self::Inputs => "/outputs/0/data/0",
        }
    }
}

/// The values and the ballast of a plain body.
fn plain(body: &[u8]) -> (Value, Value) {
    let mut body: Value = serde_json::from_slice(body).unwrap_or_default();
    (body["data"].take(), body["text"].take())
}

fn instances(body: &[u8]) -> Vec<u8> {
    let (data, text) = plain(body);
    json!({ "instances": data, "text": text }).to_string().into_bytes()
}

fn inputs(body: &[u8]) -> Vec<u8> {
    let (data, text) = plain(body);
    let shape = [data.as_array().map_or(0, Vec::len)];
    let input = json!({ "name": "data", "shape": shape, "datatype": "INT64", "data": data });
    json!({ "inputs": [input], "parameters": { "text": text } }).to_string().into_bytes()
}

impl Subject {
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Its folder of `bench/scorer/peers`.
    pub(super) fn package_folder(&self) -> &'static str {
        // The interfaces of Granian are subjects of their own.
        if self.name == GRANIAN_ASGI { GRANIAN } else { self.name }
    }

    pub(super) fn environment(&self) -> Result<PathBuf, BenchError> {
        Ok(tools::directory()?.join("environments").join(self.package_folder()))
    }

    pub(super) fn ours() -> Self {
        Self {
            name: OURS,
            package: "azureml-scorer",
            program: "azmlinfsrv",
            arguments: azmlinfsrv,
            path: "/score",
            health: "/",
            protocol: Protocol::Plain,
            models: true,
        }
    }

    pub(super) fn peers() -> Vec<Self> {
        let plain = |name, package, program, arguments| Self {
            name,
            package,
            program,
            arguments,
            path: "/score",
            health: "/",
            protocol: Protocol::Plain,
            models: false,
        };
        vec![
            Self { models: true, ..plain(ORIGINAL, "azureml-inference-server-http", "azmlinfsrv", azmlinfsrv) },
            Self {
                models: true,
                ..plain(GRANIAN, "granian", "granian", |command, place| granian(command, "wsgi", place))
            },
            plain(GRANIAN_ASGI, "granian", "granian", |command, place| granian(command, "asgi", place)),
            plain("fastapi", "fastapi", "uvicorn", |command, place| {
                command.args(["--workers", "1", "--host", "127.0.0.1", "--port", &place.port.to_string(), "app:app"]);
            }),
            plain("flask", "flask", "gunicorn", |command, place| {
                command.args(["--workers", "1", "--bind", &format!("127.0.0.1:{}", place.port), "app:app"]);
            }),
            Self {
                path: "/v1/models/bench:predict",
                health: "/v2/health/live",
                protocol: Protocol::Instances,
                ..plain("kserve", "kserve", "python", |command, place| {
                    command.arg(folder("kserve").join("app.py"));
                    command.args(["--enable_grpc", "false", "--http_port", &place.port.to_string()]);
                })
            },
            Self {
                path: "/v2/models/bench/infer",
                health: "/v2/health/live",
                protocol: Protocol::Inputs,
                ..plain("mlserver", "mlserver", "mlserver", mlserver)
            },
            Self {
                path: "/predict",
                health: "/health",
                ..plain("litserve", "litserve", "python", |command, place| {
                    command.arg(folder("litserve").join("app.py")).arg(place.port.to_string());
                })
            },
            Self {
                health: "/livez",
                ..plain("bentoml", "bentoml", "bentoml", |command, place| {
                    command.args(["serve", "app:Bench", "--host", "127.0.0.1", "--port", &place.port.to_string()]);
                    command.arg("--working-dir").arg(folder("bentoml")).env("BENTOML_DO_NOT_TRACK", "true");
                })
            },
        ]
    }
}

/// Where a peer's application is.
pub(super) fn folder(peer: &str) -> PathBuf {
    tools::inputs().join("scorer/peers").join(peer)
}

fn azmlinfsrv(command: &mut Command, place: &Place<'_>) {
    let script = tools::inputs().join("scorer/scripts").join(place.script).with_extension("py");
    command.arg("--entry_script").arg(script).args(["--port", &place.port.to_string()]);
}

fn granian(command: &mut Command, interface: &str, place: &Place<'_>) {
    let application = format!("{interface}:app");
    command.args(["--interface", interface, "--workers", "1", "--host", "127.0.0.1"]);
    command.args(["--port", &place.port.to_string(), &application]);
}

fn mlserver(command: &mut Command, place: &Place<'_>) {
    command.arg("start").arg(folder("mlserver")).env("MLSERVER_HOST", "127.0.0.1");
    command.env("MLSERVER_HTTP_PORT", place.port.to_string());
    for (other, port) in ["MLSERVER_GRPC_PORT", "MLSERVER_METRICS_PORT"].into_iter().zip(place.more_ports) {
        command.env(other, port.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"data": [1, 2], "text": "ballast"}"#;

    #[test]
    fn a_plain_body_is_told_in_each_protocol_with_its_ballast() {
        let translated = |protocol: Protocol| {
            let translate = protocol.translation()?;
            serde_json::from_slice::<Value>(&translate(BODY)).ok()
        };
        assert_eq!(translated(Protocol::Instances), Some(json!({ "instances": [1, 2], "text": "ballast" })));
        let inputs = translated(Protocol::Inputs).expect("JSON");
        assert_eq!(inputs.pointer("/inputs/0/data"), Some(&json!([1, 2])));
        assert_eq!(inputs.pointer("/inputs/0/shape"), Some(&json!([2])));
        assert_eq!(inputs.pointer("/parameters/text"), Some(&json!("ballast")));
    }

    #[test]
    fn every_peer_has_its_pinned_requirements() {
        for peer in Subject::peers() {
            let path = folder(peer.package_folder()).join("requirements.txt");
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let pin = format!("{}==", peer.package);
            assert!(
                text.lines().any(|line| line.starts_with(&pin)),
                "{} does not pin {}",
                path.display(),
                peer.package
            );
        }
    }
}
