//! Heads of replicas' responses.

use super::field::{self, Connection, Name};
use super::request::Method;
use super::{Fields, Framing, HeadLimits, LengthError, Lengths, head_length, trim};

/// A response's head that is safe to act on.
#[derive(Debug)]
pub struct Response<'f, 'b> {
    /// Status, 100..=599.
    pub status: u16,
    /// Reason phrase, as sent.
    pub reason: &'b str,
    /// Every header field in order.
    pub fields: &'f [httparse::Header<'b>],
    /// Where the body ends.
    pub framing: Framing,
    /// `Content-Length`, also where it describes no body: the answer to HEAD, and 304.
    pub content_length: Option<u64>,
    /// The replica takes another request on this connection.
    pub keep_alive: bool,
    /// What the `Connection` fields say.
    pub connection: Connection,
    /// Bytes of the buffer that the head takes.
    pub length: usize,
}

/// Parses the response head at the start of a buffer; `None` while it is incomplete.
///
/// # Errors
/// What is wrong with it.
pub fn parse<'f, 'b>(
    buffer: &'b [u8],
    room: &'f mut Fields<'b>,
    limits: HeadLimits,
    method: Method,
) -> Result<Option<Response<'f, 'b>>, &'static str> {
    let Some(length) = head_length(buffer).map_err(|_| "a line does not end with CRLF")? else {
        return if buffer.len() > limits.bytes { Err("its head is too large") } else { Ok(None) };
    };
    if length > limits.bytes {
        return Err("its head is too large");
    }
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut parsed, &buffer[..length], &mut room[..limits.fields]) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err("its head is incomplete"),
        Err(httparse::Error::TooManyHeaders) => return Err("it has too many header fields"),
        Err(_) => return Err("its head is not HTTP/1.1"),
    }
    let (Some(version), Some(status)) = (parsed.version, parsed.code) else {
        return Err("its status line is incomplete");
    };
    if !(100..=599).contains(&status) {
        return Err("its status is not from 100 to 599");
    }
    let reason = parsed.reason.unwrap_or_default();
    let fields: &'f [httparse::Header<'b>] = parsed.headers;
    let mut lengths = Lengths::default();
    let mut connection = Connection::default();
    for field in fields {
        match field::classify(field.name.as_bytes()) {
            Name::ContentLength => lengths.content_length(trim(field.value)).map_err(text)?,
            Name::TransferEncoding => {
                if version == 0 {
                    return Err("Transfer-Encoding in HTTP/1.0");
                }
                lengths.transfer_encoding(trim(field.value)).map_err(text)?;
            }
            Name::Connection => connection.add(field.value),
            _ => {}
        }
    }
    let declared = lengths.framing().map_err(text)?;
    let framing = if method == Method::Head || matches!(status, 100..=199 | 204 | 304) {
        Framing::None
    } else if declared == Framing::None {
        Framing::UntilClose
    } else {
        declared
    };
    let keep_alive = framing != Framing::UntilClose
        && if version == 0 { connection.keep_alive && !connection.close } else { !connection.close };
    Ok(Some(Response {
        status,
        reason,
        fields,
        framing,
        content_length: lengths.content_length,
        keep_alive,
        connection,
        length,
    }))
}

fn text(error: LengthError) -> &'static str {
    match error {
        LengthError::Malformed(reason) => reason,
        LengthError::Coding => "its transfer coding is not chunked",
    }
}
