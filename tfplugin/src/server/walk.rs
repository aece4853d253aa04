//! Going through a value attribute by attribute, together with the configuration and state that belong to it.

use crate::path::{AttributePath, Step};
use crate::schema::{Attribute, AttributeKind, BlockNesting, Nesting, Schema};
use crate::value::Value;

/// One attribute's place in the three values.
pub(super) struct Place<'a> {
    pub(super) path: &'a AttributePath,
    pub(super) config: &'a Value,
    pub(super) prior: &'a Value,
    pub(super) planned: &'a mut Value,
}

type Visit<'v> = &'v mut dyn FnMut(&Attribute, Place<'_>);

/// Visits every attribute that exists in `planned`, outer ones before those nested in them.
pub(super) fn walk(schema: &Schema, config: &Value, prior: &Value, planned: &mut Value, visit: Visit<'_>) {
    let root = AttributePath::root();
    object(&schema.attributes, &root, config, prior, planned, visit);
    for (name, block) in &schema.blocks {
        let Value::Object(values) = &mut *planned else { return };
        let nesting = match block.nesting {
            BlockNesting::Single => Nesting::Single,
            BlockNesting::List => Nesting::List,
            BlockNesting::Set => Nesting::Set,
        };
        let planned = values.entry(name.clone()).or_default();
        let (config, prior) = (config.attribute(name), prior.attribute(name));
        nested(nesting, &block.attributes, &root.child(name), config, prior, planned, visit);
    }
}

fn object(
    attributes: &[(String, Attribute)],
    path: &AttributePath,
    config: &Value,
    prior: &Value,
    planned: &mut Value,
    visit: Visit<'_>,
) {
    let Value::Object(values) = planned else { return };
    for (name, attribute) in attributes {
        let planned = values.entry(name.clone()).or_default();
        let (path, config, prior) = (path.child(name), config.attribute(name), prior.attribute(name));
        visit(attribute, Place { path: &path, config, prior, planned });
        if let AttributeKind::Nested(nesting, inner) = &attribute.kind {
            nested(*nesting, inner, &path, config, prior, planned, visit);
        }
    }
}

fn nested(
    nesting: Nesting,
    attributes: &[(String, Attribute)],
    path: &AttributePath,
    config: &Value,
    prior: &Value,
    planned: &mut Value,
    visit: Visit<'_>,
) {
    match (nesting, planned) {
        (Nesting::Single, planned) => object(attributes, path, config, prior, planned, visit),
        (Nesting::List, Value::List(elements)) => {
            let at = |value: &Value, index: usize| value.as_elements().and_then(|values| values.get(index)).cloned();
            for (index, planned) in elements.iter_mut().enumerate() {
                let (config, prior) = (at(config, index).unwrap_or_default(), at(prior, index).unwrap_or_default());
                object(attributes, &path.index(index), &config, &prior, planned, visit);
            }
        }
        (Nesting::Set, Value::Set(elements)) => {
            for planned in elements {
                let of = |value: &Value| value.as_elements().unwrap_or_default().to_vec();
                // Of several that agree, the one that says most: what it leaves out is left out by the user indeed.
                let config = of(config).into_iter().filter(|value| agrees(value, planned)).max_by_key(says);
                let config = config.unwrap_or_default();
                let prior = of(prior).into_iter().find(|value| value == planned).unwrap_or_default();
                object(attributes, &path.step(Step::Element), &config, &prior, planned, visit);
            }
        }
        (Nesting::Map, Value::Map(elements)) => {
            for (key, planned) in elements {
                object(attributes, &path.key(key), config.attribute(key), prior.attribute(key), planned, visit);
            }
        }
        _ => {}
    }
}

/// Whether everything that is configured in `config` is so in `planned`: which of a set's elements is which has no other
/// mark.
fn agrees(config: &Value, planned: &Value) -> bool {
    match (config, planned) {
        (Value::Null, _) => true,
        (Value::Object(config), Value::Object(planned)) => {
            config.iter().all(|(name, config)| planned.get(name).is_some_and(|planned| agrees(config, planned)))
        }
        (config, planned) => config == planned,
    }
}

/// How many values a configuration sets.
fn says(config: &Value) -> usize {
    match config {
        Value::Null => 0,
        Value::Object(values) | Value::Map(values) => values.values().map(says).sum(),
        Value::List(values) | Value::Set(values) | Value::Tuple(values) => 1 + values.iter().map(says).sum::<usize>(),
        _ => 1,
    }
}
