//! A value that may be null or unknown.

use super::Field;
use crate::error::ValueError;
use crate::path::AttributePath;
use crate::value::Value;

/// A value of type `T`, or null, or one that is known only after apply.
///
/// A collection or object of which `T` cannot hold a part because that part is unknown reads as [`Attr::Unknown`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attr<T> {
    /// No value.
    #[default]
    Null,
    /// Known only after apply.
    Unknown,
    /// A value.
    Known(T),
}

impl<T> Attr<T> {
    /// Whether there is no value.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether the value is not known yet.
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }

    /// Whether there is a value.
    pub const fn is_known(&self) -> bool {
        matches!(self, Self::Known(_))
    }

    /// The value, if there is one that is known.
    pub fn known(self) -> Option<T> {
        if let Self::Known(value) = self { Some(value) } else { None }
    }

    /// A reference to the value.
    pub const fn as_ref(&self) -> Attr<&T> {
        match self {
            Self::Null => Attr::Null,
            Self::Unknown => Attr::Unknown,
            Self::Known(value) => Attr::Known(value),
        }
    }

    /// A reference to the value, if there is one that is known.
    pub const fn get(&self) -> Option<&T> {
        if let Self::Known(value) = self { Some(value) } else { None }
    }

    /// Another value in its place; null and unknown stay what they are.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Attr<U> {
        match self {
            Self::Null => Attr::Null,
            Self::Unknown => Attr::Unknown,
            Self::Known(value) => Attr::Known(change(value)),
        }
    }

    /// The value, or another when it is null or unknown.
    pub fn unwrap_or(self, other: T) -> T {
        self.known().unwrap_or(other)
    }

    /// The value, or the type's default when it is null or unknown.
    pub fn unwrap_or_default(self) -> T
    where
        T: Default,
    {
        self.known().unwrap_or_default()
    }

    /// The value; null and unknown are an error on the top-level attribute `name`.
    ///
    /// In create, update, read and delete this fails only when the configuration has no value.
    pub fn require(&self, name: &str) -> Result<&T, ValueError> {
        match self {
            Self::Known(value) => Ok(value),
            Self::Null => Err(ValueError::new(AttributePath::attribute(name), "has no value, but needs one")),
            Self::Unknown => Err(ValueError::not_known(AttributePath::attribute(name))),
        }
    }
}

impl Attr<String> {
    /// The text, if it is known.
    #[must_use]
    pub fn as_deref(&self) -> Option<&str> {
        self.get().map(String::as_str)
    }
}

impl<T> From<T> for Attr<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

impl From<&str> for Attr<String> {
    fn from(value: &str) -> Self {
        Self::Known(value.into())
    }
}

impl<T> From<Option<T>> for Attr<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::Known)
    }
}

impl<T: Field> Field for Attr<T> {
    fn from_value(value: Value, path: &AttributePath) -> Result<Self, ValueError> {
        match value {
            Value::Null => Ok(Self::Null),
            Value::Unknown(_) => Ok(Self::Unknown),
            value => match T::from_value(value, path) {
                Ok(value) => Ok(Self::Known(value)),
                Err(error) if error.unknown => Ok(Self::Unknown),
                Err(error) => Err(error),
            },
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Unknown => Value::unknown(),
            Self::Known(value) => value.to_value(),
        }
    }
}
