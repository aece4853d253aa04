//! The plain Rust types as Terraform values.

use std::collections::{BTreeMap, BTreeSet};

use super::Field;
use crate::error::ValueError;
use crate::number::Number;
use crate::path::AttributePath;
use crate::value::Value;

fn mismatch(value: &Value, expected: &str, path: &AttributePath) -> ValueError {
    match value {
        Value::Unknown(_) => ValueError::not_known(path.clone()),
        Value::Null => ValueError::new(path.clone(), "has no value, but needs one"),
        other => ValueError::new(path.clone(), format!("is a {} where a {expected} is expected", other.kind())),
    }
}

impl Field for Value {
    fn from_value(value: Value, _: &AttributePath) -> Result<Self, ValueError> {
        Ok(value)
    }

    fn to_value(&self) -> Value {
        self.clone()
    }
}

impl Field for bool {
    fn from_value(value: Value, path: &AttributePath) -> Result<Self, ValueError> {
        if let Value::Bool(value) = value { Ok(value) } else { Err(mismatch(&value, "bool", path)) }
    }

    fn to_value(&self) -> Value {
        Value::Bool(*self)
    }
}

impl Field for String {
    fn from_value(value: Value, path: &AttributePath) -> Result<Self, ValueError> {
        if let Value::String(value) = value { Ok(value) } else { Err(mismatch(&value, "string", path)) }
    }

    fn to_value(&self) -> Value {
        Value::String(self.clone())
    }
}

impl Field for Number {
    fn from_value(value: Value, path: &AttributePath) -> Result<Self, ValueError> {
        if let Value::Number(value) = value { Ok(value) } else { Err(mismatch(&value, "number", path)) }
    }

    fn to_value(&self) -> Value {
        Value::Number(self.clone())
    }
}

impl Field for f64 {
    fn from_value(value: Value, path: &AttributePath) -> Result<Self, ValueError> {
        Number::from_value(value, path).map(|number| number.to_f64())
    }

    /// What is not finite is no Terraform number and becomes null.
    fn to_value(&self) -> Value {
        Number::from_f64(*self).map_or(Value::Null, Value::Number)
    }
}

macro_rules! integer_field {
    ($($integer:ty),*) => {$(
        impl Field for $integer {
            fn from_value(value: Value, path: &AttributePath) -> Result<Self, ValueError> {
                let number = Number::from_value(value, path)?;
                number.to_integer().ok_or_else(|| {
                    let message =
                        format!("is {number}, but must be a whole number from {} to {}", <$integer>::MIN, <$integer>::MAX);
                    ValueError::new(path.clone(), message)
                })
            }

            fn to_value(&self) -> Value {
                Value::Number((*self).into())
            }
        }
    )*};
}
integer_field!(i32, i64, u8, u16, u32, u64, usize);

impl<T: Field> Field for Option<T> {
    fn from_value(value: Value, path: &AttributePath) -> Result<Self, ValueError> {
        if value.is_null() { Ok(None) } else { T::from_value(value, path).map(Some) }
    }

    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, Field::to_value)
    }
}

impl<T: Field> Field for Box<T> {
    fn from_value(value: Value, path: &AttributePath) -> Result<Self, ValueError> {
        T::from_value(value, path).map(Self::new)
    }

    fn to_value(&self) -> Value {
        (**self).to_value()
    }
}

impl<T: Field> Field for Vec<T> {
    fn from_value(value: Value, path: &AttributePath) -> Result<Self, ValueError> {
        match value {
            Value::List(values) | Value::Set(values) | Value::Tuple(values) => {
                values.into_iter().enumerate().map(|(i, value)| T::from_value(value, &path.index(i))).collect()
            }
            other => Err(mismatch(&other, "list", path)),
        }
    }

    fn to_value(&self) -> Value {
        Value::List(self.iter().map(Field::to_value).collect())
    }
}

impl<T: Field + Ord> Field for BTreeSet<T> {
    fn from_value(value: Value, path: &AttributePath) -> Result<Self, ValueError> {
        Ok(Vec::from_value(value, path)?.into_iter().collect())
    }

    fn to_value(&self) -> Value {
        Value::set(self.iter().map(Field::to_value))
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    fn from_value(value: Value, path: &AttributePath) -> Result<Self, ValueError> {
        match value {
            Value::Map(values) | Value::Object(values) => values
                .into_iter()
                .map(|(key, value)| {
                    let value = T::from_value(value, &path.key(&key))?;
                    Ok((key, value))
                })
                .collect(),
            other => Err(mismatch(&other, "map", path)),
        }
    }

    fn to_value(&self) -> Value {
        Value::Map(self.iter().map(|(key, value)| (key.clone(), value.to_value())).collect())
    }
}
