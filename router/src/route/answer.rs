//! Answers of the router itself.

use serving::error::RouterError;
use serving::token::Issued;

use super::call::Call;
use super::ids::Ids;
use super::thread::Thread;
use crate::http1::encode;
use crate::http1::request::Method;

/// How an answer ends: what the caller may do with the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// The next request may follow.
    Keep,
    /// The connection is closed.
    Close,
}

impl After {
    /// Appends the `connection` field, where the caller does not assume it.
    pub(super) fn field(self, http10: bool, out: &mut Vec<u8>) {
        match self {
            Self::Close => encode::field(out, b"connection", b"close"),
            Self::Keep if http10 => encode::field(out, b"connection", b"keep-alive"),
            Self::Keep => {}
        }
    }
}

/// Appends the answer to a request that failed. `deployment` is the version's field, once there is one.
pub(super) fn failure(
    thread: &Thread,
    error: &RouterError,
    call: &Call,
    deployment: &[u8],
    after: After,
    out: &mut Vec<u8>,
) {
    write(thread, error, &call.ids, deployment, (call.method == Method::Head, call.http10), after, out);
}

/// Appends the answer to what is not even a request. The connection is closed after it.
pub(super) fn refusal(thread: &Thread, error: &RouterError, out: &mut Vec<u8>) {
    let mut ids = Ids::default();
    ids.complete(thread.random());
    write(thread, error, &ids, b"", (false, false), After::Close, out);
}

fn write(
    thread: &Thread,
    error: &RouterError,
    ids: &Ids,
    deployment: &[u8],
    (head, http10): (bool, bool),
    after: After,
    out: &mut Vec<u8>,
) {
    let body = error.body(&ids.request);
    encode::status(out, error.status(), error.reason_phrase().as_bytes());
    encode::field(out, b"content-type", b"application/json");
    encode::number(out, "content-length", body.len() as u64);
    thread.date(out);
    ids.echo(out);
    out.extend_from_slice(deployment);
    if let Some(seconds) = error.retry_after() {
        encode::number(out, "retry-after", u64::from(seconds));
    }
    if let Some((name, value)) = error.header() {
        encode::field(out, name.as_bytes(), value.as_bytes());
    }
    after.field(http10, out);
    out.extend_from_slice(b"\r\n");
    if !head {
        out.extend_from_slice(body.as_bytes());
    }
}

/// Appends the answer to a question for the router's health.
pub(super) fn health(thread: &Thread, call: &Call, after: After, out: &mut Vec<u8>) {
    good(thread, call, after, &[("content-type", "text/plain; charset=utf-8")], b"Healthy", out);
}

/// Appends the public keys of tokens.
pub(super) fn keys(thread: &Thread, call: &Call, after: After, out: &mut Vec<u8>) {
    // No longer than a new key is published before it is used.
    let fields = [("content-type", "application/json"), ("cache-control", "public, max-age=60")];
    good(thread, call, after, &fields, thread.table().signing.jwks.as_bytes(), out);
}

/// Appends a token.
pub(super) fn token(thread: &Thread, issued: &Issued, call: &Call, after: After, out: &mut Vec<u8>) {
    let body = serde_json::to_vec(issued).expect("a token has only strings and numbers and serialises");
    let fields = [("content-type", "application/json"), ("cache-control", "no-store"), ("pragma", "no-cache")];
    good(thread, call, after, &fields, &body, out);
}

fn good(thread: &Thread, call: &Call, after: After, fields: &[(&str, &str)], body: &[u8], out: &mut Vec<u8>) {
    encode::status(out, 200, b"OK");
    for (name, value) in fields {
        encode::field(out, name.as_bytes(), value.as_bytes());
    }
    encode::number(out, "content-length", body.len() as u64);
    thread.date(out);
    call.ids.echo(out);
    after.field(call.http10, out);
    out.extend_from_slice(b"\r\n");
    if call.method != Method::Head {
        out.extend_from_slice(body);
    }
}
