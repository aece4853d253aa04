//! The container of a test's workspace, made and spoilt from outside.

use acceptance_local::{Answer, request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::site::{ACCOUNT, ACCOUNT_KEY, Site};

const VERSION: &str = "2021-08-06";

/// A container in the storage.
#[derive(Clone, Debug)]
pub struct Container {
    endpoint: String,
    name: String,
}

impl Container {
    pub(crate) fn new(site: &Site, name: &str) -> Self {
        Self { endpoint: site.storage.clone(), name: name.to_owned() }
    }

    /// Makes it.
    pub fn create(&self) {
        let answer = self.send("PUT", "", "restype=container", "");
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// Names of all blobs with this content.
    pub fn blobs_of(&self, content: &[u8]) -> Vec<String> {
        let digest = ring::digest::digest(&ring::digest::SHA256, content);
        let hex = serving::hex(digest.as_ref());
        let answer = self.send("GET", "", "comp=list&restype=container", "");
        assert_eq!(answer.status, 200, "{answer:?}");
        let names = answer.body.split("<Name>").skip(1).filter_map(|rest| rest.split("</Name>").next());
        // A folder takes the first digits, the next ones name the content.
        names.filter(|name| name.replace('/', "").contains(&hex)).map(str::to_owned).collect()
    }

    /// Deletes a blob.
    pub fn delete(&self, blob: &str) {
        let answer = self.send("DELETE", blob, "", "");
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    /// Puts another content in place of a blob's.
    pub fn overwrite(&self, blob: &str, content: &str) {
        let answer = self.send("PUT", blob, "", content);
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// Sends a request that is signed with the account's key.
    fn send(&self, method: &str, blob: &str, query: &str, content: &str) -> Answer {
        let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let path = if blob.is_empty() { self.name.clone() } else { format!("{}/{blob}", self.name) };
        // Queries are signed one to a line, without their equals signs.
        let signed = query.replace('&', "\n").replace('=', ":");
        let queries = if signed.is_empty() { signed } else { format!("\n{signed}") };
        let length = if content.is_empty() { String::new() } else { content.len().to_string() };
        let puts_blob = method == "PUT" && !blob.is_empty();
        let own = if puts_blob { "x-ms-blob-type:BlockBlob\n" } else { "" };
        // The content type is what `request` sends.
        let text = format!(
            "{method}\n\n\n{length}\n\napplication/json\n\n\n\n\n\n\n{own}x-ms-date:{date}\nx-ms-version:{VERSION}\n/{ACCOUNT}/{ACCOUNT}/{path}{queries}"
        );
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &STANDARD.decode(ACCOUNT_KEY).expect("base64"));
        let authorization = format!("SharedKey {ACCOUNT}:{}", STANDARD.encode(ring::hmac::sign(&key, text.as_bytes())));
        let mut headers = vec![("authorization", &*authorization), ("x-ms-date", &date), ("x-ms-version", VERSION)];
        if puts_blob {
            headers.push(("x-ms-blob-type", "BlockBlob"));
        }
        let uri = format!("{}/{path}{}{query}", self.endpoint, if query.is_empty() { "" } else { "?" });
        request(method, &uri, None, &headers, content).expect("an answer of the storage")
    }
}
