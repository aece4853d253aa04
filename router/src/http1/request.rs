//! Heads of requests.

use serving::error::RouterError;

use super::field::{self, Connection, Name};
use super::{Fields, Framing, HeadLimits, LengthError, Lengths, head_length, trim};

/// A method that is routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the methods of RFC 9110 and RFC 5789")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
}

impl Method {
    /// As on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
        }
    }

    fn parse(name: &str) -> Result<Self, RouterError> {
        Ok(match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            "PATCH" => Self::Patch,
            // A tunnel and an echo of credentials: never here.
            "CONNECT" | "TRACE" => {
                return Err(RouterError::MethodNotAllowed { allowed: "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH" });
            }
            _ if name.bytes().any(|byte| byte.is_ascii_lowercase()) => return Err(malformed("lower-case method")),
            _ => return Err(RouterError::NotImplemented { feature: "this method" }),
        })
    }
}

/// A request's head that is safe to act on. It borrows from the buffer that it was read into.
#[derive(Debug)]
pub struct Request<'f, 'b> {
    /// The method.
    pub method: Method,
    /// Absolute path, as sent (percent-encoded), without the query.
    pub path: &'b str,
    /// What follows the first `?`, as sent.
    pub query: Option<&'b str>,
    /// The authority that the request is for: of an absolute target, else of the `Host` field.
    pub host: Option<&'b [u8]>,
    /// Every header field in order.
    pub fields: &'f [httparse::Header<'b>],
    /// Where the body ends.
    pub framing: Framing,
    /// The caller speaks HTTP/1.0.
    pub http10: bool,
    /// The caller takes another response on this connection.
    pub keep_alive: bool,
    /// What the `Connection` fields say.
    pub connection: Connection,
    /// The caller waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// Bytes of the buffer that the head takes.
    pub length: usize,
}

const fn malformed(reason: &'static str) -> RouterError {
    RouterError::Malformed { reason }
}

impl From<LengthError> for RouterError {
    fn from(error: LengthError) -> Self {
        match error {
            LengthError::Malformed(reason) => malformed(reason),
            LengthError::Coding => Self::NotImplemented { feature: "a transfer coding other than chunked" },
        }
    }
}

/// Parses the request head at the start of a buffer; `None` while it is incomplete.
///
/// # Errors
/// The answer that the caller gets. The connection must be closed after it, since the start of the next request is not
/// known.
pub fn parse<'f, 'b>(
    buffer: &'b [u8],
    room: &'f mut Fields<'b>,
    limits: HeadLimits,
) -> Result<Option<Request<'f, 'b>>, RouterError> {
    // One empty line before a request is allowed: old clients end a body with it.
    let skipped = if buffer.starts_with(b"\r\n") { 2 } else { 0 };
    let bytes = &buffer[skipped..];
    if !bytes
        .first()
        .is_none_or(|first| field::is_token(*first) || (*first == b'\r' && bytes.len() == 1 && skipped == 0))
    {
        return Err(malformed("no request line"));
    }
    let Some(length) = head_length(bytes).map_err(|_| malformed("a line does not end with CRLF"))? else {
        return if bytes.len() > limits.bytes { Err(too_large(bytes, limits)) } else { Ok(None) };
    };
    if length > limits.bytes {
        return Err(too_large(bytes, limits));
    }
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(&bytes[..length], &mut room[..limits.fields]) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(malformed("incomplete head")),
        Err(error) => return Err(refusal(error, &bytes[..length], limits)),
    }
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(malformed("incomplete request line"));
    };
    let http10 = version == 0;
    let method = Method::parse(method)?;
    let target = Target::parse(target)?;
    let fields: &'f [httparse::Header<'b>] = parsed.headers;
    let facts = Facts::collect(fields, http10)?;
    let keep_alive =
        if http10 { facts.connection.keep_alive && !facts.connection.close } else { !facts.connection.close };
    Ok(Some(Request {
        method,
        path: target.path,
        query: target.query,
        host: target.authority.map(str::as_bytes).or(facts.host),
        fields,
        framing: facts.lengths.framing()?,
        http10,
        keep_alive,
        connection: facts.connection,
        expects_continue: facts.expects_continue && !http10,
        length: length + skipped,
    }))
}

/// What the fields of a request say about its framing and connection.
#[derive(Default)]
struct Facts<'b> {
    host: Option<&'b [u8]>,
    lengths: Lengths,
    connection: Connection,
    expects_continue: bool,
}

