//! Request heads: strict parsing into one piece of memory.

/// Largest request head in bytes.
pub(crate) const MAX_HEAD: usize = 64 * 1024;
/// Most headers of a request.
pub(crate) const MAX_HEADERS: usize = 128;
/// Largest body that a refused request may still send for its connection to stay open.
pub(crate) const MAX_DISCARD: usize = 64 * 1024;

/// How the body of a request is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Sized(usize),
    Chunked,
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

pub(crate) const TOO_LARGE: Refused = Refused::Status(413, "The request body is too large.");
const AMBIGUOUS: Refused = Refused::Status(400, "The body's length is ambiguous.");

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    length: u32,
}

/// A request head.
#[derive(Debug)]
pub(crate) struct Head {
    text: String,
    method: Span,
    path: Span,
    query: Span,
    /// Names and values in the order of arrival, names as sent.
    headers: Vec<(Span, Span)>,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
    /// HTTP/1.1, which knows chunks.
    pub(crate) chunks: bool,
}

impl Head {
    /// A head of these parts, with a body that is at hand.
    pub(crate) fn new<'a>(
        method: &str,
        path: &str,
        query: &str,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        room: usize,
    ) -> Self {
        let mut text = String::with_capacity(room);
        let [method, path, query] = [method, path, query].map(|part| push(&mut text, part));
        let headers = headers
            .into_iter()
            .map(|(name, value)| {
                let name = push(&mut text, name);
                let value = match std::str::from_utf8(value) {
                    Ok(value) => push(&mut text, value),
                    Err(_) => push(&mut text, &String::from_utf8_lossy(value)),
                };
                (name, value)
            })
            .collect();
        Self {
            text,
            method,
            path,
            query,
            headers,
            framing: Framing::Sized(0),
            keep_alive: true,
            expects_continue: false,
            chunks: true,
        }
    }

    pub(crate) fn method(&self) -> &str {
        self.part(self.method)
    }

    pub(crate) fn path(&self) -> &str {
        self.part(self.path)
    }

    pub(crate) fn query(&self) -> &str {
        self.part(self.query)
    }

    /// Names and values in the order of arrival.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (self.part(*name), self.part(*value)))
    }

    /// First value of a header, whatever the case of its name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Forgets a header, whatever the case of its name.
    pub(crate) fn remove(&mut self, name: &str) {
        let Self { text, headers, .. } = self;
        headers.retain(|(found, _)| !part(text, *found).eq_ignore_ascii_case(name));
    }

    /// The body may be dropped after the answer, so that another request can follow.
    pub(crate) fn discardable(&self) -> bool {
        match self.framing {
            Framing::Sized(0) => true,
            Framing::Sized(length) => !self.expects_continue && length <= MAX_DISCARD,
            Framing::Chunked => !self.expects_continue,
        }
    }

    /// The body has been read: the next request can follow.
    pub(crate) fn body_read(&mut self) {
        self.framing = Framing::Sized(0);
        self.expects_continue = false;
    }

    fn part(&self, span: Span) -> &str {
        part(&self.text, span)
    }
}

fn part(text: &str, span: Span) -> &str {
    text.get(span.start as usize..(span.start + span.length) as usize).unwrap_or_default()
}

fn push(text: &mut String, part: &str) -> Span {
    // A head is far below 4 GiB.
    let span = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let start = span(text.len());
    text.push_str(part);
    Span { start, length: span(part.len()) }
}

/// Parses a head, with its length in bytes; `None` when it is not complete yet.
pub(crate) fn parse(buffer: &[u8]) -> Result<Option<(Head, usize)>, Refused> {
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
    let method = request.method.unwrap_or_default();
    if method.is_empty() || method == "CONNECT" || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
    {
        return Err(Refused::Status(400, "The request's method is malformed."));
    }
    let (path, query) = target(request.path.unwrap_or_default())?;
    let headers = request.headers.iter().map(|header| (header.name, header.value));
    let mut head = Head::new(method, path, query, headers, length);
    head.chunks = request.version == Some(1);
    let mut hosts = 0;
    let (mut body_length, mut coding) = (None, None);
    let (mut closes, mut expects) = (false, None);
    for (name, value) in head.headers() {
        let seen = match name.len() {
            4 if name.eq_ignore_ascii_case("host") => {
                hosts += 1;
                None
            }
            6 if name.eq_ignore_ascii_case("expect") => {
                expects = Some(value.eq_ignore_ascii_case("100-continue"));
                None
            }
            10 if name.eq_ignore_ascii_case("connection") => {
                closes |= value.split(',').any(|token| token.trim().eq_ignore_ascii_case("close"));
                None
            }
            14 if name.eq_ignore_ascii_case("content-length") => body_length.replace(value),
            17 if name.eq_ignore_ascii_case("transfer-encoding") => coding.replace(value),
            _ => None,
        };
        if seen.is_some() {
            return Err(AMBIGUOUS);
        }
    }
    let framing = framing(body_length, coding)?;
    if framing == Framing::Chunked && !head.chunks {
        return Err(Refused::Status(400, "HTTP/1.0 has no chunked bodies."));
    }
    if hosts > 1 || hosts == 0 && head.chunks {
        return Err(Refused::Status(400, "The request must have exactly one Host header."));
    }
    if expects == Some(false) {
        return Err(Refused::Status(417, "The only known expectation is 100-continue."));
    }
    head.framing = framing;
    head.keep_alive = head.chunks && !closes;
    head.expects_continue = head.chunks && expects.is_some();
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

fn framing(length: Option<&str>, coding: Option<&str>) -> Result<Framing, Refused> {
    match (length, coding) {
        (None, None) => Ok(Framing::Sized(0)),
        (Some(length), None) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
            length.parse().map(Framing::Sized).map_err(|_| TOO_LARGE)
        }
        (None, Some(coding)) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        _ => Err(AMBIGUOUS),
    }
}
