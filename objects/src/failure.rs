//! What to tell people when a store refuses or fails.

use std::error::Error;
use std::fmt;

use crate::location::{Location, Scheme};

/// Why a store did not do something, and what to do next. Never holds what was sent, which may be a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub cause: String,
    /// What to do next.
    pub remedy: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.cause, self.remedy)
    }
}

impl Failure {
    /// Reads an error of a store.
    #[must_use]
    pub fn of(location: &Location, error: &object_store::Error) -> Self {
        let text = chain(error);
        let code = code(&text);
        let place = format!("{} {}", location.scheme().place(), location.container());
        let said = code.map_or_else(String::new, |code| format!(" ({code})"));
        let new = |cause: String, remedy: &str| Self { cause, remedy: remedy.to_owned() };
        let credentials = credentials(location);
        match code.unwrap_or_default() {
            "ContainerNotFound" | "NoSuchBucket" => {
                return new(
                    format!("{place} does not exist{said}"),
                    "create it, or correct its name, the account or the endpoint",
                );
            }
            "ContainerBeingDeleted" | "ContainerDisabled" | "AccountIsDisabled" => {
                return new(format!("{place} cannot be used now{said}"), "wait, or ask who looks after the account");
            }
            "RequestTimeTooSkewed" => {
                return new(format!("the clocks of this machine and of the store differ{said}"), SKEW);
            }
            _ => {}
        }
        if code.is_some_and(|code| code.contains("Expired"))
            || text.contains("Signature not valid in the specified time")
        {
            return new(
                format!("the credential has expired, or is not valid yet{said}"),
                "replace it in the provider's storage or in the environment, and see that the clock is right",
            );
        }
        if text.contains("Request date header too old") || text.contains("skew") {
            return new(format!("the clocks of this machine and of the store differ{said}"), SKEW);
        }
        if let Some(failure) = unreachable(&text) {
            return failure;
        }
        if text.contains("token request") || text.contains("metadata request") || text.contains("MSI") {
            return new(
                "nothing gives out a credential: none is configured, and this machine has no identity that works"
                    .into(),
                &format!("set {credentials} in the provider's storage or in the environment"),
            );
        }
        // Listings keep the status in their text only.
        let refused = status(&text).is_some_and(|status| status.starts_with("401") || status.starts_with("403"));
        match error {
            object_store::Error::Unauthenticated { .. } | object_store::Error::PermissionDenied { .. } => {
                Self::refused(location, code)
            }
            _ if refused => Self::refused(location, code),
            object_store::Error::NotFound { .. } => {
                new(format!("it is not there{said}"), "check the name of the container or bucket, and the endpoint")
            }
            _ => {
                let cause = status(&text).map_or_else(
                    || format!("the store failed{said}: {}", brief(&innermost(error))),
                    |status| format!("the store answered {status}{said}"),
                );
                new(cause, "run it again; if it stays so, look at the store's own state")
            }
        }
    }
}

impl Failure {
    fn refused(location: &Location, code: Option<&str>) -> Self {
        let said = code.map_or_else(String::new, |code| format!(" ({code})"));
        let problem = match code {
            Some("AuthenticationFailed" | "SignatureDoesNotMatch" | "InvalidAccessKeyId") => "is wrong",
            _ => "is wrong or may not do this",
        };
        let place = format!("{} {}", location.scheme().place(), location.container());
        Self {
            cause: format!("the store refuses: the credential {problem}{said}"),
            remedy: format!("check {}, and that it may read, write, delete and list in {place}", credentials(location)),
        }
    }
}

fn credentials(location: &Location) -> &'static str {
    match location.scheme() {
        Scheme::Azure => "account_key, sas_token or identity",
        Scheme::S3 => "access_key_id and secret_access_key, or the role",
    }
}

const SKEW: &str = "set this machine's clock, for example by NTP";

fn unreachable(text: &str) -> Option<Failure> {
    let cause = if text.contains("dns error") || text.contains("failed to lookup address") {
        "the name of the storage's server does not resolve"
    } else if text.contains("Connection refused") {
        "nothing listens at the storage's address (connection refused)"
    } else if text.contains("invalid peer certificate") || text.contains("certificate") {
        "the server's certificate is not trusted"
    } else if text.contains("deadline has elapsed") || text.contains("timed out") || text.contains("no byte came") {
        "the storage did not answer in time"
    } else if text.contains("tcp connect error") || text.contains("client error (Connect)") {
        "the storage cannot be reached"
    } else {
        return None;
    };
    let remedy = if cause.contains("certificate") {
        "correct the endpoint, or add the issuer to the system's root certificates (package ca-certificates)"
    } else {
        "correct the account's or bucket's name, the region or the endpoint, or see to the network and the proxy"
    };
    Some(Failure { cause: cause.to_owned(), remedy: remedy.to_owned() })
}

/// The error with all its causes; only for looking into it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push('\n');
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(inner) = error.source() {
        error = inner;
    }
    error.to_string()
}

/// The store's own code, which is public.
fn code(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    (code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(code)
}

/// A status like `503 Service Unavailable`.
fn status(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.split([':', '\n']).next().map(str::trim).filter(|status| status.len() <= 64)
}

/// One short line, without what may be a signature in a URL.
fn brief(text: &str) -> String {
    let words = text.split_whitespace().map(|word| word.split('?').next().unwrap_or_default());
    words.collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(error: &object_store::Error) -> Failure {
        Failure::of(&"az://models/ws".parse().expect("a location"), error)
    }

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "test", source: text.to_owned().into() }
    }

    #[test]
    fn a_stores_code_tells_the_cause() {
        let refused =
            |text: &str| object_store::Error::PermissionDenied { path: "x".into(), source: text.to_owned().into() };
        for (text, cause) in [
            ("<Error><Code>AuthenticationFailed</Code>sig=SECRET</Error>", "is wrong (AuthenticationFailed)"),
            ("<Code>AuthorizationPermissionMismatch</Code>", "may not do this"),
            ("<Code>ExpiredToken</Code>", "expired"),
            ("<Code>RequestTimeTooSkewed</Code>", "clocks"),
            ("<Code>AuthenticationFailed</Code>Signature not valid in the specified time frame", "not valid yet"),
        ] {
            let failure = failure(&refused(text));
            assert!(failure.cause.contains(cause), "{failure}");
            assert!(!failure.to_string().contains("SECRET"), "{failure}");
        }
        let listing = generic("status code: 403 Forbidden: <Code>AuthorizationFailure</Code>");
        assert!(failure(&listing).remedy.contains("account_key"), "{}", failure(&listing));
        let missing = generic("status code: 404 Not Found: <Code>ContainerNotFound</Code>");
        assert_eq!(failure(&missing).cause, "container models does not exist (ContainerNotFound)");
    }

    #[test]
    fn a_store_that_is_not_reached_is_told_from_one_that_fails() {
        assert!(
            failure(&generic("client error (Connect): dns error: failed to lookup address")).cause.contains("resolve")
        );
        assert!(failure(&generic("tcp connect error: Connection refused (os error 111)")).cause.contains("refused"));
        assert!(failure(&generic("Error performing token request: status code: 400")).remedy.contains("account_key"));
        assert!(
            failure(&generic("status code: 503 Service Unavailable: busy")).cause.contains("503 Service Unavailable")
        );
        let odd = failure(&generic("odd http://host/x?sig=SECRET thing"));
        assert!(odd.cause.contains("odd http://host/x thing"), "{odd}");
    }
}
