//! Routes of the Open Inference Protocol (version 2). Python describes the model once; only inferences reach it again.

use std::sync::Arc;

use pyo3::FromPyObject;
use serde::Deserialize;

use crate::call::Kind;
use crate::connection::Connection;
use crate::head::{Head, Refused};
use crate::server::{Answer, JSON, Next, Server};

const ROOT: &str = "/v2";

/// The model that is served.
#[derive(Debug, Default, Deserialize, FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Documents {
    /// Its name in paths.
    pub(crate) name: String,
    /// Its only version.
    pub(crate) version: String,
    /// JSON of the server's metadata.
    pub(crate) server: String,
    /// JSON of the model's metadata.
    pub(crate) model: String,
}

/// Whether a path is of the protocol.
pub(crate) fn owns(path: &str) -> bool {
    path.strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a path tells no more than that the server is well.
pub(crate) fn tells_health(path: &str) -> bool {
    matches!(route(path), Some((Route::Live | Route::Ready, _)))
}

enum Route {
    Server,
    Live,
    Ready,
    Model,
    ModelReady,
    Infer,
}

/// A model, and perhaps one of its versions.
type Named<'a> = (&'a str, Option<&'a str>);

/// The route of a path, and what it names.
fn route(path: &str) -> Option<(Route, Option<Named<'_>>)> {
    let parts: Vec<&str> = path.strip_prefix(ROOT)?.split('/').skip(1).collect();
    let (model, rest) = match parts.as_slice() {
        [] | [""] => return Some((Route::Server, None)),
        ["health", "live"] => return Some((Route::Live, None)),
        ["health", "ready"] => return Some((Route::Ready, None)),
        ["models", name, "versions", version, rest @ ..] => ((*name, Some(*version)), rest),
        ["models", name, rest @ ..] => ((*name, None), rest),
        _ => return None,
    };
    let route = match rest {
        [] => Route::Model,
        ["ready"] => Route::ModelReady,
        ["infer"] => Route::Infer,
        _ => return None,
    };
    Some((route, Some(model)))
}

impl Server {
    /// Answers a request of the protocol.
    pub(crate) async fn v2(self: &Arc<Self>, connection: &mut Connection, head: Head) -> Result<Next, Refused> {
        let answer = match route(head.path()) {
            None => error(404, "The requested URL was not found on the server."),
            Some((Route::Infer, Some(model))) => match self.missing(model) {
                Some(missing) => missing,
                None if head.method() == "POST" => return self.ask(Kind::Infer, connection, head).await,
                None => not_allowed("POST"),
            },
            Some(_) if !matches!(head.method(), "GET" | "HEAD") => not_allowed("GET, HEAD"),
            Some((route, model)) => self.described(&route, model),
        };
        let answer = self.routed(&head, answer);
        self.send(connection, head, answer).await
    }

    fn described(&self, route: &Route, model: Option<Named<'_>>) -> Answer {
        if let Some(missing) = model.and_then(|model| self.missing(model)) {
            return missing;
        }
        let ready = self.ready().map(|ready| &ready.v2);
        match (route, ready) {
            (Route::Live, _) => json(200, r#"{"live":true}"#),
            (Route::Ready | Route::ModelReady, Some(_)) => json(200, r#"{"ready":true}"#),
            // The protocol wants a 4xx for "no".
            (Route::Ready | Route::ModelReady, None) => json(400, r#"{"ready":false}"#),
            (Route::Server, Some(documents)) => json(200, &documents.server),
            (_, Some(documents)) => json(200, &documents.model),
            (_, None) => error(503, "The score script is still starting."),
        }
    }

    /// The answer to a model or version that is not served here. While the script starts, any may turn out to be.
    fn missing(&self, (name, version): Named<'_>) -> Option<Answer> {
        let known = &self.ready()?.v2;
        if name != known.name {
            return Some(error(404, &format!("There is no model {name:?}; this server has {:?}.", known.name)));
        }
        let version = version.filter(|version| *version != known.version)?;
        let text = format!("The model {name:?} has no version {version:?}; it has {:?}.", known.version);
        Some(error(404, &text))
    }
}

fn json(status: u16, body: &str) -> Answer {
    Answer::new(status, JSON, body)
}

fn error(status: u16, message: &str) -> Answer {
    Answer::error(Kind::Infer, status, message)
}

fn not_allowed(allowed: &'static str) -> Answer {
    error(405, "The method is not allowed for the requested URL.").with("allow", allowed)
}
