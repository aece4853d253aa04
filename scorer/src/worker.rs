//! A worker process: runs user code for a parent that owns sockets and slots.

use std::os::fd::IntoRawFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::call::{Call, Job, To};
use crate::control;
use crate::core::keep_memory;
use crate::frame::{Parent, Question};
use crate::head::Head;
use crate::listen::adopt;
use crate::request::Request;
use crate::serve::Script;

/// The worker's end of the socket to its parent.
#[pyclass(module = "azureml_scorer._core")]
pub(crate) struct Worker {
    parent: Arc<Parent>,
    ended: AtomicBool,
}

#[pymethods]
impl Worker {
    /// Takes over the socket `fd`. The process ends when its other end closes, whatever user code does.
    #[new]
    fn new(fd: i32) -> PyResult<Self> {
        keep_memory();
        crate::log::start()?;
        let stream = UnixStream::from(adopt(fd));
        control::die_with_parent(stream.try_clone()?.into())?;
        Ok(Self { parent: Arc::new(Parent::new(stream)), ended: AtomicBool::new(false) })
    }

    /// Gives requests to a `Script` until the parent closes the socket. The parent gathers those that `run` takes as a
    /// list where there is a `batch`.
    #[pyo3(signature = (script, batch=None))]
    fn serve(&self, py: Python<'_>, script: &Bound<'_, PyAny>, batch: Option<(usize, f64)>) -> PyResult<()> {
        let functions = Script::new(script)?;
        let run_batch = batch.map(|_| script.getattr("run_batch")).transpose()?;
        while let Some(job) = py.detach(|| self.next()) {
            match &run_batch {
                Some(run) if job.is_plain() => {
                    let mut jobs = vec![job];
                    while jobs.last().is_some_and(|job| job.id > 0) {
                        let Some(job) = py.detach(|| self.next()) else { return Ok(()) };
                        jobs.push(job);
                    }
                    functions.run_batch(py, run, jobs)?;
                }
                _ => functions.run(py, job)?,
            }
        }
        Ok(())
    }

    /// As the bell of a core; here it is the socket itself.
    fn bell(&self) -> PyResult<(i32, bool)> {
        Ok((self.parent.duplicate()?.into_raw_fd(), false))
    }

    /// The next request if one waits.
    fn try_next(&self, py: Python<'_>) -> Option<Request> {
        if self.ended() || !self.parent.readable() {
            return None;
        }
        let job = py.detach(|| self.next());
        self.ended.store(job.is_none(), Ordering::Relaxed);
        job.map(|job| Request::new(job, None))
    }

    /// The parent has closed the socket.
    fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Sends a JSON document about the start.
    fn say(&self, document: &str) -> PyResult<()> {
        Ok(self.parent.say(document)?)
    }

    /// Writes what was collected and the log lines that wait; the last thing before the process ends.
    #[allow(clippy::unused_self, reason = "Python finds it where the rest is")]
    fn flush(&self, py: Python<'_>) {
        py.detach(|| {
            crate::collect::close();
            crate::log::flush();
        });
    }
}

impl Worker {
    fn next(&self) -> Option<Job> {
        let (row, question, body) = self.parent.next()?;
        let Question { kind, method, path, query, headers, request_id, left_ms, timeout_ms } = question;
        let room = headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() + 256;
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let head = Head::new(&method, &path, &query, headers, room);
        let arrived = Instant::now();
        let times = (arrived, arrived + Duration::from_millis(left_ms), timeout_ms);
        let call = Arc::new(Call::new(kind, head, request_id, times));
        Some(Job::new(row, call, body, To::Parent(self.parent.clone())))
    }
}
