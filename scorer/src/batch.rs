//! Several requests in one `run()`: how many are waited for, and who gets which result.

use std::time::{Duration, Instant};

use pyo3::exceptions::{PyBaseException, PyException, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use crate::call::Job;
use crate::queue::Queue;
use crate::running;
use crate::serve::Script;

/// How requests are gathered. The wait adapts to load: the last batch says how many come together, and it is worth
/// waiting for as many again, but no longer than a batch takes. A service with one caller never waits.
#[derive(Debug)]
pub(crate) struct Gather {
    most: usize,
    longest: Duration,
    expected: usize,
    took: Duration,
}

impl Gather {
    /// At most so many rows, which are waited for so many seconds at most.
    pub(crate) fn new((most, longest): (usize, f64)) -> Self {
        let longest = Duration::try_from_secs_f64(longest).unwrap_or_default();
        Self { most: most.max(1), longest, expected: 1, took: Duration::ZERO }
    }

    /// Adds to the jobs those that come in time, and takes out those that a batch cannot take, which it returns.
    pub(crate) async fn fill(&self, queue: &Queue, jobs: &mut Vec<Job>) -> Vec<Job> {
        self.wait(queue, jobs).await;
        jobs.extract_if(.., |job| !job.is_plain()).collect()
    }

    async fn wait(&self, queue: &Queue, jobs: &mut Vec<Job>) {
        let until = Instant::now() + self.longest.min(self.took);
        loop {
            while jobs.len() < self.most
                && let Some(job) = queue.try_pop()
            {
                jobs.push(job);
            }
            if jobs.len() >= self.expected.min(self.most) {
                return;
            }
            match tokio::time::timeout_at(until.into(), queue.taken()).await {
                Ok(Some(job)) => jobs.push(job),
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// A batch of this size took so long.
    pub(crate) fn note(&mut self, size: usize, took: Duration) {
        if size > 0 {
            (self.expected, self.took) = (size, took);
        }
    }
}

impl<'py> Script<'py> {
    /// Runs several requests in one call of `run(rows)`: how long that took.
    pub(crate) fn run_batch(&self, py: Python<'py>, run: &Bound<'py, PyAny>, jobs: Vec<Job>) -> PyResult<Duration> {
        let mut batch = Vec::with_capacity(jobs.len());
        for mut job in jobs {
            if !job.is_due() {
                continue;
            }
            if let Some(text) = job.text(py) {
                batch.push((job, text));
            }
        }
        let Some(deadline) = batch.iter().map(|(job, _)| job.call.deadline).max() else {
            return Ok(Duration::ZERO);
        };
        let rows = PyList::new(py, batch.iter().map(|(_, text)| text))?;
        let started = Instant::now();
        let results = {
            let _armed = running::arm(deadline);
            run.call1((rows,))
        };
        let took = started.elapsed();
        let run_ms = Some(took.as_secs_f64() * 1000.0);
        let results = match results.and_then(|results| of_rows(&results, batch.len())) {
            Ok(results) => results,
            Err(error) if batch.len() > 1 && error.is_instance_of::<PyException>(py) => {
                // One caller's row must not fail the others': each is asked for alone.
                batch.into_iter().try_for_each(|(job, text)| self.run_row(py, run, job, &text))?;
                return Ok(took);
            }
            Err(error) => {
                // With its traceback, which `value` lacks before Python 3.12.
                let error = error.into_value(py).into_bound(py);
                for (job, _) in batch {
                    let _current = running::enter(&job.call);
                    self.fail(py, job, &error)?;
                }
                return Ok(took);
            }
        };
        for ((job, _), value) in batch.into_iter().zip(results) {
            let _current = running::enter(&job.call);
            self.give(py, job, value, run_ms)?;
        }
        Ok(took)
    }

    fn run_row(&self, py: Python<'py>, run: &Bound<'py, PyAny>, job: Job, text: &Bound<'py, PyString>) -> PyResult<()> {
        if !job.is_due() {
            return Ok(());
        }
        let _current = running::enter(&job.call);
        let started = Instant::now();
        let results = {
            let _armed = running::arm(job.call.deadline);
            run.call1((PyList::new(py, [text])?,))
        };
        let run_ms = Some(started.elapsed().as_secs_f64() * 1000.0);
        match results.and_then(|results| of_rows(&results, 1)) {
            Ok(mut results) => {
                let Some(value) = results.pop() else { return Ok(()) };
                self.give(py, job, value, run_ms)
            }
            Err(error) => self.fail(py, job, error.into_value(py).bind(py)),
        }
    }

    /// Answers with a row's result; a row whose result is an exception has failed alone.
    fn give(&self, py: Python<'py>, job: Job, value: Bound<'py, PyAny>, run_ms: Option<f64>) -> PyResult<()> {
        match value.cast::<PyBaseException>() {
            Ok(error) => self.fail(py, job, error),
            Err(_) => self.answer_plain(py, job, value, run_ms),
        }
    }
}

/// The results as one for each row.
fn of_rows<'py>(results: &Bound<'py, PyAny>, rows: usize) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let count = results.len().map_err(|_| {
        let kind = results.get_type().name().map(|name| name.to_string()).unwrap_or_default();
        PyTypeError::new_err(format!("run() of a @batch returns a list with one result for each row, not {kind}"))
    })?;
    if count != rows {
        return Err(PyTypeError::new_err(format!("run() returned {count} results for {rows} rows")));
    }
    results.try_iter()?.collect()
}
