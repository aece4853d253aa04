//! Tokens from the signing keys' file.

use std::path::Path;

use serving::layout;
use serving::service::Service;
use serving::token::{Issued, SigningKeys};

use super::{config, files};
use crate::cluster::{Error, tokens};

/// Issues a token for a service.
pub(super) fn issue(
    (directory, compute): (&Path, &str),
    service: &Service,
    lifetime: Option<u64>,
) -> Result<Issued, Error> {
    let path = directory.join(layout::SIGNING_KEYS);
    let content = files::read(&path)?.ok_or_else(|| Error::NoSigningKeys { compute: compute.to_owned() })?;
    // The reason would quote the content.
    let keys: SigningKeys = serde_json::from_slice(&content).map_err(|_| Error::BadFile {
        path: path.display().to_string(),
        problem: "it does not hold signing keys; restart the compute".to_owned(),
    })?;
    tokens::issue(compute, &keys, &config::tokens(directory)?, service, lifetime)
}
