//! Container registries: how they are reached, and what is asked of them.
//!
//! Credentials are those of the usual tools: `REGISTRY_AUTH_FILE`, the files of podman and docker, and their helpers. They
//! are read when they are needed, and kept nowhere.

mod block;
mod client;
mod copy;
mod credentials;
mod error;
mod managed;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

pub use block::{RegistryBlock, attribute};
pub use client::Client;
pub use error::Error;
pub use managed::Managed;
pub use oci_client::Reference;

use crate::environment::image::Tool;

/// What `registry` of the provider block says. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Registries(Arc<Values>);

#[derive(Debug, Default)]
struct Values {
    /// Hosts that speak plain HTTP. None: those of this machine.
    plain_http: Option<BTreeSet<String>>,
    tool: Option<Tool>,
    base_image: Option<String>,
}

impl Registries {
    /// What the block says, and for the rest what the environment says.
    #[must_use]
    pub fn new(block: &RegistryBlock, variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let listed = |text: String| text.split(',').map(|host| host.trim().to_owned()).collect();
        let plain_http = block.plain_http.clone().known().map(|hosts| hosts.into_iter().collect());
        Self(Arc::new(Values {
            plain_http: plain_http.or_else(|| variable("AZUREML_REGISTRY_PLAIN_HTTP").map(listed)),
            tool: block
                .tool
                .clone()
                .known()
                .or_else(|| variable("AZUREML_IMAGE_TOOL"))
                .and_then(|name| name.parse().ok()),
            base_image: block.base_image.clone().known().or_else(|| variable("AZUREML_BASE_IMAGE")),
        }))
    }

    /// Whether a registry, `host[:port]`, speaks plain HTTP.
    #[must_use]
    pub fn is_plain(&self, registry: &str) -> bool {
        match &self.0.plain_http {
            Some(hosts) => hosts.contains(registry),
            None => is_this_machine(registry),
        }
    }

    /// The program that builds images, if one is asked for.
    #[must_use]
    pub fn tool(&self) -> Option<Tool> {
        self.0.tool
    }

    /// The base of images that name none, if one is configured.
    #[must_use]
    pub fn base_image(&self) -> Option<&str> {
        self.0.base_image.as_deref()
    }
}

fn is_this_machine(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => registry,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Parses the name of an image.
pub fn parse(image: &str) -> Result<Reference, Error> {
    image
        .parse()
        .map_err(|error: oci_client::ParseError| Error::Name { image: image.to_owned(), why: error.to_string() })
}

/// Checks `registry` of a workspace: `host[:port][/path]`.
pub fn check_registry(text: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("{why} Write it like myregistry.azurecr.io, or host:5000/path."));
    if text.contains("://") {
        return wrong("It has a scheme.");
    }
    let (host, path) = text.split_once('/').map_or((text, None), |(host, path)| (host, Some(path)));
    if host.is_empty() || host.contains('@') {
        return wrong("It has no plain host.");
    }
    if !host.contains(['.', ':']) && host != "localhost" {
        return wrong(
            "Its first part has neither a dot nor a port, so that it would be taken for a repository of Docker Hub.",
        );
    }
    if path.is_some_and(|path| path.is_empty() || path.contains([':', '@'])) {
        return wrong("Its path is empty, or has a tag or digest.");
    }
    parse(&format!("{text}/x:y")).map(drop).or_else(|error| wrong(&format!("{error}.")))
}

#[cfg(test)]
mod tests {
    use tfplugin::Attr;

    use super::*;

    #[test]
    fn only_registries_of_this_machine_speak_plain_http_unless_others_are_named() {
        let registries = Registries::default();
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "[::1]:5000"] {
            assert!(registries.is_plain(host), "{host}");
        }
        for host in ["example.org", "example.org:5000", "10.0.0.1:5000", "localhost.example.org"] {
            assert!(!registries.is_plain(host), "{host}");
        }
        let block = RegistryBlock { plain_http: Attr::Known(vec!["mirror:5000".into()]), ..RegistryBlock::default() };
        let registries = Registries::new(&block, |_| None);
        assert!(registries.is_plain("mirror:5000") && !registries.is_plain("localhost:5000"));
    }

    #[test]
    fn the_block_goes_before_the_environment() {
        let variable = |name: &str| match name {
            "AZUREML_REGISTRY_PLAIN_HTTP" => Some("one:1, two:2".to_owned()),
            "AZUREML_IMAGE_TOOL" => Some("podman".to_owned()),
            "AZUREML_BASE_IMAGE" => Some(" ".to_owned()),
            _ => None,
        };
        let block = RegistryBlock { tool: Attr::Known("buildah".into()), ..RegistryBlock::default() };
        let registries = Registries::new(&block, variable);
        assert!(registries.is_plain("two:2"));
        assert_eq!((registries.tool(), registries.base_image()), (Some(Tool::Buildah), None));
    }

    #[test]
    fn a_registry_is_a_host_and_perhaps_a_path() {
        for text in ["ml.azurecr.io", "localhost:5000", "ghcr.io/team/ml", "localhost"] {
            assert_eq!(check_registry(text), Ok(()), "{text}");
        }
        // The last one by the library, whose grammar of names has no IPv6 addresses.
        for text in [
            "https://ml.azurecr.io",
            "ml.azurecr.io/",
            "team",
            "ml.azurecr.io/x:tag",
            "UPPER.io/Path",
            "",
            "u@h.io",
            "[::1]:5000",
        ] {
            assert!(check_registry(text).is_err(), "{text}");
        }
    }
}
