//! The loop on Python's main thread: takes requests and gives them to user code.

use std::time::Instant;

use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::call::{Job, Kind, Reply};
use crate::request::Request;
use crate::running;

/// The functions of `azureml_scorer.script.Script`.
pub(crate) struct Script<'py> {
    /// `run` where it takes the body's text and nothing else.
    plain: Option<Bound<'py, PyAny>>,
    /// JSON text of a result.
    dumps: Bound<'py, PyAny>,
    /// Answers with any other result.
    result: Bound<'py, PyAny>,
    /// Answers for an exception of user code.
    failed: Bound<'py, PyAny>,
    /// Runs any other request.
    answer: Bound<'py, PyAny>,
    flush_prints: Bound<'py, PyAny>,
}

impl<'py> Script<'py> {
    pub(crate) fn new(script: &Bound<'py, PyAny>) -> PyResult<Self> {
        let plain = script.getattr("plain")?;
        Ok(Self {
            plain: (!plain.is_none()).then_some(plain),
            dumps: script.getattr("dumps")?,
            result: script.getattr("result")?,
            failed: script.getattr("failed")?,
            answer: script.getattr("answer")?,
            flush_prints: script.getattr("flush_prints")?,
        })
    }

    /// Runs one request to its answer.
    pub(crate) fn run(&self, py: Python<'py>, job: Job) -> PyResult<()> {
        if !job.is_due() {
            return Ok(());
        }
        let current = running::enter(&job.call);
        let ran = match &self.plain {
            Some(plain) if job.is_plain() => self.run_plain(py, plain, job),
            _ => Self::with(py, job, None, |request| {
                self.answer.call1((request,)).or_else(|error| self.failed.call1((request, error.into_value(py))))
            }),
        };
        if let Err(error) = ran {
            error.write_unraisable(py, None);
        }
        if running::take_unfinished() {
            self.flush_prints.call0()?;
        }
        drop(current);
        Ok(())
    }

    fn run_plain(&self, py: Python<'py>, plain: &Bound<'py, PyAny>, mut job: Job) -> PyResult<()> {
        let Some(text) = job.text(py) else { return Ok(()) };
        let started = Instant::now();
        let result = {
            let _armed = running::arm(job.call.deadline);
            plain.call1((text,))
        };
        let run_ms = Some(started.elapsed().as_secs_f64() * 1000.0);
        match result {
            Ok(value) => self.answer_plain(py, job, value, run_ms),
            Err(error) => self.fail(py, job, error.value(py)),
        }
    }

    /// Answers with a result.
    pub(crate) fn answer_plain(
        &self,
        py: Python<'py>,
        mut job: Job,
        value: Bound<'py, PyAny>,
        run_ms: Option<f64>,
    ) -> PyResult<()> {
        if is_plain(&value)
            && let Ok(text) = self.dumps.call1((&value,))
        {
            let reply = Reply { status: 200, headers: None, failed: false, run_ms };
            job.answer(&reply, text.cast::<PyString>()?.to_cow()?.as_bytes());
            return Ok(());
        }
        Self::with(py, job, run_ms, |request| self.result.call1((request, value)))
    }

    /// Answers for an exception of user code.
    pub(crate) fn fail(&self, py: Python<'py>, job: Job, error: &Bound<'py, PyBaseException>) -> PyResult<()> {
        Self::with(py, job, None, |request| self.failed.call1((request, error)))
    }

    /// Makes a Python object of a job for a moment, whatever Python keeps of it.
    fn with(
        py: Python<'py>,
        job: Job,
        run_ms: Option<f64>,
        work: impl FnOnce(&Bound<'py, Request>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let request = Bound::new(py, Request::new(job, run_ms))?;
        let worked = work(&request);
        drop(request.borrow_mut().take());
        worked.map(drop)
    }
}

impl Job {
    /// Nobody has answered for user code yet.
    pub(crate) fn is_due(&self) -> bool {
        !self.call.answered() && Instant::now() < self.call.deadline
    }

    /// What a `run` of one text takes.
    pub(crate) fn is_plain(&self) -> bool {
        self.call.kind == Kind::Score && self.call.head.method() == "POST"
    }

    /// Takes the body as text; `None` when it is none, which is answered here.
    pub(crate) fn text<'py>(&mut self, py: Python<'py>) -> Option<Bound<'py, PyString>> {
        match PyString::from_bytes(py, &std::mem::take(&mut self.body)) {
            Ok(text) => Some(text),
            Err(error) => {
                let (mut reply, body) =
                    Reply::message(400, &format!("Input cannot be decoded as UTF-8: {}", error.value(py)));
                reply.failed = false;
                self.answer(&reply, &body);
                None
            }
        }
    }
}

/// Whether a result is of a type that `dumps` makes JSON of, and not of a subclass with ideas of its own.
fn is_plain(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyDict>()
        || value.is_exact_instance_of::<PyList>()
        || value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyTuple>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_none()
}
