//! Worker processes: with more than one worker, this process keeps the sockets and slots, and `run()` happens in
//! children that are fed over socket pairs. A free child takes the oldest request.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serving::admin::{FailureReason, ScorerEvent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use crate::call::Job;
use crate::frame::{self, MAX_HEADER, Question, Said};
use crate::server::Server;

/// How long user code may ignore its time-out before its process is replaced.
const GRACE: Duration = Duration::from_secs(1);
/// Pause between two alarms for a `run()` that is beyond its time-out.
const RING: Duration = Duration::from_millis(20);
/// Most failed starts in a row before a worker gives up.
const MAX_FAILED_STARTS: u32 = 5;
/// Pause after the first failed start; doubles with each further one.
const PAUSE: Duration = Duration::from_millis(100);

/// Says how the pool stands, to the thread that waits for it.
pub(crate) enum News {
    /// A worker has run `init()`.
    Ready(Started),
    /// A worker cannot start.
    Failed(ScorerEvent),
}

/// What a worker knows of its script.
#[derive(Debug, Deserialize)]
pub(crate) struct Started {
    /// Swagger documents by version.
    pub(crate) swagger: BTreeMap<String, String>,
    /// Every method of the scoring route is the script's to answer.
    pub(crate) raw: bool,
    /// The model, as the Open Inference Protocol describes it.
    pub(crate) v2: crate::v2::Documents,
}

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Start {
    Ready(Started),
    Failed { reason: FailureReason, message: String, traceback: Option<String> },
}

/// Feeds one worker process until the queue closes, and replaces the process when it dies.
pub(crate) async fn feed(python: String, server: Arc<Server>, news: mpsc::Sender<News>) {
    let tell = |event| {
        // The main thread goes when one worker has failed; then nobody has to know of the others.
        let _ = news.send(event);
    };
    let mut failed_starts = 0;
    loop {
        let mut worker = match Worker::start(&python).await {
            Ok((worker, started)) => {
                failed_starts = 0;
                tell(News::Ready(started));
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
            let Some(job) = server.queue.taken().await else { return worker.end().await };
            let ran = worker.run(job).await;
            server.deliver();
            if let Err(error) = ran {
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
    async fn start(python: &str) -> Result<(Self, Started), ScorerEvent> {
        let crashed =
            |message: String| ScorerEvent::Failed { reason: FailureReason::Crashed, message, traceback: None };
        let python = python.to_owned();
        let mut worker = match apart(move || Self::spawn(&python)).await.and_then(Self::new) {
            Ok(worker) => worker,
            Err(error) => return Err(crashed(format!("a worker process cannot be started: {error}"))),
        };
        match worker.receive::<Start>().await {
            Ok((Start::Ready(started), _)) => Ok((worker, started)),
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
    async fn run(&mut self, mut job: Job) -> io::Result<()> {
        let call = job.call.clone();
        let left = call.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || call.answered() {
            return Ok(());
        }
        let headers = call.head.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let question = Question {
            kind: call.kind,
            method: call.head.method().to_owned(),
            path: call.head.path().to_owned(),
            query: call.head.query().to_owned(),
            headers,
            request_id: call.request_id.clone(),
            left_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1),
            timeout_ms: call.timeout_ms,
        };
        let (pid, deadline) = (self.child.id(), call.deadline);
        let exchange = async {
            let (frame, joined) = frame::frame(&question, &job.body)?;
            self.stream.get_mut().write_all(&frame).await?;
            self.stream.get_mut().write_all(&job.body[joined..]).await?;
            self.answered(&mut job).await
        };
        tokio::select! {
            answered = exchange => answered,
            error = stopped(pid, deadline) => Err(error),
        }
    }

    /// Passes on what the process answers.
    async fn answered(&mut self, job: &mut Job) -> io::Result<()> {
        loop {
            let (said, body) = self.receive::<Said>().await?;
            match said {
                Said::Answer(reply) => {
                    job.answer(&reply, &body);
                    return Ok(());
                }
                Said::Begin(reply) => drop(job.begin(&reply)),
                Said::Piece => drop(job.send_whole(&body).await),
                Said::End { whole } => {
                    job.end(whole);
                    return Ok(());
                }
            }
        }
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

/// Stops user code in a process at its deadline; resolves when it did not stop.
async fn stopped(pid: u32, deadline: Instant) -> io::Error {
    tokio::time::sleep_until(deadline.into()).await;
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let until = Instant::now() + GRACE;
    while let Some(pid) = pid
        && Instant::now() < until
    {
        // Again and again: an alarm in the moment before the request begins is not taken for the request's.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::ALARM);
        tokio::time::sleep(RING).await;
    }
    io::Error::other("run() did not stop at its time-out")
}

/// Does what blocks on another thread.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
