//! Typed access to one namespace. Every failure names the action, the object, the cause and what to do.

use std::fmt::{self, Debug};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Event, Node};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::client::AuthError;
use kube::core::Status;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serving::cluster::FIELD_MANAGER;

use crate::connections::credential_problem;

/// For how long an API server may not answer before waiting for it is given up: its own upgrade, on a small cluster, takes
/// longer than a router's.
const API_PATIENCE: Duration = Duration::from_mins(2);
/// Longest wait for one answer of the API server.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// A kind of object in a namespace.
pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize
{
}

/// An API server did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {object} in namespace {namespace} through connection {connection}: {problem}")]
pub struct ApiError {
    /// What was tried, for example `apply`.
    pub action: &'static str,
    /// Kind and name.
    pub object: String,
    /// The namespace.
    pub namespace: String,
    /// Name of the connection in the provider block.
    pub connection: String,
    /// Why.
    pub problem: Problem,
}

/// Why an API server did not do what it was asked to, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub enum Problem {
    /// The identity of the connection lacks a right.
    Forbidden(String),
    /// The credentials are not accepted.
    Unauthorized,
    /// There are no credentials, or they could not be renewed.
    Credentials(String),
    /// The namespace is being deleted.
    Terminating,
    /// A `ResourceQuota` is used up.
    Quota(String),
    /// The object is invalid, or an admission controller refuses it.
    Refused(String),
    /// Another field manager owns what is to be changed.
    Conflict(Vec<String>),
    /// The object was changed, or made, by somebody else at the same time.
    Changed,
    /// There is no such namespace or object.
    Absent(String),
    /// The cluster knows nothing of the kind, or not in this version of its API.
    Unserved,
    /// Nobody answers, or not in time.
    Unreachable(String),
    /// The server answers that it is overloaded, or fails.
    Unavailable(String),
    /// The server presents a certificate that is not trusted.
    Certificate(String),
    /// Anything else.
    Other(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden(message) => write!(
                f,
                "{message}; grant this right to the identity of the connection (the guide on clusters has a Role with \
                 all that are needed)"
            ),
            Self::Unauthorized => f.write_str(
                "the API server does not accept the connection's credentials; they may have expired: renew them, for \
                 example by logging in again, and run terraform again",
            ),
            Self::Credentials(message) => write!(f, "the connection's credentials cannot be had: {message}"),
            Self::Terminating => f.write_str(
                "the namespace is being deleted; wait until it is gone, or find out what keeps it with: kubectl get \
                 namespace -o yaml",
            ),
            Self::Quota(message) => {
                write!(f, "{message}; raise the ResourceQuota of the namespace, or ask for less")
            }
            Self::Refused(message) if message.contains("provided port is already allocated") => {
                write!(f, "{message}; choose another router.node_port, or none, which leaves the choice to the cluster")
            }
            Self::Refused(message) if message.contains("failed calling webhook") => write!(
                f,
                "{message}; bring what answers this admission webhook up again, or let it leave the namespace alone"
            ),
            Self::Refused(message) => write!(f, "{message}"),
            Self::Conflict(owners) => write!(
                f,
                "other programs manage these fields: {}; let them give the fields up, or set force_conflicts on the \
                 attachment to take them over",
                owners.join(", ")
            ),
            Self::Changed => f.write_str("it was changed by somebody else in the meantime; run terraform apply again"),
            Self::Absent(message) => write!(f, "{message}; check that the namespace exists"),
            Self::Unserved => f.write_str(
                "the cluster does not serve objects of this kind in the version of the API that is needed; let the \
                 connection lead to one that runs Kubernetes 1.30 or newer",
            ),
            Self::Unreachable(message) => write!(
                f,
                "the API server cannot be reached: {message}; check the connection's address and the network between \
                 here and there"
            ),
            Self::Unavailable(message) => {
                write!(f, "the API server is overloaded or out of order: {message}; run terraform apply again later")
            }
            Self::Certificate(message) => write!(
                f,
                "the API server's certificate is not trusted: {message}; check the connection's \
                 cluster_ca_certificate, and that its address leads to the cluster that is meant"
            ),
            Self::Other(message) => f.write_str(message),
        }
    }
}

