//! HTTP/1.1 as the scorer speaks it: a strict request head, a bounded body, one buffered answer.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Largest request head in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// Most headers of a request.
const MAX_HEADERS: usize = 128;
/// Largest body that a refused request may still send for its connection to stay open.
const MAX_DISCARD: usize = 64 * 1024;
/// Most bytes that are read and dropped before a connection closes, so that the answer is not lost with them.
const MAX_LINGER: usize = 16 * 1024 * 1024;
/// How long a closing connection is read for.
const LINGER: Duration = Duration::from_secs(2);
/// Longest pause of a peer within a head or a body.
const PAUSE: Duration = Duration::from_secs(30);

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

    /// The body may be dropped after the answer, so that another request can follow.
    pub(crate) fn discardable(&self) -> bool {
        match self.framing {
            Framing::Sized(0) => true,
            Framing::Sized(length) => !self.expects_continue && length <= MAX_DISCARD,
            Framing::Chunked => !self.expects_continue,
        }
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
    /// How long the connection may wait for its next request; without it, only the peer closes.
    idle: Option<Duration>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) fn new(stream: S, idle: Option<Duration>) -> Self {
        Self { stream, buffer: Vec::with_capacity(16 * 1024), idle }
    }

    /// Reads more, for at most `patience`.
    async fn fill(&mut self, patience: Option<Duration>) -> Result<(), Refused> {
        let read = self.stream.read_buf(&mut self.buffer);
        let length = match patience {
            Some(patience) => tokio::time::timeout(patience, read).await.map_err(|_| Refused::Gone)?,
            None => read.await,
        };
        if length? == 0 { Err(Refused::Gone) } else { Ok(()) }
    }

    /// Reads the next head.
    pub(crate) async fn head(&mut self) -> Result<Head, Refused> {
        loop {
            if let Some((head, length)) = parse(&self.buffer)? {
                self.buffer.drain(..length);
                return Ok(head);
            }
            let patience = if self.buffer.is_empty() { self.idle } else { Some(PAUSE) };
            self.fill(patience).await?;
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
                    let mut rest = (&mut self.stream).take(missing);
                    match tokio::time::timeout(PAUSE, rest.read_buf(&mut body)).await {
                        Ok(Ok(read)) if read > 0 => {}
                        _ => return Err(Refused::Gone),
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
                    Ok(httparse::Status::Partial) if self.buffer.len() < 1024 => self.fill(Some(PAUSE)).await?,
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
                self.fill(Some(PAUSE)).await?;
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
                Ok(httparse::Status::Partial) if self.buffer.len() < MAX_HEAD => self.fill(Some(PAUSE)).await?,
                _ => return Err(Refused::Status(400, "The body has malformed trailers.")),
            }
        }
    }

    /// Reads and drops the body of a request that was answered without it, so that the next request can follow; false
    /// if the connection must close instead. A caller that still waits for `100 Continue` may send its body or not, so
    /// nothing can follow.
    pub(crate) async fn skip_body(&mut self, head: &Head) -> bool {
        head.discardable() && self.body(head.framing, MAX_DISCARD).await.is_ok()
    }

    /// Closes for writing and reads what the peer still sends: closing with unread bytes would take the answer away
    /// from the peer.
    pub(crate) async fn linger(mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let dropping = async {
            let mut total = 0;
            while total < MAX_LINGER {
                self.buffer.clear();
                match self.stream.read_buf(&mut self.buffer).await {
                    Ok(read) if read > 0 => total += read,
                    _ => return,
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, dropping).await;
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
        let without_body = without_body || matches!(answer.status, 204 | 304);
        if !matches!(answer.status, 204 | 304) {
            let _ = write!(head, "content-length: {}\r\n", answer.body.len());
        }
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
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(httparse::Status::Partial) if buffer.len() < MAX_HEAD => return Ok(None),
        Ok(_) => return Err(Refused::Status(431, "The request head is too large.")),
        Err(httparse::Error::TooManyHeaders) => return Err(Refused::Status(431, "The request has too many headers.")),
        Err(httparse::Error::Version) => return Err(Refused::Status(505, "Only HTTP/1.0 and HTTP/1.1 are supported.")),
        Err(_) => return Err(Refused::Status(400, "The request head is malformed.")),
    };
    if lone_line_feed(&buffer[..length]) {
        return Err(Refused::Status(400, "The request head has a line feed without carriage return."));
    }
    let mut headers = Vec::with_capacity(request.headers.len());
    for header in request.headers.iter() {
        let value = String::from_utf8_lossy(header.value).into_owned();
        headers.push((header.name.to_owned(), value));
    }
    let method = request.method.unwrap_or_default();
    if method.is_empty() || method == "CONNECT" || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
    {
        return Err(Refused::Status(400, "The request's method is malformed."));
    }
    let (path, query) = target(request.path.unwrap_or_default())?;
    let mut head = Head {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        framing: framing(&headers)?,
        keep_alive: request.version == Some(1),
        expects_continue: false,
        headers,
    };
    if head.framing == Framing::Chunked && request.version != Some(1) {
        return Err(Refused::Status(400, "HTTP/1.0 has no chunked bodies."));
    }
    let hosts = head.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("host")).count();
    if hosts > 1 || hosts == 0 && request.version == Some(1) {
        return Err(Refused::Status(400, "The request must have exactly one Host header."));
    }
    head.keep_alive &= !head.headers.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("connection")
            && value.split(',').any(|token| token.trim().eq_ignore_ascii_case("close"))
    });
    match head.header("expect") {
        None => {}
        Some(value) if value.eq_ignore_ascii_case("100-continue") => head.expects_continue = request.version == Some(1),
        Some(_) => return Err(Refused::Status(417, "The only known expectation is 100-continue.")),
    }
    Ok(Some((head, length)))
}

fn lone_line_feed(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|end| end == 0 || head[end - 1] != b'\r')
}

/// Path and query of a request target in origin form or absolute form.
fn target(text: &str) -> Result<(&str, &str), Refused> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let text = rest.map_or(text, |rest| rest.find('/').map_or("/", |start| &rest[start..]));
    if !text.starts_with('/') && text != "*" {
        return Err(Refused::Status(400, "The request target is malformed."));
    }
    Ok(text.split_once('?').unwrap_or((text, "")))
}

fn framing(headers: &[(String, String)]) -> Result<Framing, Refused> {
    let (mut length, mut coding) = (None, None);
    for (name, value) in headers {
        let seen = if name.eq_ignore_ascii_case("content-length") {
            length.replace(value)
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            coding.replace(value)
        } else {
            continue;
        };
        if seen.is_some() {
            return Err(AMBIGUOUS);
        }
    }
    match (length, coding) {
        (None, None) => Ok(Framing::Sized(0)),
        (Some(length), None) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
            length.parse().map(Framing::Sized).map_err(|_| TOO_LARGE)
        }
        (None, Some(coding)) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        _ => Err(AMBIGUOUS),
    }
}

const AMBIGUOUS: Refused = Refused::Status(400, "The body's length is ambiguous.");

/// Reason phrases of the statuses that scorers use; other phrases carry no information.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        417 => "Expectation Failed",
        415 => "Unsupported Media Type",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}
