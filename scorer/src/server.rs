//! The IO thread: accepts, reads heads, decides on slots, hands requests to Python and answers.
//!
//! It never needs the GIL, so health, refusals and time-outs do not wait for a running score.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serving::wire;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, oneshot};

use crate::control::Alarm;
use crate::http::{Answer, Connection, Framing, Head, Refused};
use crate::job::{Job, Queue, Replies, Reply};
use crate::slots::{RESERVATION, Refusal, Slots};

/// Longest request id that is accepted (R§15.6).
const MAX_ID: usize = 100;

/// Longest time-out in milliseconds, a week: longer ones are cut, so that no clock overflows.
const MAX_TIMEOUT_MS: u64 = 604_800_000;
/// Pause between two alarms for a `run()` that is beyond its time-out.
const RING: Duration = Duration::from_millis(20);
/// Exit code of a process whose user code does not stop at its time-out.
const STUCK: i32 = 4;
const HTML: &str = "text/html; charset=utf-8";

/// What a running scorer is told at its start.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Milliseconds of one `run()` when the request states none.
    pub(crate) scoring_timeout_ms: u64,
    /// Largest request body in bytes.
    pub(crate) max_body: usize,
    /// Value of the `x-ms-server-version` header.
    pub(crate) server_version: String,
    /// How long user code may ignore its time-out before this process ends; `None` when workers run it.
    pub(crate) grace: Option<Duration>,
    /// Stops user code that runs in this process.
    pub(crate) alarm: Alarm,
}

/// State of the IO thread.
pub(crate) struct Server {
    settings: Settings,
    slots: RefCell<Slots<Wake>>,
    queue: Arc<Queue>,
    replies: Arc<Replies>,
    /// Swagger documents by version; empty until `init()` has returned.
    swagger: RefCell<Option<BTreeMap<String, String>>>,
    drained: Notify,
    /// Requests whose head has been read and whose answer is not written yet.
    active: Cell<usize>,
    next_job: Cell<u64>,
}

type Wake = Box<dyn FnOnce(u64) -> bool>;

impl Server {
    pub(crate) fn new(settings: Settings, queue: Arc<Queue>) -> Rc<Self> {
        Rc::new(Self {
            settings,
            slots: RefCell::new(Slots::new()),
            queue,
            replies: Arc::default(),
            swagger: RefCell::new(None),
            drained: Notify::new(),
            active: Cell::new(0),
            next_job: Cell::new(0),
        })
    }

    /// `init()` has returned: answer.
    pub(crate) fn ready(&self, swagger: BTreeMap<String, String>) {
        *self.swagger.borrow_mut() = Some(swagger);
    }

    /// The answers of user code, to be delivered on this thread.
    pub(crate) fn replies(&self) -> Arc<Replies> {
        self.replies.clone()
    }

    /// Whether [`ready`](Self::ready) was called.
    pub(crate) fn is_ready(&self) -> bool {
        self.swagger.borrow().is_some()
    }

    /// Refuses new requests; resolves when the last one has ended and its answer is written.
    pub(crate) async fn drain(&self) {
        self.slots.borrow_mut().drain();
        while !self.slots.borrow().drained() || self.active.get() > 0 {
            self.drained.notified().await;
        }
    }

    /// Serves one connection to its end. `idle` bounds how long it may wait for its next request.
    pub(crate) async fn connection<S: AsyncRead + AsyncWrite + Unpin>(
        self: Rc<Self>,
        stream: S,
        idle: Option<Duration>,
    ) {
        let mut connection = Connection::new(stream, idle);
        loop {
            let mut head = match connection.head().await {
                Ok(head) => head,
                Err(refused) => return self.give_up(connection, refused).await,
            };
            let active = Active::new(&self);
            let started = Instant::now();
            let (answer, body) = match self.respond(&mut connection, &mut head).await {
                Ok(responded) => responded,
                Err(refused) => return self.give_up(connection, refused).await,
            };
            let unread = body == Body::Unread && head.framing != Framing::Sized(0);
            // A body that is short and on its way is dropped after the answer; else nothing can follow.
            let keep_alive = head.keep_alive && (!unread || head.discardable());
            if connection.answer(&answer, head.method == "HEAD", keep_alive).await.is_err() {
                return;
            }
            drop(active);
            if head.path != wire::HEALTH_PATH && head.path != wire::SLOT_PATH {
                access_log(&head, &answer, started.elapsed());
            }
            if !keep_alive || unread && !connection.skip_body(&head).await {
                return connection.linger().await;
            }
        }
    }

