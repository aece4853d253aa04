//! Worker processes: with more than one worker, this process keeps the sockets and slots, and `run()` happens in
//! children that are fed over socket pairs. A free child takes the oldest request.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serving::admin::{FailureReason, ScorerEvent};

use crate::job::{Job, Queue, Reply};

/// How long user code may ignore its time-out before its process is replaced.
const GRACE: Duration = Duration::from_secs(1);
/// Largest header of a frame in bytes.
const MAX_HEADER: usize = 16 * 1024 * 1024;
/// Most failed starts in a row before a worker gives up.
const MAX_FAILED_STARTS: u32 = 5;
/// Pause after the first failed start; doubles with each further one.
const PAUSE: Duration = Duration::from_millis(100);

/// Says how the pool stands, to the thread that waits for it.
pub(crate) enum News {
    /// A worker has run `init()`; with the Swagger documents.
    Ready(BTreeMap<String, String>),
    /// A worker cannot start.
    Failed(ScorerEvent),
}

#[derive(Serialize)]
struct Question<'a> {
    method: &'a str,
    query: &'a str,
    headers: &'a [(String, String)],
    request_id: &'a str,
    /// What is left of the time-out.
    left_ms: u64,
    timeout_ms: u64,
}

#[derive(Deserialize)]
struct Answer {
    status: u16,
    headers: Option<Vec<(String, String)>>,
    failed: bool,
    run_ms: Option<f64>,
}

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Start {
    Ready { swagger: BTreeMap<String, String> },
    Failed { reason: FailureReason, message: String, traceback: Option<String> },
}

/// Feeds one worker process until the queue closes, and replaces the process when it dies.
pub(crate) fn feed(python: &str, queue: &Arc<Queue>, news: &impl Fn(News)) {
    let mut failed_starts = 0;
    loop {
        let mut worker = match Worker::start(python) {
            Ok((worker, swagger)) => {
                failed_starts = 0;
                news(News::Ready(swagger));
                worker
            }
            Err(event) => {
                failed_starts += 1;
                if failed_starts >= MAX_FAILED_STARTS
                    || matches!(event, ScorerEvent::Failed { reason, .. } if reason != FailureReason::Crashed)
                {
                    return news(News::Failed(event));
                }
                std::thread::sleep(PAUSE * 2_u32.pow(failed_starts - 1));
                continue;
            }
        };
        loop {
            let Some(job) = queue.pop() else { return worker.end() };
            if let Err(error) = worker.run(job) {
                crate::log::line('E', &format!("A worker process ended while it ran a request: {error}"));
                worker.kill();
                break;
            }
        }
    }
}

struct Worker {
    child: Child,
    stream: UnixStream,
}

impl Worker {
    /// Starts the process and waits for its `init()`.
    fn start(python: &str) -> Result<(Self, BTreeMap<String, String>), ScorerEvent> {
        let crashed =
            |message: String| ScorerEvent::Failed { reason: FailureReason::Crashed, message, traceback: None };
        let spawned = UnixStream::pair().and_then(|(stream, theirs)| {
            let child = Command::new(python)
                .args(["-m", "azureml_scorer.worker"])
                .stdin(Stdio::from(OwnedFd::from(theirs)))
                .spawn()?;
            Ok(Self { child, stream })
        });
        let mut worker = spawned.map_err(|error| crashed(format!("a worker process cannot be started: {error}")))?;
        match worker.receive::<Start>() {
            Ok((Start::Ready { swagger }, _)) => Ok((worker, swagger)),
            Ok((Start::Failed { reason, message, traceback }, _)) => {
                worker.kill();
                Err(ScorerEvent::Failed { reason, message, traceback })
            }
            Err(error) => {
                worker.kill();
                Err(crashed(format!("a worker process ended before it was ready: {error}")))
            }
        }
    }

    /// Runs one job; an error means that the process must be replaced. The job's caller always gets an answer.
    fn run(&mut self, job: Job) -> std::io::Result<()> {
        let left = job.deadline.saturating_duration_since(Instant::now());
        let question = Question {
            method: &job.method,
            query: &job.query,
            headers: &job.headers,
            request_id: &job.request_id,
            left_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1),
            timeout_ms: job.timeout_ms,
        };
        self.stream.set_read_timeout(Some(left + GRACE))?;
        self.send(&serde_json::to_vec(&question)?, &job.body)?;
        let (answer, body) = self.receive::<Answer>()?;
        let Answer { status, headers, failed, run_ms } = answer;
        job.answer(Reply { status, headers, body, failed, run_ms });
        Ok(())
    }

    fn send(&mut self, header: &[u8], body: &[u8]) -> std::io::Result<()> {
        let mut frame = Vec::with_capacity(16 + header.len());
        frame.extend_from_slice(&(header.len() as u64).to_be_bytes());
        frame.extend_from_slice(&(body.len() as u64).to_be_bytes());
        frame.extend_from_slice(header);
        self.stream.write_all(&frame)?;
        self.stream.write_all(body)
    }

    fn receive<T: for<'de> Deserialize<'de>>(&mut self) -> std::io::Result<(T, Vec<u8>)> {
        let mut lengths = [0_u8; 16];
        self.stream.read_exact(&mut lengths)?;
        let length = |bytes: &[u8]| bytes.iter().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
        let (header, body) = (length(&lengths[..8]), length(&lengths[8..]));
        if header > MAX_HEADER {
            return Err(std::io::Error::other("a worker process sent a malformed frame"));
        }
        let mut bytes = vec![0_u8; header];
        self.stream.read_exact(&mut bytes)?;
        let mut content = Vec::new();
        (&self.stream).take(body as u64).read_to_end(&mut content)?;
        if content.len() < body {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok((serde_json::from_slice(&bytes)?, content))
    }

    /// Lets the process end by itself: its socket closes.
    fn end(mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        let _ = self.child.wait();
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
