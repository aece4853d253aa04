//! The service document: what one webservice or endpoint is, as one value that is replaced as a whole.
//!
//! The provider writes it, the supervisor (local compute) or the API server (Kubernetes) stores it, the router
//! serves it. One write of the document switches everything that it names, because key material is referenced by
//! generation and never embedded.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The version of the document format that this crate writes. Readers accept one below and one above.
pub const SCHEMA_VERSION: u32 = 1;

/// One webservice or endpoint.
///
/// The document grows only at [`Service`], [`Version`] and [`Template`]: these keep the fields that they do not know,
/// so that a program of format N hands a document of N+1 on unharmed.
///
/// A webservice is an endpoint with exactly one version, named like the service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Service {
    /// Format of this document, see [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Counts the writes of this document, from 1. A router confirms the generation that it serves.
    pub generation: u64,
    /// Name in the compute's single name space of webservices and endpoints.
    pub name: String,
    /// Which of the two URL families the service answers on.
    pub kind: Kind,
    /// Id (URL of the storage root) of the workspace that owns the service.
    pub workspace: String,
    /// Who created the service: the provider's `owner` argument.
    pub owner: String,
    /// False while the create that made the document has not finished; see the provider's adoption rule.
    pub committed: bool,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Mutable labels.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Labels that may be added but never changed.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// RFC 3339 time of the create.
    pub created_time: String,
    /// RFC 3339 time of the latest write.
    pub updated_time: String,
    /// How callers authenticate, and which key material is in force.
    pub auth: Auth,
    /// What keeps a caller on one version. Without it each request is dealt by weight alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// The whole split as one value; then what the versions declare of traffic and default must be nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignment: Option<crate::traffic::Assignment>,
    /// Versions by name, at most six.
    pub versions: BTreeMap<String, Version>,
    /// The traffic table in force. Absent while no version can be served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<crate::traffic::Table>,
    /// What the user configured, literally, so that an import plans no change. Opaque to the router.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub configured: serde_json::Value,
    /// Fields that a newer program wrote; kept as they are.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, serde_json::Value>,
}

/// URL family of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `/api/v1/service/<name>/...`
    Webservice,
    /// `/api/v1/endpoint/<name>/...`
    Endpoint,
}

/// How callers of a service authenticate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Auth {
    /// The mode in force.
    pub mode: AuthMode,
    /// Generation of the key material; the plain keys and their digests are stored apart under this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<u64>,
}

/// Where a request's sticky key is. Requests of one key stay on one version, see [`crate::slots`]; a request without a key
/// is dealt by weight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sticky {
    /// Value of the header of this name.
    Header(String),
    /// Value of the cookie of this name.
    Cookie(String),
    /// Value of the query parameter of this name, percent-decoded.
    Query(String),
}

/// The original's three modes (`auth_enabled`, `token_auth_enabled`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthMode {
    /// `Authorization: Bearer <primary or secondary key>`.
    Key,
    /// `Authorization: Bearer <token>`, issued by the router.
    Token,
    /// Anonymous.
    None,
}

/// One version: what it declares and what runs for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Version {
    /// Order of creation within the service, from 1; the oldest version is the last resort for the default.
    pub sequence: u64,
    /// False while the create that made the version has not finished. Such a version gets no share.
    #[serde(default = "committed", skip_serializing_if = "is_committed")]
    pub committed: bool,
    /// What the version declares of the traffic.
    pub declared: crate::traffic::Declaration,
    /// What it declared when its endpoint's table was settled last; differs from `declared` while the set is in conflict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<crate::traffic::Declaration>,
    /// RFC 3339 time. The version is destroyed, but the endpoint's assignment still names it: it keeps serving until the
    /// assignment changes, and at the latest until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retiring_until: Option<String>,
    /// The version before the change that is under way, so that whoever continues can go back to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<Box<Version>>,
    /// How many replicas run.
    pub scale: Scale,
    /// Requests that one replica runs at once (`replica_max_concurrent_requests`), at least 1.
    pub replica_max_concurrent_requests: u32,
    /// Milliseconds that a request may wait for a slot (`max_request_wait_time`) before it gets a 503.
    pub max_request_wait_time: u64,
    /// Milliseconds from the request's arrival at the router to its 504 (`scoring_timeout_ms`).
    pub scoring_timeout_ms: u64,
    /// What a replica is made of. A changed template rolls.
    pub template: Template,
    /// How a changed template replaces the replicas.
    #[serde(default)]
    pub rollout: Rollout,
    /// What the user configured, literally, so that an import plans no change. Opaque to the router.
    #[serde(default)]
    pub configured: serde_json::Value,
    /// Fields that a newer program wrote; kept as they are.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, serde_json::Value>,
}

