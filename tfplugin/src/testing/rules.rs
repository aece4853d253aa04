//! The rules by which Core tells a consistent provider from an inconsistent one.

use super::error::{Rule, Violation};
use super::shape::{Nesting, Shape};
use crate::path::{AttributePath, Step};
use crate::value::Value;

type Checked = Result<(), Violation>;

/// A planned value is what the user configured, or what was there before; the rest only if it is computed.
pub(super) fn plan_is_valid(
    shape: &Shape,
    prior: &Value,
    config: &Value,
    planned: &Value,
    path: &AttributePath,
) -> Checked {
    if config.is_null() != planned.is_null() && !config.is_unknown() {
        return Err(violation(
            Rule::PlannedValue,
            path,
            planned,
            "the configuration and the plan disagree on existence",
        ));
    }
    for (name, member) in &shape.members {
        let path = path.child(name);
        let (prior, config, planned) = (prior.attribute(name), config.attribute(name), planned.attribute(name));
        if member.write_only {
            no_write_only(planned, &path)?;
            continue;
        }
        if config.is_null() && member.computed {
            continue;
        }
        match &member.nested {
            Some((nesting, shape)) if !config.is_null() && !config.is_unknown() => {
                nested_plan_is_valid(*nesting, shape, prior, config, planned, &path)?;
            }
            _ => {
                let kept = planned == prior && !prior.is_null() && !config.is_null();
                if !(same(planned, config) || kept) {
                    let what = if config.is_null() {
                        "is planned, though it is not computed and not in the configuration"
                    } else {
                        "is planned, though the configuration says something else"
                    };
                    return Err(violation(Rule::PlannedValue, &path, planned, what));
                }
            }
        }
    }
    Ok(())
}

fn nested_plan_is_valid(
    nesting: Nesting,
    shape: &Shape,
    prior: &Value,
    config: &Value,
    planned: &Value,
    path: &AttributePath,
) -> Checked {
    let count = |value: &Value| {
        value.as_elements().map(<[Value]>::len).or(value.as_object().map(std::collections::BTreeMap::len))
    };
    if nesting != Nesting::Single && count(config) != count(planned) {
        return Err(violation(
            Rule::PlannedValue,
            path,
            planned,
            "has another number of elements than the configuration",
        ));
    }
    let none = &Value::Null;
    let element = |value: &Value, index: usize| value.as_elements().and_then(|all| all.get(index)).cloned();
    match nesting {
        Nesting::Single => plan_is_valid(shape, prior, config, planned, path),
        Nesting::List => (0..count(config).unwrap_or_default()).try_for_each(|index| {
            let (prior, config, planned) = (element(prior, index), element(config, index), element(planned, index));
            plan_is_valid(
                shape,
                prior.as_ref().unwrap_or(none),
                config.as_ref().unwrap_or(none),
                planned.as_ref().unwrap_or(none),
                &path.index(index),
            )
        }),
        Nesting::Map => config.as_object().into_iter().flatten().try_for_each(|(key, config)| {
            plan_is_valid(shape, prior.attribute(key), config, planned.attribute(key), &path.key(key))
        }),
        Nesting::Set => {
            let path = path.step(Step::Element);
            let mut left: Vec<&Value> = planned.as_elements().unwrap_or_default().iter().collect();
            for config in config.as_elements().unwrap_or_default() {
                // A set's elements have no names: each configured one needs a planned one that is valid for it, with
                // itself as the prior one, because a value kept from before is found by what it holds.
                let Some(found) =
                    left.iter().position(|planned| plan_is_valid(shape, none, config, planned, &path).is_ok())
                else {
                    return Err(violation(Rule::PlannedValue, &path, planned, "has no element for a configured one"));
                };
                left.swap_remove(found);
            }
            Ok(())
        }
    }
}

