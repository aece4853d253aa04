//! Values as Terraform has them: null, unknown or known, of any type.

use std::collections::BTreeMap;

use crate::error::ValueError;
use crate::number::Number;
use crate::path::{AttributePath, Step};
use crate::types::Type;

/// What is already certain about a value that is not known yet. Terraform sends it, and it goes back unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refinements {
    /// `Some(true)`: certainly null; `Some(false)`: certainly not.
    pub null: Option<bool>,
    /// How the string will begin.
    pub prefix: Option<String>,
    /// Lower bound of the number, and whether it includes the bound itself.
    pub lower: Option<(Number, bool)>,
    /// Upper bound of the number, and whether it includes the bound itself.
    pub upper: Option<(Number, bool)>,
    /// Fewest elements of the collection.
    pub min_length: Option<u64>,
    /// Most elements of the collection.
    pub max_length: Option<u64>,
}

/// A value of any type.
///
/// Sets compare without regard to order; everything else compares exactly.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// Known only after apply.
    Unknown(Option<Box<Refinements>>),
    /// `bool`
    Bool(bool),
    /// `number`
    Number(Number),
    /// `string`
    String(String),
    /// `list(...)`
    List(Vec<Value>),
    /// `set(...)`, in any order
    Set(Vec<Value>),
    /// `map(...)`
    Map(BTreeMap<String, Value>),
    /// `object({...})`
    Object(BTreeMap<String, Value>),
    /// `tuple([...])`
    Tuple(Vec<Value>),
}

impl Value {
    /// A value known only after apply, of which nothing is certain.
    #[must_use]
    pub const fn unknown() -> Self {
        Self::Unknown(None)
    }

