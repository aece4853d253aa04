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
///
/// What several models have in common is a model of its own, with `#[model(flatten)]`:
///
/// ```
/// # use tfplugin::{Attr, Field, Value};
/// #[derive(Clone, tfplugin::Model)]
/// struct Labels {
///     tags: Attr<String>,
/// }
/// #[derive(Clone, tfplugin::Model)]
/// struct Topic {
///     name: Attr<String>,
///     #[model(flatten)]
///     labels: Labels,
/// }
/// assert_eq!(<Topic as tfplugin::Model>::FIELDS, ["name", "tags"]);
/// let topic = Topic { name: "a".into(), labels: Labels { tags: "b".into() } };
/// let read = Topic::from_value(topic.to_value(), &tfplugin::AttributePath::root()).unwrap();
/// assert_eq!(read.labels.tags.as_deref(), Some("b"));
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

    /// Takes the attributes of a flattened model out.
    pub fn take_part<T: super::Model>(
        values: &mut BTreeMap<String, Value>,
        path: &AttributePath,
    ) -> Result<T, ValueError> {
        let part = T::FIELDS.iter().filter_map(|name| values.remove_entry(*name)).collect();
        T::from_value(Value::Object(part), path)
    }

    /// An object of its own attributes and those of flattened models.
    #[must_use]
    pub fn object<const N: usize>(parts: &[Value], own: [(&str, Value); N]) -> Value {
        let mut values: BTreeMap<String, Value> =
            own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        for part in parts {
            if let Value::Object(part) = part {
                values.extend(part.clone());
            }
        }
        Value::Object(values)
    }

    /// The names of all lists; `N` is their number.
    #[must_use]
    pub const fn concat<const N: usize>(lists: &[&[&'static str]]) -> [&'static str; N] {
        let mut all = [""; N];
        let (mut list, mut next) = (0, 0);
        while list < lists.len() {
            let mut index = 0;
            while index < lists[list].len() {
                all[next] = lists[list][index];
                next += 1;
                index += 1;
            }
            list += 1;
        }
        all
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