    async fn give_up<S: AsyncRead + AsyncWrite + Unpin>(&self, mut connection: Connection<S>, refused: Refused) {
        if let Refused::Status(status, message) = refused
            && connection.answer(&self.unrouted(status, message), false, false).await.is_ok()
        {
            connection.linger().await;
        }
    }

    async fn respond<S: AsyncRead + AsyncWrite + Unpin>(
        self: &Rc<Self>,
        connection: &mut Connection<S>,
        head: &mut Head,
    ) -> Result<(Answer, Body), Refused> {
        if head.path == wire::SCORE_PATH {
            return self.score(connection, head).await;
        }
        if head.path == wire::SLOT_PATH && head.method == "GET" {
            return Ok((self.slot(connection, head).await?, Body::Unread));
        }
        let answer = match (head.path.as_str(), head.method.as_str()) {
            (wire::HEALTH_PATH, "GET" | "HEAD") => self.routed(head, self.health()),
            (wire::SWAGGER_PATH, "GET" | "HEAD") => self.routed(head, self.swagger(head)),
            (wire::HEALTH_PATH | wire::SWAGGER_PATH, _) => {
                self.unrouted(405, "The method is not allowed for the requested URL.").with("allow", "GET, HEAD")
            }
            _ => self.unrouted(404, "The requested URL was not found on the server."),
        };
        Ok((answer, Body::Unread))
    }

    /// Adds what every answer of a known route carries.
    fn routed(&self, head: &Head, answer: Answer) -> Answer {
        match self.ids(head, answer) {
            Ok(answer) => failed_flag(answer, false).with("x-ms-server-version", &self.settings.server_version),
            Err(answer) => answer,
        }
    }

    fn health(&self) -> Answer {
        if self.is_ready() { Answer::new(200, HTML, "Healthy") } else { Answer::new(503, HTML, "Starting") }
    }

    fn swagger(&self, head: &Head) -> Answer {
        let documents = self.swagger.borrow();
        let Some(documents) = documents.as_ref() else {
            return Answer::message(503, "The score script is still starting.");
        };
        let wanted = head.query.split('&').find_map(|pair| pair.strip_prefix("version=")).unwrap_or("2");
        let known = match wanted {
            "2" | "2.0" => "2",
            "3" | "3.0" => "3",
            other => other,
        };
        if let Some(document) = documents.get(known) {
            return Answer::new(200, "application/json", document.as_bytes());
        }
        let available = documents.keys().cloned().collect::<Vec<_>>().join(", ");
        Answer::message(
            404,
            &format!("Swagger version [{wanted}] is not valid. Supported Swagger versions: [{available}]"),
        )
    }

    /// Long poll for a slot.
    async fn slot<S: AsyncRead + AsyncWrite + Unpin>(
        self: &Rc<Self>,
        connection: &mut Connection<S>,
        head: &Head,
    ) -> Result<Answer, Refused> {
        let limit = limit(head)?.unwrap_or(u32::MAX);
        let patience = Duration::from_millis(number(head, wire::DEADLINE)?.unwrap_or(self.settings.scoring_timeout_ms));
        let (wake, mut woken) = oneshot::channel();
        let server = self.clone();
        let wake = move |grant| {
            if wake.send(grant).is_err() {
                return false;
            }
            // A reservation that nobody uses must wake the next asker when it lapses, also if this one has gone.
            tokio::task::spawn_local(async move {
                tokio::time::sleep(RESERVATION).await;
                server.slots.borrow_mut().grant(Instant::now());
            });
            true
        };
        let asked = self.slots.borrow_mut().ask(limit, Box::new(wake), Instant::now());
        let ticket = match asked {
            Ok(ticket) => ticket,
            Err(refusal) => return Ok(self.refusal(refusal)),
        };
        let _asker = Asker { server: self, ticket };
        let grant = tokio::select! {
            biased;
            grant = &mut woken => grant.ok(),
            () = tokio::time::sleep(patience) => None,
            () = connection.closed() => return Err(Refused::Gone),
        };
        let Some(grant) = grant else {
            let refusal = if self.slots.borrow().draining() { Refusal::Draining } else { Refusal::Busy };
            return Ok(self.refusal(refusal));
        };
        Ok(self.busy(Answer::new(200, "text/plain", "")).with(wire::GRANT, grant.to_string()))
    }

