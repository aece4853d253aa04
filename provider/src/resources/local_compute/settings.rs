//! What a compute's document holds of its configuration.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use serving::token::Issuer;

use super::model::LocalCompute;
use crate::workspace::WorkspaceId;

/// Folder of the computes below a workspace's folder.
pub(super) const FOLDER: &str = "local";

/// The configuration, literally, so that an import plans no change; and the port, which is chosen once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Settings {
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) directory: Option<String>,
    pub(super) router_path: Option<String>,
    pub(super) router_version: Option<String>,
    pub(super) token_issuers: Vec<Issuer>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            directory: None,
            router_path: None,
            router_version: None,
            token_issuers: Vec::new(),
        }
    }
}

impl Settings {
    /// What a plan says. `config` tells what is configured and what only computed; the port is 0 if it is still open.
    pub(super) fn of(planned: &LocalCompute, config: &LocalCompute) -> Self {
        Self {
            address: planned
                .address
                .as_deref()
                .and_then(|address| address.parse().ok())
                .unwrap_or(Ipv4Addr::LOCALHOST.into()),
            port: planned.port.known().and_then(|port| port.try_into().ok()).unwrap_or(0),
            directory: config.directory.clone().known(),
            router_path: config.router_path.clone().known(),
            router_version: config.router_version.clone().known(),
            token_issuers: super::issuers::wanted(&planned.token_issuers),
        }
    }

    /// From a document; what is not readable has its default.
    pub(super) fn read(document: &serde_json::Value) -> Self {
        serde_json::from_value(document.clone()).unwrap_or_default()
    }

    pub(super) fn write(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// The default directory; none unless the workspace is a folder of this machine.
pub(super) fn default_directory(workspace: &WorkspaceId, name: &str) -> Option<PathBuf> {
    workspace.directory().map(|root| root.join(FOLDER).join(name))
}

/// A configured directory as an absolute path.
pub(super) fn absolute(directory: &str) -> std::io::Result<PathBuf> {
    std::path::absolute(Path::new(directory))
}
