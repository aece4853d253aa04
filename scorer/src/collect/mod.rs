//! Data collection (R§13): rows that score scripts collect, written by a thread of its own.
//!
//! User code only ever appends to a bounded queue. A storage that is slow or gone costs rows, never time of a request.

mod folder;
mod objects;
mod queue;
mod settings;
mod writer;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use self::queue::{Pushed, Queue};
use self::settings::Settings;

/// The sink of this process.
struct Sink {
    /// A process that was forked has the memory of its parent, but not the thread that writes.
    pid: u32,
    queue: Arc<Queue>,
    patience: Duration,
    target: String,
}

static SINK: Mutex<Option<Sink>> = Mutex::new(None);

/// Starts collecting as the environment says; false when it says not to.
#[pyfunction]
pub(crate) fn collect_open() -> PyResult<bool> {
    open().map_err(|problem| PyValueError::new_err(format!("data collection cannot start: {problem}")))
}

fn open() -> Result<bool, String> {
    let mut sink = SINK.lock().unwrap_or_else(PoisonError::into_inner);
    let pid = std::process::id();
    if sink.as_ref().is_some_and(|sink| sink.pid == pid) {
        return Ok(true);
    }
    // Of a parent; its locks may be held for ever, so nothing of it is touched.
    std::mem::forget(sink.take());
    let Some(settings) = Settings::read(|name| std::env::var(name).ok())? else { return Ok(false) };
    let queue = Arc::new(Queue::new(settings.limits));
    let (patience, target) = (settings.patience, settings.target.to_string());
    let writing = queue.clone();
    std::thread::Builder::new()
        .name("collect".into())
        .spawn(move || writer::run(&settings, &writing))
        .map_err(|error| format!("no thread can be started: {error}"))?;
    *sink = Some(Sink { pid, queue, patience, target });
    Ok(true)
}

/// Takes `count` whole lines for the file `path` below the target; never waits. False when they are dropped.
#[pyfunction]
pub(crate) fn collect(path: &str, header: &str, rows: &str, count: u64) -> PyResult<bool> {
    // Also in a forked process, whose first row starts a sink of its own.
    if !open().map_err(PyRuntimeError::new_err)? {
        return Ok(false);
    }
    let sink = SINK.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(sink) = sink.as_ref() else { return Ok(false) };
    match sink.queue.push(path, header, rows.as_bytes(), count) {
        Pushed::Waits => Ok(true),
        Pushed::Dropped { first } => {
            if first {
                crate::log::later(
                    'W',
                    format_args!(
                        "Data collection: the queue is full, because {} is written too slowly; rows are dropped and \
                         counted, scoring goes on",
                        sink.target
                    ),
                );
            }
            Ok(false)
        }
    }
}

/// Has everything written that was collected, for as long as the settings allow; true if nothing is left.
#[pyfunction]
pub(crate) fn collect_close(py: Python<'_>) -> bool {
    py.detach(close)
}

/// As [`collect_close`], for threads without Python. May be called more than once.
pub(crate) fn close() -> bool {
    let (queue, patience, target) = {
        let sink = SINK.lock().unwrap_or_else(PoisonError::into_inner);
        match sink.as_ref().filter(|sink| sink.pid == std::process::id()) {
            Some(sink) => (sink.queue.clone(), sink.patience, sink.target.clone()),
            None => return true,
        }
    };
    let left = queue.close(patience);
    if left > 0 {
        let seconds = patience.as_secs();
        crate::log::later(
            'E',
            format_args!(
                "Data collection: {left} rows are lost, because {target} did not take them within {seconds} s \
                 (AZUREML_COLLECT_CLOSE_SECONDS)"
            ),
        );
        return false;
    }
    // What is collected later, if anything, gets a sink of its own.
    let mut sink = SINK.lock().unwrap_or_else(PoisonError::into_inner);
    if sink.as_ref().is_some_and(|sink| Arc::ptr_eq(&sink.queue, &queue)) {
        *sink = None;
    }
    true
}
