//! Requests to the HTTP server of this process.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

/// Length of the JSON in front of binary tensors.
pub(super) const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");
/// Most pipes that are kept open between calls.
const IDLE: usize = 64;
/// What a caller may send along: ids, the trace and the hop secret, as over HTTP.
const FORWARDED: [&str; 7] = [
    "x-request-id",
    "x-ms-request-id",
    "x-ms-client-request-id",
    "traceid",
    "traceparent",
    "tracestate",
    serving::wire::HOP,
];
/// What a caller gets back of an answer's headers.
const GIVEN_BACK: [&str; 6] = [
    "x-request-id",
    "x-ms-request-id",
    "x-ms-client-request-id",
    "x-ms-run-fn-exec-ms",
    "x-ms-run-function-failed",
    "x-ms-server-version",
];

/// Takes the server's end of a new pipe, as a connection of its own.
pub(crate) type Door = Box<dyn Fn(UnixStream) + Send + Sync>;

type Sender = SendRequest<Full<Bytes>>;

/// Pipes to the HTTP server.
pub(super) struct Pipes {
    door: Door,
    max_body: usize,
    idle: Mutex<Vec<Sender>>,
}

/// An answer of the HTTP server.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) json_length: Option<usize>,
    pub(super) body: Bytes,
}

impl Pipes {
    pub(super) fn new(door: Door, max_body: usize) -> Self {
        Self { door, max_body, idle: Mutex::default() }
    }

    /// Sends one request and waits for its whole answer. Dropped before, it closes its pipe, as a caller who goes away.
    pub(super) async fn send(
        &self,
        method: http::Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Status> {
        if body.len() > self.max_body {
            return Err(Status::resource_exhausted(format!(
                "the request has {} bytes; at most {} are taken",
                body.len(),
                self.max_body
            )));
        }
        let mut sender = self.pipe().await.map_err(|error| broken(&error))?;
        let mut request = http::Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|_| Status::not_found(format!("there is no {path}")))?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(http::header::HOST, HeaderValue::from_static("localhost"));
        let (head, body) = sender.send_request(request).await.map_err(|error| broken(&error))?.into_parts();
        let body = body.collect().await.map_err(|error| broken(&error))?.to_bytes();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(sender);
        }
        drop(idle);
        let length = head.headers.get(JSON_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, json_length: length, body })
    }

    /// A pipe that is ready for a request.
    async fn pipe(&self) -> Result<Sender, Box<dyn std::error::Error + Send + Sync>> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut sender) = idle else { break };
            // An answer may close its pipe.
            if !sender.is_closed() && sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let (ours, theirs) = UnixStream::pair()?;
        (self.door)(theirs);
        let (sender, connection) = http1::handshake(TokioIo::new(ours)).await?;
        drop(tokio::spawn(connection));
        Ok(sender)
    }
}

fn broken(error: &dyn std::fmt::Display) -> Status {
    Status::unavailable(format!("the scorer has not answered: {error}; repeat the call"))
}

impl Answer {
    /// Itself if it is a 200, else its error.
    pub(super) fn good(self) -> Result<Self, Status> {
        if self.status == 200 { Ok(self) } else { Err(self.error()) }
    }

    /// The error that an answer means to a gRPC caller.
    pub(super) fn error(&self) -> Status {
        #[derive(Deserialize)]
        struct Said {
            #[serde(alias = "message")]
            error: String,
        }
        let said = serde_json::from_slice::<Said>(&self.body).map(|said| said.error);
        let said = said.unwrap_or_else(|_| format!("HTTP status {}", self.status));
        let code = match self.status {
            400 | 415 | 422 | 431 => Code::InvalidArgument,
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::NotFound,
            413 | 429 => Code::ResourceExhausted,
            501 => Code::Unimplemented,
            502 | 503 => Code::Unavailable,
            504 => Code::DeadlineExceeded,
            _ => Code::Internal,
        };
        let mut status = Status::new(code, said);
        give_back(&self.headers, status.metadata_mut());
        status
    }
}

/// Headers of the HTTP request for a call's metadata: ids, and the call's deadline.
pub(super) fn forwarded(metadata: &MetadataMap) -> Result<HeaderMap, Status> {
    let mut headers = HeaderMap::new();
    for name in FORWARDED {
        if let Some(value) = metadata.get(name) {
            let value = HeaderValue::from_bytes(value.as_encoded_bytes())
                .map_err(|_| Status::invalid_argument(format!("the metadata {name} is malformed")))?;
            headers.insert(name, value);
        }
    }
    if let Some(timeout) = metadata.get("grpc-timeout").and_then(|timeout| timeout.to_str().ok()).and_then(timeout) {
        let milliseconds = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        headers.insert(serving::wire::DEADLINE, milliseconds.into());
    }
    Ok(headers)
}

/// The value of `grpc-timeout`: up to eight digits and a unit.
pub(super) fn timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().ok()?;
    Some(match unit {
        'H' => Duration::from_hours(number),
        'M' => Duration::from_mins(number),
        'S' => Duration::from_secs(number),
        'm' => Duration::from_millis(number),
        'u' => Duration::from_micros(number),
        'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Copies an answer's ids and facts into a call's metadata.
pub(super) fn give_back(headers: &HeaderMap, metadata: &mut MetadataMap) {
    for name in GIVEN_BACK {
        let value = headers.get(name).and_then(|value| value.to_str().ok()?.parse().ok());
        if let Some(value) = value {
            metadata.insert(name, value);
        }
    }
}
