//! Terraform's types, and their JSON form on the wire.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value as Json, json};

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// `bool`
    Bool,
    /// `number`, exact
    Number,
    /// `string`
    String,
    /// Any type; the value says which.
    Dynamic,
    /// `list(element)`
    List(Box<Type>),
    /// `set(element)`
    Set(Box<Type>),
    /// `map(element)`
    Map(Box<Type>),
    /// `object({...})`; every attribute is always present, null if it has no value.
    Object(BTreeMap<String, Type>),
    /// `tuple([...])`
    Tuple(Vec<Type>),
}

/// A type in JSON that is not one of Terraform's.
#[derive(Debug, thiserror::Error)]
pub enum TypeError {
    /// Not JSON.
    #[error("the type is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON that describes no type.
    #[error("`{0}` describes no type")]
    Unknown(String),
}

impl Type {
    /// `list(element)`
    #[must_use]
    pub fn list(element: Self) -> Self {
        Self::List(Box::new(element))
    }

    /// `set(element)`
    #[must_use]
    pub fn set(element: Self) -> Self {
        Self::Set(Box::new(element))
    }

    /// `map(element)`
    #[must_use]
    pub fn map(element: Self) -> Self {
        Self::Map(Box::new(element))
    }

    /// `object({...})`
    pub fn object<N: Into<String>>(attributes: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::Object(attributes.into_iter().map(|(name, ty)| (name.into(), ty)).collect())
    }

    /// The JSON form, for example `["list","string"]`.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::Bool => json!("bool"),
            Self::Number => json!("number"),
            Self::String => json!("string"),
            Self::Dynamic => json!("dynamic"),
            Self::List(element) => json!(["list", element.to_json()]),
            Self::Set(element) => json!(["set", element.to_json()]),
            Self::Map(element) => json!(["map", element.to_json()]),
            Self::Object(attributes) => {
                let attributes: serde_json::Map<_, _> =
                    attributes.iter().map(|(name, ty)| (name.clone(), ty.to_json())).collect();
                json!(["object", attributes])
            }
            Self::Tuple(elements) => json!(["tuple", elements.iter().map(Self::to_json).collect::<Vec<_>>()]),
        }
    }

    /// Reads the JSON form.
    pub fn from_json(json: &Json) -> Result<Self, TypeError> {
        let unknown = || TypeError::Unknown(json.to_string().chars().take(120).collect());
        match json {
            Json::String(name) => match name.as_str() {
                "bool" => Ok(Self::Bool),
                "number" => Ok(Self::Number),
                "string" => Ok(Self::String),
                "dynamic" => Ok(Self::Dynamic),
                _ => Err(unknown()),
            },
            Json::Array(parts) => match (parts.first().and_then(Json::as_str), parts.get(1)) {
                (Some("list"), Some(element)) => Ok(Self::list(Self::from_json(element)?)),
                (Some("set"), Some(element)) => Ok(Self::set(Self::from_json(element)?)),
                (Some("map"), Some(element)) => Ok(Self::map(Self::from_json(element)?)),
                // A third part names optional attributes, which matters to conversions in a configuration only.
                (Some("object"), Some(Json::Object(attributes))) => attributes
                    .iter()
                    .map(|(name, ty)| Ok((name.clone(), Self::from_json(ty)?)))
                    .collect::<Result<_, TypeError>>()
                    .map(Self::Object),
                (Some("tuple"), Some(Json::Array(elements))) => {
                    elements.iter().map(Self::from_json).collect::<Result<_, TypeError>>().map(Self::Tuple)
                }
                _ => Err(unknown()),
            },
            _ => Err(unknown()),
        }
    }

    /// Reads the JSON form from text.
    pub fn from_json_slice(text: &[u8]) -> Result<Self, TypeError> {
        Self::from_json(&serde_json::from_slice(text)?)
    }

    /// The JSON form as the wire has it.
    #[must_use]
    pub fn to_json_bytes(&self) -> bytes::Bytes {
        self.to_json().to_string().into()
    }

    /// The type that all of some values have; any type if there are none.
    pub(crate) fn common(types: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut types = types.into_iter();
        let Some(first) = types.next() else { return Some(Self::Dynamic) };
        types.all(|ty| ty == first).then_some(first)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Number => f.write_str("number"),
            Self::String => f.write_str("string"),
            Self::Dynamic => f.write_str("any"),
            Self::List(element) => write!(f, "list of {element}"),
            Self::Set(element) => write!(f, "set of {element}"),
            Self::Map(element) => write!(f, "map of {element}"),
            Self::Object(attributes) => {
                let names: BTreeSet<_> = attributes.keys().map(String::as_str).collect();
                write!(f, "object with {}", names.into_iter().collect::<Vec<_>>().join(", "))
            }
            Self::Tuple(elements) => write!(f, "tuple of {} elements", elements.len()),
        }
    }
}
