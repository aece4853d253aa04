//! The scorer's core: sockets, HTTP, slots, deadlines and health, beside the Python thread that runs user code.

mod batch;
mod call;
mod collect;
mod connection;
mod control;
mod core;
mod cors;
mod decode;
mod encode;
mod fetch;
mod frame;
mod grpc;
mod head;
mod hop;
mod http_reply;
mod ids;
mod listen;
mod log;
mod pool;
mod preload;
mod process;
mod queue;
mod request;
mod running;
mod score;
mod serve;
mod server;
mod slots;
mod socket;
mod turns;
mod v2;
mod worker;

use pyo3::prelude::*;

/// Whether the user code that runs on this thread is beyond its deadline.
#[pyfunction]
fn overdue() -> bool {
    running::overdue()
}

/// Id of the request that this thread works on; empty outside of one.
#[pyfunction]
fn request_id() -> String {
    running::request_id()
}

/// A print has left a line without its end.
#[pyfunction]
fn unfinished_print() {
    running::set_unfinished();
}

/// This process is a child that user code has forked.
#[pyfunction]
fn forked() {
    running::set_forked();
}

/// Writes a whole text to standard output, in order with the other lines. It never blocks: what nobody reads waits, up to
/// 1 MiB, and is dropped beyond.
#[pyfunction]
fn write_log(text: &str) {
    log::write(text.as_bytes());
}

/// In a process without a [`worker::Worker`]: ends it when the other end of the socket or pipe `fd` closes.
#[pyfunction]
fn die_with_parent(fd: i32) -> PyResult<()> {
    Ok(control::die_with_parent(listen::adopt(fd))?)
}

/// Rust core of the scorer.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(overdue, module)?)?;
    module.add_function(wrap_pyfunction!(request_id, module)?)?;
    module.add_function(wrap_pyfunction!(unfinished_print, module)?)?;
    module.add_function(wrap_pyfunction!(forked, module)?)?;
    module.add_function(wrap_pyfunction!(write_log, module)?)?;
    module.add_function(wrap_pyfunction!(die_with_parent, module)?)?;
    module.add_function(wrap_pyfunction!(fetch::fetch, module)?)?;
    module.add_function(wrap_pyfunction!(collect::collect_open, module)?)?;
    module.add_function(wrap_pyfunction!(collect::collect, module)?)?;
    module.add_function(wrap_pyfunction!(collect::collect_close, module)?)?;
    module.add_class::<core::Core>()?;
    module.add_class::<worker::Worker>()?;
    module.add_class::<request::Request>()
}
