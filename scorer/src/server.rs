//! The server: what its connections and threads share, and the routes that need no user code.
//!
//! Nothing here needs the GIL, so health, refusals and time-outs do not wait for a running score.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serving::wire;
use tokio::sync::Notify;

use crate::call::{Call, Kind, Reply};
use crate::connection::Connection;
use crate::control::Alarm;
use crate::encode::{self, Length};
use crate::head::{Framing, Head, Refused};
use crate::hop::Hop;
use crate::http_reply::{Done, Sent};
use crate::ids::{self, Generator};
use crate::queue::Queue;
use crate::slots::{Refusal, Slots};
use crate::socket::Socket;
use crate::turns::Turns;
use crate::v2;

pub(crate) const HTML: &str = "text/html; charset=utf-8";
pub(crate) const JSON: &str = "application/json";

/// What a running scorer is told at its start.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Milliseconds of one `run()` when the request states none.
    pub(crate) scoring_timeout_ms: u64,
    /// Largest request body in bytes.
    pub(crate) max_body: usize,
    /// Most requests of callers that state no limit, running and waiting together.
    pub(crate) max_requests: u32,
    /// Value of the `x-ms-server-version` header; without it, the header is left out.
    pub(crate) server_version: Option<String>,
    /// How long user code may ignore its time-out before this process ends; `None` when workers run it.
    pub(crate) grace: Option<Duration>,
    /// Stops user code that runs in this process.
    pub(crate) alarm: Alarm,
    /// Answers as the original does where ours are better by default.
    pub(crate) strict: bool,
    /// Origins that browsers may call from; `*` for all.
    pub(crate) cors: Vec<String>,
    /// What callers have to know; without it, everybody may call.
    pub(crate) hop: Option<Arc<Hop>>,
}

/// What is known once `init()` has returned.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// Swagger documents by version (`2`, `3`, `3.1`).
    pub(crate) swagger: BTreeMap<String, String>,
    /// Every method of the scoring route is the script's to answer.
    pub(crate) raw: bool,
    /// The model, as the Open Inference Protocol describes it.
    pub(crate) v2: v2::Documents,
}

/// Wakes who asked for a slot: takes a grant and says whether the asker was still there.
pub(crate) type Wake = Box<dyn FnOnce(u64) -> bool + Send>;

pub(crate) struct Server {
    pub(crate) settings: Settings,
    pub(crate) queue: Queue,
    pub(crate) generator: Generator,
    turns: OnceLock<Arc<Turns>>,
    slots: Mutex<Slots<Wake>>,
    ready: OnceLock<Ready>,
    /// Answers that their connections do not know of yet. Waking a connection from another thread is a system call, so
    /// they wait here for whoever drives the I/O next.
    done: Mutex<Vec<(Done, Sent)>>,
    drained: Notify,
    /// Requests whose head has been read and whose answer is not written yet.
    active: AtomicUsize,
    next_job: AtomicU64,
}

