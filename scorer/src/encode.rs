//! Answers as bytes on the wire.

use std::io::Write as _;

/// How the body of an answer is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Known(usize),
    Chunked,
    /// Until the connection closes.
    Open,
}

/// Begins an answer's head.
pub(crate) fn status(out: &mut Vec<u8>, status: u16) {
    if status == 200 {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        let _ = write!(out, "HTTP/1.1 {status} {}\r\n", reason(status));
    }
}

pub(crate) fn header(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A header whose value is a number.
pub(crate) fn number(out: &mut Vec<u8>, name: &str, value: u64) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    decimal(out, value);
    out.extend_from_slice(b"\r\n");
}

/// Milliseconds with three decimals.
pub(crate) fn milliseconds(out: &mut Vec<u8>, name: &str, value: f64) {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let micros = (value * 1000.0).round() as u64;
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    decimal(out, micros / 1000);
    let rest = micros % 1000;
    let digit = |value: u64| b'0' + u8::try_from(value % 10).unwrap_or_default();
    out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest), b'\r', b'\n']);
}

fn decimal(out: &mut Vec<u8>, value: u64) {
    let (mut digits, mut at, mut rest) = ([0_u8; 20], 20, value);
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Ends an answer's head.
pub(crate) fn end(out: &mut Vec<u8>, status: u16, length: Length, keep_alive: bool) {
    match length {
        _ if matches!(status, 204 | 304) => {}
        Length::Known(length) => number(out, "content-length", length as u64),
        Length::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Length::Open => {}
    }
    out.extend_from_slice(if keep_alive { b"\r\n" } else { b"connection: close\r\n\r\n" });
}

/// What stands before a chunk of so many bytes.
pub(crate) fn chunk(out: &mut Vec<u8>, length: usize) {
    let _ = write!(out, "{length:x}\r\n");
}

/// Reason phrases of the statuses that scorers use; other phrases carry no information.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}
