//! A replica on a unix socket that answers as a test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use serving::snapshot::{Address, Replica};
use tempfile::TempDir;

type Script = dyn Fn(&mut Exchange<'_>) + Send + Sync;

/// A listening replica. Each connection has a thread.
pub(crate) struct TestReplica {
    id: String,
    path: PathBuf,
    stop: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<UnixStream>>>,
    /// Requests that were read.
    pub(crate) requests: Arc<AtomicUsize>,
    _directory: TempDir,
}

/// One request on a replica.
pub(crate) struct Exchange<'e> {
    /// Request line.
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) reader: &'e mut BufReader<UnixStream>,
    pub(crate) writer: &'e mut UnixStream,
    /// The connection is closed after the script.
    pub(crate) close: bool,
}

impl Exchange<'_> {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Reads the body: sized or chunked.
    pub(crate) fn body(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        self.each_piece(|piece| body.extend_from_slice(piece));
        body
    }

    /// Reads the body in pieces; false if the connection ended within it.
    pub(crate) fn each_piece(&mut self, mut take: impl FnMut(&[u8])) -> bool {
        let mut room = vec![0; 64 * 1024];
        let mut sized = |reader: &mut BufReader<UnixStream>, mut left: u64, take: &mut dyn FnMut(&[u8])| {
            while left > 0 {
                let most = usize::try_from(left).unwrap_or(usize::MAX).min(room.len());
                match reader.read(&mut room[..most]) {
                    Ok(0) | Err(_) => return false,
                    Ok(count) => {
                        take(&room[..count]);
                        left -= u64::try_from(count).expect("small");
                    }
                }
            }
            true
        };
        if let Some(length) = self.field("content-length") {
            let length = length.parse().expect("a length");
            return sized(self.reader, length, &mut take);
        }
        if self.field("transfer-encoding") != Some("chunked") {
            return true;
        }
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap_or(0) == 0 {
                return false;
            }
            let size = u64::from_str_radix(line.trim_end(), 16).expect("a chunk size");
            if !sized(self.reader, size, &mut take) || !sized(self.reader, 2, &mut |end| assert_eq!(end, b"\r\n")) {
                return false;
            }
            if size == 0 {
                return true;
            }
        }
    }

    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        if self.writer.write_all(bytes.as_ref()).is_err() {
            self.close = true;
        }
    }

    /// Answers 200 with this body.
    pub(crate) fn ok(&mut self, body: impl AsRef<[u8]>) {
        self.answer("200 OK", "", body);
    }

    /// Answers, with further header lines, each with its line end.
    pub(crate) fn answer(&mut self, status: &str, fields: &str, body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let mut message = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{fields}\r\n", body.len()).into_bytes();
        message.extend_from_slice(body);
        self.write(message);
    }

    /// Refuses the request before its body.
    pub(crate) fn refuse(&mut self, reason: &str) {
        self.answer("503 Service Unavailable", &format!("x-azureml-refused: {reason}\r\n"), "");
        // With an announced body unread, the connection is of no more use.
        self.close = self.field("expect").is_some();
    }
}

impl TestReplica {
    /// Starts a replica that answers every request by this script.
    pub(crate) fn start(id: &str, script: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("r.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        let replica = Self {
            id: id.into(),
            path,
            stop: Arc::default(),
            connections: Arc::default(),
            requests: Arc::default(),
            _directory: directory,
        };
        let script: Arc<Script> = Arc::new(script);
        let (stop, connections, requests) =
            (Arc::clone(&replica.stop), Arc::clone(&replica.connections), Arc::clone(&replica.requests));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                if stop.load(SeqCst) {
                    return;
                }
                connections.lock().expect("not poisoned").push(stream.try_clone().expect("a descriptor"));
                let (script, requests) = (Arc::clone(&script), Arc::clone(&requests));
                std::thread::spawn(move || serve(stream, &*script, &requests));
            }
        });
        replica
    }

    /// A replica that answers with its own name and the body.
    pub(crate) fn echo(id: &str) -> Self {
        let name = id.to_owned();
        Self::start(id, move |exchange| {
            if exchange.field("expect").is_some() {
                exchange.write("HTTP/1.1 100 Continue\r\n\r\n");
            }
            let body = exchange.body();
            exchange.ok([name.as_bytes(), b":", &body].concat());
        })
    }

    pub(crate) fn listed(&self) -> Replica {
        Replica { id: self.id.clone(), address: Address::Unix(self.path.to_str().expect("text").to_owned()) }
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.load(SeqCst)
    }

    /// Dies: no new connections, the present ones end at once.
    pub(crate) fn kill(&self) {
        self.stop.store(true, SeqCst);
        let _ = std::fs::remove_file(&self.path);
        for connection in self.connections.lock().expect("not poisoned").drain(..) {
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
    }
}

impl Drop for TestReplica {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        // Wakes the accepting thread.
        let _ = UnixStream::connect(&self.path);
    }
}

fn serve(stream: UnixStream, script: &Script, requests: &AtomicUsize) {
    let mut writer = stream.try_clone().expect("a descriptor");
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut fields = Vec::new();
        loop {
            let mut field = String::new();
            if reader.read_line(&mut field).unwrap_or(0) == 0 {
                return;
            }
            match field.trim_end_matches("\r\n").split_once(": ") {
                Some((name, value)) => fields.push((name.to_ascii_lowercase(), value.to_owned())),
                None => break,
            }
        }
        requests.fetch_add(1, SeqCst);
        let line = line.trim_end().to_owned();
        let mut exchange = Exchange { line, fields, reader: &mut reader, writer: &mut writer, close: false };
        script(&mut exchange);
        if exchange.close {
            let _ = writer.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}
