//! Tokens for the owner of the compute, from the signing keys' file: no router has to run.

use std::path::Path;

use jiff::Timestamp;
use serving::layout;
use serving::service::Service;
use serving::token::{self, IssueError, Issued, Order, SigningKeys};

use super::{config, files};
use crate::cluster::Error;

/// Who the token says that it was issued to.
const OWNER: &str = "owner";

/// Issues a token for a service.
pub(super) fn issue(
    (directory, compute): (&Path, &str),
    service: &Service,
    lifetime: Option<u64>,
) -> Result<Issued, Error> {
    let path = directory.join(layout::SIGNING_KEYS);
    let missing = || Error::NoSigningKeys { compute: compute.to_owned() };
    let content = files::read(&path)?.ok_or_else(missing)?;
    // The reason would quote the content.
    let bad = |problem: &str| Error::BadFile { path: path.display().to_string(), problem: problem.to_owned() };
    let keys: SigningKeys =
        serde_json::from_slice(&content).map_err(|_| bad("it does not hold signing keys; restart the compute"))?;
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    let order = Order { kind: service.kind, service: &service.name, subject: OWNER, lifetime };
    token::issue(&keys, &config::tokens(directory)?, &order, Timestamp::now(), random).map_err(|error| match error {
        IssueError::Lifetime { lifetime, min, max } => Error::TokenLifetime { lifetime, min, max },
        IssueError::NoKey => missing(),
        IssueError::BadKey => bad("a signing key is damaged; restart the compute"),
    })
}
