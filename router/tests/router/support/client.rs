//! A client of raw bytes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::{KEY, PATIENCE};

/// One connection to the router.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A response as it came.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The `error.code` of the router's own answer.
    pub(crate) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).expect("JSON");
        body["error"]["code"].as_str().expect("a code").to_owned()
    }
}

impl Response {
    /// The code of the router's own answer; `ok` of a good one.
    pub(crate) fn code_or_ok(&self) -> String {
        if self.status == 200 { "ok".to_owned() } else { self.code() }
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the router listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_nodelay(true).expect("no delay");
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("the router reads");
        self
    }

    /// Sends, although the router may have answered and closed already.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.stream.write_all(bytes.as_ref());
        self
    }

    /// Posts a body with the key.
    pub(crate) fn post(&mut self, path: &str, body: impl AsRef<[u8]>) -> &mut Self {
        self.post_with(path, "", body)
    }

    /// Posts a body with the key and further header lines, each with its line end.
    pub(crate) fn post_with(&mut self, path: &str, fields: &str, body: impl AsRef<[u8]>) -> &mut Self {
        let body = body.as_ref();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {}\r\n{fields}\r\n",
            body.len()
        );
        self.send(head).send(body)
    }

    /// Reads the next response, interim ones included.
    pub(crate) fn response(&mut self) -> Response {
        self.try_response("POST").expect("a response")
    }

    /// Reads the next response to a request of this method; `None` if the connection ends first.
    pub(crate) fn try_response(&mut self, method: &str) -> Option<Response> {
        let mut response = self.head()?;
        if method == "HEAD" || matches!(response.status, 100..=199 | 204 | 304) {
            return Some(response);
        }
        if let Some(length) = response.field("content-length") {
            let length = length.parse().expect("a length");
            response.body = self.take(length)?;
        } else if response.field("transfer-encoding") == Some("chunked") {
            loop {
                let line = self.line()?;
                let size = usize::from_str_radix(&line, 16).expect("a chunk size");
                let chunk = self.take(size)?;
                response.body.extend(chunk);
                assert_eq!(self.line()?, "");
                if size == 0 {
                    break;
                }
            }
        } else {
            while self.fill() {}
            response.body = std::mem::take(&mut self.buffer);
        }
        Some(response)
    }

    /// Reads a head; the body stays.
    pub(crate) fn head(&mut self) -> Option<Response> {
        let line = self.line()?;
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest[..3].parse().ok()).expect("a status line");
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").expect("a field");
            fields.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        Some(Response { status, fields, body: Vec::new() })
    }

    /// The router closes the connection, and nothing more comes.
    pub(crate) fn assert_closed(&mut self) {
        assert!(!self.fill(), "unexpected: {:?}", String::from_utf8_lossy(&self.buffer));
        assert!(self.buffer.is_empty(), "unexpected: {:?}", String::from_utf8_lossy(&self.buffer));
    }

    /// Reads and drops so many bytes.
    pub(crate) fn skip(&mut self, mut count: u64) {
        let mut room = vec![0; 256 * 1024];
        let have = u64::try_from(self.buffer.len()).expect("small").min(count);
        self.buffer.drain(..usize::try_from(have).expect("small"));
        count -= have;
        while count > 0 {
            let most = usize::try_from(count).unwrap_or(usize::MAX).min(room.len());
            let read = self.stream.read(&mut room[..most]).expect("more");
            assert!(read > 0, "the connection ends {count} bytes too early");
            count -= u64::try_from(read).expect("small");
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.buffer.drain(..end + 2).take(end).collect();
                return Some(String::from_utf8(line).expect("text"));
            }
            if !self.fill() {
                return None;
            }
        }
    }

    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            if !self.fill() {
                return None;
            }
        }
        Some(self.buffer.drain(..count).collect())
    }

    fn fill(&mut self) -> bool {
        let mut room = vec![0; 64 * 1024];
        match self.stream.read(&mut room) {
            Ok(0) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&room[..count]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("no bytes in time: {error}"),
        }
    }
}
