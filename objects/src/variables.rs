//! The settings of stores, by the environment variables that they are configured with anyway.

use std::collections::BTreeMap;

use crate::location::Scheme;

/// One setting of a store.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// The name under which it is kept, then others that are understood.
    pub names: &'static [&'static str],
    /// Whether it belongs to a way of proving who one is.
    pub credential: bool,
}

const fn setting(names: &'static [&'static str]) -> Variable {
    Variable { names, credential: false }
}

const fn credential(names: &'static [&'static str]) -> Variable {
    Variable { names, credential: true }
}

const AZURE: [Variable; 12] = [
    setting(&["AZURE_STORAGE_ACCOUNT_NAME"]),
    setting(&["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"]),
    setting(&["AZURE_ALLOW_HTTP"]),
    setting(&["AZURE_AUTHORITY_HOST", "AZURE_STORAGE_AUTHORITY_HOST"]),
    setting(&["AZURE_MSI_ENDPOINT", "AZURE_IDENTITY_ENDPOINT", "IDENTITY_ENDPOINT"]),
    credential(&["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY"]),
    credential(&["AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"]),
    credential(&["AZURE_CLIENT_ID", "AZURE_STORAGE_CLIENT_ID"]),
    credential(&["AZURE_CLIENT_SECRET", "AZURE_STORAGE_CLIENT_SECRET"]),
    credential(&["AZURE_TENANT_ID", "AZURE_STORAGE_TENANT_ID"]),
    credential(&["AZURE_FEDERATED_TOKEN_FILE"]),
    credential(&["AZURE_USE_AZURE_CLI"]),
];

const S3: [Variable; 12] = [
    setting(&["AWS_REGION", "AWS_DEFAULT_REGION"]),
    setting(&["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"]),
    setting(&["AWS_ALLOW_HTTP"]),
    setting(&["AWS_VIRTUAL_HOSTED_STYLE_REQUEST"]),
    credential(&["AWS_ACCESS_KEY_ID"]),
    credential(&["AWS_SECRET_ACCESS_KEY"]),
    credential(&["AWS_SESSION_TOKEN"]),
    credential(&["AWS_WEB_IDENTITY_TOKEN_FILE"]),
    credential(&["AWS_ROLE_ARN"]),
    credential(&["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]),
    credential(&["AWS_CONTAINER_CREDENTIALS_FULL_URI"]),
    credential(&["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]),
];

impl Variable {
    /// All that are understood for a kind of store. Other variables are disregarded.
    #[must_use]
    pub const fn of(scheme: Scheme) -> &'static [Self] {
        match scheme {
            Scheme::Azure => &AZURE,
            Scheme::S3 => &S3,
        }
    }

    /// What an environment says; an empty value counts as none.
    pub fn read(&self, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
        self.names.iter().find_map(|name| variable(name).filter(|value| !value.trim().is_empty()))
    }
}

/// The settings that an environment has, by the first name of each.
pub fn environment(scheme: Scheme, variable: impl Fn(&str) -> Option<String>) -> BTreeMap<&'static str, String> {
    let known = Variable::of(scheme).iter();
    known.filter_map(|known| Some((known.names[0], known.read(&variable)?))).collect()
}
