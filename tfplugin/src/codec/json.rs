//! JSON as state files have it. Numbers keep all their digits.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::error::ValueError;
use crate::path::{AttributePath, Step};
use crate::types::Type;
use crate::value::Value;

/// Reads a value of type `ty`. A missing attribute is null; one that the type does not have is an error, or dropped if
/// `lenient`, as in the state of an older release.
pub fn from_json(bytes: &[u8], ty: &Type, lenient: bool) -> Result<Value, ValueError> {
    let path = AttributePath::root();
    let raw: &RawValue = serde_json::from_slice(bytes)
        .map_err(|error| ValueError::new(path.clone(), format!("is not valid JSON: {error}")))?;
    read(raw, ty, lenient, &path)
}

fn parse<'a, T: serde::Deserialize<'a>>(raw: &'a RawValue, path: &AttributePath, what: &str) -> Result<T, ValueError> {
    serde_json::from_str(raw.get()).map_err(|_| ValueError::new(path.clone(), format!("is not {what}")))
}

fn read(raw: &RawValue, ty: &Type, lenient: bool, path: &AttributePath) -> Result<Value, ValueError> {
    if raw.get() == "null" {
        return Ok(Value::Null);
    }
    let elements = |element: &Type, step: fn(usize) -> Step| -> Result<Vec<Value>, ValueError> {
        let values: Vec<&RawValue> = parse(raw, path, "a list")?;
        let read = |(index, value)| read(value, element, lenient, &path.step(step(index)));
        values.into_iter().enumerate().map(read).collect()
    };
    match ty {
        Type::Bool => parse(raw, path, "a bool").map(Value::Bool),
        Type::String => parse(raw, path, "a string").map(Value::String),
        Type::Number => {
            // Old states have numbers as text too.
            let text = raw.get().trim_matches('"');
            text.parse()
                .map(Value::Number)
                .map_err(|error| ValueError::new(path.clone(), format!("is not a number: {error}")))
        }
        Type::Dynamic => {
            let parts: BTreeMap<String, &RawValue> = parse(raw, path, "a value with its type")?;
            let (Some(ty), Some(value)) = (parts.get("type"), parts.get("value")) else {
                return Err(ValueError::new(path.clone(), "does not name its type"));
            };
            let ty = Type::from_json_slice(ty.get().as_bytes())
                .map_err(|error| ValueError::new(path.clone(), error.to_string()))?;
            read(value, &ty, lenient, path)
        }
        Type::List(element) => elements(element, Step::Index).map(Value::List),
        Type::Set(element) => elements(element, |_| Step::Element).map(Value::Set),
        Type::Tuple(types) => {
            let values: Vec<&RawValue> = parse(raw, path, "a list")?;
            if values.len() != types.len() {
                return Err(ValueError::new(path.clone(), format!("does not have {} elements", types.len())));
            }
            let read = |(index, (value, ty))| read(value, ty, lenient, &path.index(index));
            values.into_iter().zip(types).enumerate().map(read).collect::<Result<_, _>>().map(Value::Tuple)
        }
        Type::Map(element) => {
            let values: BTreeMap<String, &RawValue> = parse(raw, path, "a map")?;
            let read = |(key, value)| {
                let value = read(value, element, lenient, &path.key(&key))?;
                Ok((key, value))
            };
            values.into_iter().map(read).collect::<Result<_, _>>().map(Value::Map)
        }
        Type::Object(types) => {
            let values: BTreeMap<String, &RawValue> = parse(raw, path, "an object")?;
            if let Some(name) = values.keys().find(|name| !lenient && !types.contains_key(*name)) {
                return Err(ValueError::new(path.child(name), "is not an attribute of this object"));
            }
            let read = |(name, ty): (&String, &Type)| {
                let value = values.get(name).map(|value| read(value, ty, lenient, &path.child(name))).transpose()?;
                Ok((name.clone(), value.unwrap_or_default()))
            };
            types.iter().map(read).collect::<Result<_, _>>().map(Value::Object)
        }
    }
}

/// Writes a wholly known value as JSON text; what is unknown is an error.
pub fn to_json(value: &Value, ty: &Type) -> Result<String, ValueError> {
    let mut out = String::new();
    write(&mut out, value, ty, &AttributePath::root())?;
    Ok(out)
}

fn write(out: &mut String, value: &Value, ty: &Type, path: &AttributePath) -> Result<(), ValueError> {
    match (value, ty) {
        (Value::Null, _) => out.push_str("null"),
        (Value::Unknown(_), _) => return Err(ValueError::not_known(path.clone())),
        (value, Type::Dynamic) => {
            let ty = value.inferred_type();
            out.push_str("{\"type\":");
            out.push_str(&ty.to_json().to_string());
            out.push_str(",\"value\":");
            write(out, value, &ty, path)?;
            out.push('}');
        }
        (Value::Bool(value), _) => out.push_str(if *value { "true" } else { "false" }),
        (Value::Number(number), _) => out.push_str(&number.to_string()),
        (Value::String(text), _) => quote(out, text),
        (Value::List(values) | Value::Set(values) | Value::Tuple(values), ty) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                let inferred;
                let ty = match ty {
                    Type::List(element) | Type::Set(element) => element,
                    Type::Tuple(types) if index < types.len() => &types[index],
                    _ => {
                        inferred = value.inferred_type();
                        &inferred
                    }
                };
                write(out, value, ty, &path.index(index))?;
            }
            out.push(']');
        }
        (Value::Map(values) | Value::Object(values), ty) => {
            out.push('{');
            for (position, (key, value)) in values.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                quote(out, key);
                out.push(':');
                let inferred;
                let ty = match ty {
                    Type::Map(element) => element,
                    Type::Object(types) if types.contains_key(key) => &types[key],
                    _ => {
                        inferred = value.inferred_type();
                        &inferred
                    }
                };
                write(out, value, ty, &path.child(key))?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn quote(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}
