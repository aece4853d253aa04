//! One request after its head was read: everything that is needed of the head, taken out at once.

use std::sync::Arc;

use serving::error::RouterError;
use serving::service::Kind;
use serving::token::JWKS_PATH;
use serving::wire;

use super::auth::Credential;
use super::event_loop::Instant;
use super::ids::Ids;
use super::pick::Wish;
use super::sticky;
use super::table::{Service, Version};
use super::thread::Thread;
use super::token::Ask;
use crate::http1::body::Decoder;
use crate::http1::field::{self, Name};
use crate::http1::request::{Method, Request};
use crate::http1::{Framing, encode};

/// What [`split`] gives for a token's path; no replica has it.
const TOKEN_PATH: &str = "/token";

/// A request.
pub(super) struct Call {
    pub(super) arrival: Instant,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) http10: bool,
    pub(super) keep_alive: bool,
    /// The caller still waits for `100 Continue`.
    pub(super) expects_continue: bool,
    pub(super) ids: Ids,
    pub(super) body: Body,
    pub(super) target: Result<Target, RouterError>,
    /// What the access log says of it.
    pub(super) facts: Facts,
}

/// Its body, as far as it has arrived.
pub(super) struct Body {
    pub(super) framing: Framing,
    pub(super) decoder: Decoder,
    /// What is kept for the next attempt.
    pub(super) kept: Vec<u8>,
    /// Bytes that have arrived.
    pub(super) received: u64,
}

/// Numbers of a request for the access log.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) queue_us: u64,
    pub(super) attempts: u32,
    pub(super) sent: u64,
    pub(super) replica: String,
}

/// What a good request is for.
pub(super) enum Target {
    /// The router's own health.
    Health,
    /// A replica.
    Forward(Route),
    /// The public keys of tokens.
    Keys,
    /// A token.
    Token(Ask),
}

/// A request on its way to a replica.
pub(super) struct Route {
    pub(super) service: Arc<Service>,
    pub(super) version: Arc<Version>,
    pub(super) wish: Wish,
    /// Request line and the fields that are the same in every attempt.
    pub(super) head: Vec<u8>,
}

impl Call {
    /// Takes what is needed out of a head.
    pub(super) fn new(thread: &Thread, request: &Request<'_, '_>) -> Self {
        let mut credential = Credential::Missing;
        let mut ids = Ids::default();
        let mut pin = Ok(None);
        for header in request.fields {
            match field::classify(header.name.as_bytes()) {
                Name::Authorization => credential.add(header.value),
                name @ (Name::RequestId | Name::MsRequestId | Name::ClientRequestId)
                    if !hop_by_hop(request, header.name) =>
                {
                    ids.add(name, header.value);
                }
                Name::Deployment => pin = pinned(&pin, header.value),
                _ => {}
            }
        }
        ids.complete(thread.random());
        let target = target(thread, request, &credential, &ids, pin);
        Self {
            arrival: Instant::now(),
            method: request.method,
            path: request.path.to_owned(),
            http10: request.http10,
            keep_alive: request.keep_alive,
            expects_continue: request.expects_continue,
            ids,
            body: Body {
                framing: request.framing,
                decoder: Decoder::new(request.framing),
                kept: Vec::new(),
                received: 0,
            },
            target,
            facts: Facts::default(),
        }
    }
}

fn pinned(before: &Result<Option<String>, RouterError>, value: &[u8]) -> Result<Option<String>, RouterError> {
    match (before, std::str::from_utf8(crate::http1::trim(value))) {
        (Ok(None), Ok("")) => Ok(None),
        (Ok(None), Ok(name)) => Ok(Some(name.to_owned())),
        _ => Err(RouterError::Malformed { reason: "azureml-model-deployment is not one name" }),
    }
}

fn hop_by_hop(request: &Request<'_, '_>, name: &str) -> bool {
    request.connection.names && field::listed(request.fields, name)
}

