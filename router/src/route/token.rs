//! `POST .../token`: a service's token for whoever shows an access token of a configured issuer.
//!
//! The access token is judged first, and by it alone: without a good one nobody learns which services there are.

use jiff::Timestamp;
use serving::error::RouterError;
use serving::service::Kind;
use serving::token::{IssueError, Issued, MAX_TOKEN_BYTES, Order};

use super::auth::Credential;
use super::issuers::Refusal;
use super::table::Access;
use super::thread::Thread;
use crate::http1::request::{Method, Request};

/// A request for a token.
pub(super) struct Ask {
    kind: Kind,
    service: String,
    lifetime: Option<u64>,
    access_token: Vec<u8>,
}

impl Ask {
    /// Takes what is needed out of a request's head.
    pub(super) fn read(
        request: &Request<'_, '_>,
        credential: &Credential<'_>,
        kind: Kind,
        service: &str,
    ) -> Result<Self, RouterError> {
        if request.method != Method::Post {
            return Err(RouterError::MethodNotAllowed { allowed: "POST" });
        }
        match credential {
            Credential::Bearer(bearer) if bearer.value.len() <= MAX_TOKEN_BYTES => Ok(Self {
                kind,
                service: service.to_owned(),
                lifetime: lifetime(request.query),
                access_token: bearer.value.to_owned(),
            }),
            _ => Err(credential.refused(service)),
        }
    }
}

/// `lifetime` of a query; what is not a number is out of every range.
fn lifetime(query: Option<&str>) -> Option<u64> {
    let text = query?.split('&').find_map(|pair| pair.strip_prefix("lifetime="))?;
    Some(text.parse().unwrap_or(u64::MAX))
}

/// Issues the token.
pub(super) async fn issue(thread: &Thread, ask: &Ask) -> Result<Issued, RouterError> {
    let service = || ask.service.clone();
    let subject = thread.issuers.judge(&ask.access_token, &ask.service).await.map_err(|refusal| match refusal {
        Refusal::Invalid => RouterError::CredentialInvalid { service: service() },
        Refusal::Forbidden => RouterError::Forbidden { service: service() },
        Refusal::Unavailable { retry_after } => RouterError::IssuerUnavailable { retry_after },
    })?;
    let table = thread.table();
    let found = table.service(&ask.service).filter(|service| service.kind == ask.kind);
    match found.map(|service| &service.access) {
        None => return Err(RouterError::ServiceNotFound { name: service(), endpoint: ask.kind == Kind::Endpoint }),
        Some(Access::Tokens(_)) => {}
        Some(_) => return Err(RouterError::NoTokens { service: service() }),
    }
    let order = Order { kind: ask.kind, service: &ask.service, subject: &subject, lifetime: ask.lifetime };
    let mut random = [0; 16];
    let issued = match getrandom::fill(&mut random) {
        Ok(()) => serving::token::issue(&table.signing.keys, &thread.config.tokens, &order, Timestamp::now(), random),
        Err(error) => {
            tracing::error!(%error, "no random numbers to make a token from");
            return Err(RouterError::Internal);
        }
    };
    issued.map_err(|error| match error {
        IssueError::Lifetime { min, max, .. } => RouterError::LifetimeOutOfRange { min, max },
        error => {
            tracing::error!(service = ask.service, %error, "a token could not be issued");
            RouterError::Internal
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lifetime_is_read_from_the_query() {
        assert_eq!(lifetime(None), None);
        assert_eq!(lifetime(Some("a=b&lifetime=60")), Some(60));
        assert_eq!(lifetime(Some("lifetime=-1")), Some(u64::MAX));
        assert_eq!(lifetime(Some("other=1")), None);
    }
}
