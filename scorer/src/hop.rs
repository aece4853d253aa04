//! Who may call: in a cluster, where anybody may reach the port, only who knows the service's hop secret.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serving::wire;
use subtle::ConstantTimeEq as _;

use crate::call::Kind;
use crate::head::Head;
use crate::server::Answer;
use crate::v2;

/// Longest secret in bytes.
const LONGEST: u64 = 4096;

/// The hop secret. Never shown.
pub(crate) struct Hop(Box<[u8]>);

impl fmt::Debug for Hop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hop(..)")
    }
}

impl Hop {
    /// Reads the secret's file; what is wrong with it as text for people.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let (name, shown) = (wire::HOP_SECRET_FILE, path.display());
        let mut secret = Vec::new();
        // One byte more, so that a file above the limit is seen to be one.
        File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut secret)).map_err(|error| {
            format!("{name}: {shown} cannot be read: {error}; mount the service's hop secret there")
        })?;
        secret.truncate(secret.trim_ascii_end().len());
        if secret.is_empty() {
            return Err(format!("{name}: {shown} is empty; write the service's hop secret into it"));
        }
        if secret.len() as u64 > LONGEST || !secret.iter().all(u8::is_ascii_graphic) {
            return Err(format!(
                "{name}: {shown} holds no hop secret, which is one line of at most {LONGEST} visible ASCII characters"
            ));
        }
        Ok(Self(secret.into()))
    }

    /// The refusal of a request that does not present the secret, decided on its head. Nobody else sees what is presented.
    pub(crate) fn refusal(&self, head: &mut Head) -> Option<Answer> {
        let admitted = head.header(wire::HOP).is_some_and(|given| given.as_bytes().ct_eq(&self.0).into());
        head.remove(wire::HOP);
        if admitted || (matches!(head.method(), "GET" | "HEAD") && open(head.path())) {
            return None;
        }
        let kind = if v2::owns(head.path()) { Kind::Infer } else { Kind::Score };
        Some(Answer::error(kind, 403, FORBIDDEN).flag(false))
    }
}

const FORBIDDEN: &str = "Only the router of the service may call its scorer. Call the service's scoring URI.";

/// Whether the route tells no more than that the server is well.
fn open(path: &str) -> bool {
    path == wire::HEALTH_PATH || v2::tells_health(path)
}
