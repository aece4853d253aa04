//! Tokens for who owns the compute, signed with its own keys: no router has to run.

use jiff::Timestamp;
use serving::service::Service;
use serving::token::{self, IssueError, Issued, Order, Settings, SigningKeys};

use super::Error;

/// Who the token says that it was issued to.
const OWNER: &str = "owner";

/// Issues a token for a service of the compute with this id.
pub(super) fn issue(
    compute: &str,
    keys: &SigningKeys,
    settings: &Settings,
    service: &Service,
    lifetime: Option<u64>,
) -> Result<Issued, Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    let order = Order { kind: service.kind, service: &service.name, subject: OWNER, lifetime };
    token::issue(keys, settings, &order, Timestamp::now(), random).map_err(|error| match error {
        IssueError::Lifetime { lifetime, min, max } => Error::TokenLifetime { lifetime, min, max },
        IssueError::NoKey => Error::NoSigningKeys { compute: compute.to_owned() },
        IssueError::BadKey => Error::BadFile {
            path: format!("the signing keys of compute {compute}"),
            problem: "a key is damaged; apply the compute again".to_owned(),
        },
    })
}
