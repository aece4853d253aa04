//! The IO thread: accepts, reads heads, decides on slots, hands requests to Python and answers.
//!
//! It never needs the GIL, so health, refusals and time-outs do not wait for a running score.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serving::wire;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, oneshot};

use crate::http::{Answer, Connection, Head, Refused};
use crate::job::{Job, Queue, Reply};
use crate::slots::{RESERVATION, Refusal, Slots};

/// Longest request id that is accepted (R§15.6).
const MAX_ID: usize = 100;

/// What a running scorer is told at its start.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Milliseconds of one `run()` when the request states none.
    pub(crate) scoring_timeout_ms: u64,
    /// Largest request body in bytes.
    pub(crate) max_body: usize,
    /// Value of the `x-ms-server-version` header.
    pub(crate) server_version: String,
}

/// State of the IO thread.
pub(crate) struct Server {
    settings: Settings,
    slots: RefCell<Slots<Wake>>,
    queue: Arc<Queue>,
    /// Swagger documents by version; empty until `init()` has returned.
    swagger: RefCell<Option<BTreeMap<String, String>>>,
    drained: Notify,
}

type Wake = Box<dyn FnOnce(u64) -> bool>;

impl Server {
    pub(crate) fn new(settings: Settings, queue: Arc<Queue>) -> Rc<Self> {
        Rc::new(Self {
            settings,
            slots: RefCell::new(Slots::new()),
            queue,
            swagger: RefCell::new(None),
            drained: Notify::new(),
        })
    }

    /// `init()` has returned: answer.
    pub(crate) fn ready(&self, swagger: BTreeMap<String, String>) {
        *self.swagger.borrow_mut() = Some(swagger);
    }

    /// Refuses new requests; resolves when the last one has ended.
    pub(crate) async fn drain(&self) {
        self.slots.borrow_mut().drain();
        while !self.slots.borrow().drained() {
            self.drained.notified().await;
        }
    }

    /// Serves one connection to its end.
    pub(crate) async fn connection<S: AsyncRead + AsyncWrite + Unpin>(self: Rc<Self>, stream: S) {
        let mut connection = Connection::new(stream);
        loop {
            let head = match connection.head().await {
                Ok(head) => head,
                Err(Refused::Gone) => return,
                Err(Refused::Status(status, message)) => {
                    let _ = connection.answer(&self.unrouted(status, message), false, false).await;
                    return;
                }
            };
            let started = Instant::now();
            match self.respond(&mut connection, &head).await {
                Ok((answer, keep_alive)) => {
                    let keep_alive = keep_alive && head.keep_alive;
                    if connection.answer(&answer, head.method == "HEAD", keep_alive).await.is_err() || !keep_alive {
                        return;
                    }
                    if head.path != wire::HEALTH_PATH && head.path != wire::SLOT_PATH {
                        access_log(&head, &answer, started.elapsed());
                    }
                }
                Err(Refused::Gone) => return,
                Err(Refused::Status(status, message)) => {
                    let _ = connection.answer(&self.unrouted(status, message), false, false).await;
                    return;
                }
            }
        }
    }

    async fn respond<S: AsyncRead + AsyncWrite + Unpin>(
        self: &Rc<Self>,
        connection: &mut Connection<S>,
        head: &Head,
    ) -> Result<(Answer, bool), Refused> {
        if head.path == wire::SCORE_PATH {
            return self.score(connection, head).await;
        }
        if head.path == wire::SLOT_PATH && head.method == "GET" {
            return self.slot(connection, head).await;
        }
        let answer = match (head.path.as_str(), head.method.as_str()) {
            (wire::HEALTH_PATH, "GET" | "HEAD") => self.health(),
            (wire::SWAGGER_PATH, "GET" | "HEAD") => self.swagger(head),
            (wire::HEALTH_PATH | wire::SWAGGER_PATH, _) => {
                self.unrouted(405, "The method is not allowed for the requested URL.")
            }
            _ => self.unrouted(404, "The requested URL was not found on the server."),
        };
        let answer = match head.path.as_str() {
            wire::HEALTH_PATH | wire::SWAGGER_PATH if answer.status < 405 => match self.ids(head, answer) {
                Ok(answer) | Err(answer) => answer,
            },
            _ => answer,
        };
        let keep_alive = connection.skip_body(head).await;
        Ok((answer, keep_alive))
    }