impl Server {
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            queue: Queue::default(),
            generator: Generator::default(),
            turns: OnceLock::new(),
            slots: Mutex::new(Slots::new()),
            ready: OnceLock::new(),
            done: Mutex::default(),
            drained: Notify::new(),
            active: AtomicUsize::new(0),
            next_job: AtomicU64::new(0),
        })
    }

    /// Tells who drives the I/O.
    pub(crate) fn set_turns(&self, turns: Arc<Turns>) {
        let _ = self.turns.set(turns);
    }

    /// `init()` has returned: answer.
    pub(crate) fn set_ready(&self, ready: Ready) {
        let _ = self.ready.set(ready);
    }

    pub(crate) fn ready(&self) -> Option<&Ready> {
        self.ready.get()
    }

    pub(crate) fn slots(&self) -> MutexGuard<'_, Slots<Wake>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn next_job(&self) -> u64 {
        self.next_job.fetch_add(1, Ordering::Relaxed)
    }

    /// An answer is written: its connection will be told.
    pub(crate) fn done(&self, done: Done, sent: Sent) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push((done, sent));
        if self.turns.get().is_none_or(|turns| turns.guarded()) {
            self.deliver();
        }
    }

    /// Tells the connections of answers that are written; on the thread that drives the I/O it costs no system call.
    pub(crate) fn deliver(&self) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        for (connection, sent) in done.drain(..) {
            let _ = connection.send(sent);
        }
    }

    /// Refuses new requests; resolves when the last one has ended and its answer is written.
    pub(crate) async fn drain(&self) {
        self.slots().drain();
        loop {
            let drained = self.drained.notified();
            if self.slots().drained() && self.active.load(Ordering::SeqCst) == 0 {
                return;
            }
            drained.await;
        }
    }

    /// Serves one connection to its end. `idle` bounds how long it may wait for its next request.
    pub(crate) async fn connection(self: Arc<Self>, socket: Socket, idle: Option<Duration>) {
        let mut connection = Connection::new(socket, idle);
        loop {
            let head = match connection.head().await {
                Ok(head) => head,
                Err(refused) => return self.give_up(connection, refused).await,
            };
            let active = Active::new(&self);
            let next = match self.respond(&mut connection, head).await {
                Ok(next) => next,
                Err(refused) => return self.give_up(connection, refused).await,
            };
            drop(active);
            match next {
                Next::Request => {}
                Next::Unread(head) if connection.skip_body(&head).await => {}
                Next::Unread(_) | Next::Close => return connection.linger().await,
            }
        }
    }

    async fn give_up(&self, mut connection: Connection, refused: Refused) {
        if let Refused::Status(status, message) = refused
            && connection
                .write(&Answer::error(Kind::Score, status, message).flag(false).encoded(false, false))
                .await
                .is_ok()
        {
            connection.linger().await;
        }
    }

    async fn respond(self: &Arc<Self>, connection: &mut Connection, mut head: Head) -> Result<Next, Refused> {
        if let Some(hop) = &self.settings.hop
            && let Some(refusal) = hop.refusal(&mut head)
        {
            return self.send(connection, head, refusal).await;
        }
        let answer = match (head.path(), head.method()) {
            (wire::SCORE_PATH, _) => return self.score(connection, head).await,
            (wire::SLOT_PATH, "GET") => self.slot(connection, &head).await?,
            (wire::HEALTH_PATH, "GET" | "HEAD") => self.routed(&head, self.health()),
            (wire::SWAGGER_PATH, "GET" | "HEAD") => self.routed(&head, self.swagger(&head)),
            (path, _) if v2::owns(path) => return self.v2(connection, head).await,
            (wire::HEALTH_PATH | wire::SWAGGER_PATH, "OPTIONS") => {
                self.routed(&head, Answer::new(200, HTML, "")).with("allow", "GET, HEAD, OPTIONS")
            }
            (wire::HEALTH_PATH | wire::SWAGGER_PATH, _) => {
                Answer::error(Kind::Score, 405, "The method is not allowed for the requested URL.")
                    .flag(false)
                    .with("allow", "GET, HEAD")
            }
            _ => Answer::error(Kind::Score, 404, NOT_FOUND).flag(false),
        };
        self.send(connection, head, answer).await
    }

    /// Sends an answer to a request whose body was not read.
    pub(crate) async fn send(&self, connection: &mut Connection, head: Head, answer: Answer) -> Result<Next, Refused> {
        // A body that is short and on its way is dropped after the answer; else nothing can follow.
        let keep_alive = head.keep_alive && head.discardable();
        if head.path() != wire::HEALTH_PATH && head.path() != wire::SLOT_PATH {
            let id = answer.headers.iter().find(|(name, _)| *name == "x-request-id").map_or("-", |(_, id)| id);
            access_log(&head, id, answer.status, Duration::ZERO, Some(answer.body.len()));
        }
        connection.write(&answer.encoded(head.method() == "HEAD", keep_alive)).await?;
        Ok(match (keep_alive, head.framing) {
            (true, Framing::Sized(0)) => Next::Request,
            (true, _) => Next::Unread(head),
            (false, _) => Next::Close,
        })
    }

    /// Adds what every answer of a known route carries.
    pub(crate) fn routed(&self, head: &Head, mut answer: Answer) -> Answer {
        let kind = if v2::owns(head.path()) { Kind::Infer } else { Kind::Score };
        if let Some(refusal) = self.too_long(kind, head) {
            return refusal;
        }
        let generated = head.header(ids::REQUEST).is_none().then(|| self.generator.next());
        let request_id = generated.as_deref().or_else(|| head.header(ids::REQUEST)).unwrap_or_default();
        ids::each(head, request_id, |name, value| answer.headers.push((name, value.to_owned())));
        crate::cors::each(&self.settings.cors, head, |name, value| answer.headers.push((name, value.to_owned())));
        let answer = answer.flag(false);
        match &self.settings.server_version {
            Some(version) => answer.with("x-ms-server-version", version),
            None => answer,
        }
    }

    /// The answer to ids that are too long; of the others, the request's own id is echoed.
    pub(crate) fn too_long(&self, kind: Kind, head: &Head) -> Option<Answer> {
        let name = ids::too_long(head)?;
        let longest = ids::LONGEST;
        let mut answer = if name == ids::REQUEST {
            Answer::error(kind, 431, &format!("{name} must not exceed {longest} characters"))
        } else {
            let id = head.header(ids::REQUEST).map_or_else(|| self.generator.next(), str::to_owned);
            let message = format!("x-ms-request-id and x-ms-client-request-id must not exceed {longest} characters");
            Answer::error(kind, 431, &message).with(ids::REQUEST, id)
        };
        if let Some(version) = &self.settings.server_version {
            answer = answer.with("x-ms-server-version", version);
        }
        Some(answer.flag(false))
    }

    fn health(&self) -> Answer {
        if self.ready().is_some() { Answer::new(200, HTML, "Healthy") } else { Answer::new(503, HTML, "Starting") }
    }

    fn swagger(&self, head: &Head) -> Answer {
        let Some(Ready { swagger, .. }) = self.ready() else {
            return Answer::error(Kind::Score, 503, "The score script is still starting.");
        };
        let wanted = head.query().split('&').find_map(|pair| pair.strip_prefix("version=")).unwrap_or("2");
        let known = match wanted {
            "2" | "2.0" => Some("2"),
            "3" | "3.0" => Some("3"),
            "3.1" => Some("3.1"),
            _ => None,
        };
        if let Some(document) = known.and_then(|version| swagger.get(version)) {
            return Answer::new(200, JSON, document.as_bytes());
        }
        let available = swagger.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let text = match known {
            // The schema cannot be expressed in it.
            Some(_) => format!(
                "Swagger version [{wanted}] is not supported for the scoring script. Supported swagger versions: [{available}]."
            ),
            None => format!("Swagger version [{wanted}] is not valid. Supported versions: [{available}]."),
        };
        Answer::error(Kind::Score, 404, &text)
    }

    /// A retryable refusal of the slot protocol.
    pub(crate) fn refusal(&self, kind: Kind, refusal: Refusal) -> Answer {
        let answer = Answer::error(kind, 503, REFUSED_NOW).flag(false);
        self.busy(answer).with(wire::REFUSED, refusal.name()).with("retry-after", "1")
    }

    pub(crate) fn busy(&self, answer: Answer) -> Answer {
        let busy = self.busy_micros();
        answer.with(wire::BUSY, busy.to_string())
    }

    fn busy_micros(&self) -> u64 {
        u64::try_from(self.slots().busy_time(Instant::now()).as_micros()).unwrap_or(u64::MAX)
    }

    /// Writes the head of what user code answers.
    pub(crate) fn encode(&self, out: &mut Vec<u8>, call: &Call, reply: &Reply, length: Length) {
        encode::status(out, reply.status);
        match &reply.headers {
            None => encode::header(out, "content-type", JSON),
            Some(headers) => headers.iter().for_each(|(name, value)| encode::header(out, name, value)),
        }
        if let Some(milliseconds) = reply.run_ms {
            encode::milliseconds(out, "x-ms-run-fn-exec-ms", milliseconds);
        }
        encode::header(out, FAILED, if reply.failed { "True" } else { "False" });
        encode::number(out, wire::BUSY, self.busy_micros());
        if let Some(version) = &self.settings.server_version {
            encode::header(out, "x-ms-server-version", version);
        }
        ids::each(&call.head, &call.request_id, |name, value| encode::header(out, name, value));
        crate::cors::each(&self.settings.cors, &call.head, |name, value| encode::header(out, name, value));
        encode::end(out, reply.status, length, call.head.keep_alive && length != Length::Open);
    }

    /// One line of the access log; a stream has no length.
    #[allow(clippy::unused_self, reason = "the server is where answers are logged")]
    pub(crate) fn log(&self, call: &Call, status: u16, length: Option<usize>) {
        access_log(&call.head, &call.request_id, status, call.arrived.elapsed(), length);
    }
}

