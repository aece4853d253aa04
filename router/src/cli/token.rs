//! Tokens for the owner, from the signing keys' file: no supervisor has to run.

use std::io::{self, Write as _};

use jiff::Timestamp;
use serving::layout;
use serving::service::{AuthMode, Service};
use serving::token::{self, Order, SigningKeys};

use super::Failure;
use crate::config::Config;

/// Who the token says that it was issued to.
const OWNER: &str = "owner";

/// Prints a token for a service, valid for the lifetime in seconds.
pub(super) fn run(service: &Service, lifetime: Option<u64>, json: bool) -> Result<(), Failure> {
    let name = &service.name;
    if service.auth.mode != AuthMode::Token {
        return Err(Failure::failed(format!("no token for `{name}`: its callers do not authenticate by tokens")));
    }
    let file = layout::SIGNING_KEYS;
    let bytes = std::fs::read(file).map_err(|error| {
        Failure::failed(format!(
            "{file} cannot be read: {error}; only the owner of the compute may read it, and its first start makes it"
        ))
    })?;
    // The parser's own message could quote a key.
    let keys: SigningKeys = serde_json::from_slice(&bytes)
        .map_err(|_| Failure::failed(format!("{file} does not hold signing keys; restart the compute")))?;
    let config = Config::load(layout::CONFIG.as_ref())
        .map_err(|error| Failure::failed(format!("{}: {error}", layout::CONFIG)))?;
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Failure::failed(format!("no random numbers: {error}")))?;
    let order = Order { kind: service.kind, service: name, subject: OWNER, lifetime };
    let issued = token::issue(&keys, &config.tokens, &order, Timestamp::now(), random)
        .map_err(|error| Failure::failed(format!("no token for `{name}`: {error}")))?;
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &issued)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}", issued.access_token)?;
    }
    out.flush()?;
    Ok(())
}