    async fn score<S: AsyncRead + AsyncWrite + Unpin>(
        self: &Rc<Self>,
        connection: &mut Connection<S>,
        head: &mut Head,
    ) -> Result<(Answer, Body), Refused> {
        let ids = match self.ids(head, Answer::default()) {
            Ok(answer) => answer.headers,
            Err(answer) => return Ok((answer, Body::Unread)),
        };
        match head.method.as_str() {
            "GET" | "POST" => {}
            "OPTIONS" => return Ok((self.routed(head, Answer::new(200, HTML, "")), Body::Unread)),
            _ => {
                let answer = self.unrouted(405, "The method is not allowed for the requested URL.");
                return Ok((answer.with("allow", "GET, POST, OPTIONS"), Body::Unread));
            }
        }
        if matches!(head.framing, Framing::Sized(length) if length > self.settings.max_body) {
            return Ok((self.routed(head, Answer::message(413, "The request body is too large.")), Body::Unread));
        }
        if !self.is_ready() {
            return Ok((self.refusal(Refusal::Busy), Body::Unread));
        }
        let taken = self.slots.borrow_mut().take(limit(head)?, number(head, wire::GRANT)?, Instant::now());
        if let Err(refusal) = taken {
            return Ok((self.refusal(refusal), Body::Unread));
        }
        let slot = Slot(self.clone());
        let arrived = Instant::now();
        let timeout_ms = number(head, wire::DEADLINE)?.unwrap_or(self.settings.scoring_timeout_ms);
        if head.expects_continue {
            connection.send_continue().await?;
        }
        let body = connection.body(head.framing, self.settings.max_body).await?;
        let answer = match text(head, body) {
            Ok(body) => self.run(head, &ids, body, (arrived, timeout_ms), slot).await,
            Err(message) => failed_flag(Answer::message(400, &message), false),
        };
        let mut answer = self.busy(answer).with("x-ms-server-version", &self.settings.server_version);
        answer.headers.extend(ids);
        Ok((answer, Body::Read))
    }

    /// Hands a request to Python and waits for its answer or its time-out, which counts from the request's arrival.
    async fn run(
        self: &Rc<Self>,
        head: &mut Head,
        ids: &[(String, String)],
        body: Vec<u8>,
        (arrived, timeout_ms): (Instant, u64),
        slot: Slot,
    ) -> Answer {
        let deadline = arrived + Duration::from_millis(timeout_ms.min(MAX_TIMEOUT_MS));
        let (reply, mut replied) = oneshot::channel();
        let id = self.next_job.get();
        self.next_job.set(id + 1);
        let request_id =
            ids.iter().find(|(name, _)| name == "x-request-id").map(|(_, id)| id.clone()).unwrap_or_default();
        self.queue.push(Job {
            id,
            method: head.method.clone(),
            query: head.query.clone(),
            headers: std::mem::take(&mut head.headers),
            body,
            request_id,
            deadline,
            timeout_ms,
            reply,
            replies: self.replies.clone(),
        });
        match tokio::time::timeout_at(deadline.into(), &mut replied).await {
            Ok(Ok(reply)) => scored(reply),
            Ok(Err(_)) => failed(500, "The scoring process ended while it ran the request."),
            Err(_) => {
                if !self.queue.withdraw(id) {
                    tokio::task::spawn_local(stopped(replied, slot, self.settings.grace, self.settings.alarm));
                }
                failed(500, &format!("Scoring timeout after {timeout_ms} ms"))
            }
        }
    }

    fn refusal(&self, refusal: Refusal) -> Answer {
        let answer = Answer::message(503, "The replica takes no request now; repeat it elsewhere.");
        self.busy(answer).with(wire::REFUSED, refusal.name())
    }

    fn busy(&self, answer: Answer) -> Answer {
        let busy = self.slots.borrow_mut().busy_time(Instant::now());
        answer.with(wire::BUSY, busy.as_micros().to_string())
    }

    /// An answer that the original gives without request ids.
    #[allow(clippy::unused_self, reason = "reads like its siblings at the place of use")]
    fn unrouted(&self, status: u16, message: &str) -> Answer {
        failed_flag(Answer::message(status, message), false)
    }

    /// Adds the id headers (the echo matrix of R§15.6), or gives the 431 for an id that is too long.
    fn ids(&self, head: &Head, mut answer: Answer) -> Result<Answer, Answer> {
        let [request, legacy, client] =
            ["x-request-id", "x-ms-request-id", "x-ms-client-request-id"].map(|name| head.header(name));
        for (name, id) in [("x-request-id", request), ("x-ms-request-id", legacy), ("x-ms-client-request-id", client)] {
            if id.is_some_and(|id| id.len() > MAX_ID) {
                return Err(self.unrouted(431, &format!("The header {name} is longer than {MAX_ID} characters.")));
            }
        }
        let request_id = request.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
        let legacy_id = legacy.or(client).map_or_else(|| request_id.clone(), str::to_owned);
        answer.headers.push(("x-request-id".into(), request_id));
        answer.headers.push(("x-ms-request-id".into(), legacy_id));
        if let Some(client) = client.or(legacy) {
            answer.headers.push(("x-ms-client-request-id".into(), client.to_owned()));
        }
        if let Some(trace) = head.header("traceid") {
            answer.headers.push(("TraceId".into(), trace.to_owned()));
        }
        Ok(answer)
    }
}