const fn committed() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_committed(committed: &bool) -> bool {
    *committed
}

impl Service {
    /// Every template that replicas may run or go back to.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.versions.values().flat_map(|version| {
            let former = version.former.as_deref().map(|former| &former.template);
            std::iter::once(&version.template).chain(former)
        })
    }
}

impl Version {
    /// When the version's time to retire is over, if it is retiring.
    #[must_use]
    pub fn retires_at(&self) -> Option<jiff::Timestamp> {
        self.retiring_until.as_deref()?.parse().ok()
    }

    /// The version's time to retire is over: nothing of it serves any more.
    #[must_use]
    pub fn retired(&self, now: jiff::Timestamp) -> bool {
        self.retires_at().is_some_and(|until| until <= now)
    }
}

/// Number of replicas: fixed, or decided by the router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// `num_replicas`.
    Fixed(u32),
    /// `autoscale_*`.
    Auto(crate::autoscale::Policy),
}

impl Scale {
    /// Replicas that there are at least.
    #[must_use]
    pub const fn least(&self) -> u32 {
        match self {
            Self::Fixed(replicas) => *replicas,
            Self::Auto(policy) => policy.min_replicas,
        }
    }
}

/// What a replica is made of. Two equal templates are the same [`revision`](Template::revision).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Template {
    /// Models, in the user's order, at most 1,000.
    pub models: Vec<ModelRef>,
    /// The code snapshot.
    pub code: CodeRef,
    /// The environment.
    pub environment: EnvironmentRef,
    /// Environment variables of the scorer process, the environment's own.
    #[serde(default)]
    pub environment_variables: BTreeMap<String, String>,
    /// What a replica's pod is given. Absent on the local compute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<crate::pod::Pod>,
    /// Fields that a newer program wrote; kept as they are, and part of the [`revision`](Template::revision).
    #[serde(flatten)]
    pub unknown: BTreeMap<String, serde_json::Value>,
}

/// A registered model version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelRef {
    /// `<workspace>/models/<name>/<version>`, as written in `model_ids`.
    pub id: String,
    /// Name; the directory below `azureml-models`.
    pub name: String,
    /// Version; the directory below the name.
    pub version: u64,
    /// Digest of the manifest, `sha256:<hex>`.
    pub digest: String,
}

/// A snapshot of the source directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CodeRef {
    /// Digest of the zip, `sha256:<hex>`.
    pub digest: String,
    /// Base name of the source directory: the folder below the app root that holds the code.
    pub directory: String,
    /// Entry script, relative to the source directory.
    pub entry_script: String,
}

/// A built environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentRef {
    /// `<workspace>/environments/<name>`.
    pub id: String,
    /// Revision of the environment.
    pub version: u64,
    /// Hash of the definition.
    pub hash: String,
    /// Identifies what was built: hash, lock, platform, Python version and scorer version.
    pub build_key: String,
    /// On the local compute: the virtual environment's directory (`<prefix>/bin/python`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// In a cluster: the image, by digest (`registry/repository@sha256:...`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// How a changed template replaces the replicas; the terms are those of a Kubernetes Deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rollout {
    /// Replicas that may exist above the wanted number while rolling.
    pub max_surge: u32,
    /// Replicas that may be missing from the wanted number while rolling.
    pub max_unavailable: u32,
    /// Stop all old replicas before the first new one starts.
    pub recreate: bool,
    /// Seconds that a new replica has to become ready (`init()` done) before the rollout has failed.
    pub progress_deadline_seconds: u64,
}