/// What a plan shows as known is what apply does.
pub(super) fn result_fits_plan(planned: &Value, actual: &Value, rule: Rule, path: &AttributePath) -> Checked {
    let differs = || Err(violation(rule, path, actual, &format!("differs from the planned {}", brief(planned))));
    match (planned, actual) {
        (Value::Unknown(_), _) => Ok(()),
        (Value::Object(planned), Value::Object(actual)) => {
            for (name, planned) in planned {
                let actual = actual.get(name).unwrap_or(&Value::Null);
                result_fits_plan(planned, actual, rule, &path.child(name))?;
            }
            Ok(())
        }
        (Value::Map(planned), Value::Map(actual)) => {
            if !planned.keys().eq(actual.keys()) {
                return differs();
            }
            for (key, planned) in planned {
                result_fits_plan(planned, &actual[key], rule, &path.key(key))?;
            }
            Ok(())
        }
        (Value::List(planned), Value::List(actual)) | (Value::Tuple(planned), Value::Tuple(actual)) => {
            if planned.len() != actual.len() {
                return differs();
            }
            for (index, (planned, actual)) in planned.iter().zip(actual).enumerate() {
                result_fits_plan(planned, actual, rule, &path.index(index))?;
            }
            Ok(())
        }
        (Value::Set(elements), Value::Set(actuals)) => {
            let element = path.step(Step::Element);
            let known = elements.iter().filter(|value| value.is_wholly_known());
            let mut left: Vec<&Value> = actuals.iter().collect();
            for planned in known.chain(elements.iter().filter(|value| !value.is_wholly_known())) {
                match left.iter().position(|actual| result_fits_plan(planned, actual, rule, &element).is_ok()) {
                    Some(found) => drop(left.swap_remove(found)),
                    // Elements that were unknown may turn out to be equal to another.
                    None if !planned.is_wholly_known() => {}
                    None => return differs(),
                }
            }
            if left.is_empty() { Ok(()) } else { differs() }
        }
        (planned, actual) if planned == actual => Ok(()),
        _ => differs(),
    }
}

/// After apply and read nothing is unknown, and nothing write-only comes back.
pub(super) fn state_is_final(shape: &Shape, state: &Value, path: &AttributePath) -> Checked {
    if !state.is_wholly_known() {
        let mut found = Vec::new();
        state.clone().forget_unknown(path, &mut found);
        let path = found.into_iter().next().unwrap_or_else(|| path.clone());
        return Err(violation(Rule::UnknownAfterApply, &path, &Value::unknown(), "is still unknown"));
    }
    nothing_write_only(shape, state, path)
}

/// A write-only value never comes back from a provider.
pub(super) fn nothing_write_only(shape: &Shape, state: &Value, path: &AttributePath) -> Checked {
    for (name, member) in &shape.members {
        let (value, path) = (state.attribute(name), path.child(name));
        if member.write_only {
            no_write_only(value, &path)?;
        }
        let Some((_, shape)) = &member.nested else {
            continue;
        };
        match value {
            Value::List(values) | Value::Set(values) => {
                for (index, value) in values.iter().enumerate() {
                    nothing_write_only(shape, value, &path.index(index))?;
                }
            }
            Value::Map(values) => {
                for (key, value) in values {
                    nothing_write_only(shape, value, &path.key(key))?;
                }
            }
            value => nothing_write_only(shape, value, &path)?,
        }
    }
    Ok(())
}

/// Two values are the same, but for what is certain about unknown ones.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Unknown(_), Value::Unknown(_)) => true,
        (Value::Object(a), Value::Object(b)) | (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Set(a), Value::Set(b)) => {
            let mut left: Vec<&Value> = b.iter().collect();
            a.len() == b.len()
                && a.iter().all(|a| left.iter().position(|b| same(a, b)).map(|index| left.swap_remove(index)).is_some())
        }
        _ => a == b,
    }
}

/// The first place where two values differ.
pub(super) fn first_difference(a: &Value, b: &Value, path: &AttributePath) -> Option<AttributePath> {
    if same(a, b) {
        return None;
    }
    if let (Value::Object(a), Value::Object(b)) = (a, b) {
        let inner =
            a.iter().find_map(|(name, a)| first_difference(a, b.get(name).unwrap_or(&Value::Null), &path.child(name)));
        if inner.is_some() {
            return inner;
        }
    }
    Some(path.clone())
}

fn no_write_only(value: &Value, path: &AttributePath) -> Checked {
    if value.is_null() {
        return Ok(());
    }
    // The value itself is a secret and stays out of the message.
    Err(Violation { rule: Rule::WriteOnly, path: path.clone(), detail: "came back from the provider".into() })
}

fn violation(rule: Rule, path: &AttributePath, value: &Value, what: &str) -> Violation {
    Violation { rule, path: path.clone(), detail: format!("{} {what}", brief(value)) }
}

fn brief(value: &Value) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
