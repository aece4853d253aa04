//! What an init container in a cluster needs to read the store.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use objects::{Location, Scheme};
use ring::hmac;
use url::form_urlencoded;

use super::{Storage, StorageError};

/// Version of Azure's rules for signatures.
const VERSION: &str = "2021-12-02";
/// The signature is valid for as long as the key is, because replicas start at any time; who replaces the key ends it. It
/// is the same each time that it is made, so that an apply changes no Secret.
const END: &str = "2099-12-31T00:00:00Z";

impl Storage {
    /// Environment variables with which `python -m azureml_scorer fetch` reads a workspace, for the Secret
    /// [`serving::cluster::STORAGE`]. `endpoint` is the storage's URL as pods see it, where it is another one.
    ///
    /// An account key never leaves the provider: pods get a signature by it that can read and list this one container. Of
    /// identities (federated tokens, managed ones, roles) nothing is passed on, since a pod has its own by its service
    /// account.
    pub fn pod_environment(
        &self,
        location: &Location,
        endpoint: Option<&str>,
    ) -> Result<BTreeMap<String, String>, StorageError> {
        // The same complaints as of the provider itself.
        self.open(location, objects::Patience::Short)?;
        let known = self.variables(location.scheme());
        let mut environment = BTreeMap::new();
        let mut pass = |names: &[&'static str]| {
            let found = names.iter().filter_map(|name| Some(((*name).to_owned(), known.get(name)?.trim().to_owned())));
            environment.extend(found);
        };
        let (url, http) = match location.scheme() {
            Scheme::Azure => {
                pass(&["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ENDPOINT"]);
                // As the provider itself has it: the key before a client's secret before a signature.
                if !known.contains_key("AZURE_STORAGE_ACCOUNT_KEY") {
                    if known.contains_key("AZURE_CLIENT_SECRET") {
                        pass(&["AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "AZURE_AUTHORITY_HOST"]);
                    } else {
                        pass(&["AZURE_STORAGE_SAS_TOKEN"]);
                    }
                }
                ("AZURE_STORAGE_ENDPOINT", "AZURE_ALLOW_HTTP")
            }
            Scheme::S3 => {
                pass(&[
                    "AWS_REGION",
                    "AWS_ENDPOINT_URL",
                    "AWS_ACCESS_KEY_ID",
                    "AWS_SECRET_ACCESS_KEY",
                    "AWS_SESSION_TOKEN",
                ]);
                ("AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP")
            }
        };
        if let Some(endpoint) = endpoint {
            environment.insert(url.to_owned(), endpoint.to_owned());
        }
        let plain = environment.get(url).is_some_and(|endpoint| endpoint.starts_with("http://"));
        if plain {
            environment.insert(http.to_owned(), "true".to_owned());
        }
        if location.scheme() == Scheme::Azure
            && let (Some(account), Some(key)) =
                (known.get("AZURE_STORAGE_ACCOUNT_NAME"), known.get("AZURE_STORAGE_ACCOUNT_KEY"))
            && let Ok(key) = BASE64_STANDARD.decode(key.trim())
        {
            let signature = read_signature(account.trim(), location.container(), &key, plain);
            environment.insert("AZURE_STORAGE_SAS_TOKEN".to_owned(), signature);
        }
        Ok(environment)
    }
}

/// A shared access signature that may read and list in one container.
fn read_signature(account: &str, container: &str, key: &[u8], plain: bool) -> String {
    let protocol = if plain { "https,http" } else { "https" };
    let resource = format!("/blob/{account}/{container}");
    // Permissions, start, end, resource, identifier, addresses, protocol, version, kind (container), snapshot, scope of
    // encryption, and five headers of answers.
    let fields = ["rl", "", END, &resource, "", "", protocol, VERSION, "c", "", "", "", "", "", "", ""];
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), fields.join("\n").as_bytes());
    form_urlencoded::Serializer::new(String::new())
        .append_pair("sv", VERSION)
        .append_pair("sr", "c")
        .append_pair("sp", "rl")
        .append_pair("se", END)
        .append_pair("spr", protocol)
        .append_pair("sig", &BASE64_STANDARD.encode(signature))
        .finish()
}

#[cfg(test)]
mod tests {
    use tfplugin::Attr;

    use super::super::StorageBlock;
    use super::*;

    fn environment(url: &str, set: &[(&str, &str)], endpoint: Option<&str>) -> BTreeMap<String, String> {
        let variable = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let storage = Storage::new(&StorageBlock::default(), variable);
        storage.pod_environment(&url.parse().expect("a location"), endpoint).expect("known")
    }

    #[test]
    fn a_pod_gets_a_signature_for_reading_one_container_instead_of_the_key() {
        let set = [
            ("AZURE_STORAGE_ACCOUNT_NAME", "mlprod"),
            ("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0"),
            ("AZURE_CLIENT_ID", "id"),
            ("AZURE_CLIENT_SECRET", "of the provider alone"),
            ("AZURE_TENANT_ID", "tenant"),
        ];
        let found = environment("az://models/ws", &set, None);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_SAS_TOKEN"]);
        let signature = &found["AZURE_STORAGE_SAS_TOKEN"];
        assert!(signature.contains("sr=c&sp=rl&") && signature.contains("spr=https&sig="), "{signature}");
        assert_eq!(found, environment("az://models/other", &set, None), "the same each time");
        assert_ne!(found, environment("az://others/ws", &set, None));
    }

    #[test]
    fn a_pod_reaches_the_store_by_its_own_url() {
        let set = [
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000"),
            ("AWS_ROLE_ARN", "of this machine"),
        ];
        let found = environment("s3://models", &set, Some("http://store:9000"));
        let expected = [
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ENDPOINT_URL", "http://store:9000"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn nothing_is_known_of_a_block_that_is_not_known() {
        let block = StorageBlock { sas_token: Attr::Unknown, ..StorageBlock::default() };
        let storage = Storage::new(&block, |_| None);
        let refused = storage.pod_environment(&"az://models".parse().expect("a location"), None);
        assert!(matches!(refused, Err(StorageError::Unknown)));
    }
}
