//! `keys`: both keys of a service.

use std::io::{self, Write as _};

use serde::Serialize;
use serving::layout;
use serving::service::{AuthMode, Keys};

use super::view::document;
use super::{Failure, Noun};

#[derive(Serialize)]
struct PlainKeys<'a> {
    primary: &'a str,
    secondary: &'a str,
}

pub(super) fn run(noun: Noun, name: &str, json: bool) -> Result<(), Failure> {
    let service = document(noun, "keys", name)?;
    let (AuthMode::Key, Some(generation)) = (service.auth.mode, service.auth.keys) else {
        let (word, why) = match service.auth.mode {
            AuthMode::Token => (noun.word(), "its callers use tokens"),
            _ => (noun.word(), "its authentication is switched off"),
        };
        return Err(Failure::failed(format!("the {word} `{name}` has no keys: {why}")));
    };
    let path = layout::keys(name, generation);
    let bytes = std::fs::read(&path).map_err(|error| {
        Failure::failed(format!("{path} cannot be read: {error}; only the owner of the compute may read keys"))
    })?;
    // The parser's own message could quote a key.
    let keys: Keys = serde_json::from_slice(&bytes)
        .map_err(|_| Failure::failed(format!("{path} does not hold keys; apply again with a higher key version")))?;
    let plain = PlainKeys { primary: &keys.primary.key, secondary: &keys.secondary.key };
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &plain)?;
        writeln!(out)?;
    } else {
        writeln!(out, "primary    {}", plain.primary)?;
        writeln!(out, "secondary  {}", plain.secondary)?;
    }
    out.flush()?;
    Ok(())
}
