//! One client connection: heads are read, requests answered one after the other.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use serving::error::RouterError;

use super::access::Line;
use super::answer::{self, After};
use super::auth;
use super::buffer::Buffer;
use super::call::{Call, Target};
use super::event_loop::{self, Bell, Instant, Stream, Timer};
use super::forward::{self, End};
use super::thread::Thread;
use super::{token, upload};
use crate::config::ms;
use crate::http1::{self, Framing, HeadLimits, request};

/// A client connection.
pub(super) struct Connection {
    pub(super) thread: Rc<Thread>,
    pub(super) stream: Stream,
    /// What has arrived and was not used yet.
    pub(super) buffer: Buffer,
    /// What is about to be written.
    pub(super) out: Vec<u8>,
    pub(super) timer: Timer,
    /// The memory of the last kept body, for the next one.
    spare: Vec<u8>,
    peer: SocketAddr,
}

/// What comes next on a connection.
enum Next {
    Request(Box<Call>),
    /// Not a request that can be answered; nothing after it can be understood.
    Refused(RouterError),
    Closed,
}

/// Status in the access log of a request whose caller left; never on the wire.
const CALLER_LEFT: u16 = 499;

/// Serves a connection to its end. `bell` is rung when the thread's time for unused connections has changed.
pub(super) async fn serve(thread: Rc<Thread>, stream: Stream, peer: SocketAddr, bell: Rc<Bell>) {
    let buffer = Buffer::with_capacity(super::BUFFER);
    let (out, spare, timer) = (Vec::new(), Vec::new(), Timer::new());
    let mut connection = Connection { thread, stream, buffer, out, timer, spare, peer };
    loop {
        let after = match connection.next(&bell).await {
            Next::Closed => return,
            Next::Refused(error) => {
                connection.out.clear();
                answer::refusal(&connection.thread, &error, &mut connection.out);
                let _ = connection.flush().await;
                After::Close
            }
            Next::Request(call) => match connection.respond(call).await {
                Some(after) => after,
                None => return,
            },
        };
        if after == After::Close {
            event_loop::linger(&mut connection.stream, &mut connection.buffer).await;
            return;
        }
    }
}

impl Connection {
    /// Reads the next head.
    async fn next(&mut self, bell: &Bell) -> Next {
        let (limits, times) = (&self.thread.config.limits, &self.thread.config.timeouts);
        let limits = HeadLimits { bytes: limits.head_bytes, fields: limits.headers };
        let (idle_time, head_time) = (ms(times.idle_ms), ms(times.head_ms));
        let idle = |stopping: Option<Duration>| stopping.map_or(idle_time, |kept| kept.min(idle_time));
        let stopping = self.thread.stopping.get();
        let mut deadline = Instant::now() + if self.buffer.is_empty() { idle(stopping) } else { head_time };
        loop {
            if !self.buffer.is_empty() {
                let parsed = match request::parse(&self.buffer, &mut http1::fields(), limits) {
                    Err(error) => return Next::Refused(error),
                    Ok(request) => request.map(|request| (Box::new(Call::new(&self.thread, &request)), request.length)),
                };
                if let Some((call, length)) = parsed {
                    self.buffer.advance(length);
                    return Next::Request(call);
                }
            }
            let first = self.buffer.is_empty();
            match self
                .timer
                .until(deadline, bell.unless_rung(self.stream.reader.fill(&mut self.buffer, super::BUFFER / 4)))
                .await
            {
                Ok(Some(Ok(count))) if count > 0 => {}
                Ok(None) => {
                    if first {
                        deadline = deadline.min(Instant::now() + idle(self.thread.stopping.get()));
                    }
                    continue;
                }
                Err(_) if !first => {
                    return Next::Refused(RouterError::RequestTimeout { seconds: head_time.as_secs().max(1) });
                }
                // A request that came in the same moment is answered.
                Err(_) if self.stream.reader.waiting() => {}
                _ => return Next::Closed,
            }
            if first {
                deadline = Instant::now() + head_time;
            }
        }
    }

    /// Answers a request; `None` if the connection is of no more use.
    async fn respond(&mut self, mut call: Box<Call>) -> Option<After> {
        self.out.clear();
        call.body.kept = std::mem::take(&mut self.spare);
        call.body.kept.clear();
        let after = self.dispatch(&mut call).await;
        self.spare = call.body.kept;
        after
    }

