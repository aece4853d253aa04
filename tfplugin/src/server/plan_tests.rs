//! The plan algorithm as tables: what is written, what is there, what is proposed, and what then is planned.

use super::plan::plan;
use crate::path::AttributePath;
use crate::schema::{Attribute, Nesting, Object, Schema};
use crate::types::Type;
use crate::value::Value;

fn schema() -> Schema {
    let rule = || {
        Object::new()
            .attribute("match", Attribute::string("d").required())
            .attribute("weight", Attribute::number("d").default(1))
            .attribute("hits", Attribute::number("d").computed())
    };
    Schema::new("d")
        .attribute("id", Attribute::string("d").computed().use_state_for_unknown())
        .attribute("name", Attribute::string("d").required().requires_replace())
        .attribute("size", Attribute::number("d").default(100))
        .attribute("version", Attribute::number("d").computed())
        .attribute("region", Attribute::string("d").optional().computed().use_state_for_unknown())
        .attribute("secret_wo", Attribute::string("d").optional().write_only())
        .attribute("disk", Attribute::number("d").optional().requires_replace_if("it shrinks", |change| {
            matches!((change.prior, change.planned), (Value::Number(old), Value::Number(new)) if new < old)
        }))
        .attribute("rules", Attribute::nested(Nesting::List, rule(), "d").optional())
        .attribute("pool", Attribute::nested(Nesting::Set, rule(), "d").optional())
        .attribute("tags", Attribute::map(Type::String, "d").optional())
}

/// An object of the schema: these attributes, all else null.
fn object(attributes: &[(&str, Value)]) -> Value {
    let schema = schema();
    Value::object(attributes.iter().cloned()).conform(&schema.ty(), &AttributePath::root()).unwrap()
}

fn state() -> Value {
    object(&[
        ("id", "i-1".into()),
        ("name", "a".into()),
        ("size", 100.into()),
        ("version", 7.into()),
        ("region", "west".into()),
    ])
}

fn with(mut value: Value, name: &str, new: Value) -> Value {
    if let Value::Object(values) = &mut value {
        values.insert(name.into(), new);
    }
    value
}

fn rule(name: &str, weight: Value, hits: Value) -> Value {
    Value::object([("match", name.into()), ("weight", weight), ("hits", hits)])
}

#[test]
fn a_create_takes_defaults_and_leaves_computed_values_unknown() {
    let config = object(&[("name", "a".into()), ("secret_wo", "s".into())]);
    let (planned, replace) = plan(&schema(), &config, &Value::Null, config.clone());
    assert_eq!(planned.attribute("size"), &Value::from(100));
    assert_eq!(planned.attribute("name"), &Value::from("a"));
    for computed in ["id", "version", "region"] {
        assert!(planned.attribute(computed).is_unknown(), "{computed}");
    }
    assert!(planned.attribute("secret_wo").is_null(), "a write-only value is never planned");
    assert!(replace.is_empty());
}

#[test]
fn nothing_written_anew_plans_nothing_even_with_a_write_only_value() {
    let config = object(&[("name", "a".into()), ("secret_wo", "s".into())]);
    let proposed = with(state(), "secret_wo", "s".into());
    assert_eq!(plan(&schema(), &config, &state(), proposed), (state(), vec![]));
}

#[test]
fn a_change_makes_computed_values_unknown_except_those_that_keep_their_state() {
    let config = object(&[("name", "a".into()), ("size", 5.into())]);
    let (planned, replace) = plan(&schema(), &config, &state(), with(state(), "size", 5.into()));
    assert_eq!(planned, with(with(state(), "size", 5.into()), "version", Value::unknown()));
    assert!(replace.is_empty());
}

#[test]
fn a_value_no_longer_written_goes_back_to_its_default() {
    let prior = with(state(), "size", 5.into());
    let config = object(&[("name", "a".into())]);
    // Terraform proposes the prior value, because the attribute is computed.
    let (planned, _) = plan(&schema(), &config, &prior, prior.clone());
    assert_eq!(planned.attribute("size"), &Value::from(100));
    assert!(planned.attribute("version").is_unknown());
}

#[test]
fn a_changed_name_replaces_and_so_does_one_that_is_not_known_yet() {
    for name in [Value::from("b"), Value::unknown()] {
        let config = object(&[("name", name.clone())]);
        let (_, replace) = plan(&schema(), &config, &state(), with(state(), "name", name));
        assert_eq!(replace, [AttributePath::attribute("name")]);
    }
}

#[test]
fn a_condition_decides_whether_a_change_replaces() {
    for (old, new, replaces) in [(10, 20, false), (20, 10, true), (10, 10, false)] {
        let prior = with(state(), "disk", old.into());
        let config = object(&[("name", "a".into()), ("disk", new.into())]);
        let (_, replace) = plan(&schema(), &config, &prior, with(prior.clone(), "disk", new.into()));
        assert_eq!(!replace.is_empty(), replaces, "{old} to {new}");
    }
}

#[test]
fn a_configured_value_that_is_unknown_stays_so_whatever_the_state_says() {
    let config = object(&[("name", "a".into()), ("region", Value::unknown())]);
    let (planned, _) = plan(&schema(), &config, &state(), with(state(), "region", Value::unknown()));
    assert!(planned.attribute("region").is_unknown());
}

#[test]
fn a_destroy_stays_a_destroy() {
    assert_eq!(plan(&schema(), &Value::Null, &state(), Value::Null), (Value::Null, vec![]));
}

#[test]
fn nested_attributes_have_defaults_and_computed_values_of_their_own() {
    let rules = |values: Vec<Value>| Value::List(values);
    let written = rules(vec![rule("x", Value::Null, Value::Null), rule("y", 9.into(), Value::Null)]);
    let config = object(&[("name", "a".into()), ("rules", written.clone())]);
    let (planned, _) = plan(&schema(), &config, &state(), with(state(), "rules", written));
    assert_eq!(
        planned.attribute("rules"),
        &rules(vec![rule("x", 1.into(), Value::unknown()), rule("y", 9.into(), Value::unknown())])
    );
}

#[test]
fn elements_of_a_set_are_found_by_what_is_written_in_them() {
    // Proposed in another order than written, and with what Terraform kept from the state.
    let written = Value::Set(vec![rule("x", Value::Null, Value::Null), rule("y", 9.into(), Value::Null)]);
    let prior = with(state(), "pool", Value::Set(vec![rule("x", 1.into(), 5.into()), rule("y", 9.into(), 6.into())]));
    let proposed =
        with(state(), "pool", Value::Set(vec![rule("y", 9.into(), 6.into()), rule("x", 1.into(), 5.into())]));
    let config = object(&[("name", "a".into()), ("pool", written)]);
    let (planned, replace) = plan(&schema(), &config, &prior, proposed);
    assert_eq!(planned, prior);
    assert!(replace.is_empty());
}

#[test]
fn an_unknown_collection_is_left_alone() {
    let config = object(&[("name", "a".into()), ("rules", Value::unknown()), ("tags", Value::unknown())]);
    let (planned, _) = plan(&schema(), &config, &Value::Null, config.clone());
    assert!(planned.attribute("rules").is_unknown());
    assert!(planned.attribute("tags").is_unknown());
}
