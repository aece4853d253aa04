//! Worker processes: with more than one worker, this process keeps the sockets and slots, and `run()` happens in
//! children that are fed over socket pairs. A free child takes the oldest request.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serving::admin::{FailureReason, ScorerEvent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use crate::job::{Job, Queue, Reply};

/// How long user code may ignore its time-out before its process is replaced.
const GRACE: Duration = Duration::from_secs(1);
/// Largest header of a frame in bytes.
const MAX_HEADER: u64 = 16 * 1024 * 1024;
/// Bodies up to this size are copied behind their header: one piece wakes the process once.
const JOINED: usize = 64 * 1024;
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

/// Feeds one worker process until the queue closes, and replaces the process when it dies. A task of the IO thread, so
/// that a request and its answer cross no thread on their way between the router and the process.
pub(crate) async fn feed(python: String, queue: Arc<Queue>, news: mpsc::Sender<News>) {
    let tell = |event| {
        // The main thread goes when one worker has failed; then nobody has to know of the others.
        let _ = news.send(event);
    };
    let mut failed_starts = 0;
    loop {
        let mut worker = match Worker::start(&python).await {
            Ok((worker, swagger)) => {
                failed_starts = 0;
                tell(News::Ready(swagger));
                worker
            }
            Err(event) => {
                failed_starts += 1;
                if failed_starts >= MAX_FAILED_STARTS
                    || matches!(event, ScorerEvent::Failed { reason, .. } if reason != FailureReason::Crashed)
                {
                    return tell(News::Failed(event));
                }
                tokio::time::sleep(PAUSE * 2_u32.pow(failed_starts - 1)).await;
                continue;
            }
        };
        loop {
            let Some(job) = queue.taken().await else { return worker.end().await };
            if let Err(error) = worker.run(job).await {
                crate::log::line('E', &format!("A worker process ended while it ran a request: {error}"));
                worker.kill().await;
                break;
            }
        }
    }
}

struct Worker {
    child: Child,
    stream: BufReader<UnixStream>,
}

impl Worker {
    /// Starts the process and waits for its `init()`.
    async fn start(python: &str) -> Result<(Self, BTreeMap<String, String>), ScorerEvent> {
        let crashed =
            |message: String| ScorerEvent::Failed { reason: FailureReason::Crashed, message, traceback: None };
        let python = python.to_owned();
        let mut worker = match apart(move || Self::spawn(&python)).await.and_then(Self::new) {
            Ok(worker) => worker,
            Err(error) => return Err(crashed(format!("a worker process cannot be started: {error}"))),
        };
        match worker.receive::<Start>().await {
            Ok((Start::Ready { swagger }, _)) => Ok((worker, swagger)),
            Ok((Start::Failed { reason, message, traceback }, _)) => {
                worker.kill().await;
                Err(ScorerEvent::Failed { reason, message, traceback })
            }
            Err(error) => {
                worker.kill().await;
                Err(crashed(format!("a worker process ended before it was ready: {error}")))
            }
        }
    }

    fn spawn(python: &str) -> io::Result<(Child, std::os::unix::net::UnixStream)> {
        let (stream, theirs) = std::os::unix::net::UnixStream::pair()?;
        stream.set_nonblocking(true)?;
        let mut command = Command::new(python);
        let child = command.args(["-m", "azureml_scorer.worker"]).stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
        Ok((child, stream))
    }

    fn new((child, stream): (Child, std::os::unix::net::UnixStream)) -> io::Result<Self> {
        Ok(Self { child, stream: BufReader::new(UnixStream::from_std(stream)?) })
    }

    /// Runs one job; an error means that the process must be replaced. The job's caller always gets an answer.
    async fn run(&mut self, job: Job) -> io::Result<()> {
        let left = job.deadline.saturating_duration_since(Instant::now());
        let question = Question {
            method: &job.method,
            query: &job.query,
            headers: &job.headers,
            request_id: &job.request_id,
            left_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1),
            timeout_ms: job.timeout_ms,
        };
        let question = serde_json::to_vec(&question)?;
        let exchange = async {
            self.send(&question, &job.body).await?;
            self.receive::<Answer>().await
        };
        let (answer, body) = tokio::time::timeout(left + GRACE, exchange).await??;
        let Answer { status, headers, failed, run_ms } = answer;
        job.answer(Reply { status, headers, body, failed, run_ms });
        Ok(())
    }

    async fn send(&mut self, header: &[u8], body: &[u8]) -> io::Result<()> {
        let joined = if body.len() <= JOINED { body } else { b"" };
        let mut frame = Vec::with_capacity(16 + header.len() + joined.len());
        frame.extend_from_slice(&(header.len() as u64).to_be_bytes());
        frame.extend_from_slice(&(body.len() as u64).to_be_bytes());
        frame.extend_from_slice(header);
        frame.extend_from_slice(joined);
        self.stream.get_mut().write_all(&frame).await?;
        self.stream.get_mut().write_all(&body[joined.len()..]).await
    }

    async fn receive<T: for<'de> Deserialize<'de>>(&mut self) -> io::Result<(T, Vec<u8>)> {
        let (header, body) = (self.stream.read_u64().await?, self.stream.read_u64().await?);
        if header > MAX_HEADER {
            return Err(io::Error::other("a worker process sent a malformed frame"));
        }
        let bytes = self.part(header).await?;
        let content = self.part(body).await?;
        Ok((serde_json::from_slice(&bytes)?, content))
    }

    /// Grows with what arrives, whatever length was announced.
    async fn part(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&mut self.stream).take(length).read_to_end(&mut bytes).await?;
        if (bytes.len() as u64) < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
    }

    /// Lets the process end by itself: its socket closes.
    async fn end(self) {
        let Self { mut child, stream } = self;
        drop(stream);
        let _ = apart(move || child.wait()).await;
    }

    async fn kill(self) {
        let mut child = self.child;
        let _ = apart(move || child.kill().and_then(|()| child.wait())).await;
    }
}

/// Does what blocks on another thread.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
