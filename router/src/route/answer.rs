//! Answers of the router itself.

use serving::error::RouterError;

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
    const BODY: &[u8] = b"Healthy";
    encode::status(out, 200, b"OK");
    encode::field(out, b"content-type", b"text/plain; charset=utf-8");
    encode::number(out, "content-length", BODY.len() as u64);
    thread.date(out);
    call.ids.echo(out);
    after.field(call.http10, out);
    out.extend_from_slice(b"\r\n");
    if call.method != Method::Head {
        out.extend_from_slice(BODY);
    }
}
