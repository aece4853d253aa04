//! Running the provider's code, and making its results fit for the wire.

use std::future::Future;

use super::walk::walk;
use crate::codec;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::path::AttributePath;
use crate::process::panic::{self, PanicReport};
use crate::proto::DynamicValue;
use crate::schema::Schema;
use crate::types::Type;
use crate::value::Value;

fn bug(report: &PanicReport) -> Diagnostics {
    tracing::error!(location = report.location, backtrace = report.backtrace, "Provider code panicked.");
    let place = if report.location.is_empty() { String::new() } else { format!(" at {}", report.location) };
    Diagnostic::bug(format!("The provider panicked{place}: {}", report.message)).into()
}

/// Runs an operation; a panic in it becomes an error.
pub(super) async fn guard<T>(operation: impl Future<Output = Result<T, Diagnostics>>) -> Result<T, Diagnostics> {
    panic::catch(operation).await.unwrap_or_else(|report| Err(bug(&report)))
}

/// Runs a check; a panic in it becomes an error.
pub(super) fn guard_blocking<T>(check: impl FnOnce() -> Result<T, Diagnostics>) -> Result<T, Diagnostics> {
    panic::catch_blocking(check).unwrap_or_else(|report| Err(bug(&report)))
}

/// Reads a value that Terraform sent.
pub(super) fn decode(value: Option<&DynamicValue>, ty: &Type) -> Result<Value, Diagnostics> {
    Ok(codec::decode(value, ty)?)
}

/// Writes a value that has its schema's type already.
pub(super) fn encode(value: Value, ty: &Type, diagnostics: &mut Diagnostics) -> Option<DynamicValue> {
    match codec::encode(value, ty) {
        Ok(value) => Some(value),
        Err(error) => {
            diagnostics.push(Diagnostic::bug(format!("{error}.")).at(error.path));
            None
        }
    }
}

/// Makes what provider code returned a state: of the schema's type, without write-only values, wholly known.
///
/// What does not fit is reported; the result is then null, or has null where the unknown was.
pub(super) fn settle(value: Value, schema: &Schema, ty: &Type, diagnostics: &mut Diagnostics) -> Value {
    let mut value = match value.conform(ty, &AttributePath::root()) {
        Ok(value) => value,
        Err(error) => {
            diagnostics.push(Diagnostic::bug(format!("{error}.")).at(error.path));
            return Value::Null;
        }
    };
    forget_write_only(schema, &mut value);
    let mut unknown = Vec::new();
    value.forget_unknown(&AttributePath::root(), &mut unknown);
    for path in unknown {
        diagnostics.push(Diagnostic::bug(format!("`{path}` is still unknown after the operation.")).at(path));
    }
    value
}

/// Makes what provider code saved before it failed a state; what is unknown becomes null without more ado.
pub(super) fn settle_partial(value: Value, schema: &Schema, ty: &Type, diagnostics: &mut Diagnostics) -> Option<Value> {
    let mut value = match value.conform(ty, &AttributePath::root()) {
        Ok(value) => value,
        Err(error) => {
            diagnostics.push(Diagnostic::bug(format!("{error}.")).at(error.path));
            return None;
        }
    };
    forget_write_only(schema, &mut value);
    value.forget_unknown(&AttributePath::root(), &mut Vec::new());
    Some(value)
}

/// Takes write-only values out of a plan or state.
pub(super) fn forget_write_only(schema: &Schema, value: &mut Value) {
    walk(schema, &Value::Null, &Value::Null, value, &mut |attribute, place| {
        if attribute.write_only {
            *place.planned = Value::Null;
        }
    });
}
