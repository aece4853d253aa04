//! The keys that tokens are signed with: kept in a file that only the owner can read, and replaced when their time has come.

use std::io;
use std::path::Path;

use jiff::Timestamp;
use serving::admin::Response;
use serving::layout;
use serving::service::AuthMode;
use serving::token::{self, Order, RANDOM_BYTES, Settings, SigningKeys};

use super::documents::{keep, read};
use super::engine::Supervisor;

/// Longest file of keys. One key takes some 200 bytes.
const MAX_BYTES: usize = 1 << 20;

/// Who asks on the admin socket.
const OWNER: &str = "owner";

/// The keys in force.
#[derive(Debug, Default)]
pub(super) struct Signing {
    pub(super) keys: SigningKeys,
    /// The last attempt to replace them failed, which was said.
    failing: bool,
}

impl Signing {
    /// Reads the file. Without a good one the keys start anew, and tokens that were issued before end.
    pub(super) fn load() -> Self {
        let keys = match read(Path::new(layout::SIGNING_KEYS), MAX_BYTES) {
            // The parser's own message could quote a key.
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| "it does not hold signing keys".to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(SigningKeys::default()),
            Err(error) => Err(error.to_string()),
        };
        let keys = keys.unwrap_or_else(|reason| {
            let file = layout::SIGNING_KEYS;
            tracing::error!(file, reason, "the signing keys are lost; there will be new ones, and all tokens end");
            SigningKeys::default()
        });
        Self { keys, failing: false }
    }

    /// Replaces what is due. True if the keys are others now.
    fn rotate(&mut self, settings: &Settings) -> bool {
        let now = Timestamp::now();
        if !self.keys.due(settings, now) {
            return false;
        }
        match self.next(settings, now) {
            Ok(keys) => {
                tracing::info!(
                    active = keys.active(now).map(|key| key.id.as_str()),
                    count = keys.keys.len(),
                    "signing keys"
                );
                *self = Self { keys, failing: false };
                true
            }
            Err(error) => {
                if !self.failing {
                    let file = layout::SIGNING_KEYS;
                    tracing::error!(file, %error, "the signing keys cannot be replaced; the present ones stay");
                }
                self.failing = true;
                false
            }
        }
    }

    /// The next keys, kept already: what was signed with a key must be good after a restart, too.
    fn next(&self, settings: &Settings, now: Timestamp) -> io::Result<SigningKeys> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let keys = self.keys.rotated(settings, now, &random);
        keep(Path::new(layout::SIGNING_KEYS), &serde_json::to_vec(&keys)?)?;
        Ok(keys)
    }
}

impl Supervisor {
    /// Replaces the signing keys when it is time.
    pub(super) fn rotate_signing_keys(&mut self) {
        self.dirty |= self.signing.rotate(&self.config.tokens);
    }

    /// Issues a token to the owner.
    pub(super) fn issue_token(&self, service: &str, lifetime: Option<u64>) -> Response {
        match self.try_issue(service, lifetime) {
            Ok(issued) => Response::Token(issued),
            Err(reason) => Response::Error { message: format!("no token for the service {service}: {reason}") },
        }
    }

    fn try_issue(&self, service: &str, lifetime: Option<u64>) -> Result<token::Issued, String> {
        let found = self.documents.services.get(service).and_then(|found| found.good.as_ref());
        let document = &found.ok_or("there is no such service")?.service;
        if document.auth.mode != AuthMode::Token {
            return Err("it does not authenticate by tokens".to_owned());
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| error.to_string())?;
        let order = Order { kind: document.kind, service, subject: OWNER, lifetime };
        token::issue(&self.signing.keys, &self.config.tokens, &order, Timestamp::now(), random)
            .map_err(|error| error.to_string())
    }
}