impl Problem {
    /// Whether there is nothing of what was asked for.
    #[must_use]
    pub const fn is_absence(&self) -> bool {
        matches!(self, Self::Absent(_) | Self::Unserved)
    }
}

impl ApiError {
    /// For how long it may come again before it ends a wait.
    pub(in crate::cluster) fn patience(&self) -> Duration {
        if self.is_unreachable() { API_PATIENCE } else { Duration::ZERO }
    }

    /// Whether the server could not be asked, or could not answer, so that asking again may help.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        matches!(self.problem, Problem::Unreachable(_) | Problem::Unavailable(_))
    }
}

/// One namespace of a cluster. Cheap to clone.
#[derive(Clone)]
pub struct Namespace {
    client: Client,
    name: Arc<str>,
    connection: Arc<str>,
}

impl Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace")
            .field("name", &self.name)
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

impl Namespace {
    /// The namespace of this name, reached by the connection of this name.
    #[must_use]
    pub fn new(client: Client, name: &str, connection: &str) -> Self {
        Self { client, name: name.into(), connection: connection.into() }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name of the connection that it is reached by.
    #[must_use]
    pub fn connection(&self) -> &str {
        &self.connection
    }

    /// Client of the cluster, for what is not in a namespace.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// All objects of a kind.
    #[must_use]
    pub fn api<K: Kind>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// An object; none if there is none.
    pub async fn get<K: Kind>(&self, name: &str) -> Result<Option<K>, ApiError> {
        self.call::<K, _>("read", name, self.api::<K>().get_opt(name)).await
    }

    /// Objects by labels (`a=b,c=d`).
    pub async fn list<K: Kind>(&self, selector: &str) -> Result<Vec<K>, ApiError> {
        let api = self.api::<K>();
        let parameters = ListParams::default().labels(selector);
        Ok(self.call::<K, _>("list", selector, api.list(&parameters)).await?.items)
    }

    /// [`Namespace::get`] by the right to list alone.
    pub(super) async fn find<K: Kind>(&self, name: &str) -> Result<Option<K>, ApiError> {
        let api = self.api::<K>();
        let parameters = ListParams::default().fields(&format!("metadata.name={name}"));
        let found = self.call::<K, _>("list", name, api.list(&parameters)).await?.items;
        Ok(found.into_iter().find(|object| name_of(object) == name))
    }

    /// Events about a pod.
    pub(super) async fn events_of_pod(&self, pod: &str) -> Result<Vec<Event>, ApiError> {
        let about = format!("involvedObject.kind=Pod,involvedObject.name={pod}");
        let api = self.api::<Event>();
        Ok(self.call::<Event, _>("list", pod, api.list(&ListParams::default().fields(&about))).await?.items)
    }

    /// The nodes of the cluster, which is an optional right.
    pub(super) async fn nodes(&self) -> Result<Vec<Node>, ApiError> {
        let nodes = Api::<Node>::all(self.client());
        Ok(self.ask("list", "nodes", nodes.list(&ListParams::default())).await?.items)
    }

    /// Creates an object; false if there is one of its name already.
    pub async fn create<K: Kind>(&self, object: &K) -> Result<bool, ApiError> {
        let parameters = by_us();
        match self.call::<K, _>("create", name_of(object), self.api::<K>().create(&parameters, object)).await {
            Ok(_) => Ok(true),
            Err(ApiError { problem: Problem::Changed, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Replaces an object of which the resource version is still the one in `object`; false if it is not.
    pub async fn replace<K: Kind>(&self, object: &K) -> Result<bool, ApiError> {
        let parameters = by_us();
        let name = name_of(object);
        match self.call::<K, _>("replace", name, self.api::<K>().replace(name, &parameters, object)).await {
            Ok(_) => Ok(true),
            Err(ApiError { problem: Problem::Changed | Problem::Absent(_), .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Brings an object to what is written in `manifest`, and leaves alone what is not in it (server-side apply). What
    /// other managers own is only taken over by `force`.
    pub async fn apply<K: Kind>(&self, manifest: &Value, force: bool) -> Result<K, ApiError> {
        let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
        let parameters = PatchParams { force, ..PatchParams::apply(FIELD_MANAGER) };
        self.call::<K, _>("apply", name, self.api::<K>().patch(name, &parameters, &Patch::Apply(manifest))).await
    }

    /// Changes single fields (JSON merge patch).
    pub async fn merge<K: Kind>(&self, name: &str, patch: &Value) -> Result<K, ApiError> {
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        self.call::<K, _>("change", name, self.api::<K>().patch(name, &parameters, &Patch::Merge(patch))).await
    }

    /// Deletes an object and, after it, what it owns. Not an error if there is none.
    pub async fn delete<K: Kind>(&self, name: &str) -> Result<(), ApiError> {
        self.delete_if::<K>(name, None).await
    }

    /// [`Namespace::delete`], only while it is the object with this UID.
    pub async fn delete_if<K: Kind>(&self, name: &str, uid: Option<String>) -> Result<(), ApiError> {
        self.delete_by::<K>(name, uid.map(|uid| Preconditions { uid: Some(uid), resource_version: None })).await
    }

    /// Deletes an object that is still as it was read.
    pub async fn delete_unchanged<K: Kind>(&self, read: &K) -> Result<(), ApiError> {
        let preconditions =
            Preconditions { uid: read.meta().uid.clone(), resource_version: read.meta().resource_version.clone() };
        self.delete_by::<K>(name_of(read), Some(preconditions)).await
    }

    async fn delete_by<K: Kind>(&self, name: &str, preconditions: Option<Preconditions>) -> Result<(), ApiError> {
        let parameters = DeleteParams { preconditions, ..DeleteParams::background() };
        match self.call::<K, _>("delete", name, self.api::<K>().delete(name, &parameters)).await {
            Ok(_) | Err(ApiError { problem: Problem::Changed, .. }) => Ok(()),
            Err(error) if error.problem.is_absence() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Asks the server about an object of a kind in this namespace.
    pub async fn call<K: Kind, T>(
        &self,
        action: &'static str,
        name: &str,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ApiError> {
        self.ask(action, &format!("{} {name}", K::kind(&())), answer).await
    }

    /// Asks the server, for so long at most; `object` is what the error says it was about.
    pub async fn ask<T>(
        &self,
        action: &'static str,
        object: &str,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ApiError> {
        let problem = match tokio::time::timeout(ANSWER_TIME, answer).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => problem(&error),
            Err(_) => Problem::Unreachable(format!("no answer in {} seconds", ANSWER_TIME.as_secs())),
        };
        Err(ApiError {
            action,
            object: object.to_owned(),
            namespace: self.name.to_string(),
            connection: self.connection.to_string(),
            problem,
        })
    }
}

/// What says who has written.
pub(super) fn by_us() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

fn name_of<K: Kind>(object: &K) -> &str {
    object.meta().name.as_deref().unwrap_or_default()
}

/// What an error of the client library means.
#[must_use]
pub fn problem(error: &kube::Error) -> Problem {
    if let Some(error) = credential_error(error) {
        return Problem::Credentials(credential_problem(error));
    }
    match error {
        kube::Error::Api(status) => of_status(status),
        kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => {
            let text = root_cause(error);
            let about_tls = ["certificate", "UnknownIssuer", "NotValidForName"].iter().any(|word| text.contains(word));
            if about_tls { Problem::Certificate(text) } else { Problem::Unreachable(text) }
        }
        other => Problem::Other(root_cause(other)),
    }
}

/// What went wrong with a plugin or a file that gives credentials. Its own text would show what a plugin printed: a token.
fn credential_error(error: &kube::Error) -> Option<&AuthError> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        match error.downcast_ref::<AuthError>() {
            Some(found) => return Some(found),
            None => next = error.source(),
        }
    }
    None
}

fn of_status(status: &Status) -> Problem {
    let message = status.message.trim().to_owned();
    let causes = || status.details.iter().flat_map(|details| &details.causes);
    match (status.code, status.reason.as_str()) {
        (401, _) => Problem::Unauthorized,
        (403, _)
            if causes().any(|cause| cause.reason == "NamespaceTerminating") || message.contains("being terminated") =>
        {
            Problem::Terminating
        }
        (403, _) if message.contains("exceeded quota") => Problem::Quota(message),
        // Rights are refused with the whole question in the message; admission controllers with their own words.
        (403, _)
            if !message.contains("admission webhook")
                && (message.contains(" cannot ") || message.contains("permissions not currently held")) =>
        {
            Problem::Forbidden(message)
        }
        (409, _) if causes().any(|cause| cause.reason == "FieldManagerConflict") => {
            let owners = causes().map(|cause| format!("{} ({})", cause.field, cause.message));
            Problem::Conflict(owners.collect())
        }
        (409, _) => Problem::Changed,
        (404, "NotFound") => Problem::Absent(message),
        (404, _) => Problem::Unserved,
        (400 | 403 | 422, _) => Problem::Refused(message),
        (500, _) if message.contains("failed calling webhook") => Problem::Refused(message),
        (429 | 500..=599, _) => Problem::Unavailable(message),
        _ => Problem::Other(message),
    }
}

/// The innermost reason: outer ones only say that a request failed.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(value: Value) -> Problem {
        of_status(&serde_json::from_value(value).expect("a status"))
    }

    #[test]
    fn refusals_are_told_apart_by_what_helps_against_them() {
        let forbidden = status(json!({ "code": 403, "reason": "Forbidden", "message":
            "secrets is forbidden: User \"ci\" cannot list resource \"secrets\" in API group \"\" in the namespace \"ml\"" }));
        assert!(matches!(&forbidden, Problem::Forbidden(text) if text.contains("cannot list resource \"secrets\"")));
        assert!(forbidden.to_string().contains("grant this right"), "{forbidden}");
        let quota =
            json!({ "code": 403, "message": "pods \"x\" is forbidden: exceeded quota: small, requested: pods=1" });
        assert!(matches!(status(quota), Problem::Quota(_)));
        let pod_security =
            json!({ "code": 403, "message": "pods \"x\" is forbidden: violates PodSecurity \"restricted\"" });
        assert!(matches!(status(pod_security), Problem::Refused(_)));
        let ending = json!({ "code": 403, "message": "unable to create new content in namespace ml because it is being terminated",
            "details": { "causes": [{ "reason": "NamespaceTerminating", "message": "", "field": "" }] } });
        assert_eq!(status(ending), Problem::Terminating);
        assert_eq!(status(json!({ "code": 401, "message": "Unauthorized" })), Problem::Unauthorized);
    }

    #[test]
    fn a_server_that_fails_is_told_from_one_that_cannot_be_reached_and_from_a_webhook_of_its_own() {
        let webhook = status(json!({ "code": 500, "reason": "InternalError", "message":
            "Internal error occurred: failed calling webhook \"policy.example.com\": dial tcp: connection refused" }));
        assert!(matches!(&webhook, Problem::Refused(text) if text.contains("policy.example.com")));
        assert!(webhook.to_string().contains("bring what answers this admission webhook up again"), "{webhook}");
        let denied = json!({ "code": 403, "reason": "Forbidden", "message":
            "admission webhook \"policy.example.com\" denied the request: this team cannot deploy" });
        assert!(matches!(status(denied), Problem::Refused(_)));
        for code in [429, 503] {
            let busy = status(json!({ "code": code, "message": "etcdserver: request timed out" }));
            assert!(busy.to_string().contains("overloaded or out of order: etcdserver"), "{busy}");
        }
    }

    #[test]
    fn conflicts_name_manager_and_field() {
        let conflict = status(json!({ "code": 409, "reason": "Conflict", "message": "Apply failed with 1 conflict",
            "details": { "causes": [{
                "reason": "FieldManagerConflict",
                "message": "conflict with \"kubectl-edit\" using apps/v1",
                "field": ".spec.replicas",
            }] } }));
        assert!(
            conflict.to_string().contains(".spec.replicas (conflict with \"kubectl-edit\" using apps/v1)"),
            "{conflict}"
        );
        assert_eq!(status(json!({ "code": 409, "reason": "AlreadyExists", "message": "exists" })), Problem::Changed);
    }

    #[test]
    fn what_a_plugin_printed_is_never_told() {
        let output = std::process::Command::new("sh").args(["-c", "echo SECRET; echo locked >&2; exit 1"]).output();
        let failed = AuthError::AuthExecRun { cmd: "plugin".into(), out: Box::new(output.expect("run")) };
        let problem = problem(&kube::Error::Service(Box::new(failed))).to_string();
        assert!(problem.contains("locked") && !problem.contains("SECRET"), "{problem}");
    }
}
