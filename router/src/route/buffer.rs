//! Bytes that have arrived on a connection and were not used yet.

use std::ops::Deref;

/// A queue of bytes in one piece of memory. As soon as it is empty it begins at the start of that memory again, so that a
/// connection that carries small messages touches the same few cache lines all its life.
#[derive(Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), start: 0 }
    }

    /// Takes so many bytes off the front.
    pub(super) fn advance(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.bytes.len());
        if self.start == self.bytes.len() {
            self.clear();
        }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.start = 0;
    }

    /// Memory with room for at least so many bytes more; what is appended to it is appended to the queue.
    pub(super) fn room(&mut self, least: usize) -> &mut Vec<u8> {
        if self.bytes.capacity() - self.bytes.len() < least {
            self.bytes.drain(..self.start);
            self.start = 0;
            self.bytes.reserve(least);
        }
        &mut self.bytes
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_the_order_in_which_they_came_and_an_empty_queue_uses_its_memory_again() {
        let mut buffer = Buffer::with_capacity(8);
        buffer.room(4).extend_from_slice(b"abcd");
        buffer.advance(3);
        buffer.room(4).extend_from_slice(b"efgh");
        assert_eq!(&*buffer, b"defgh");
        let memory = buffer.room(3).as_ptr();
        buffer.advance(5);
        assert!(buffer.is_empty());
        buffer.room(8).extend_from_slice(b"ijklmnop");
        assert_eq!((&*buffer, buffer.as_ptr()), (&b"ijklmnop"[..], memory));
    }
}
