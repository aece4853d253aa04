//! Objects of a storage that has no append everywhere: each write makes a new one, whose name no other writer uses.

use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt as _, RetryConfig};

use super::queue::Batch;
use super::settings::{Azure, Target};
use objects::Client;

/// Writes batches as objects. Used on one thread.
pub(crate) struct Objects {
    runtime: tokio::runtime::Runtime,
    store: Arc<dyn ObjectStore>,
    prefix: String,
    /// Names this process among all that ever write.
    instance: String,
}

impl Objects {
    /// A client of `target`; an error names what the storage needs.
    pub(crate) fn open(target: &Target) -> Result<Self, String> {
        let (store, prefix): (object_store::Result<Arc<dyn ObjectStore>>, &str) = match target {
            Target::Azure(azure) => (azure_store(azure), &azure.prefix),
            Target::S3 { bucket, prefix } => {
                let builder = AmazonS3Builder::from_env()
                    .with_bucket_name(bucket)
                    .with_retry(no_retry())
                    .with_http_connector(Client::new());
                let http = std::env::var("AWS_ENDPOINT_URL").or_else(|_| std::env::var("AWS_ENDPOINT"));
                let http = http.is_ok_and(|endpoint| endpoint.starts_with("http://"));
                let store = builder.with_client_options(client(http)).build();
                (store.map(|store| Arc::new(store) as Arc<dyn ObjectStore>), prefix)
            }
            Target::Folder(_) => unreachable!("a folder is written without a client"),
        };
        let store = store.map_err(|error| format!("{target} cannot be used: {error}"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("{target} cannot be used: {error}"))?;
        let id = uuid::Uuid::new_v4().simple().to_string();
        let instance = format!("{}-{}", host(), &id[..12]);
        Ok(Self { runtime, store, prefix: prefix.to_owned(), instance })
    }

    /// Puts a batch under the name of its file, this writer and `number`; repeating it replaces the same object.
    pub(crate) fn put(&self, batch: &Batch, number: u64) -> Result<(), String> {
        let stem = batch.path.strip_suffix(".csv").unwrap_or(&batch.path);
        let path = Path::from(format!("{}/{stem}-{}-{number:06}.csv", self.prefix, self.instance));
        let mut bytes = Vec::with_capacity(batch.header.len() + batch.rows.len());
        bytes.extend_from_slice(batch.header.as_bytes());
        bytes.extend_from_slice(&batch.rows);
        match self.runtime.block_on(self.store.put(&path, bytes.into())) {
            Ok(_) => Ok(()),
            Err(error) => Err(short(&with_causes(&error))),
        }
    }
}

fn azure_store(azure: &Azure) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_container_name(&azure.container)
        .with_retry(no_retry())
        .with_http_connector(Client::new())
        .with_use_emulator(azure.emulator);
    if let Some(account) = &azure.account {
        builder = builder.with_account(account);
    }
    if let Some(key) = &azure.key {
        builder = builder.with_access_key(key);
    }
    if let Some(sas) = &azure.sas {
        builder = builder.with_config(AzureConfigKey::SasKey, sas);
    }
    let mut http = azure.emulator;
    if let Some(endpoint) = &azure.endpoint {
        http |= endpoint.starts_with("http://");
        builder = builder.with_endpoint(endpoint.clone());
    }
    Ok(Arc::new(builder.with_client_options(client(http)).build()?))
}

fn client(http: bool) -> ClientOptions {
    ClientOptions::new().with_allow_http(http)
}

/// The writer repeats by itself, because it must also end in time.
fn no_retry() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

/// The host's name as a part of an object's name.
fn host() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '-' };
    name.chars().map(plain).take(63).collect()
}

/// An error with its causes, of which its own text may name none.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

/// An answer's body may be a page; its beginning says enough for one line.
fn short(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(400).collect()
}
