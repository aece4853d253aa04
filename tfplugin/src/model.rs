//! Rust types for Terraform values.

mod attr;
mod field;
mod timeouts;

pub use attr::Attr;
pub use timeouts::{Timeouts, parse_duration};

use crate::error::ValueError;
use crate::path::AttributePath;
use crate::value::Value;

/// A Rust type that stands for one Terraform value.
///
/// | Rust | Terraform |
/// |---|---|
/// | `bool`, integers, `f64`, [`crate::Number`], `String` | the primitive types; must be known and not null |
/// | `Option<T>` | `T`, or null; must be known |
/// | [`Attr<T>`] | `T`, or null, or unknown |
/// | `Vec<T>` | list, set or tuple |
/// | `BTreeSet<T>` | set |
/// | `BTreeMap<String, T>` | map |
/// | a struct with `#[derive(Model)]` | object, nested attributes, block |
/// | [`Timeouts`] | the `timeouts` block |
/// | [`Value`] | anything |
///
/// A field of any other type does not compile:
///
/// ```compile_fail,E0277
/// #[derive(Clone, tfplugin::Model)]
/// struct Queue {
///     since: std::time::Instant,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` stands for no Terraform value",
    note = "a model's fields are bool, numbers, String, Option, Attr, Vec, BTreeSet, BTreeMap, Timeouts, Value or structs \
            with #[derive(Model)]"
)]
pub trait Field: Sized + Send + Sync {
    /// Reads a value, which is at `path`.
    fn from_value(value: Value, path: &AttributePath) -> Result<Self, ValueError>;

    /// Writes it as a value. Collections may come out as lists and maps; the schema decides what they become.
    fn to_value(&self) -> Value;
}

/// A Rust struct that stands for an object, usually by `#[derive(Model)]`:
///
/// ```
/// # use tfplugin::Attr;
/// #[derive(Clone, tfplugin::Model)]
/// struct Queue {
///     name: Attr<String>,
///     #[model(name = "match")]
///     pattern: Attr<String>,
/// }
/// assert_eq!(<Queue as tfplugin::Model>::FIELDS, ["name", "match"]);
/// ```
pub trait Model: Field + Clone + 'static {
    /// The names of the attributes and blocks that the struct has fields for.
    const FIELDS: &'static [&'static str];
}

/// What the derived code calls.
#[doc(hidden)]
pub mod derived {
    use std::collections::BTreeMap;

    use super::{AttributePath, Field, Value, ValueError};

    /// The attributes of an object.
    pub fn attributes(value: Value, path: &AttributePath) -> Result<BTreeMap<String, Value>, ValueError> {
        match value {
            Value::Object(values) | Value::Map(values) => Ok(values),
            Value::Unknown(_) => Err(ValueError::not_known(path.clone())),
            other => Err(ValueError::new(path.clone(), format!("is a {} where an object is expected", other.kind()))),
        }
    }

    /// Takes one attribute out; a missing one is null.
    pub fn take<T: Field>(
        values: &mut BTreeMap<String, Value>,
        name: &str,
        path: &AttributePath,
    ) -> Result<T, ValueError> {
        T::from_value(values.remove(name).unwrap_or_default(), &path.child(name))
    }
}

/// A model for an object without attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Empty;

impl Field for Empty {
    fn from_value(_: Value, _: &AttributePath) -> Result<Self, ValueError> {
        Ok(Self)
    }

    fn to_value(&self) -> Value {
        Value::Object(std::collections::BTreeMap::new())
    }
}

impl Model for Empty {
    const FIELDS: &'static [&'static str] = &[];
}
