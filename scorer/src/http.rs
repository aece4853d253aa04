//! HTTP/1.1 as the scorer speaks it: a strict request head, a bounded body, one buffered answer.

use std::fmt::Write as _;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Largest request head in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// Most headers of a request.
const MAX_HEADERS: usize = 128;
/// Largest body that a refused request may still send for its connection to stay open.
const MAX_DISCARD: usize = 64 * 1024;

/// How the body of a request is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Sized(usize),
    Chunked,
}

/// A request head.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    /// In the order of arrival, names as sent.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
}

impl Head {
    /// First value of a header, whatever the case of its name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Why a request cannot be read; the connection closes after the answer.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The peer is gone or broke the transport; no answer.
    Gone,
    /// Answer with this status and message.
    Status(u16, &'static str),
}

impl From<std::io::Error> for Refused {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

/// A connection with the bytes that were read ahead.
pub(crate) struct Connection<S> {
    stream: S,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::with_capacity(16 * 1024) }
    }

    async fn fill(&mut self) -> Result<(), Refused> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(Refused::Gone);
        }
        Ok(())
    }

    /// Reads the next head.
    pub(crate) async fn head(&mut self) -> Result<Head, Refused> {
        loop {
            if let Some((head, length)) = parse(&self.buffer)? {
                self.buffer.drain(..length);
                return Ok(head);
            }
            if self.buffer.len() >= MAX_HEAD {
                return Err(Refused::Status(431, "The request head is too large."));
            }
            self.fill().await?;
        }
    }

    /// Tells a caller that asked first to send its body.
    pub(crate) async fn send_continue(&mut self) -> Result<(), Refused> {
        Ok(self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?)
    }

    /// Reads the whole body, at most `limit` bytes.
    pub(crate) async fn body(&mut self, framing: Framing, limit: usize) -> Result<Vec<u8>, Refused> {
        match framing {
            Framing::Sized(length) if length > limit => Err(TOO_LARGE),
            Framing::Sized(length) => {
                let mut body = Vec::with_capacity(length);
                let ahead = self.buffer.len().min(length);
                body.extend(self.buffer.drain(..ahead));
                while body.len() < length {
                    let missing = (length - body.len()) as u64;
                    if (&mut self.stream).take(missing).read_buf(&mut body).await? == 0 {
                        return Err(Refused::Gone);
                    }
                }
                Ok(body)
            }
            Framing::Chunked => self.chunked(limit).await,
        }
    }

    async fn chunked(&mut self, limit: usize) -> Result<Vec<u8>, Refused> {
        let mut body = Vec::new();
        loop {
            let (used, size) = loop {
                match httparse::parse_chunk_size(&self.buffer) {
                    Ok(httparse::Status::Complete(found)) => break found,
                    Ok(httparse::Status::Partial) if self.buffer.len() < 1024 => self.fill().await?,
                    _ => return Err(Refused::Status(400, "The body has a malformed chunk.")),
                }
            };
            self.buffer.drain(..used);
            let size = usize::try_from(size).map_err(|_| TOO_LARGE)?;
            if size == 0 {
                return self.trailers().await.map(|()| body);
            }
            if size > limit - body.len() {
                return Err(TOO_LARGE);
            }
            while self.buffer.len() < size + 2 {
                self.fill().await?;
            }
            body.extend_from_slice(&self.buffer[..size]);
            if &self.buffer[size..size + 2] != b"\r\n" {
                return Err(Refused::Status(400, "The body has a malformed chunk."));
            }
            self.buffer.drain(..size + 2);
        }
    }

    /// Reads and drops the trailer section.
    async fn trailers(&mut self) -> Result<(), Refused> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
            match httparse::parse_headers(&self.buffer, &mut fields) {
                Ok(httparse::Status::Complete((used, _))) => {
                    self.buffer.drain(..used);
                    return Ok(());
                }
                Ok(httparse::Status::Partial) if self.buffer.len() < MAX_HEAD => self.fill().await?,
                _ => return Err(Refused::Status(400, "The body has malformed trailers.")),
            }
        }
    }

    /// Makes the connection usable after a request whose body was not wanted; false if it must close instead.
    pub(crate) async fn skip_body(&mut self, head: &Head) -> bool {
        match head.framing {
            Framing::Sized(0) => true,
            _ if head.expects_continue => true,
            framing => self.body(framing, MAX_DISCARD).await.is_ok(),
        }
    }

    /// Resolves when the peer closes or sends more: used while an asker waits.
    pub(crate) async fn closed(&mut self) {
        let mut byte = [0_u8; 1];
        if let Ok(1) = self.stream.read(&mut byte).await {
            self.buffer.push(byte[0]);
        }
    }

    /// Sends an answer.
    pub(crate) async fn answer(
        &mut self,
        answer: &Answer,
        without_body: bool,
        keep_alive: bool,
    ) -> Result<(), Refused> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status));
        for (name, value) in &answer.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(head, "content-length: {}\r\n", answer.body.len());
        head.push_str(if keep_alive { "\r\n" } else { "connection: close\r\n\r\n" });
        let mut bytes = head.into_bytes();
        // Small answers leave in one write; large ones are not copied.
        if without_body || answer.body.len() <= 16 * 1024 {
            if !without_body {
                bytes.extend_from_slice(&answer.body);
            }
            self.stream.write_all(&bytes).await?;
        } else {
            self.stream.write_all(&bytes).await?;
            self.stream.write_all(&answer.body).await?;
        }
        Ok(self.stream.flush().await?)
    }
}

const TOO_LARGE: Refused = Refused::Status(413, "The request body is too large.");

/// An answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("content-type".into(), content_type.into())], body: body.into() }
    }

    /// The original's error body.
    pub(crate) fn message(status: u16, message: &str) -> Self {
        Self::new(status, "application/json", serde_json::json!({ "message": message }).to_string())
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// Parses a head; `None` when it is not complete yet.
fn parse(buffer: &[u8]) -> Result<Option<(Head, usize)>, Refused> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refused::Status(431, "The request has too many headers.")),
        Err(_) => return Err(Refused::Status(400, "The request head is malformed.")),
    };
    let mut headers = Vec::with_capacity(request.headers.len());
    for header in request.headers.iter() {
        let value = String::from_utf8_lossy(header.value).into_owned();
        headers.push((header.name.to_owned(), value));
    }
    let target = request.path.unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut head = Head {
        method: request.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        framing: framing(&headers)?,
        keep_alive: request.version == Some(1),
        expects_continue: false,
        headers,
    };
    head.keep_alive &= !head.header("connection").is_some_and(|value| value.to_ascii_lowercase().contains("close"));
    head.expects_continue = head.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
    Ok(Some((head, length)))
}

fn framing(headers: &[(String, String)]) -> Result<Framing, Refused> {
    let values = |name: &str| {
        headers
            .iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
            .collect::<Vec<_>>()
    };
    match (values("content-length").as_slice(), values("transfer-encoding").as_slice()) {
        ([], []) => Ok(Framing::Sized(0)),
        ([length], []) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
            length.parse().map(Framing::Sized).map_err(|_| TOO_LARGE)
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        _ => Err(Refused::Status(400, "The body's length is ambiguous.")),
    }
}

/// Reason phrases of the statuses that scorers use; other phrases carry no information.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}