fn target(
    thread: &Thread,
    request: &Request<'_, '_>,
    credential: &Credential<'_>,
    ids: &Ids,
    pin: Result<Option<String>, RouterError>,
) -> Result<Target, RouterError> {
    if request.path == "/" {
        ids.check()?;
        return match request.method {
            Method::Get | Method::Head => Ok(Target::Health),
            _ => Err(RouterError::MethodNotAllowed { allowed: "GET, HEAD" }),
        };
    }
    if request.path == JWKS_PATH {
        ids.check()?;
        return match request.method {
            Method::Get | Method::Head => Ok(Target::Keys),
            _ => Err(RouterError::MethodNotAllowed { allowed: "GET, HEAD" }),
        };
    }
    let (kind, name, path) = split(request.path).ok_or(RouterError::RouteNotFound)?;
    if path == TOKEN_PATH {
        ids.check()?;
        return Ask::read(request, credential, kind, name).map(Target::Token);
    }
    let service = thread.service(name, kind, credential)?;
    ids.check()?;
    if path == wire::SWAGGER_PATH && !matches!(request.method, Method::Get | Method::Head) {
        return Err(RouterError::MethodNotAllowed { allowed: "GET, HEAD" });
    }
    let limit = thread.config.limits.body_bytes;
    if matches!(request.framing, Framing::Sized(length) if length > limit) {
        return Err(RouterError::BodyTooLarge { limit });
    }
    let mut wish = Wish { pin: pin?, slot: None };
    if wish.pin.is_none() {
        wish.slot = sticky::slot(&service, request);
    }
    let version = thread.version(&service, &wish)?;
    Ok(Target::Forward(Route { service, version, wish, head: head(request, path, ids) }))
}

/// Kind and name of the service that a path is for, and the path on its replicas.
fn split(path: &str) -> Option<(Kind, &str, &'static str)> {
    let rest = path.strip_prefix("/api/v1/")?;
    let (kind, rest) = match rest.strip_prefix("service/") {
        Some(rest) => (Kind::Webservice, rest),
        None => (Kind::Endpoint, rest.strip_prefix("endpoint/")?),
    };
    let (name, action) = rest.split_once('/')?;
    match action {
        _ if name.is_empty() => None,
        "score" => Some((kind, name, wire::SCORE_PATH)),
        "swagger.json" => Some((kind, name, wire::SWAGGER_PATH)),
        "token" => Some((kind, name, TOKEN_PATH)),
        _ => None,
    }
}

/// Request line and fields for the replica: everything of the caller's that does not end here.
fn head(request: &Request<'_, '_>, path: &str, ids: &Ids) -> Vec<u8> {
    let mut head = Vec::with_capacity(512);
    head.extend_from_slice(request.method.name().as_bytes());
    head.push(b' ');
    head.extend_from_slice(path.as_bytes());
    if let Some(query) = request.query {
        head.push(b'?');
        head.extend_from_slice(query.as_bytes());
    }
    head.extend_from_slice(b" HTTP/1.1\r\n");
    encode::field(&mut head, b"host", request.host.unwrap_or(b"localhost"));
    for header in request.fields {
        if matches!(field::classify(header.name.as_bytes()), Name::Other | Name::Date | Name::Deployment)
            && !hop_by_hop(request, header.name)
        {
            encode::field(&mut head, header.name.as_bytes(), header.value);
        }
    }
    ids.forward(&mut head);
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_documented_paths_are_routed() {
        assert_eq!(split("/api/v1/service/diabetes/score"), Some((Kind::Webservice, "diabetes", "/score")));
        assert_eq!(split("/api/v1/endpoint/a/swagger.json"), Some((Kind::Endpoint, "a", "/swagger.json")));
        for path in [
            "/api/v1/service/a/score/",
            "/api/v1/service//score",
            "/api/v1/service/a/",
            "/api/v1/service/a/b/score",
            "/api/v1/service/a/.azureml/slot",
            "/api/v2/service/a/score",
            "/score",
            "/api/v1/service/score",
            "*",
        ] {
            assert_eq!(split(path), None, "{path}");
        }
    }
}
