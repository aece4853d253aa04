//! Checks of a configuration against its schema.

use super::walk::walk;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::schema::Schema;
use crate::value::Value;

/// Checks what is known of a configuration. `write_only` is whether this Terraform knows write-only attributes.
pub(super) fn check(schema: &Schema, config: &Value, write_only: bool, diagnostics: &mut Diagnostics) {
    let mut copy = config.clone();
    walk(schema, config, &Value::Null, &mut copy, &mut |attribute, place| {
        let (value, path) = (place.config, place.path);
        // Sets are found again by their contents, which a null element may hide; the walked copy is the truth.
        let value = if value.is_null() { &*place.planned } else { value };
        if value.is_null() {
            if attribute.required {
                let detail = format!("The argument `{path}` is required, but was not set.");
                diagnostics.push(Diagnostic::error("Missing required argument", detail).at(path.clone()));
            }
            return;
        }
        if !attribute.required && !attribute.optional {
            let detail = format!("The provider decides the value of `{path}`; remove it from the configuration.");
            diagnostics.push(Diagnostic::error("Read-only attribute", detail).at(path.clone()));
        }
        if attribute.write_only && !write_only {
            let detail = format!(
                "`{path}` is write-only, which needs Terraform 1.11 or OpenTofu 1.11, or later. Upgrade, or leave it out."
            );
            diagnostics.push(Diagnostic::error("Write-only attribute not supported", detail).at(path.clone()));
        }
        if let Some(message) = &attribute.deprecation {
            diagnostics.push(Diagnostic::warning("Deprecated argument", message.clone()).at(path.clone()));
        }
        if !value.is_unknown() {
            let mut found = Diagnostics::new();
            for validator in &attribute.validators {
                validator.validate(value, path, &mut found);
            }
            if attribute.sensitive || attribute.write_only {
                diagnostics.append(found.into_iter().map(|found| mask(found, value)).collect::<Diagnostics>());
            } else {
                diagnostics.append(found);
            }
        }
    });
}

/// Takes a secret out of a message about it, which may quote it.
fn mask(mut diagnostic: Diagnostic, secret: &Value) -> Diagnostic {
    const MASK: &str = "(sensitive value)";
    match secret {
        Value::String(text) if !text.is_empty() => {
            diagnostic.summary = diagnostic.summary.replace(text, MASK);
            diagnostic.detail = diagnostic.detail.replace(text, MASK);
        }
        Value::Number(number) => diagnostic.detail = diagnostic.detail.replace(&number.to_string(), MASK),
        Value::Map(values) | Value::Object(values) => return values.values().fold(diagnostic, mask),
        Value::List(values) | Value::Set(values) | Value::Tuple(values) => return values.iter().fold(diagnostic, mask),
        _ => {}
    }
    diagnostic
}
