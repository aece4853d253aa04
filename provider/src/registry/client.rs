//! Asks registries about images.

use std::collections::BTreeSet;
use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::{Reference, secrets::RegistryAuth};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::error::Error;
use super::{Registries, credentials};

const CONNECT: Duration = Duration::from_secs(10);
const READ: Duration = Duration::from_mins(1);

/// A client of all registries that one piece of work is about.
pub struct Client {
    registries: Registries,
    /// Made when the first registry is asked; which speak plain HTTP is part of it.
    known: Mutex<BTreeSet<String>>,
    plain: oci_client::Client,
    encrypted: oci_client::Client,
}

#[derive(Default, Deserialize)]
struct ImageConfig {
    #[serde(default)]
    config: Execution,
}

#[derive(Default, Deserialize)]
struct Execution {
    #[serde(default, rename = "Env")]
    env: Vec<String>,
}

impl Client {
    /// A client that has not asked anything yet.
    pub fn new(registries: &Registries) -> Result<Self, Error> {
        // Fails only where one is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = |protocol| {
            let variable = |upper: &str| {
                [upper.to_owned(), upper.to_ascii_lowercase()].iter().find_map(|name| std::env::var(name).ok())
            };
            oci_client::Client::try_from(ClientConfig {
                protocol,
                connect_timeout: Some(CONNECT),
                read_timeout: Some(READ),
                user_agent: concat!("terraform-provider-azureml/", env!("CARGO_PKG_VERSION")),
                https_proxy: variable("HTTPS_PROXY").filter(|proxy| !proxy.is_empty()),
                no_proxy: variable("NO_PROXY"),
                ..ClientConfig::default()
            })
            .map_err(|error| Error::Setup(error.to_string()))
        };
        Ok(Self {
            registries: registries.clone(),
            known: Mutex::default(),
            plain: client(ClientProtocol::Http)?,
            encrypted: client(ClientProtocol::Https)?,
        })
    }

    /// The client for an image's registry, with the credentials for it.
    pub(super) async fn of(&self, image: &Reference) -> Result<&oci_client::Client, Error> {
        let registry = image.resolve_registry();
        let client = if self.registries.is_plain(image.registry()) { &self.plain } else { &self.encrypted };
        let mut known = self.known.lock().await;
        if !known.contains(registry) {
            client.store_auth_if_needed(registry, &credentials::find(image.registry()).await?).await;
            known.insert(registry.to_owned());
        }
        Ok(client)
    }

    /// The digest of an image; none if it is not there.
    pub async fn digest(&self, image: &Reference) -> Result<Option<String>, Error> {
        let client = self.of(image).await?;
        match client.fetch_manifest_digest(image, &RegistryAuth::Anonymous).await {
            Ok(digest) => Ok(Some(digest)),
            Err(error) => match Error::of(&error, "look up", image) {
                Error::Missing { .. } => Ok(None),
                error => Err(error),
            },
        }
    }

    /// The Python that an image says it has, `major.minor`: official images of Python do.
    pub async fn python(&self, image: &Reference) -> Result<Option<String>, Error> {
        let client = self.of(image).await?;
        let (_, _, config) = client
            .pull_manifest_and_config(image, &RegistryAuth::Anonymous)
            .await
            .map_err(|error| Error::of(&error, "read", image))?;
        let config: ImageConfig = serde_json::from_str(&config).unwrap_or_default();
        let version = config.config.env.iter().find_map(|variable| variable.strip_prefix("PYTHON_VERSION="));
        Ok(version.map(|version| version.split('.').take(2).collect::<Vec<_>>().join(".")))
    }
}