    /// An object of these attributes.
    pub fn object<N: Into<String>>(attributes: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::Object(attributes.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// Whether this is null.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether this is unknown as a whole.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }

    /// Whether nothing in this value is unknown.
    #[must_use]
    pub fn is_wholly_known(&self) -> bool {
        match self {
            Self::Unknown(_) => false,
            Self::List(values) | Self::Set(values) | Self::Tuple(values) => values.iter().all(Self::is_wholly_known),
            Self::Map(values) | Self::Object(values) => values.values().all(Self::is_wholly_known),
            _ => true,
        }
    }

    /// The text, if this is a known string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The attributes or elements, if this is a known object or map.
    #[must_use]
    pub const fn as_object(&self) -> Option<&BTreeMap<String, Self>> {
        if let Self::Object(values) | Self::Map(values) = self { Some(values) } else { None }
    }

    /// The elements, if this is a known list, set or tuple.
    #[must_use]
    pub fn as_elements(&self) -> Option<&[Self]> {
        if let Self::List(values) | Self::Set(values) | Self::Tuple(values) = self { Some(values) } else { None }
    }

    /// An attribute of a known object; null when there is none.
    #[must_use]
    pub fn attribute(&self, name: &str) -> &Self {
        self.as_object().and_then(|values| values.get(name)).unwrap_or(&Self::Null)
    }

    /// The value at a path, if it leads anywhere.
    #[must_use]
    pub fn at(&self, path: &AttributePath) -> Option<&Self> {
        path.steps().iter().try_fold(self, |value, step| match step {
            Step::Attribute(name) | Step::Key(name) => value.as_object()?.get(name),
            Step::Index(index) => value.as_elements()?.get(*index),
            Step::Element => None,
        })
    }

    /// Replaces what is unknown by null, and tells where that was.
    pub(crate) fn forget_unknown(&mut self, path: &AttributePath, found: &mut Vec<AttributePath>) {
        match self {
            Self::Unknown(_) => {
                found.push(path.clone());
                *self = Self::Null;
            }
            Self::List(values) | Self::Tuple(values) => {
                for (index, value) in values.iter_mut().enumerate() {
                    value.forget_unknown(&path.index(index), found);
                }
            }
            Self::Set(values) => {
                for value in values {
                    value.forget_unknown(&path.step(Step::Element), found);
                }
            }
            Self::Map(values) => {
                for (key, value) in values {
                    value.forget_unknown(&path.key(key), found);
                }
            }
            Self::Object(values) => {
                for (name, value) in values {
                    value.forget_unknown(&path.child(name), found);
                }
            }
            _ => {}
        }
    }

    /// The type that the value itself has; what is null or unknown is [`Type::Dynamic`].
    #[must_use]
    pub fn inferred_type(&self) -> Type {
        match self {
            Self::Null | Self::Unknown(_) => Type::Dynamic,
            Self::Bool(_) => Type::Bool,
            Self::Number(_) => Type::Number,
            Self::String(_) => Type::String,
            Self::Set(values) => {
                Type::set(Type::common(values.iter().map(Self::inferred_type)).unwrap_or(Type::Dynamic))
            }
            // A list or a map of several types is a tuple or an object.
            Self::List(values) | Self::Tuple(values) => {
                let types: Vec<_> = values.iter().map(Self::inferred_type).collect();
                match Type::common(types.iter().cloned()) {
                    Some(element) if matches!(self, Self::List(_)) => Type::list(element),
                    _ => Type::Tuple(types),
                }
            }
            Self::Map(values) | Self::Object(values) => {
                let types: BTreeMap<_, _> =
                    values.iter().map(|(name, value)| (name.clone(), value.inferred_type())).collect();
                match Type::common(types.values().cloned()) {
                    Some(element) if matches!(self, Self::Map(_)) => Type::map(element),
                    _ => Type::Object(types),
                }
            }
        }
    }

    /// Turns the value into one of type `ty`: lists become sets or tuples and objects maps where the type says so,
    /// attributes that are missing become null. Anything else that does not fit is an error.
    pub fn conform(self, ty: &Type, path: &AttributePath) -> Result<Self, ValueError> {
        let all = |values: Vec<Self>, element: &Type| -> Result<Vec<Self>, ValueError> {
            values.into_iter().enumerate().map(|(i, value)| value.conform(element, &path.index(i))).collect()
        };
        Ok(match (self, ty) {
            (value @ (Self::Null | Self::Unknown(_)), _)
            | (value, Type::Dynamic)
            | (value @ Self::Bool(_), Type::Bool)
            | (value @ Self::Number(_), Type::Number)
            | (value @ Self::String(_), Type::String) => value,
            (Self::List(values) | Self::Set(values) | Self::Tuple(values), Type::List(element)) => {
                Self::List(all(values, element)?)
            }
            (Self::List(values) | Self::Set(values) | Self::Tuple(values), Type::Set(element)) => {
                Self::set(all(values, element)?)
            }
            (Self::List(values) | Self::Tuple(values), Type::Tuple(types)) if values.len() == types.len() => {
                Self::Tuple(
                    values
                        .into_iter()
                        .zip(types)
                        .enumerate()
                        .map(|(index, (value, ty))| value.conform(ty, &path.index(index)))
                        .collect::<Result<_, _>>()?,
                )
            }
            (Self::Map(values) | Self::Object(values), Type::Map(element)) => Self::Map(
                values
                    .into_iter()
                    .map(|(key, value)| Ok((key.clone(), value.conform(element, &path.key(key))?)))
                    .collect::<Result<_, ValueError>>()?,
            ),
            (Self::Object(mut values) | Self::Map(mut values), Type::Object(types)) => {
                let object = types
                    .iter()
                    .map(|(name, ty)| {
                        let value = values.remove(name).unwrap_or_default();
                        Ok((name.clone(), value.conform(ty, &path.child(name))?))
                    })
                    .collect::<Result<_, ValueError>>()?;
                if let Some(name) = values.keys().next() {
                    return Err(ValueError::new(path.child(name), "is not an attribute of this object"));
                }
                Self::Object(object)
            }
            (value, ty) => {
                return Err(ValueError::new(path.clone(), format!("is a {} where a {ty} is expected", value.kind())));
            }
        })
    }

    /// A set of these elements, each only once.
    pub fn set(values: impl IntoIterator<Item = Self>) -> Self {
        let mut unique: Vec<Self> = Vec::new();
        for value in values {
            // Two unknown elements may turn out to be different.
            if !value.is_wholly_known() || !unique.contains(&value) {
                unique.push(value);
            }
        }
        Self::Set(unique)
    }

    /// The name of what this is, for messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Unknown(_) => "value known only after apply",
            Self::Bool(_) => "bool",
            Self::Number(_) => "number",
            Self::String(_) => "string",
            Self::List(_) => "list",
            Self::Set(_) => "set",
            Self::Map(_) => "map",
            Self::Object(_) => "object",
            Self::Tuple(_) => "tuple",
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Unknown(a), Self::Unknown(b)) => a == b,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a == b,
            (Self::String(a), Self::String(b)) => a == b,
            (Self::List(a), Self::List(b)) | (Self::Tuple(a), Self::Tuple(b)) => a == b,
            (Self::Map(a), Self::Map(b)) | (Self::Object(a), Self::Object(b)) => a == b,
            (Self::Set(a), Self::Set(b)) => same_elements(a, b),
            _ => false,
        }
    }
}

impl Eq for Value {}

fn same_elements(a: &[Value], b: &[Value]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut left: Vec<&Value> = b.iter().collect();
    a.iter().all(|value| match left.iter().position(|other| *other == value) {
        Some(position) => {
            left.swap_remove(position);
            true
        }
        None => false,
    })
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl From<Number> for Value {
    fn from(value: Number) -> Self {
        Self::Number(value)
    }
}

macro_rules! from_integer {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Value {
            fn from(value: $integer) -> Self {
                Self::Number(value.into())
            }
        }
    )*};
}
from_integer!(i32, i64, u8, u16, u32, u64, usize);

impl<T: Into<Self>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}
