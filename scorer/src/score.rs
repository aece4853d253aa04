//! The routes on which user code is asked, and the question for a slot.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serving::wire;
use tokio::sync::oneshot;

use crate::call::{Call, Job, Kind, Reply, To};
use crate::connection::Connection;
use crate::control::RING;
use crate::decode;
use crate::head::{Framing, Head, Refused, TOO_LARGE};
use crate::http_reply::{HttpReply, Sent};
use crate::ids;
use crate::server::{Answer, HTML, Next, REFUSED_NOW, Server, Slot};
use crate::slots::{RESERVATION, Refusal};

/// Longest time-out in milliseconds, a week: longer ones are cut, so that no clock overflows.
const MAX_TIMEOUT_MS: u64 = 604_800_000;
/// Exit code of a process whose user code does not stop at its time-out.
const STUCK: i32 = 4;

impl Server {
    /// Long poll for a slot.
    pub(crate) async fn slot(self: &Arc<Self>, connection: &mut Connection, head: &Head) -> Result<Answer, Refused> {
        let limit = limit(head)?.unwrap_or(u32::MAX);
        let patience = Duration::from_millis(number(head, wire::DEADLINE)?.unwrap_or(self.settings.scoring_timeout_ms));
        let (wake, mut woken) = oneshot::channel();
        let server = self.clone();
        let runtime = tokio::runtime::Handle::current();
        let wake = move |grant| {
            if wake.send(grant).is_err() {
                return false;
            }
            // A reservation that nobody uses must wake the next asker when it lapses, also if this one has gone.
            runtime.spawn(async move {
                tokio::time::sleep(RESERVATION).await;
                server.slots().grant(Instant::now());
            });
            true
        };
        let asked = self.slots().ask(limit, Box::new(wake), Instant::now());
        let ticket = match asked {
            Ok(ticket) => ticket,
            Err(refusal) => return Ok(self.refusal(Kind::Score, refusal)),
        };
        let _asker = Asker { server: self, ticket };
        let grant = tokio::select! {
            biased;
            grant = &mut woken => grant.ok(),
            () = tokio::time::sleep(patience) => None,
            () = connection.closed() => return Err(Refused::Gone),
        };
        let Some(grant) = grant else {
            let refusal = if self.slots().draining() { Refusal::Draining } else { Refusal::Busy };
            return Ok(self.refusal(Kind::Score, refusal));
        };
        Ok(self.busy(Answer::new(200, "text/plain", "")).with(wire::GRANT, grant.to_string()))
    }

    /// The scoring route.
    pub(crate) async fn score(self: &Arc<Self>, connection: &mut Connection, head: Head) -> Result<Next, Refused> {
        let raw = self.ready().is_some_and(|ready| ready.raw);
        let answer = match head.method() {
            "GET" | "POST" => None,
            "OPTIONS" | "HEAD" if raw => None,
            "OPTIONS" => Some(self.routed(&head, Answer::new(200, HTML, ""))),
            _ => {
                let answer =
                    Answer::error(Kind::Score, 405, "The method is not allowed for the requested URL.").flag(false);
                Some(answer.with("allow", "GET, POST, OPTIONS"))
            }
        };
        match answer {
            Some(answer) => self.send(connection, head, answer).await,
            None => self.ask(Kind::Score, connection, head).await,
        }
    }

