//! The access log: one JSON line for each request, gathered by each thread and written in large pieces to standard error,
//! which is the router's log file. Neither queries nor headers are in it, since they may hold secrets; request ids are.

use std::io::Write as _;
use std::net::SocketAddr;

use serde::Serialize;

/// Bytes that a thread gathers before it writes.
const GATHER: usize = 32 * 1024;

/// One line.
#[derive(Debug, Serialize)]
pub(super) struct Line<'l> {
    pub(super) time: &'l str,
    pub(super) peer: SocketAddr,
    pub(super) method: &'l str,
    pub(super) path: &'l str,
    pub(super) status: u16,
    /// Stable code of the router's own answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<&'static str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) service: &'l str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) version: &'l str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) replica: &'l str,
    /// Microseconds in the queue.
    pub(super) queue_us: u64,
    /// Microseconds from the head's arrival to the response's last byte.
    pub(super) total_us: u64,
    /// How often the request was sent to a replica.
    pub(super) attempts: u32,
    /// Bytes of the request's body.
    pub(super) received: u64,
    /// Bytes of the response's body.
    pub(super) sent: u64,
    pub(super) request_id: &'l str,
}

/// One thread's lines.
pub(super) struct AccessLog {
    lines: Vec<u8>,
    enabled: bool,
}

impl AccessLog {
    pub(super) fn new(enabled: bool) -> Self {
        Self { lines: Vec::new(), enabled }
    }

    pub(super) fn enabled(&self) -> bool {
        self.enabled
    }

    pub(super) fn add(&mut self, line: &Line<'_>) {
        // A line is a flat object of strings and numbers, which serialises; a log that fails must not fail requests.
        if serde_json::to_writer(&mut self.lines, line).is_ok() {
            self.lines.push(b'\n');
        }
        if self.lines.len() >= GATHER {
            self.flush();
        }
    }

    /// Writes what was gathered.
    pub(super) fn flush(&mut self) {
        if !self.lines.is_empty() {
            // Nobody is left to tell when the log itself cannot be written.
            let _ = std::io::stderr().lock().write_all(&self.lines);
            self.lines.clear();
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
    }
}
