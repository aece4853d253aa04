//! An issuer of access tokens that does what a test says: well, slowly, garbage, or not at all.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serving::service::Kind;
use serving::token::{Issuer, Order, RANDOM_BYTES, Settings, SigningKeys, Verifier, audience, issue};

/// How it answers the question for its keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// Never answers, but keeps the connection.
    Slow,
    /// HTML.
    Garbage,
    /// Status 500.
    Broken,
    /// A body without end.
    Endless,
}

/// What it has and does.
struct State {
    keys: SigningKeys,
    mood: Mood,
    /// Questions for its keys.
    asked: usize,
    held: Vec<TcpStream>,
}

/// A running issuer.
pub(crate) struct TestIssuer {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// The audience that its tokens are for.
pub(crate) fn api() -> String {
    audience(Kind::Webservice, "api")
}

fn keys(byte: u8) -> SigningKeys {
    let long_ago = "2026-01-01T00:00:00Z".parse().expect("a time");
    SigningKeys::default().rotated(&Settings::default(), long_ago, &[byte; RANDOM_BYTES])
}

impl TestIssuer {
    /// Signs with the key of this number.
    pub(crate) fn start(key: u8, mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State { keys: keys(key), mood, asked: 0, held: Vec::new() }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that went away is not this test's business.
                let _ = answer(stream, address, &shared);
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its entry in the router's configuration.
    pub(crate) fn entry(&self) -> Issuer {
        Issuer { issuer: self.url(), audiences: vec![api()], ..Issuer::default() }
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.state.lock().expect("not poisoned").mood = mood;
    }

    /// Signs with another key from now on, and publishes no other.
    pub(crate) fn rotate(&self, key: u8) {
        self.state.lock().expect("not poisoned").keys = keys(key);
    }

    pub(crate) fn asked(&self) -> usize {
        self.state.lock().expect("not poisoned").asked
    }

    /// An access token for this subject.
    pub(crate) fn token(&self, subject: &str) -> String {
        self.token_for("api", subject)
    }

    /// An access token of another audience.
    pub(crate) fn token_for(&self, audience: &str, subject: &str) -> String {
        let settings = Settings { issuer: self.url(), ..Settings::default() };
        let order = Order { kind: Kind::Webservice, service: audience, subject, lifetime: None };
        let state = self.state.lock().expect("not poisoned");
        issue(&state.keys, &settings, &order, jiff::Timestamp::now(), [1; 16]).expect("issued").access_token
    }
}

fn answer(stream: TcpStream, address: SocketAddr, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    while {
        let mut field = String::new();
        reader.read_line(&mut field)?;
        field.trim_end() != ""
    } {}
    let mut stream = reader.into_inner();
    let mut write = |body: &str| {
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    };
    if line.starts_with("GET /.well-known/openid-configuration ") {
        let body =
            serde_json::json!({ "issuer": format!("http://{address}"), "jwks_uri": format!("http://{address}/jwks") });
        return write(&body.to_string());
    }
    let mut state = state.lock().expect("not poisoned");
    state.asked += 1;
    match state.mood {
        Mood::Well => write(&Verifier::new(&state.keys, &Settings::default()).jwks()),
        Mood::Garbage => write("<html>Sign in</html>"),
        Mood::Broken => stream.write_all(b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
        Mood::Slow => {
            state.held.push(stream);
            Ok(())
        }
        Mood::Endless => {
            drop(state);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"keys\": [\"")?;
            // Ends when the client has had enough.
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
            Ok(())
        }
    }
}