impl<'b> Facts<'b> {
    fn collect(fields: &[httparse::Header<'b>], http10: bool) -> Result<Self, RouterError> {
        let mut facts = Self::default();
        for field in fields {
            match field::classify(field.name.as_bytes()) {
                Name::Host if facts.host.is_some() => return Err(malformed("more than one Host")),
                Name::Host => facts.host = Some(host(field.value)?),
                Name::ContentLength => facts.lengths.content_length(trim(field.value))?,
                Name::TransferEncoding => {
                    if http10 {
                        return Err(malformed("Transfer-Encoding in HTTP/1.0"));
                    }
                    facts.lengths.transfer_encoding(trim(field.value))?;
                }
                Name::Connection => facts.connection.add(field.value),
                Name::Expect => {
                    if !trim(field.value).eq_ignore_ascii_case(b"100-continue") {
                        return Err(RouterError::ExpectationFailed);
                    }
                    facts.expects_continue = true;
                }
                _ => {}
            }
        }
        if facts.host.is_none() && !http10 {
            return Err(malformed("no Host"));
        }
        if facts.connection.names
            && ["host", "content-length", "transfer-encoding", "authorization"]
                .iter()
                .any(|name| field::listed(fields, name))
        {
            return Err(malformed("Connection lists a field that belongs to the message"));
        }
        Ok(facts)
    }
}

/// The parts of a request target.
struct Target<'b> {
    authority: Option<&'b str>,
    path: &'b str,
    query: Option<&'b str>,
}

impl<'b> Target<'b> {
    fn parse(target: &'b str) -> Result<Self, RouterError> {
        if !target.bytes().all(|byte| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte)) {
            return Err(malformed("forbidden character in the request target"));
        }
        let (authority, rest) = if target.starts_with('/') {
            (None, target)
        } else if let Some(rest) = strip_scheme(target) {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let authority = &rest[..end];
            host(authority.as_bytes())?;
            if authority.is_empty() {
                return Err(malformed("absolute request target without a host"));
            }
            (Some(authority), &rest[end..])
        } else if target == "*" {
            (None, target)
        } else {
            return Err(malformed("request target is neither a path nor a URL"));
        };
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let path = if path.is_empty() { "/" } else { path };
        escapes(path.as_bytes())?;
        Ok(Self { authority, path, query })
    }
}

fn strip_scheme(target: &str) -> Option<&str> {
    ["http://", "https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
        .map(|scheme| &target[scheme.len()..])
}

/// Percent-escapes of a path must be complete and must not hide a NUL.
fn escapes(path: &[u8]) -> Result<(), RouterError> {
    for at in memchr::memchr_iter(b'%', path) {
        match path.get(at + 1..at + 3) {
            Some(b"00") => return Err(malformed("NUL in the path")),
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => {}
            _ => return Err(malformed("broken percent-escape in the path")),
        }
    }
    Ok(())
}

/// `host` or `host:port`, without user information.
fn host(value: &[u8]) -> Result<&[u8], RouterError> {
    let value = trim(value);
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=:[]%".contains(byte);
    if value.is_empty() || !value.iter().all(allowed) { Err(malformed("invalid host")) } else { Ok(value) }
}

/// Too many bytes: of the target when the first line alone is too long.
#[cold]
fn too_large(bytes: &[u8], limits: HeadLimits) -> RouterError {
    let line = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    if line > limits.bytes {
        RouterError::TargetTooLong { limit: limits.bytes }
    } else {
        RouterError::HeadTooLarge { bytes: limits.bytes, fields: limits.fields }
    }
}

/// What a caller gets for a head that `httparse` does not take.
#[cold]
fn refusal(error: httparse::Error, head: &[u8], limits: HeadLimits) -> RouterError {
    match error {
        httparse::Error::TooManyHeaders => RouterError::HeadTooLarge { bytes: limits.bytes, fields: limits.fields },
        httparse::Error::Version => {
            let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
            match line.rsplit(|byte| *byte == b' ').next() {
                Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
                    if major.is_ascii_digit() && minor.is_ascii_digit() =>
                {
                    RouterError::VersionNotSupported
                }
                _ => malformed("no HTTP version"),
            }
        }
        httparse::Error::HeaderName => malformed("invalid header name"),
        httparse::Error::HeaderValue => malformed("invalid header value"),
        httparse::Error::NewLine => malformed("a line does not end with CRLF"),
        _ => malformed("invalid request line"),
    }
}
