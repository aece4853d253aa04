//! What a provider keeps beside the state, invisible to users.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// Private state: JSON values by key. It is stored in the state file in plain text: no secrets.
///
/// Keys that begin with a dot belong to the framework.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Private(BTreeMap<String, Json>);

impl Private {
    /// The value of a key, if there is one and it has the type.
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        T::deserialize(self.0.get(key)?).ok()
    }

    /// Sets a key.
    pub fn set(&mut self, key: &str, value: impl Serialize) -> Result<(), serde_json::Error> {
        self.0.insert(key.into(), serde_json::to_value(value)?);
        Ok(())
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    pub(crate) fn from_wire(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        if bytes.is_empty() { Ok(Self::default()) } else { serde_json::from_slice(bytes).map(Self) }
    }

    pub(crate) fn to_wire(&self) -> Bytes {
        if self.0.is_empty() {
            return Bytes::new();
        }
        Json::from_iter(self.0.clone()).to_string().into()
    }
}
