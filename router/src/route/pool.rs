//! One thread's unused connections to replicas.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::buffer::Buffer;
use super::event_loop::{Instant, Stream};

/// A connection to a replica.
pub(super) struct Upstream {
    pub(super) stream: Stream,
    /// Bytes that have arrived and were not used yet.
    pub(super) buffer: Buffer,
    /// It has carried a request before.
    pub(super) reused: bool,
}

impl Upstream {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, buffer: Buffer::with_capacity(super::BUFFER), reused: false }
    }
}

/// Unused connections by replica, the last one used first.
#[derive(Default)]
pub(super) struct Pool {
    idle: HashMap<u64, Vec<(Upstream, Instant)>>,
}

impl Pool {
    /// A connection to the replica on which nothing has happened since it was put back.
    pub(super) fn take(&mut self, replica: u64) -> Option<Upstream> {
        let idle = self.idle.get_mut(&replica)?;
        while let Some((mut upstream, _)) = idle.pop() {
            if upstream.stream.quiet() {
                upstream.reused = true;
                return Some(upstream);
            }
        }
        None
    }

    /// Keeps a connection whose response was read to its end.
    pub(super) fn put(&mut self, replica: u64, upstream: Upstream, most: usize) {
        if !upstream.buffer.is_empty() {
            return;
        }
        let idle = self.idle.entry(replica).or_default();
        if idle.len() < most {
            idle.push((upstream, Instant::now()));
        }
    }

    /// Closes what was unused for too long.
    pub(super) fn expire(&mut self, age: Duration) {
        let now = Instant::now();
        self.idle.retain(|_, idle| {
            // The oldest are in front.
            let old = idle.iter().take_while(|(_, since)| now.duration_since(*since) >= age).count();
            idle.drain(..old);
            !idle.is_empty()
        });
    }

    /// Closes connections to replicas that are not listed any more.
    pub(super) fn retain(&mut self, listed: &HashSet<u64>) {
        self.idle.retain(|replica, _| listed.contains(replica));
    }
}
