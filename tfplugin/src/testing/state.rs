//! Configurations and states as tests write and read them.

use bytes::Bytes;
use serde_json::Value as Json;

use crate::codec;
use crate::error::ValueError;
use crate::number::Number;
use crate::path::AttributePath;
use crate::types::Type;
use crate::value::Value;

/// In a JSON configuration: a value that is known only after apply, as when it comes from a resource not made yet.
pub const UNKNOWN: &str = "\u{1}(known after apply)";

/// A configuration, before it is fitted to a schema. Attributes that are not mentioned are null.
#[derive(Clone, Debug, Default)]
pub struct Config(pub(super) Value);

impl From<Value> for Config {
    fn from(value: Value) -> Self {
        Self(value)
    }
}

impl From<Json> for Config {
    fn from(json: Json) -> Self {
        Self(from_json(json))
    }
}

impl From<&Json> for Config {
    fn from(json: &Json) -> Self {
        Self(from_json(json.clone()))
    }
}

fn from_json(json: Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(value),
        // Every JSON number is a decimal number.
        Json::Number(number) => number.to_string().parse::<Number>().map_or(Value::Null, Value::Number),
        Json::String(text) if text == UNKNOWN => Value::unknown(),
        Json::String(text) => Value::String(text),
        Json::Array(values) => Value::Tuple(values.into_iter().map(from_json).collect()),
        Json::Object(values) => {
            Value::Object(values.into_iter().map(|(name, value)| (name, from_json(value))).collect())
        }
    }
}

impl Config {
    pub(super) fn fit(self, ty: &Type) -> Result<Value, ValueError> {
        self.0.conform(ty, &AttributePath::root())
    }
}

/// What Terraform keeps of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The resource type.
    pub type_name: String,
    /// The values of all attributes.
    pub value: Value,
    /// What the provider keeps beside them.
    pub private: Bytes,
    pub(super) ty: Type,
}

impl State {
    /// The attribute at a dotted path such as `rollout.max_surge` or `rules.0.match`, as JSON; null if there is none.
    #[must_use]
    pub fn get(&self, path: &str) -> Json {
        let json = self.to_json();
        path.split('.')
            .try_fold(&json, |value, name| match value {
                Json::Array(values) => values.get(name.parse::<usize>().ok()?),
                value => value.get(name),
            })
            .cloned()
            .unwrap_or_default()
    }

    /// The text of a string attribute; empty if it is none.
    #[must_use]
    pub fn text(&self, path: &str) -> String {
        self.get(path).as_str().unwrap_or_default().to_owned()
    }

    /// The whole state as Terraform writes it into its state file.
    #[must_use]
    pub fn to_json(&self) -> Json {
        // A state is checked to be of its type and wholly known before it becomes one, so it can be written.
        self.json_text().ok().and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default()
    }

    pub(super) fn json_text(&self) -> Result<String, ValueError> {
        codec::to_json(&self.value, &self.ty)
    }
}