impl Default for Rollout {
    /// Surge before stop: one above, none missing, ten minutes to get ready.
    fn default() -> Self {
        Self { max_surge: 1, max_unavailable: 0, recreate: false, progress_deadline_seconds: 600 }
    }
}

impl Template {
    /// The environment of a scorer that runs this template below the folder `app`: the user's variables, and the
    /// contract, which they cannot change.
    #[must_use]
    pub fn contract(&self, service: &str, app: &str) -> BTreeMap<String, String> {
        let models = format!("{app}/{}", crate::wire::MODELS_DIRECTORY);
        let models = match &self.models[..] {
            [one] => format!("{models}/{}/{}", one.name, one.version),
            _ => models,
        };
        let mut all = self.environment_variables.clone();
        for (name, value) in [
            ("AML_APP_ROOT", app.to_owned()),
            ("AZUREML_SOURCE_DIRECTORY", self.code.directory.clone()),
            ("AZUREML_ENTRY_SCRIPT", format!("{}/{}", self.code.directory, self.code.entry_script)),
            ("AZUREML_MODEL_DIR", models),
            ("SERVICE_NAME", service.to_owned()),
        ] {
            all.insert(name.to_owned(), value);
        }
        all
    }

    /// Identifies the template: the first 16 hex digits of the SHA-256 of its compact JSON with all keys sorted, so that
    /// a program for which a field is unknown computes the same.
    ///
    /// # Panics
    /// Never: a template has only string keys and serialises.
    #[must_use]
    pub fn revision(&self) -> String {
        let mut value = serde_json::to_value(self).expect("a template serialises");
        value.sort_all_objects();
        crate::hex(&Sha256::digest(value.to_string())[..8])
    }
}

/// The plain keys of a service, stored apart from the document and readable only by their owner.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// First slot.
    pub primary: KeySlot,
    /// Second slot.
    pub secondary: KeySlot,
    /// Keys that were replaced and are still accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<ReplacedKey>,
}

/// A key that stays valid for the overlap after its replacement. The key itself is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReplacedKey {
    /// SHA-256 of the key in lower-case hex.
    pub digest: String,
    /// RFC 3339 time of its end.
    pub until: String,
}

/// One key slot.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySlot {
    /// The key itself.
    pub key: String,
    /// The declared version (`primary_key_version`), so that a repeated apply rotates nothing twice.
    pub version: u64,
}

impl std::fmt::Debug for KeySlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySlot").field("version", &self.version).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("primary", &self.primary)
            .field("secondary", &self.secondary)
            .finish_non_exhaustive()
    }
}

/// What the router sees of the keys: SHA-256 digests in lower-case hex.
///
/// A plain digest is enough because keys are long and random, so there is no dictionary to run against them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyDigests {
    /// Digests of every key that is accepted.
    pub accepted: Vec<String>,
    /// Keys that are accepted for a while only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expiring: Vec<ReplacedKey>,
}

impl Keys {
    /// The digests of both slots, and of the keys that are still accepted beside them.
    #[must_use]
    pub fn digests(&self) -> KeyDigests {
        KeyDigests { accepted: vec![self.primary.digest(), self.secondary.digest()], expiring: self.replaced.clone() }
    }
}

impl KeySlot {
    /// SHA-256 of the key in lower-case hex.
    #[must_use]
    pub fn digest(&self) -> String {
        crate::hex(&Sha256::digest(self.key.as_bytes()))
    }
}