const FAILED: &str = "x-ms-run-function-failed";
/// What a refusal of the slot protocol says.
pub(crate) const REFUSED_NOW: &str = "The replica takes no request now; repeat it elsewhere.";
/// The original's words.
const NOT_FOUND: &str = "The requested URL was not found on the server. If you entered the URL manually please check \
                         your spelling and try again.";

/// What follows on a connection after an answer.
pub(crate) enum Next {
    /// Another request.
    Request,
    /// The unread body of this request, then another request.
    Unread(Head),
    /// Nothing.
    Close,
}

/// An answer that needs no user code.
#[derive(Debug)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("content-type", content_type.to_owned())], body: body.into() }
    }

    /// An error in the form of its route.
    pub(crate) fn error(kind: Kind, status: u16, message: &str) -> Self {
        Self::new(status, JSON, kind.error(message))
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Says whether user code failed.
    pub(crate) fn flag(self, failed: bool) -> Self {
        self.with(FAILED, if failed { "True" } else { "False" })
    }

    fn encoded(&self, without_body: bool, keep_alive: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + self.body.len());
        encode::status(&mut out, self.status);
        self.headers.iter().for_each(|(name, value)| encode::header(&mut out, name, value));
        encode::end(&mut out, self.status, Length::Known(self.body.len()), keep_alive);
        if !without_body {
            out.extend_from_slice(&self.body);
        }
        out
    }
}

/// A request until its answer is written.
struct Active<'a>(&'a Server);

impl<'a> Active<'a> {
    fn new(server: &'a Server) -> Self {
        server.active.fetch_add(1, Ordering::SeqCst);
        Self(server)
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::SeqCst);
        self.0.drained.notify_waiters();
    }
}

/// A taken slot; gives itself back.
pub(crate) struct Slot(pub(crate) Arc<Server>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.slots().give_back(Instant::now());
        self.0.drained.notify_waiters();
    }
}

/// One line per request, in the original's form (R§15.10), with the request's id in front.
fn access_log(head: &Head, id: &str, status: u16, took: Duration, length: Option<usize>) {
    let (question, query) = if head.query().is_empty() { ("", "") } else { ("?", head.query()) };
    let (method, path, took) = (head.method(), head.path(), took.as_micros());
    let (ms, us) = (took / 1000, took % 1000);
    let line = |length: std::fmt::Arguments<'_>| {
        let times = format_args!("{status} {ms}.{us:03}ms {length}");
        crate::log::later('I', format_args!("[{id}] {method} {path}{question}{query} {times}"));
    };
    match length {
        Some(length) => line(format_args!("{length}")),
        None => line(format_args!("N/A")),
    }
}
