//! The two encodings of values: `MessagePack`, which the wire uses, and JSON, in which state files are written.

mod json;
mod msgpack;

pub use json::{from_json, to_json};
pub use msgpack::{from_msgpack, to_msgpack};

use bytes::Bytes;

use crate::error::ValueError;
use crate::path::AttributePath;
use crate::proto::DynamicValue;
use crate::types::Type;
use crate::value::Value;

/// Reads a value from the wire; an absent one is null.
pub(crate) fn decode(value: Option<&DynamicValue>, ty: &Type) -> Result<Value, ValueError> {
    match value {
        Some(value) if !value.msgpack.is_empty() => from_msgpack(&value.msgpack, ty),
        Some(value) if !value.json.is_empty() => from_json(&value.json, ty, false),
        _ => Ok(Value::Null),
    }
}

/// Makes the value one of type `ty` and writes it for the wire.
pub(crate) fn encode(value: Value, ty: &Type) -> Result<DynamicValue, ValueError> {
    let value = value.conform(ty, &AttributePath::root())?;
    Ok(DynamicValue { msgpack: to_msgpack(&value, ty).into(), json: Bytes::new() })
}

#[cfg(test)]
mod tests;
