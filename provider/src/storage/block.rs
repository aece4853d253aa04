//! `storage` of the provider block.

use std::fmt;

use tfplugin::schema::check_string;
use tfplugin::{Attr, Attribute, Model, Object};

/// `storage` of the provider block. What each field means says its schema.
#[derive(Clone, Default, PartialEq, Model)]
#[expect(missing_docs, reason = "the schema describes each field")]
pub struct StorageBlock {
    pub account_name: Attr<String>,
    pub account_key: Attr<String>,
    pub sas_token: Attr<String>,
    pub client_id: Attr<String>,
    pub client_secret: Attr<String>,
    pub tenant_id: Attr<String>,
    pub federated_token_file: Attr<String>,
    pub use_azure_cli: Attr<bool>,
    pub access_key_id: Attr<String>,
    pub secret_access_key: Attr<String>,
    pub session_token: Attr<String>,
    pub region: Attr<String>,
    pub endpoint: Attr<String>,
    pub allow_http: Attr<bool>,
}

impl StorageBlock {
    fn texts(&self) -> [(&'static str, &Attr<String>); 12] {
        [
            ("account_name", &self.account_name),
            ("account_key", &self.account_key),
            ("sas_token", &self.sas_token),
            ("client_id", &self.client_id),
            ("client_secret", &self.client_secret),
            ("tenant_id", &self.tenant_id),
            ("federated_token_file", &self.federated_token_file),
            ("access_key_id", &self.access_key_id),
            ("secret_access_key", &self.secret_access_key),
            ("session_token", &self.session_token),
            ("region", &self.region),
            ("endpoint", &self.endpoint),
        ]
    }

    fn switches(&self) -> [(&'static str, &Attr<bool>); 2] {
        [("use_azure_cli", &self.use_azure_cli), ("allow_http", &self.allow_http)]
    }

    /// What an attribute says, if it is known.
    pub(super) fn text(&self, attribute: &str) -> Option<String> {
        let text = self.texts().into_iter().find(|(name, _)| *name == attribute).and_then(|(_, value)| value.get());
        let switch =
            self.switches().into_iter().find(|(name, _)| *name == attribute).and_then(|(_, value)| value.get());
        text.cloned().or_else(|| switch.map(ToString::to_string))
    }

    /// Whether any of it is known only after apply.
    pub(super) fn is_unknown(&self) -> bool {
        self.texts().iter().any(|(_, value)| value.is_unknown())
            || self.switches().iter().any(|(_, value)| value.is_unknown())
    }

    /// Of which nothing is known before apply.
    #[must_use]
    pub fn unknown() -> Self {
        Self { account_name: Attr::Unknown, ..Self::default() }
    }
}

impl fmt::Debug for StorageBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.texts().into_iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name);
        f.debug_tuple("StorageBlock").field(&set.collect::<Vec<_>>()).finish()
    }
}

/// The attribute.
#[must_use]
pub fn attribute() -> Attribute {
    let filled = || check_string("not empty", |text| if text.is_empty() { Err("It is empty.".into()) } else { Ok(()) });
    let text = |description: String| Attribute::string(description).optional().validate(filled());
    let with = |what: &str, variable: &str| text(format!("{what} Default: the variable `{variable}`."));
    let endpoint = check_string("an http or https URL", |text| match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => {
            if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
                Err("It may hold neither a user, nor a query or fragment.".into())
            } else {
                Ok(())
            }
        }
        _ => Err("Write it like https://storage.example.com.".into()),
    });
    let object = Object::new()
        .attribute("account_name", with("Azure: name of the storage account.", "AZURE_STORAGE_ACCOUNT_NAME"))
        .attribute("account_key", with("Azure: a key of the account.", "AZURE_STORAGE_ACCOUNT_KEY").sensitive())
        .attribute(
            "sas_token",
            with(
                "Azure: a shared access signature that may read, add, create, write, delete and list in the container.",
                "AZURE_STORAGE_SAS_TOKEN",
            )
            .sensitive(),
        )
        .attribute(
            "client_id",
            with(
                "Azure: id of the application or managed identity that may read and write blobs (role Storage Blob Data \
                 Contributor).",
                "AZURE_CLIENT_ID",
            ),
        )
        .attribute("client_secret", with("Azure: secret of the application.", "AZURE_CLIENT_SECRET").sensitive())
        .attribute("tenant_id", with("Azure: tenant of the application.", "AZURE_TENANT_ID"))
        .attribute(
            "federated_token_file",
            with(
                "Azure: file with a token that is exchanged for one of the application (workload identity federation).",
                "AZURE_FEDERATED_TOKEN_FILE",
            ),
        )
        .attribute(
            "use_azure_cli",
            Attribute::bool(
                "Azure: whether to be who is signed in to `az`. Default: the variable `AZURE_USE_AZURE_CLI`. Without any of \
                 these the managed identity of the machine is used.",
            )
            .optional(),
        )
        .attribute("access_key_id", with("S3: id of the access key.", "AWS_ACCESS_KEY_ID"))
        .attribute("secret_access_key", with("S3: secret of the access key.", "AWS_SECRET_ACCESS_KEY").sensitive())
        .attribute("session_token", with("S3: token of temporary credentials.", "AWS_SESSION_TOKEN").sensitive())
        .attribute("region", with("S3: region of the bucket.", "AWS_REGION"))
        .attribute(
            "endpoint",
            Attribute::string(
                "URL of the store, if it is not a public one of Azure or AWS. Of an Azure emulator it includes the account: \
                 `http://127.0.0.1:10000/devstoreaccount1`. Default: the variable `AZURE_STORAGE_ENDPOINT` or \
                 `AWS_ENDPOINT_URL`.",
            )
            .optional()
            .validate(endpoint),
        )
        .attribute(
            "allow_http",
            Attribute::bool(
                "Whether the store may be reached without encryption. On this machine's own addresses it always may. Default: \
                 the variable `AZURE_ALLOW_HTTP` or `AWS_ALLOW_HTTP`, else false.",
            )
            .optional(),
        );
    Attribute::single(
        object,
        "How the storage of workspaces at `az://` and `s3://` is reached. Each value falls back to an environment variable; \
         credentials that are set here replace all of the environment. Nothing of it gets into state or workspace.",
    )
    .optional()
}
