//! Everything that the router itself answers instead of a model: status, stable code, text and headers.
//!
//! The body is `{"error": {"code": ..., "message": ..., "request_id": ...}}`. Codes and statuses are part of the
//! interface and never change their meaning; texts may get better. A model's own answer, whatever its status, is passed
//! on as it is and is none of these.

use serde_json::json;

/// An answer of the router.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouterError {
    /// The request breaks HTTP/1.1 or HTTP/2 framing or syntax. The connection is closed after it.
    #[error("malformed request: {reason}")]
    Malformed {
        /// What is wrong with it, without any of the caller's bytes.
        reason: &'static str,
    },
    /// No credential was sent to a service that wants one.
    #[error("the service {service} needs a credential: send the header `Authorization: Bearer <key or token>`")]
    CredentialMissing {
        /// Name of the service.
        service: String,
    },
    /// The credential is not one of the service's.
    #[error("the credential is not valid for the service {service}")]
    CredentialInvalid {
        /// Name of the service.
        service: String,
    },
    /// The credential is valid, but does not allow this.
    #[error("the credential is valid, but does not allow this for the service {service}")]
    Forbidden {
        /// Name of the service.
        service: String,
    },
    /// Whether the credential is valid can only be told with keys of its issuer that the router does not have, and the
    /// issuer does not give them now.
    #[error(
        "the issuer of the access token cannot be asked for its keys, so that it cannot be verified now; try again"
    )]
    IssuerUnavailable {
        /// Seconds to wait.
        retry_after: u32,
    },
    /// A token is wanted of a service that wants none.
    #[error("the service {service} does not authenticate by tokens")]
    NoTokens {
        /// Name of the service.
        service: String,
    },
    /// A token is wanted for longer or shorter than the configuration allows.
    #[error("`lifetime` must be a number of seconds from {min} to {max}")]
    LifetimeOutOfRange {
        /// Shortest.
        min: u64,
        /// Longest.
        max: u64,
    },
    /// The path is none of the router's.
    #[error(
        "no such path; a service answers on /api/v1/service/<name>/score and an endpoint on /api/v1/endpoint/<name>/score"
    )]
    RouteNotFound,
    /// The path names a service that does not exist.
    #[error("there is no {kind} of the name {name}", kind = if *endpoint { "endpoint" } else { "service" })]
    ServiceNotFound {
        /// Name in the path.
        name: String,
        /// The path is an endpoint's, not a webservice's.
        endpoint: bool,
    },
    /// The request pins a version that does not exist.
    #[error(
        "the service {service} has no version {version}; {}",
        if versions.is_empty() { "it has no versions yet".to_owned() } else { format!("its versions are: {}", versions.join(", ")) }
    )]
    VersionNotFound {
        /// Name of the service.
        service: String,
        /// The pinned version.
        version: String,
        /// Versions that exist.
        versions: Vec<String>,
    },
    /// The method is not allowed on this path of the router's own.
    #[error("the method is not allowed here; allowed: {allowed}")]
    MethodNotAllowed {
        /// Value of the `Allow` header.
        allowed: &'static str,
    },
    /// The caller did not send its request in time.
    #[error("the request was not received completely within {seconds} s")]
    RequestTimeout {
        /// The limit in seconds.
        seconds: u64,
    },
    /// The body is larger than the router passes on.
    #[error("the request body is larger than the limit of {limit} bytes")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The request target is too long.
    #[error("the request target is longer than the limit of {limit} bytes")]
    TargetTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The `Expect` header wants something other than `100-continue`.
    #[error("the only supported expectation is `100-continue`")]
    ExpectationFailed,
    /// The head is too large or has too many fields.
    #[error("the request head is larger than the limit of {bytes} bytes and {fields} fields")]
    HeadTooLarge {
        /// The limit in bytes.
        bytes: usize,
        /// The limit in header fields.
        fields: usize,
    },
    /// A request id header is longer than 100 characters.
    #[error("the header {header} must not be longer than 100 characters")]
    RequestIdTooLong {
        /// Name of the header.
        header: &'static str,
    },
    /// Too many failed authentications from this source. Valid credentials never get this.
    #[error("too many failed authentication attempts")]
    TooManyAttempts {
        /// Seconds to wait.
        retry_after: u32,
    },
    /// The router itself failed.
    #[error("internal error of the router")]
    Internal,
    /// The request uses a transfer coding or feature that the router does not implement.
    #[error("not implemented: {feature}")]
    NotImplemented {
        /// What it is.
        feature: &'static str,
    },
    /// The replica closed the connection, or could not be reached, before it answered.
    #[error("the replica of the service {service} failed before it answered: {reason}")]
    ReplicaFailed {
        /// Name of the service.
        service: String,
        /// How it failed.
        reason: &'static str,
    },
    /// The replica's answer is not HTTP.
    #[error("the replica of the service {service} sent an invalid response: {reason}")]
    ReplicaInvalid {
        /// Name of the service.
        service: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Every slot is busy and the queue has no room.
    #[error("too many requests for the service {service}: its queue of {limit} is full")]
    QueueFull {
        /// Name of the service.
        service: String,
        /// Places in the queue.
        limit: usize,
        /// Seconds to wait.
        retry_after: u32,
    },
    /// No slot became free within `max_request_wait_time`.
    #[error("too many requests for the service {service}: no slot became free within {waited_ms} ms")]
    QueueTimeout {
        /// Name of the service.
        service: String,
        /// The limit in milliseconds.
        waited_ms: u64,
        /// Seconds to wait.
        retry_after: u32,
    },
    /// No replica that could serve the request is ready.
    #[error("no ready replicas for the service {service}")]
    NoReadyReplicas {
        /// Name of the service.
        service: String,
        /// Seconds to wait.
        retry_after: u32,
    },
    /// The endpoint has no version that could answer.
    #[error("the endpoint {service} has no version to serve; add an azureml_endpoint_version to it")]
    NoVersions {
        /// Name of the endpoint.
        service: String,
        /// Seconds to wait.
        retry_after: u32,
    },
    /// The router is stopping and takes no new requests.
    #[error("the router is stopping")]
    Stopping,
    /// The model did not answer within `scoring_timeout_ms`.
    #[error("the service {service} did not answer within {timeout_ms} ms")]
    ScoringTimeout {
        /// Name of the service.
        service: String,
        /// The limit in milliseconds.
        timeout_ms: u64,
    },
    /// The request is not of HTTP version 1.0, 1.1 or 2.
    #[error("the HTTP version is not supported")]
    VersionNotSupported,
}

