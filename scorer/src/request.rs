//! One request, as Python sees it.

use std::sync::Arc;
use std::time::Instant;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyMemoryView, PyString, PyTuple};

use crate::call::{Call, Job, Reply, To};
use crate::running;

/// Bytes of a streamed answer that may wait for their peer before the stream stops to look for more.
const MOST_KEPT: usize = 256 * 1024;

/// One request. It is answered by `reply` or `stream`, or by `begin`, `send` and `end`; a second answer is ignored.
#[pyclass(module = "azureml_scorer._core")]
pub(crate) struct Request {
    call: Arc<Call>,
    job: Option<Job>,
    run_ms: Option<f64>,
}

impl Request {
    pub(crate) fn new(job: Job, run_ms: Option<f64>) -> Self {
        Self { call: job.call.clone(), job: Some(job), run_ms }
    }

    /// The job, for whoever makes sure that it is answered and its slot given back.
    pub(crate) fn take(&mut self) -> Option<Job> {
        self.job.take()
    }

    fn begun(&self, status: u16, headers: Vec<(String, String)>, failed: bool) -> Reply {
        Reply { status, headers: Some(headers), failed, run_ms: self.run_ms }
    }
}

#[pymethods]
impl Request {
    /// `score`, or `infer` for the Open Inference Protocol.
    #[getter]
    fn kind(&self) -> &'static str {
        self.call.kind.name()
    }

    #[getter]
    fn method(&self) -> &str {
        self.call.head.method()
    }

    #[getter]
    fn path(&self) -> &str {
        self.call.head.path()
    }

    #[getter]
    fn query(&self) -> &str {
        self.call.head.query()
    }

    #[getter]
    fn request_id(&self) -> &str {
        &self.call.request_id
    }

    /// The caller's address; empty where there is none.
    #[getter]
    fn peer(&self) -> String {
        match self.job.as_ref().map(|job| &job.to) {
            Some(To::Http(http)) => http.peer(),
            _ => String::new(),
        }
    }

    /// Milliseconds of the time-out that the deadline comes from.
    #[getter]
    fn timeout_ms(&self) -> u64 {
        self.call.timeout_ms
    }

    /// Seconds until the deadline; not negative.
    #[getter]
    fn seconds_left(&self) -> f64 {
        self.call.deadline.saturating_duration_since(Instant::now()).as_secs_f64()
    }

    /// Header names and values in the order of arrival.
    fn headers(&self) -> Vec<(&str, &str)> {
        self.call.head.headers().collect()
    }

    /// First value of a header, whatever the case of its name.
    fn header(&self, name: &str) -> Option<&str> {
        self.call.head.header(name)
    }

    /// The body.
    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.job.as_ref().map_or(&[], |job| &job.body))
    }

    /// The body as text; raises `UnicodeDecodeError` when it is not UTF-8.
    #[getter]
    fn text<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        PyString::from_bytes(py, self.job.as_ref().map_or(&[], |job| &job.body))
    }

    /// Runs user code under the request's deadline, and measures it.
    #[pyo3(signature = (function, args, kwargs=None))]
    fn call<'py>(
        slf: &Bound<'py, Self>,
        function: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let deadline = slf.borrow().call.deadline;
        let started = Instant::now();
        let value = {
            let _armed = running::arm(deadline);
            function.call(args, kwargs)?
        };
        slf.borrow_mut().run_ms = Some(started.elapsed().as_secs_f64() * 1000.0);
        Ok(value)
    }

    /// States how long user code ran, for callers that do not use `call`.
    fn ran(&mut self, seconds: f64) {
        self.run_ms = Some(seconds * 1000.0);
    }

    /// Answers. Without headers, the body is JSON.
    fn reply(
        &mut self,
        status: u16,
        headers: Option<Vec<(String, String)>>,
        body: &Bound<'_, PyAny>,
        failed: bool,
    ) -> PyResult<()> {
        let reply = Reply { status, headers, failed, run_ms: self.run_ms };
        if let Some(mut job) = self.job.take() {
            with_bytes(body, |body| job.answer(&reply, body))?;
        }
        Ok(())
    }

    /// Sends what the iterator yields, `bytes` or `str`, as it comes. A caller that goes away closes the iterator; an
    /// exception of the iterator ends the connection before the body is whole, and is raised.
    fn stream(
        slf: &Bound<'_, Self>,
        status: u16,
        headers: Vec<(String, String)>,
        iterator: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        let (deadline, job) = {
            let mut request = slf.borrow_mut();
            let reply = request.begun(status, headers, status >= 500);
            let Some(mut job) = request.job.take() else { return Ok(()) };
            if !job.begin(&reply) {
                return Ok(());
            }
            (request.call.deadline, job)
        };
        let mut job = job;
        let sent = (|| {
            let pieces = iterator.try_iter()?;
            let mut pieces = pieces.into_iter();
            loop {
                let piece = {
                    let _armed = running::arm(deadline);
                    pieces.next()
                };
                let Some(piece) = piece else { return Ok(true) };
                let piece = piece?;
                let kept = with_bytes(&piece, |piece| match job.to {
                    // The parent may take its time.
                    To::Parent(_) => py.detach(|| job.send(piece)),
                    To::Http(_) => job.send(piece),
                })?;
                let wanted = match kept {
                    None => false,
                    Some(kept) if kept > MOST_KEPT => py.detach(|| job.drain()),
                    Some(_) => true,
                };
                if !wanted || Instant::now() >= deadline {
                    return Ok(false);
                }
            }
        })();
        job.end(matches!(sent, Ok(true)));
        if !matches!(sent, Ok(true)) && iterator.hasattr("close")? {
            let _ = iterator.call_method0("close");
        }
        sent.map(drop)
    }

    /// Begins an answer whose body is sent in pieces; false if the request has its answer already.
    fn begin(&mut self, status: u16, headers: Vec<(String, String)>) -> bool {
        let reply = self.begun(status, headers, status >= 500);
        self.job.as_mut().is_some_and(|job| job.begin(&reply))
    }

    /// Sends a piece without waiting: bytes that the peer has not taken yet. `None` when nobody wants the rest.
    fn send(&mut self, piece: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
        let Some(job) = self.job.as_mut() else { return Ok(None) };
        with_bytes(piece, |piece| job.send(piece))
    }

    /// Gives the request's slot back; unanswered, it is answered as failed.
    fn release(&mut self) {
        drop(self.job.take());
    }

    /// Ends an answer in pieces.
    fn end(&mut self, whole: bool) {
        if let Some(mut job) = self.job.take() {
            job.end(whole);
        }
    }
}

/// Gives the bytes of a `bytes`, `str`, `bytearray` or any other object with a buffer.
fn with_bytes<T>(value: &Bound<'_, PyAny>, give: impl FnOnce(&[u8]) -> T) -> PyResult<T> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(give(bytes.as_bytes()));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(give(text.to_cow()?.as_bytes()));
    }
    if let Ok(bytes) = value.cast::<PyByteArray>() {
        return Ok(give(&bytes.to_vec()));
    }
    let view = PyMemoryView::from(value).map_err(|_| {
        let kind = value.get_type().name().map(|name| name.to_string()).unwrap_or_default();
        PyTypeError::new_err(format!("a body is made of bytes or str, not {kind}"))
    })?;
    let bytes = view.call_method0("tobytes")?;
    Ok(give(bytes.cast::<PyBytes>()?.as_bytes()))
}
