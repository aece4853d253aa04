//! One request for user code, from the moment it is read until its answer is on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::frame::Parent;
use crate::head::Head;
use crate::http_reply::HttpReply;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The original's scoring route.
    Score,
    /// Inference of the Open Inference Protocol.
    Infer,
}

impl Kind {
    /// The name that Python sees.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::Infer => "infer",
        }
    }

    /// An error's body, in the form that clients of the route read.
    pub(crate) fn error(self, message: &str) -> Vec<u8> {
        let name = match self {
            Self::Score => "message",
            Self::Infer => "error",
        };
        serde_json::json!({ name: message }).to_string().into_bytes()
    }
}

/// What is known of a request and does not change; shared by whoever runs it and whoever waits for it.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) kind: Kind,
    pub(crate) head: Head,
    /// Value of `x-request-id`: the caller's, or ours.
    pub(crate) request_id: String,
    pub(crate) arrived: Instant,
    pub(crate) deadline: Instant,
    /// The time-out that the deadline comes from, for the answer's text.
    pub(crate) timeout_ms: u64,
    answered: AtomicBool,
}

impl Call {
    pub(crate) fn new(
        kind: Kind,
        head: Head,
        request_id: String,
        (arrived, deadline, timeout_ms): (Instant, Instant, u64),
    ) -> Self {
        Self { kind, head, request_id, arrived, deadline, timeout_ms, answered: AtomicBool::new(false) }
    }

    /// True for the one who may answer: a request that runs into its time-out is answered before user code returns.
    pub(crate) fn claim(&self) -> bool {
        !self.answered.swap(true, Ordering::AcqRel)
    }

    /// Somebody has answered already.
    pub(crate) fn answered(&self) -> bool {
        self.answered.load(Ordering::Acquire)
    }
}

/// What user code made of a request, but for the body.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// `None` for JSON without other headers.
    pub(crate) headers: Option<Vec<(String, String)>>,
    /// `x-ms-run-function-failed`.
    pub(crate) failed: bool,
    /// `x-ms-run-fn-exec-ms`, when user code returned.
    pub(crate) run_ms: Option<f64>,
}

impl Reply {
    /// An error, of a function that failed.
    pub(crate) fn error(kind: Kind, status: u16, message: &str) -> (Self, Vec<u8>) {
        (Self { status, headers: None, failed: true, run_ms: None }, kind.error(message))
    }
}

/// Where an answer goes.
pub(crate) enum To {
    /// An HTTP/1.1 connection of this process.
    Http(HttpReply),
    /// The parent of this worker process.
    Parent(Arc<Parent>),
}

/// A request that waits for user code, or runs. Dropped without an answer, it is answered as failed.
pub(crate) struct Job {
    /// Names the job in its queue; for a worker process and in it, the row of its batch.
    pub(crate) id: u64,
    pub(crate) call: Arc<Call>,
    pub(crate) body: Vec<u8>,
    pub(crate) to: To,
    streaming: bool,
}

impl Job {
    pub(crate) fn new(id: u64, call: Arc<Call>, body: Vec<u8>, to: To) -> Self {
        Self { id, call, body, to, streaming: false }
    }

    /// Answers the request, unless that has been done.
    pub(crate) fn answer(&mut self, reply: &Reply, body: &[u8]) {
        if !self.call.claim() {
            return;
        }
        match &mut self.to {
            To::Http(http) => http.answer(&self.call, reply, body),
            To::Parent(parent) => parent.answer(self.id, reply, body),
        }
    }

    /// Begins an answer whose body comes in pieces; false if the request has its answer.
    pub(crate) fn begin(&mut self, reply: &Reply) -> bool {
        if !self.call.claim() {
            return false;
        }
        match &mut self.to {
            To::Http(http) => http.begin(&self.call, reply),
            To::Parent(parent) => parent.begin(self.id, reply),
        }
        self.streaming = true;
        true
    }

    /// Sends a piece, or keeps it until the peer takes more: the number of bytes that are kept. `None` when nobody wants
    /// the rest.
    pub(crate) fn send(&mut self, piece: &[u8]) -> Option<usize> {
        if !self.streaming {
            return None;
        }
        match &mut self.to {
            To::Http(http) => http.send(piece),
            To::Parent(parent) => parent.send_piece(self.id, piece),
        }
    }

    /// As [`send`](Self::send), but waits until the peer has taken the piece; false when nobody wants the rest.
    pub(crate) async fn send_whole(&mut self, piece: &[u8]) -> bool {
        let (sent, deadline) = (self.send(piece), self.call.deadline);
        match (&mut self.to, sent) {
            (_, None) => false,
            (To::Http(http), Some(1..)) => {
                tokio::time::timeout_at(deadline.into(), http.flush()).await.unwrap_or(false)
            }
            _ => true,
        }
    }

    /// Blocks until everything that was kept is sent, at most until the deadline; false when nobody wants the rest.
    pub(crate) fn drain(&mut self) -> bool {
        match &mut self.to {
            To::Http(http) => http.drain(self.call.deadline),
            To::Parent(_) => true,
        }
    }

    /// Ends an answer in pieces; one that is not whole ends its connection.
    pub(crate) fn end(&mut self, whole: bool) {
        if !std::mem::take(&mut self.streaming) {
            return;
        }
        match &mut self.to {
            To::Http(http) => http.end(whole),
            To::Parent(parent) => parent.end(self.id, whole),
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.end(false);
        if !self.call.answered() {
            let (reply, body) =
                Reply::error(self.call.kind, 500, "The scoring process ended while it ran the request.");
            self.answer(&reply, &body);
        }
    }
}