    async fn dispatch(&mut self, call: &mut Call) -> Option<After> {
        let target = std::mem::replace(&mut call.target, Ok(Target::Health));
        let (status, error, after) = match target {
            Ok(Target::Health) => {
                let after = self.after_body(call).await;
                answer::health(&self.thread, call, after, &mut self.out);
                (200, None, self.flush().await.map(|()| after))
            }
            Ok(Target::Keys) => {
                let after = self.after_body(call).await;
                answer::keys(&self.thread, call, after, &mut self.out);
                (200, None, self.flush().await.map(|()| after))
            }
            Ok(Target::Token(ask)) => match token::issue(&self.thread, &ask).await {
                Ok(issued) => {
                    let after = self.after_body(call).await;
                    answer::token(&self.thread, &issued, call, after, &mut self.out);
                    (200, None, self.flush().await.map(|()| after))
                }
                Err(error) => {
                    let error = auth::slowed(&self.thread, self.peer.ip(), error).await;
                    let (code, after) = (error.code(), self.fail(&error, call, b"").await);
                    (error.status(), Some(code), after)
                }
            },
            Err(error) => {
                let error = auth::slowed(&self.thread, self.peer.ip(), error).await;
                let (code, after) = (error.code(), self.fail(&error, call, b"").await);
                (error.status(), Some(code), after)
            }
            Ok(Target::Forward(mut route)) => {
                let end = forward::forward(self, call, &mut route).await;
                let (status, error, after) = match end {
                    End::Answered { status, after } => (status, None, Some(after)),
                    End::Broken { status } => (status, Some("response_broken"), None),
                    End::CallerLeft => (CALLER_LEFT, Some("caller_left"), None),
                    End::Failed(error) => {
                        self.out.clear();
                        let after = self.fail(&error, call, &route.version.deployment).await;
                        (error.status(), Some(error.code()), after)
                    }
                };
                let latency = micros(call.arrival);
                if status != CALLER_LEFT {
                    route.version.gate.counters.answered(status, latency);
                }
                self.log(call, status, error, (&route.service.name, &route.version.name));
                return after;
            }
        };
        self.log(call, status, error, ("", ""));
        after
    }

    /// Writes the answer to a failed request; `None` if the caller is gone.
    async fn fail(&mut self, error: &RouterError, call: &mut Call, deployment: &[u8]) -> Option<After> {
        let after = if error.closes_connection() { After::Close } else { self.after_body(call).await };
        answer::failure(&self.thread, error, call, deployment, after, &mut self.out);
        self.flush().await.map(|()| after)
    }

    /// Drops what is left of a small body, so that the connection can be kept.
    async fn after_body(&mut self, call: &mut Call) -> After {
        if !call.keep_alive {
            return After::Close;
        }
        if call.body.decoder.done() {
            return self.after();
        }
        let small = match call.body.framing {
            Framing::Sized(length) => length <= self.thread.config.limits.kept_body_bytes as u64,
            _ => true,
        };
        // A caller that waits for the invitation may never send its body.
        if call.expects_continue || !small {
            return After::Close;
        }
        match upload::gather(self, call).await {
            Ok(()) if call.body.decoder.done() => self.after(),
            _ => After::Close,
        }
    }

    /// Whether the connection is kept after a complete request. A stopping thread says that it is not, but for requests
    /// that have arrived already.
    pub(super) fn after(&self) -> After {
        if self.thread.stopping.get().is_none() || !self.buffer.is_empty() || self.stream.reader.waiting() {
            After::Keep
        } else {
            After::Close
        }
    }

    /// Writes what was composed; `None` if the caller is gone.
    pub(super) async fn flush(&mut self) -> Option<()> {
        let deadline = Instant::now() + ms(self.thread.config.timeouts.body_ms);
        self.timer.until(deadline, self.stream.writer.write(&self.out)).await.ok()?.ok()
    }

    fn log(&self, call: &Call, status: u16, error: Option<&'static str>, (service, version): (&str, &str)) {
        let mut log = self.thread.log.borrow_mut();
        if !log.enabled() {
            return;
        }
        log.add(&Line {
            time: &self.thread.stamp(),
            peer: self.peer,
            method: call.method.name(),
            path: &call.path,
            status,
            error,
            service,
            version,
            replica: &call.facts.replica,
            queue_us: call.facts.queue_us,
            total_us: micros(call.arrival),
            attempts: call.facts.attempts,
            received: call.body.received,
            sent: call.facts.sent,
            request_id: &call.ids.request,
        });
    }
}

/// Microseconds since then.
pub(super) fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
