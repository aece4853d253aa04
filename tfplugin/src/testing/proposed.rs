//! The proposed new state: the configuration, with what the provider computed before where the user says nothing.

use std::collections::BTreeMap;

use super::shape::{Member, Nesting, Shape};
use crate::value::Value;

/// What Core proposes to a provider; null when the object shall be destroyed.
pub(super) fn proposed(shape: &Shape, prior: &Value, config: &Value) -> Value {
    if config.is_null() || config.is_unknown() {
        return config.clone();
    }
    let members = shape
        .members
        .iter()
        .map(|(name, member)| (name.clone(), propose(member, prior.attribute(name), config.attribute(name))));
    Value::Object(members.collect())
}

fn propose(member: &Member, prior: &Value, config: &Value) -> Value {
    if member.write_only {
        return Value::Null;
    }
    match (config, &member.nested) {
        (Value::Null, _) if member.computed && !came_from_config(member, prior) => prior.clone(),
        (_, None) | (Value::Null | Value::Unknown(_), _) => config.clone(),
        (_, Some((nesting, shape))) => propose_nested(*nesting, shape, prior, config),
    }
}

fn propose_nested(nesting: Nesting, shape: &Shape, prior: &Value, config: &Value) -> Value {
    let priors = prior.as_elements().unwrap_or_default();
    let configs = config.as_elements().unwrap_or_default();
    match nesting {
        Nesting::Single => proposed(shape, prior, config),
        Nesting::List => Value::List(
            configs
                .iter()
                .enumerate()
                .map(|(index, config)| proposed(shape, priors.get(index).unwrap_or(&Value::Null), config))
                .collect(),
        ),
        Nesting::Set => {
            let mut left: Vec<&Value> = priors.iter().collect();
            Value::Set(
                configs
                    .iter()
                    .map(|config| {
                        let same = left.iter().position(|prior| could_be(shape, prior, config));
                        proposed(shape, same.map_or(&Value::Null, |index| left.swap_remove(index)), config)
                    })
                    .collect(),
            )
        }
        Nesting::Map => {
            let none = BTreeMap::new();
            let configs = config.as_object().unwrap_or(&none);
            Value::Map(
                configs
                    .iter()
                    .map(|(key, config)| (key.clone(), proposed(shape, prior.attribute(key), config)))
                    .collect(),
            )
        }
    }
}

/// Whether a prior value of an optional and computed nested attribute holds something that only a user can have set:
/// then removing it from the configuration removes it.
fn came_from_config(member: &Member, prior: &Value) -> bool {
    let Some((_, shape)) = &member.nested else {
        return false;
    };
    member.optional && objects(prior).iter().any(|object| has_set_by_user(shape, object))
}

fn has_set_by_user(shape: &Shape, object: &Value) -> bool {
    shape.members.iter().any(|(name, member)| {
        let value = object.attribute(name);
        !value.is_null() && (!member.computed || came_from_config(member, value))
    })
}

/// The objects of a nested attribute, however they are arranged.
fn objects(value: &Value) -> Vec<&Value> {
    match value {
        Value::List(values) | Value::Set(values) => values.iter().collect(),
        Value::Map(values) => values.values().collect(),
        Value::Object(_) => vec![value],
        _ => Vec::new(),
    }
}

/// Whether the prior element is what the provider made of this configured element.
fn could_be(shape: &Shape, prior: &Value, config: &Value) -> bool {
    shape.members.iter().all(|(name, member)| {
        let (prior, config) = (prior.attribute(name), config.attribute(name));
        if member.write_only || (config.is_null() && member.computed) {
            return true;
        }
        match &member.nested {
            Some((Nesting::Single, shape)) if !prior.is_null() && !config.is_null() => could_be(shape, prior, config),
            _ => prior == config,
        }
    })
}