/// Whether the request's body was read before its answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Read,
    Unread,
}

/// A request until its answer is written.
struct Active<'a>(&'a Server);

impl<'a> Active<'a> {
    fn new(server: &'a Server) -> Self {
        server.active.set(server.active.get() + 1);
        Self(server)
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get() - 1);
        self.0.drained.notify_one();
    }
}

/// An asker for a slot; withdraws its question when it stops waiting.
struct Asker<'a> {
    server: &'a Server,
    ticket: u64,
}

impl Drop for Asker<'_> {
    fn drop(&mut self) {
        self.server.slots.borrow_mut().withdraw(self.ticket);
    }
}

/// A taken slot; gives itself back.
struct Slot(Rc<Server>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.slots.borrow_mut().give_back(Instant::now());
        self.0.drained.notify_one();
    }
}

/// Keeps the slot of a request that has timed out until user code has really stopped, and ends the process when user
/// code does not stop: whoever started it starts it anew.
async fn stopped(replied: oneshot::Receiver<Reply>, slot: Slot, grace: Option<Duration>, alarm: Alarm) {
    let Some(grace) = grace else {
        let _ = replied.await;
        return drop(slot);
    };
    // Again and again: an alarm in the moment before Python begins the request is not taken for the request's.
    let ringing = async {
        loop {
            alarm.ring();
            tokio::time::sleep(RING).await;
        }
    };
    tokio::select! {
        _ = replied => {}
        () = ringing => {}
        () = tokio::time::sleep(grace) => {
            crate::log::line('E', "run() does not stop at its time-out; the process ends so that another takes its place");
            crate::control::exit_now(STUCK);
        }
    }
    drop(slot);
}

/// The body as the script gets it: UTF-8 text. Forms reach a script without decorators as the empty string, as in the
/// original.
fn text(head: &Head, body: Vec<u8>) -> Result<Vec<u8>, String> {
    let form = head.header("content-type").is_some_and(|kind| {
        ["application/x-www-form-urlencoded", "multipart/form-data"]
            .iter()
            .any(|form| kind.get(..form.len()).is_some_and(|start| start.eq_ignore_ascii_case(form)))
    });
    if form {
        return Ok(Vec::new());
    }
    match std::str::from_utf8(&body) {
        Ok(_) => Ok(body),
        Err(error) => Err(format!("The request body is not UTF-8 text: invalid byte at {}", error.valid_up_to())),
    }
}

fn scored(reply: Reply) -> Answer {
    let headers = reply.headers.unwrap_or_else(|| vec![("content-type".into(), "application/json".into())]);
    let mut answer = Answer { status: reply.status, headers, body: reply.body };
    if let Some(milliseconds) = reply.run_ms {
        answer.headers.push(("x-ms-run-fn-exec-ms".into(), format!("{milliseconds:.3}")));
    }
    failed_flag(answer, reply.failed)
}

fn failed(status: u16, message: &str) -> Answer {
    failed_flag(Answer::message(status, message), true)
}

fn failed_flag(answer: Answer, failed: bool) -> Answer {
    answer.with("x-ms-run-function-failed", if failed { "True" } else { "False" })
}

/// A decimal header between router and scorer; nothing is guessed when it is malformed.
fn number(head: &Head, name: &'static str) -> Result<Option<u64>, Refused> {
    let Some(text) = head.header(name) else { return Ok(None) };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = text.parse().ok().filter(|_| digits);
    value.map(Some).ok_or(Refused::Status(400, "A header of the slot protocol is malformed."))
}

fn limit(head: &Head) -> Result<Option<u32>, Refused> {
    Ok(number(head, wire::LIMIT)?.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)))
}

/// One line per request, in the original's form (R§15.10), with the request's id in front.
fn access_log(head: &Head, answer: &Answer, took: Duration) {
    let id = answer.headers.iter().find(|(name, _)| name == "x-request-id").map_or("-", |(_, id)| id);
    let (question, query) = if head.query.is_empty() { ("", "") } else { ("?", head.query.as_str()) };
    crate::log::later(
        'I',
        format_args!(
            "[{id}] {} {}{question}{query} {} {:.3}ms {}",
            head.method,
            head.path,
            answer.status,
            took.as_secs_f64() * 1000.0,
            answer.body.len()
        ),
    );
}