    fn health(&self) -> Answer {
        if self.swagger.borrow().is_some() {
            Answer::new(200, "text/html; charset=utf-8", "Healthy")
        } else {
            Answer::new(503, "text/html; charset=utf-8", "Starting")
        }
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
    ) -> Result<(Answer, bool), Refused> {
        let limit = number(head, wire::LIMIT).and_then(|limit| u32::try_from(limit).ok()).unwrap_or(u32::MAX);
        let patience = Duration::from_millis(number(head, wire::DEADLINE).unwrap_or(self.settings.scoring_timeout_ms));
        let (wake, mut woken) = oneshot::channel();
        let asked = self.slots.borrow_mut().ask(limit, Box::new(move |grant| wake.send(grant).is_ok()), Instant::now());
        if let Err(refusal) = asked {
            return Ok((self.refusal(refusal), true));
        }
        let grant = tokio::select! {
            grant = &mut woken => grant.ok(),
            () = tokio::time::sleep(patience) => None,
            () = connection.closed() => return Err(Refused::Gone),
        };
        let Some(grant) = grant else {
            let refusal = if self.slots.borrow().draining() { Refusal::Draining } else { Refusal::Busy };
            return Ok((self.refusal(refusal), true));
        };
        // A reservation that nobody uses must wake the next asker when it lapses.
        let server = self.clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(RESERVATION).await;
            server.slots.borrow_mut().grant(Instant::now());
        });
        Ok((self.busy(Answer::new(200, "text/plain", "")).with(wire::GRANT, grant.to_string()), true))
    }

    async fn score<S: AsyncRead + AsyncWrite + Unpin>(
        self: &Rc<Self>,
        connection: &mut Connection<S>,
        head: &Head,
    ) -> Result<(Answer, bool), Refused> {
        let ids = match self.ids(head, Answer::default()) {
            Ok(answer) => answer.headers,
            Err(answer) => return Ok((answer, connection.skip_body(head).await)),
        };
        match head.method.as_str() {
            "GET" | "POST" => {}
            "OPTIONS" => {
                let mut answer =
                    Answer::new(200, "text/html; charset=utf-8", "").with("x-ms-run-function-failed", "False");
                answer.headers.extend(ids);
                return Ok((answer, connection.skip_body(head).await));
            }
            _ => {
                let answer = self.unrouted(405, "The method is not allowed for the requested URL.");
                return Ok((answer, connection.skip_body(head).await));
            }
        }
        if self.swagger.borrow().is_none() {
            let answer = self.refusal(Refusal::Busy);
            return Ok((answer, connection.skip_body(head).await));
        }
        let limit = number(head, wire::LIMIT).and_then(|limit| u32::try_from(limit).ok());
        let taken = self.slots.borrow_mut().take(limit, number(head, wire::GRANT), Instant::now());
        if let Err(refusal) = taken {
            return Ok((self.refusal(refusal), connection.skip_body(head).await));
        }
        let mut slot = Slot(Some(self.clone()));

        if head.expects_continue {
            connection.send_continue().await?;
        }
        let body = connection.body(head.framing, self.settings.max_body).await?;
        let timeout_ms = number(head, wire::DEADLINE).unwrap_or(self.settings.scoring_timeout_ms);
        let (reply, mut replied) = oneshot::channel();
        let request_id =
            ids.iter().find(|(name, _)| name == "x-request-id").map(|(_, id)| id.clone()).unwrap_or_default();
        self.queue.push(Job {
            method: head.method.clone(),
            query: head.query.clone(),
            headers: head.headers.clone(),
            body,
            request_id,
            deadline: Instant::now() + Duration::from_millis(timeout_ms),
            reply,
        });
        let answer = match tokio::time::timeout(Duration::from_millis(timeout_ms), &mut replied).await {
            Ok(Ok(reply)) => scored(reply),
            Ok(Err(_)) => failed(500, "The scoring process ended while it ran the request."),
            Err(_) => {
                // The slot stays taken until user code has really stopped.
                let slot = slot.0.take().map(|server| Slot(Some(server)));
                tokio::task::spawn_local(async move {
                    let _ = replied.await;
                    drop(slot);
                });
                failed(500, &format!("Scoring timeout after {timeout_ms} ms"))
            }
        };
        drop(slot);
        let mut answer = self.busy(answer).with("x-ms-server-version", &self.settings.server_version);
        answer.headers.extend(ids);
        Ok((answer, true))
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

/// A taken slot; gives itself back.
struct Slot(Option<Rc<Server>>);

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(server) = self.0.take() {
            server.slots.borrow_mut().give_back(Instant::now());
            if server.slots.borrow().drained() {
                server.drained.notify_one();
            }
        }
    }
}

fn scored(reply: Reply) -> Answer {
    let mut answer = Answer { status: reply.status, headers: reply.headers, body: reply.body };
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

fn number(head: &Head, name: &str) -> Option<u64> {
    head.header(name)?.parse().ok()
}

/// One line per request, in the original's form (R§15.10).
fn access_log(head: &Head, answer: &Answer, took: Duration) {
    let query = if head.query.is_empty() { String::new() } else { format!("?{}", head.query) };
    let message = format!(
        "{} {}{query} {} {:.3}ms {}",
        head.method,
        head.path,
        answer.status,
        took.as_secs_f64() * 1000.0,
        answer.body.len()
    );
    crate::log::line('I', "azmlinfsrv", &message);
}
