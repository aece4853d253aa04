//! Worker processes: with more than one worker, this process keeps the sockets and slots, and `run()` happens in
//! children that are fed over socket pairs. A free child takes the oldest request.

use std::io;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serving::admin::{FailureReason, ScorerEvent};
use tokio::io::AsyncWriteExt as _;

use crate::batch::Gather;
use crate::call::{Call, Job};
use crate::control::RING;
use crate::frame::{self, Question, Said};
use crate::process::{self, Limits, Process, Started, Starter};
use crate::server::Server;

/// How long user code may ignore its time-out before its process is replaced.
const GRACE: Duration = Duration::from_secs(1);
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

/// Feeds one worker process until the queue closes, and replaces the process when it dies or outgrows its limits.
pub(crate) async fn feed(starter: Arc<Starter>, limits: Limits, server: Arc<Server>, news: mpsc::Sender<News>) {
    let tell = |event| {
        // The main thread goes when one worker has failed; then nobody has to know of the others.
        let _ = news.send(event);
    };
    let mut failed_starts = 0;
    loop {
        let (mut process, mut gather) = match Process::start(&starter).await {
            Ok((process, script)) => {
                failed_starts = 0;
                let gather = script.batch.map(Gather::new);
                tell(News::Ready(script));
                (process, gather)
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
            let Some(job) = taken(&server, &mut process).await else { return process.end().await };
            let Some(job) = job else {
                crate::log::line('E', "A worker process ended between two requests");
                process.kill().await;
                break;
            };
            if let Err(error) = run_all(&mut process, job, &mut gather, &server, limits).await {
                crate::log::line('E', &format!("A worker process is replaced, with the request that it ran: {error}"));
                process.kill().await;
                break;
            }
            if limits.outgrown(process.pid) {
                crate::log::line('W', "A worker process holds more memory than it may, and is replaced");
                // It is idle, and may have collected rows to write.
                process.end().await;
                break;
            }
        }
    }
}

/// Runs a job, with those that come with it where `run` takes a list.
async fn run_all(
    process: &mut Process,
    job: Job,
    gather: &mut Option<Gather>,
    server: &Server,
    limits: Limits,
) -> io::Result<()> {
    let mut jobs = vec![job];
    let Some(gather) = gather else { return run(process, jobs, server, limits).await };
    let others = gather.fill(&server.queue, &mut jobs).await;
    let (size, started) = (jobs.len(), Instant::now());
    run(process, jobs, server, limits).await?;
    gather.note(size, started.elapsed());
    for job in others {
        run(process, vec![job], server, limits).await?;
    }
    Ok(())
}

/// The next job; `None` when the queue has closed, and no job when the process has ended before one came.
async fn taken(server: &Server, process: &mut Process) -> Option<Option<Job>> {
    tokio::select! {
        biased;
        () = ended(process) => Some(None),
        job = server.queue.taken() => job.map(Some),
    }
}

/// Resolves when a process that has nothing to do has ended: only that can be read then.
async fn ended(process: &mut Process) {
    let stream = process.stream.get_mut();
    while stream.readable().await.is_ok() {
        if !matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            return;
        }
    }
}

/// Runs one job, or the rows of a batch; an error means that the process must be replaced. The callers always get answers.
async fn run(process: &mut Process, mut jobs: Vec<Job>, server: &Server, limits: Limits) -> io::Result<()> {
    jobs.retain(Job::is_due);
    let Some(deadline) = jobs.iter().map(|job| job.call.deadline).max() else { return Ok(()) };
    let pid = process.pid;
    let exchange = async {
        for (row, job) in (0..jobs.len() as u64).rev().zip(&mut jobs) {
            job.id = row;
            let (frame, joined) = frame::frame(row, &question(&job.call), &job.body)?;
            process.stream.get_mut().write_all(&frame).await?;
            process.stream.get_mut().write_all(&job.body[joined..]).await?;
        }
        answered(process, &mut jobs).await
    };
    let ran = tokio::select! {
        answered = exchange => answered,
        error = stopped(pid, deadline) => Err(error),
        error = limits.exceeded(pid) => Err(error),
    };
    server.deliver();
    ran
}

fn question(call: &Call) -> Question {
    let left = call.deadline.saturating_duration_since(Instant::now());
    Question {
        kind: call.kind,
        method: call.head.method().to_owned(),
        path: call.head.path().to_owned(),
        query: call.head.query().to_owned(),
        headers: call.head.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        request_id: call.request_id.clone(),
        left_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1),
        timeout_ms: call.timeout_ms,
    }
}

/// Passes on what the process answers, until every job has its answer.
async fn answered(process: &mut Process, jobs: &mut Vec<Job>) -> io::Result<()> {
    while !jobs.is_empty() {
        let (row, said, body) = process::receive::<Said>(&mut process.stream).await?;
        let place = jobs.iter().position(|job| job.id == row);
        let place = place.ok_or_else(|| io::Error::other("it answered a request that it does not have"))?;
        let job = &mut jobs[place];
        match &said {
            Said::Answer(reply) => job.answer(reply, &body),
            Said::Begin(reply) => drop(job.begin(reply)),
            Said::Piece => drop(job.send_whole(&body).await),
            Said::End { whole } => job.end(*whole),
        }
        if matches!(said, Said::Answer(_) | Said::End { .. }) {
            jobs.remove(place);
        }
    }
    Ok(())
}

/// Stops user code in a process at its deadline; resolves when it did not stop.
async fn stopped(pid: Pid, deadline: Instant) -> io::Error {
    tokio::time::sleep_until(deadline.into()).await;
    let until = Instant::now() + GRACE;
    while Instant::now() < until {
        // Again and again: an alarm in the moment before the request begins is not taken for the request's.
        let _ = rustix::process::kill_process(pid, Signal::ALARM);
        tokio::time::sleep(RING).await;
    }
    io::Error::other("run() did not stop at its time-out")
}
