//! Writing messages.

use std::io::Write as _;

/// Appends a header field and its line end.
pub fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a header field with a decimal value.
pub fn number(out: &mut Vec<u8>, name: &str, value: u64) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{name}: {value}\r\n");
}

/// Appends the status line of an HTTP/1.1 response. Callers of HTTP/1.0 get the same, as RFC 9112 wants it.
pub fn status(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    let _ = write!(out, "HTTP/1.1 {status} ");
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// Appends the line before the data of a chunk.
pub fn chunk_head(out: &mut Vec<u8>, length: usize) {
    let _ = write!(out, "{length:x}\r\n");
}

/// What follows the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";
/// The last chunk, without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// The interim response that invites a body.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