    /// Hands a request to user code and waits for its answer or its time-out, which counts from the request's arrival.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        kind: Kind,
        connection: &mut Connection,
        mut head: Head,
    ) -> Result<Next, Refused> {
        if let Some(refusal) = self.too_long(kind, &head) {
            return self.send(connection, head, refusal).await;
        }
        if matches!(head.framing, Framing::Sized(length) if length > self.settings.max_body) {
            let answer = self.routed(&head, Answer::error(kind, 413, "The request body is too large."));
            return self.send(connection, head, answer).await;
        }
        let taken = if self.ready().is_none() {
            Err(Refusal::Busy)
        } else {
            // A caller that is no router knows no limit.
            let limit = limit(&head)?.unwrap_or(self.settings.max_requests);
            self.slots().take(Some(limit), number(&head, wire::GRANT)?, Instant::now())
        };
        if let Err(refusal) = taken {
            let answer = self.refusal(kind, refusal);
            return self.send(connection, head, answer).await;
        }
        let slot = Slot(self.clone());
        let arrived = Instant::now();
        let timeout_ms = number(&head, wire::DEADLINE)?.unwrap_or(self.settings.scoring_timeout_ms);
        let deadline = arrived + Duration::from_millis(timeout_ms.min(MAX_TIMEOUT_MS));
        if head.expects_continue {
            connection.send_continue().await?;
        }
        let mut body = connection.body(head.framing, self.settings.max_body).await?;
        head.body_read();
        if self.settings.strict {
            // Forms reach a script without decorators as the empty string, as in the original.
            if self.ready().is_some_and(|ready| !ready.raw) && is_form(&head) {
                body = Vec::new();
            }
        } else if let Some(coding) = head.header("content-encoding") {
            match decode::decoded(coding, body, self.settings.max_body).await {
                Ok(decoded) => body = decoded,
                Err(decode::Error::TooLarge) => return Err(TOO_LARGE),
                Err(decode::Error::Unknown) => {
                    let answer =
                        Answer::error(kind, 415, "The request's content coding is not known; gzip and deflate are.");
                    let answer = self.routed(&head, answer);
                    return self.send(connection, head, answer).await;
                }
                Err(decode::Error::Malformed) => {
                    let answer = Answer::error(kind, 400, "The request body does not have its content coding.");
                    let answer = self.routed(&head, answer);
                    return self.send(connection, head, answer).await;
                }
            }
        }
        let request_id = head.header(ids::REQUEST).map_or_else(|| self.generator.next(), str::to_owned);
        let call = Arc::new(Call::new(kind, head, request_id, (arrived, deadline, timeout_ms)));
        let (done, answered) = oneshot::channel();
        let id = self.next_job();
        let reply = HttpReply::new(self.clone(), connection.socket.clone(), done, slot);
        self.queue.push(Job::new(id, call.clone(), body, To::Http(reply)));
        let keep_alive = call.head.keep_alive;
        let sent = self.answered(connection, id, &call, answered).await;
        match sent {
            Some(Sent::Whole(rest)) if rest.is_empty() => {}
            Some(Sent::Whole(rest)) => connection.write(&rest).await?,
            Some(Sent::Broken) | None => return Err(Refused::Gone),
        }
        Ok(if keep_alive { Next::Request } else { Next::Close })
    }

    /// Waits for the answer; at the time-out, the connection answers for user code that still runs.
    async fn answered(
        self: &Arc<Self>,
        connection: &mut Connection,
        id: u64,
        call: &Arc<Call>,
        mut answered: oneshot::Receiver<Sent>,
    ) -> Option<Sent> {
        if let Ok(sent) = connection.timer.until(Some(call.deadline), &mut answered).await {
            return sent.ok();
        }
        if !call.claim() {
            // The answer is on its way, in pieces perhaps.
            return self.clone().overdue(answered).await;
        }
        if !self.queue.withdraw(id) {
            let server = self.clone();
            tokio::spawn(async move { drop(server.overdue(answered).await) });
        }
        let status = if self.settings.strict { 500 } else { 504 };
        let (reply, body) = Reply::error(call.kind, status, &format!("Scoring timeout after {} ms", call.timeout_ms));
        let mut out = Vec::with_capacity(512);
        self.encode(&mut out, call, &reply, crate::encode::Length::Known(body.len()));
        out.extend_from_slice(&body);
        self.log(call, status, Some(body.len()));
        Some(Sent::Whole(out))
    }

    /// Stops user code that is beyond its time-out, and ends the process when it does not stop: whoever started it starts
    /// it anew. The request's slot is taken until then.
    async fn overdue(self: Arc<Self>, mut answered: oneshot::Receiver<Sent>) -> Option<Sent> {
        let Some(grace) = self.settings.grace else { return answered.await.ok() };
        // Again and again: an alarm in the moment before Python begins the request is not taken for the request's.
        let ringing = async {
            loop {
                self.settings.alarm.ring();
                tokio::time::sleep(RING).await;
            }
        };
        tokio::select! {
            sent = &mut answered => sent.ok(),
            () = ringing => None,
            () = tokio::time::sleep(grace) => {
                crate::log::line('E', "run() does not stop at its time-out; the process ends so that another takes its place");
                self.give_back();
                crate::control::exit_now(STUCK);
            }
        }
    }

    /// Refuses what waits, so that it can be repeated elsewhere: this process ends.
    pub(crate) fn give_back(&self) {
        self.slots().drain();
        while let Some(mut job) = self.queue.try_pop() {
            let (mut reply, body) = Reply::error(job.call.kind, 503, REFUSED_NOW);
            let headers = [("content-type", crate::server::JSON), (wire::REFUSED, Refusal::Draining.name())];
            reply.headers = Some(headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
            reply.failed = false;
            job.answer(&reply, &body);
        }
    }
}

/// An asker for a slot; withdraws its question when it stops waiting.
struct Asker<'a> {
    server: &'a Server,
    ticket: u64,
}

impl Drop for Asker<'_> {
    fn drop(&mut self) {
        self.server.slots().withdraw(self.ticket);
    }
}

fn is_form(head: &Head) -> bool {
    head.header("content-type").is_some_and(|kind| {
        ["application/x-www-form-urlencoded", "multipart/form-data"]
            .iter()
            .any(|form| kind.get(..form.len()).is_some_and(|start| start.eq_ignore_ascii_case(form)))
    })
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
