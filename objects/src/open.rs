//! How a store is reached: from the settings of its environment variables to a client.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use url::{Host, Url};

use crate::client::Client;
use crate::location::{Location, Scheme};

/// Why a store cannot be reached with what is known.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The account of a container is not known.
    #[error("no storage account is named; set account_name of the provider's storage, or AZURE_STORAGE_ACCOUNT_NAME")]
    NoAccount,
    /// The endpoint is no URL of a server.
    #[error("{variable} is not an http or https URL; write it like https://storage.example.com")]
    Endpoint {
        /// The variable.
        variable: &'static str,
    },
    /// The endpoint is of this network and not encrypted.
    #[error(
        "the storage at {endpoint} is not encrypted, so that everybody on the way could read it; use https, or set \
         allow_http of the provider's storage, or {variable}=true"
    )]
    Http {
        /// The endpoint.
        endpoint: String,
        /// The variable that allows it.
        variable: &'static str,
    },
    /// A setting is not understood.
    #[error("the settings of the storage cannot be used: {0}; check them in the provider's storage or the environment")]
    Settings(String),
}

/// How long a failing request is repeated.
#[derive(Clone, Copy, Debug)]
pub enum Patience {
    /// Somebody watches: some seconds.
    Short,
    /// Nobody does, and the store should come back: two minutes.
    Long,
}

impl Patience {
    fn retry(self) -> RetryConfig {
        let (max_retries, most, seconds) = match self {
            Self::Short => (5, 3, 20),
            Self::Long => (12, 15, 120),
        };
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(most),
            ..BackoffConfig::default()
        };
        RetryConfig { backoff, max_retries, retry_timeout: Duration::from_secs(seconds) }
    }
}

/// The store of a workspace, with paths below its root. `variables` are the settings by the names of their environment
/// variables; nothing else of the environment is read. Touches nothing.
pub fn open(
    location: &Location,
    variables: &BTreeMap<&'static str, String>,
    client: &Client,
    patience: Patience,
) -> Result<Arc<dyn ObjectStore>, OpenError> {
    let prefix = location.prefix();
    Ok(match location.scheme() {
        Scheme::Azure => {
            if !variables.contains_key("AZURE_STORAGE_ACCOUNT_NAME") {
                return Err(OpenError::NoAccount);
            }
            let options = options(variables, "AZURE_STORAGE_ENDPOINT", "AZURE_ALLOW_HTTP")?;
            let mut builder = MicrosoftAzureBuilder::new().with_container_name(location.container());
            for (name, value) in variables {
                if let Ok(key) = name.to_ascii_lowercase().parse::<AzureConfigKey>()
                    && !matches!(key, AzureConfigKey::Client(_))
                {
                    builder = builder.with_config(key, value.trim());
                }
            }
            let builder = builder.with_client_options(options).with_retry(patience.retry());
            let store = builder.with_http_connector(client.clone()).build().map_err(|error| settings(&error))?;
            Arc::new(PrefixStore::new(store, prefix))
        }
        Scheme::S3 => {
            let options = options(variables, "AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP")?;
            let mut builder = AmazonS3Builder::new().with_bucket_name(location.container());
            for (name, value) in variables {
                if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>()
                    && !matches!(key, AmazonS3ConfigKey::Client(_))
                {
                    builder = builder.with_config(key, value.trim());
                }
            }
            let builder = builder.with_client_options(options).with_retry(patience.retry());
            let store = builder.with_http_connector(client.clone()).build().map_err(|error| settings(&error))?;
            Arc::new(PrefixStore::new(store, prefix))
        }
    })
}

fn options(
    variables: &BTreeMap<&'static str, String>,
    endpoint: &'static str,
    allow: &'static str,
) -> Result<ClientOptions, OpenError> {
    let mut http = false;
    if let Some(text) = variables.get(endpoint) {
        let url = Url::parse(text.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.filter(Url::has_host).ok_or(OpenError::Endpoint { variable: endpoint })?;
        http = url.scheme() == "http";
        let allowed = variables.get(allow).is_some_and(|text| matches!(text.trim(), "true" | "1" | "True"));
        if http && !allowed && !is_loopback(&url) {
            return Err(OpenError::Http { endpoint: url.origin().ascii_serialization(), variable: allow });
        }
    }
    Ok(ClientOptions::new().with_allow_http(http))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// What is wrong with the settings; such errors name no values but numbers and names.
fn settings(error: &object_store::Error) -> OpenError {
    let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    OpenError::Settings(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(url: &str, variables: &[(&'static str, &str)]) -> Result<(), String> {
        let variables = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let location: Location = url.parse().expect("a location");
        open(&location, &variables, &Client::new(), Patience::Short).map(|_| ()).map_err(|error| error.to_string())
    }

    const ACCOUNT: (&str, &str) = ("AZURE_STORAGE_ACCOUNT_NAME", "mlprod");
    const KEY: (&str, &str) = ("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0");

    #[test]
    fn an_azure_store_needs_an_account() {
        assert!(attempt("az://models", &[KEY]).unwrap_err().contains("AZURE_STORAGE_ACCOUNT_NAME"));
        attempt("az://models", &[ACCOUNT, KEY]).unwrap();
    }

    #[test]
    fn a_store_without_encryption_is_only_used_on_this_machine_or_when_that_is_allowed() {
        let endpoint = |url| ("AZURE_STORAGE_ENDPOINT", url);
        attempt("az://models", &[ACCOUNT, KEY, endpoint("http://127.0.0.1:10000/a")]).unwrap();
        attempt("az://models", &[ACCOUNT, KEY, endpoint("http://[::1]:10000/a")]).unwrap();
        let refused = attempt("az://models", &[ACCOUNT, KEY, endpoint("http://10.0.0.1:10000/a")]).unwrap_err();
        assert!(refused.contains("http://10.0.0.1:10000") && refused.contains("allow_http"), "{refused}");
        attempt("az://models", &[ACCOUNT, KEY, endpoint("http://10.0.0.1/a"), ("AZURE_ALLOW_HTTP", "true")]).unwrap();
        assert!(attempt("s3://models", &[("AWS_ENDPOINT_URL", "nowhere")]).unwrap_err().contains("AWS_ENDPOINT_URL"));
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_without_their_values() {
        let refused = attempt("az://models", &[ACCOUNT, ("AZURE_STORAGE_ACCOUNT_KEY", "S-E-C-R-E-T")]).unwrap_err();
        assert!(!refused.contains("S-E-C"), "{refused}");
        let refused = attempt("s3://models", &[("AWS_ACCESS_KEY_ID", "id")]).unwrap_err();
        assert!(refused.contains("storage"), "{refused}");
    }
}
