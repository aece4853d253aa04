//! How remote stores are reached: credentials and endpoints of the provider block's `storage`, or of the environment.
//!
//! They are kept as the environment variables that object stores are configured with anyway, under one spelling each:
//! so the block, this process's environment and the environment of what reads the store in a cluster are one thing.

mod block;
mod pod;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use object_store::ObjectStore;
use objects::{Client, Location, OpenError, Patience, Scheme, Variable};

pub use block::{StorageBlock, attribute};

/// The attribute of the provider block for a variable; none for those that only an environment sets.
fn attribute_of(variable: &str) -> &'static str {
    match variable {
        "AZURE_STORAGE_ACCOUNT_NAME" => "account_name",
        "AZURE_STORAGE_ACCOUNT_KEY" => "account_key",
        "AZURE_STORAGE_SAS_TOKEN" => "sas_token",
        "AZURE_CLIENT_ID" => "client_id",
        "AZURE_CLIENT_SECRET" => "client_secret",
        "AZURE_TENANT_ID" => "tenant_id",
        "AZURE_FEDERATED_TOKEN_FILE" => "federated_token_file",
        "AZURE_USE_AZURE_CLI" => "use_azure_cli",
        "AWS_ACCESS_KEY_ID" => "access_key_id",
        "AWS_SECRET_ACCESS_KEY" => "secret_access_key",
        "AWS_SESSION_TOKEN" => "session_token",
        "AWS_REGION" => "region",
        "AZURE_STORAGE_ENDPOINT" | "AWS_ENDPOINT_URL" => "endpoint",
        "AZURE_ALLOW_HTTP" | "AWS_ALLOW_HTTP" => "allow_http",
        _ => "",
    }
}

/// Credentials and endpoints of remote stores. Cheap to clone; its debug output names what is set, never a value.
#[derive(Clone, Default)]
pub struct Storage(Arc<Values>);

#[derive(Default)]
struct Values {
    /// By the first spelling of each.
    azure: BTreeMap<&'static str, String>,
    s3: BTreeMap<&'static str, String>,
    /// Whether the block holds something that is known only after apply.
    unknown: bool,
    /// One client for all catalogues, so that they share their connections.
    client: OnceLock<Client>,
}

/// Why it is not known how to reach a store.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The provider block holds something that is known only after apply.
    #[error(
        "the provider's storage is known only after apply; apply what it depends on first, with -target, or set it otherwise"
    )]
    Unknown,
    /// What is known does not suffice.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Storage {
    /// What the block says, and for the rest what the environment says.
    #[must_use]
    pub fn new(block: &StorageBlock, variable: impl Fn(&str) -> Option<String>) -> Self {
        let read = |scheme| {
            let known = Variable::of(scheme);
            let configured = |variable: &Variable| block.text(attribute_of(variable.names[0]));
            // Two ways to prove who one is would leave open which one counts.
            let own = known.iter().any(|variable| variable.credential && configured(variable).is_some());
            let inherited = |known: &Variable| if own && known.credential { None } else { known.read(&variable) };
            let value = |variable: &Variable| configured(variable).or_else(|| inherited(variable));
            known.iter().filter_map(|variable| Some((variable.names[0], value(variable)?))).collect()
        };
        let (azure, s3) = (read(Scheme::Azure), read(Scheme::S3));
        Self(Arc::new(Values { azure, s3, unknown: block.is_unknown(), client: OnceLock::new() }))
    }

    /// What only the environment of this process says.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::new(&StorageBlock::default(), |name| std::env::var(name).ok())
    }

    fn variables(&self, scheme: Scheme) -> &BTreeMap<&'static str, String> {
        match scheme {
            Scheme::Azure => &self.0.azure,
            Scheme::S3 => &self.0.s3,
        }
    }

    /// The store of a workspace. Touches nothing.
    pub fn open(&self, location: &Location, patience: Patience) -> Result<Arc<dyn ObjectStore>, StorageError> {
        if self.is_unknown() {
            return Err(StorageError::Unknown);
        }
        let client = self.0.client.get_or_init(Client::new);
        Ok(objects::open(location, self.variables(location.scheme()), client, patience)?)
    }

    /// Whether the block holds something that is known only after apply, so that no remote store can be reached yet.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.0.unknown
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.azure.keys()).entries(self.0.s3.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use tfplugin::Attr;

    use super::*;

    fn block() -> StorageBlock {
        StorageBlock { account_name: Attr::Known("mlprod".into()), ..StorageBlock::default() }
    }

    fn environment(name: &str) -> Option<String> {
        let value = match name {
            "AZURE_STORAGE_ACCESS_KEY" => "SECRET",
            "AZURE_STORAGE_ACCOUNT_NAME" => "other",
            "AZURE_STORAGE_ENDPOINT" => " ",
            "AWS_DEFAULT_REGION" => "eu-west-1",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn the_block_goes_before_the_environment_setting_by_setting() {
        let storage = Storage::new(&block(), environment);
        let expected =
            [("AZURE_STORAGE_ACCOUNT_KEY", "SECRET".to_owned()), ("AZURE_STORAGE_ACCOUNT_NAME", "mlprod".to_owned())];
        assert_eq!(storage.0.azure, expected.into());
        assert_eq!(storage.0.s3, [("AWS_REGION", "eu-west-1".to_owned())].into());
        assert!(!storage.is_unknown());
    }

    #[test]
    fn a_credential_of_the_block_replaces_every_credential_of_the_environment() {
        let block = StorageBlock { sas_token: Attr::Known("?sig=1".into()), ..block() };
        let storage = Storage::new(&block, environment);
        assert_eq!(
            storage.0.azure.keys().copied().collect::<Vec<_>>(),
            ["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_SAS_TOKEN"]
        );
    }

    #[test]
    fn what_is_known_only_after_apply_is_not_taken_for_missing() {
        let block = StorageBlock { account_key: Attr::Unknown, ..block() };
        assert!(Storage::new(&block, environment).is_unknown());
    }

    #[test]
    fn debug_output_names_what_is_set_and_no_value() {
        let block = StorageBlock { account_key: Attr::Known("SECRET".into()), ..block() };
        let shown = format!("{:?} {block:?}", Storage::new(&block, environment));
        assert!(shown.contains("AZURE_STORAGE_ACCOUNT_KEY") && !shown.contains("SECRET"), "{shown}");
    }
}