impl RouterError {
    /// HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Malformed { .. } | Self::LifetimeOutOfRange { .. } => 400,
            Self::CredentialMissing { .. } | Self::CredentialInvalid { .. } => 401,
            Self::Forbidden { .. } => 403,
            Self::RouteNotFound
            | Self::ServiceNotFound { .. }
            | Self::VersionNotFound { .. }
            | Self::NoTokens { .. } => 404,
            Self::MethodNotAllowed { .. } => 405,
            Self::RequestTimeout { .. } => 408,
            Self::BodyTooLarge { .. } => 413,
            Self::TargetTooLong { .. } => 414,
            Self::ExpectationFailed => 417,
            Self::TooManyAttempts { .. } => 429,
            Self::HeadTooLarge { .. } | Self::RequestIdTooLong { .. } => 431,
            Self::Internal => 500,
            Self::NotImplemented { .. } => 501,
            Self::ReplicaFailed { .. } | Self::ReplicaInvalid { .. } => 502,
            Self::IssuerUnavailable { .. }
            | Self::QueueFull { .. }
            | Self::QueueTimeout { .. }
            | Self::NoReadyReplicas { .. }
            | Self::NoVersions { .. }
            | Self::Stopping => 503,
            Self::ScoringTimeout { .. } => 504,
            Self::VersionNotSupported => 505,
        }
    }

    /// Reason phrase of the status.
    #[must_use]
    pub const fn reason_phrase(&self) -> &'static str {
        match self.status() {
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            413 => "Content Too Large",
            414 => "URI Too Long",
            417 => "Expectation Failed",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            501 => "Not Implemented",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            504 => "Gateway Timeout",
            505 => "HTTP Version Not Supported",
            _ => "Internal Server Error",
        }
    }

    /// Stable machine code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed_request",
            Self::CredentialMissing { .. } => "credential_missing",
            Self::CredentialInvalid { .. } => "credential_invalid",
            Self::Forbidden { .. } => "forbidden",
            Self::IssuerUnavailable { .. } => "issuer_unavailable",
            Self::NoTokens { .. } => "no_tokens",
            Self::LifetimeOutOfRange { .. } => "lifetime_out_of_range",
            Self::RouteNotFound => "route_not_found",
            Self::ServiceNotFound { .. } => "service_not_found",
            Self::VersionNotFound { .. } => "version_not_found",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::RequestTimeout { .. } => "request_timeout",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::TargetTooLong { .. } => "target_too_long",
            Self::ExpectationFailed => "expectation_failed",
            Self::HeadTooLarge { .. } => "head_too_large",
            Self::RequestIdTooLong { .. } => "request_id_too_long",
            Self::TooManyAttempts { .. } => "too_many_attempts",
            Self::Internal => "internal_error",
            Self::NotImplemented { .. } => "not_implemented",
            Self::ReplicaFailed { .. } => "replica_failed",
            Self::ReplicaInvalid { .. } => "replica_invalid_response",
            Self::QueueFull { .. } => "queue_full",
            Self::QueueTimeout { .. } => "queue_timeout",
            Self::NoReadyReplicas { .. } => "no_ready_replicas",
            Self::NoVersions { .. } => "no_versions",
            Self::Stopping => "router_stopping",
            Self::ScoringTimeout { .. } => "scoring_timeout",
            Self::VersionNotSupported => "http_version_not_supported",
        }
    }

    /// Value of the `Retry-After` header in seconds, where trying again makes sense.
    #[must_use]
    pub const fn retry_after(&self) -> Option<u32> {
        match self {
            Self::TooManyAttempts { retry_after }
            | Self::IssuerUnavailable { retry_after }
            | Self::QueueFull { retry_after, .. }
            | Self::QueueTimeout { retry_after, .. }
            | Self::NoReadyReplicas { retry_after, .. }
            | Self::NoVersions { retry_after, .. } => Some(*retry_after),
            Self::Stopping => Some(1),
            _ => None,
        }
    }

    /// A further header that the status demands: `WWW-Authenticate` with 401, `Allow` with 405. `Retry-After` is apart.
    #[must_use]
    pub const fn header(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::CredentialMissing { .. } => Some(("www-authenticate", "Bearer")),
            Self::CredentialInvalid { .. } => Some(("www-authenticate", "Bearer error=\"invalid_token\"")),
            Self::MethodNotAllowed { allowed } => Some(("allow", allowed)),
            _ => None,
        }
    }

    /// After these the connection must be closed: nothing that follows on it can be trusted to be a request, or it shall
    /// cost those who guess credentials a new one.
    #[must_use]
    pub const fn closes_connection(&self) -> bool {
        matches!(
            self,
            Self::Malformed { .. }
                | Self::TooManyAttempts { .. }
                | Self::RequestTimeout { .. }
                | Self::BodyTooLarge { .. }
                | Self::TargetTooLong { .. }
                | Self::ExpectationFailed
                | Self::HeadTooLarge { .. }
                | Self::NotImplemented { .. }
                | Self::Stopping
                | Self::VersionNotSupported
        )
    }

    /// The JSON body. An unknown pin also lists the versions that exist, as `error.versions`.
    #[must_use]
    pub fn body(&self, request_id: &str) -> String {
        let mut error = json!({ "code": self.code(), "message": self.to_string(), "request_id": request_id });
        if let Self::VersionNotFound { versions, .. } = self {
            error["versions"] = json!(versions);
        }
        json!({ "error": error }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn all() -> Vec<RouterError> {
        let service = || "diabetes".to_owned();
        vec![
            RouterError::Malformed { reason: "two Host headers" },
            RouterError::CredentialMissing { service: service() },
            RouterError::CredentialInvalid { service: service() },
            RouterError::Forbidden { service: service() },
            RouterError::IssuerUnavailable { retry_after: 1 },
            RouterError::NoTokens { service: service() },
            RouterError::LifetimeOutOfRange { min: 60, max: 86_400 },
            RouterError::RouteNotFound,
            RouterError::ServiceNotFound { name: service(), endpoint: false },
            RouterError::VersionNotFound {
                service: service(),
                version: "x".into(),
                versions: vec!["a".into(), "b".into()],
            },
            RouterError::MethodNotAllowed { allowed: "GET, HEAD" },
            RouterError::RequestTimeout { seconds: 10 },
            RouterError::BodyTooLarge { limit: 1 },
            RouterError::TargetTooLong { limit: 1 },
            RouterError::ExpectationFailed,
            RouterError::HeadTooLarge { bytes: 1, fields: 1 },
            RouterError::RequestIdTooLong { header: "x-request-id" },
            RouterError::TooManyAttempts { retry_after: 3 },
            RouterError::Internal,
            RouterError::NotImplemented { feature: "transfer coding" },
            RouterError::ReplicaFailed { service: service(), reason: "connection closed" },
            RouterError::ReplicaInvalid { service: service(), reason: "no status line" },
            RouterError::QueueFull { service: service(), limit: 100, retry_after: 1 },
            RouterError::QueueTimeout { service: service(), waited_ms: 500, retry_after: 1 },
            RouterError::NoReadyReplicas { service: service(), retry_after: 1 },
            RouterError::NoVersions { service: service(), retry_after: 1 },
            RouterError::Stopping,
            RouterError::ScoringTimeout { service: service(), timeout_ms: 60_000 },
            RouterError::VersionNotSupported,
        ]
    }

    #[test]
    fn every_error_has_a_code_of_its_own_and_a_known_status() {
        let codes: BTreeSet<_> = all().iter().map(RouterError::code).collect();
        assert_eq!(codes.len(), all().len());
        for error in all() {
            assert!((400..=505).contains(&error.status()));
            assert_eq!(error.reason_phrase() == "Internal Server Error", error.status() == 500, "{error}");
        }
    }

    #[test]
    fn refusals_for_lack_of_room_say_when_to_come_back() {
        for error in all() {
            assert_eq!(error.retry_after().is_some(), matches!(error.status(), 429 | 503), "{error}");
        }
    }

    #[test]
    fn the_body_is_json_and_escapes_what_callers_sent() {
        let error = RouterError::ServiceNotFound { name: "a\"b".into(), endpoint: true };
        let body: serde_json::Value = serde_json::from_str(&error.body("id-\"1")).expect("JSON");
        assert_eq!(
            body,
            json!({ "error": {
                "code": "service_not_found", "message": "there is no endpoint of the name a\"b", "request_id": "id-\"1"
            } })
        );
    }

    #[test]
    fn an_unknown_pin_is_answered_with_the_versions_that_exist() {
        let error = RouterError::VersionNotFound {
            service: "s".into(),
            version: "x".into(),
            versions: vec!["a".into(), "b".into()],
        };
        let body: serde_json::Value = serde_json::from_str(&error.body("1")).expect("JSON");
        assert_eq!(body["error"]["versions"], json!(["a", "b"]));
        assert_eq!(body["error"]["message"], "the service s has no version x; its versions are: a, b");
    }

    #[test]
    fn statuses_that_demand_a_header_have_it() {
        for error in all() {
            assert_eq!(error.header().is_some(), matches!(error.status(), 401 | 405), "{error}");
        }
    }
}
