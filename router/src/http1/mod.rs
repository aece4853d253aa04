//! A strict HTTP/1.1 codec without I/O, for both sides of the router.
//!
//! Heads are parsed by `httparse` and then judged: whatever two parsers could read differently is refused, so that the
//! router and what stands before or behind it always agree where a message ends. Nothing that was received is ever sent
//! on as it was; [`encode`] writes every head anew.
//!
//! Refused are, among others: line ends that are not CRLF, folded lines, a missing or second `Host`, a repeated
//! `Content-Length`, a length beside a transfer coding, any transfer coding but a single `chunked`, codings in HTTP/1.0,
//! control characters, and lower-case or unknown methods.

pub mod body;
pub mod encode;
pub mod field;
pub mod request;
pub mod response;

#[cfg(test)]
mod head_tests;

use memchr::memchr_iter;

/// Largest number of header fields that can be configured.
pub const MAX_HEADERS: usize = 256;

/// Room for the header fields of one head while it is parsed.
pub type Fields<'b> = [std::mem::MaybeUninit<httparse::Header<'b>>; MAX_HEADERS];

/// Fresh room for [`MAX_HEADERS`] fields.
#[must_use]
pub const fn fields<'b>() -> Fields<'b> {
    [const { std::mem::MaybeUninit::uninit() }; MAX_HEADERS]
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// `Content-Length`, in bytes; may be 0.
    Sized(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// A response that ends with its connection.
    UntilClose,
}

/// Bounds of one head.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes, the final empty line included.
    pub bytes: usize,
    /// Header fields, at most [`MAX_HEADERS`].
    pub fields: usize,
}

/// Length of the head at the start of a buffer, its final empty line included; `None` while it is incomplete.
///
/// # Errors
/// A line that ends with a bare LF: recipients differ in what they make of it.
pub(crate) fn head_length(buffer: &[u8]) -> Result<Option<usize>, BareLineFeed> {
    let mut line = 0;
    for feed in memchr_iter(b'\n', buffer) {
        if feed == 0 || buffer[feed - 1] != b'\r' {
            return Err(BareLineFeed);
        }
        if feed == line + 1 {
            return Ok(Some(feed + 1));
        }
        line = feed + 1;
    }
    Ok(None)
}

/// A line end without its CR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BareLineFeed;

/// What the fields of a head say about its body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lengths {
    pub(crate) content_length: Option<u64>,
    pub(crate) chunked: bool,
}

/// Why [`Lengths`] cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LengthError {
    /// A contradiction, or a value that is no length.
    Malformed(&'static str),
    /// A transfer coding other than `chunked`.
    Coding,
}

impl Lengths {
    /// Takes the value of a `Content-Length` field.
    pub(crate) fn content_length(&mut self, value: &[u8]) -> Result<(), LengthError> {
        if self.content_length.is_some() {
            return Err(LengthError::Malformed("more than one Content-Length"));
        }
        if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
            return Err(LengthError::Malformed("Content-Length is not a number"));
        }
        // 19 decimal digits always fit.
        self.content_length = Some(value.iter().fold(0, |length: u64, digit| length * 10 + u64::from(digit - b'0')));
        Ok(())
    }

    /// Takes the value of a `Transfer-Encoding` field.
    pub(crate) fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), LengthError> {
        if self.chunked {
            return Err(LengthError::Malformed("more than one Transfer-Encoding"));
        }
        if value.eq_ignore_ascii_case(b"chunked") {
            self.chunked = true;
            return Ok(());
        }
        let codings = || value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        if codings().filter(|coding| coding.eq_ignore_ascii_case(b"chunked")).count() > 1
            || codings().any(|coding| coding.is_empty() || !coding.iter().all(|byte| field::is_token(*byte)))
        {
            return Err(LengthError::Malformed("Transfer-Encoding is not a list of codings with `chunked` once"));
        }
        Err(LengthError::Coding)
    }

    /// The framing, [`Framing::None`] if neither field was there.
    pub(crate) fn framing(self) -> Result<Framing, LengthError> {
        match (self.content_length, self.chunked) {
            (Some(_), true) => Err(LengthError::Malformed("Content-Length beside Transfer-Encoding")),
            (Some(length), false) => Ok(Framing::Sized(length)),
            (None, true) => Ok(Framing::Chunked),
            (None, false) => Ok(Framing::None),
        }
    }
}

/// A field value without the blanks around it: SP and HTAB only, unlike `trim_ascii`.
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_its_first_empty_line() {
        assert_eq!(head_length(b"GET / HTTP/1.1\r\na: b\r\n\r\nrest"), Ok(Some(24)));
        assert_eq!(head_length(b"GET / HTTP/1.1\r\na: b\r\n\r"), Ok(None));
        assert_eq!(head_length(b""), Ok(None));
    }

    #[test]
    fn a_bare_line_feed_is_found_before_the_head_is_complete() {
        assert_eq!(head_length(b"GET / HTTP/1.1\na"), Err(BareLineFeed));
        assert_eq!(head_length(b"\n"), Err(BareLineFeed));
    }
}
