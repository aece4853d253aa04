//! The plan algorithm, without the provider's own code.

use super::outcome::forget_write_only;
use super::walk::walk;
use crate::path::AttributePath;
use crate::schema::{Modification, PlanModifier, Schema};
use crate::value::Value;

/// Makes a plan of what Terraform proposes: defaults, unknown computed values, plan modifiers. Returns the plan and the
/// attributes because of which the object must be replaced.
pub(super) fn plan(schema: &Schema, config: &Value, prior: &Value, mut planned: Value) -> (Value, Vec<AttributePath>) {
    if planned.is_null() {
        return (planned, Vec::new());
    }
    apply_defaults(schema, config, &mut planned);
    forget_write_only(schema, &mut planned);
    if planned != *prior {
        forget_computed(schema, config, &mut planned);
    }
    let replace = modify(schema, config, prior, &mut planned);
    (planned, replace)
}

fn apply_defaults(schema: &Schema, config: &Value, planned: &mut Value) {
    walk(schema, config, &Value::Null, planned, &mut |attribute, place| {
        if place.config.is_null()
            && let Some(default) = &attribute.default
        {
            // A default that does not fit is among the schema's problems, which Terraform is told first.
            *place.planned = default.clone().conform(&attribute.ty(), place.path).unwrap_or_default();
        }
    });
}

/// Once something changes, every computed value may.
fn forget_computed(schema: &Schema, config: &Value, planned: &mut Value) {
    walk(schema, config, &Value::Null, planned, &mut |attribute, place| {
        if attribute.computed && attribute.default.is_none() && place.config.is_null() {
            *place.planned = Value::unknown();
        }
    });
}

fn modify(schema: &Schema, config: &Value, prior: &Value, planned: &mut Value) -> Vec<AttributePath> {
    let exists = !prior.is_null();
    let mut replace = Vec::new();
    walk(schema, config, prior, planned, &mut |attribute, place| {
        for modifier in &attribute.modifiers {
            let changes = exists && *place.planned != *place.prior;
            match modifier {
                PlanModifier::UseStateForUnknown => {
                    if place.planned.is_unknown() && !place.prior.is_null() && !place.config.is_unknown() {
                        *place.planned = place.prior.clone();
                    }
                }
                PlanModifier::RequiresReplace if changes => replace.push(place.path.clone()),
                PlanModifier::RequiresReplaceIf(_, condition) if changes => {
                    let modification = Modification {
                        path: place.path,
                        config: place.config,
                        prior: place.prior,
                        planned: place.planned,
                    };
                    if condition(&modification) {
                        replace.push(place.path.clone());
                    }
                }
                PlanModifier::RequiresReplace | PlanModifier::RequiresReplaceIf(..) => {}
            }
        }
    });
    replace
}
