//! Where things are in a local compute's directory. All paths are relative to it.
//!
//! ```text
//! supervisor.lock                 held by the supervisor for as long as it lives
//! admin.sock                      admin protocol, mode 0600
//! azureml-fe.toml                 the router's configuration
//! bin/azureml-fe-<digest>         the copied router program
//! signing-keys.json               keys that tokens are signed with, mode 0600
//! services/<name>.json            service documents, mode 0600; writers hold services/.lock
//! keys/<name>/<generation>.json   plain keys, mode 0600
//! keys/<name>/<generation>.digests.json
//! accepted/<name>.json            the last good document, kept by the supervisor
//! apps/<revision>/                app root of a template: <code directory>/ and azureml-models/<name>/<version>/
//! sockets/<replica id>.sock       listening sockets of the scorers
//! logs/supervisor.log  logs/router.log  logs/<service>/<version>/<replica id>.log
//! ```

/// Lock that proves the supervisor's life.
pub const SUPERVISOR_LOCK: &str = "supervisor.lock";
/// Admin socket.
pub const ADMIN_SOCKET: &str = "admin.sock";
/// Router configuration.
pub const CONFIG: &str = "azureml-fe.toml";
/// Keys that tokens are signed with, see [`crate::token::SigningKeys`].
pub const SIGNING_KEYS: &str = "signing-keys.json";
/// Service documents.
pub const SERVICES: &str = "services";
/// Lock file that a writer of service documents or keys holds.
pub const SERVICES_LOCK: &str = "services/.lock";
/// Last good documents.
pub const ACCEPTED: &str = "accepted";
/// App roots.
pub const APPS: &str = "apps";
/// Sockets of the scorers.
pub const SOCKETS: &str = "sockets";
/// Logs.
pub const LOGS: &str = "logs";
/// Programs.
pub const BIN: &str = "bin";

/// Path of a service's document.
#[must_use]
pub fn document(service: &str) -> String {
    format!("{SERVICES}/{service}.json")
}

/// Path of a service's plain keys.
#[must_use]
pub fn keys(service: &str, generation: u64) -> String {
    format!("keys/{service}/{generation}.json")
}

/// Path of the digests of a service's keys.
#[must_use]
pub fn key_digests(service: &str, generation: u64) -> String {
    format!("keys/{service}/{generation}.digests.json")
}

/// App root of a template.
#[must_use]
pub fn app(revision: &str) -> String {
    format!("{APPS}/{revision}")
}

/// Folder of a version's replica logs.
#[must_use]
pub fn logs(service: &str, version: &str) -> String {
    format!("{LOGS}/{service}/{version}")
}
