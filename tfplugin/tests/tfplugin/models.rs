//! `#[derive(Model)]` and the Rust types that stand for Terraform values.

use std::collections::{BTreeMap, BTreeSet};

use tfplugin::{Attr, AttributePath, Field, Model, Number, Timeouts, Value, ValueError};

#[derive(Clone, Debug, PartialEq, Model)]
struct Queue {
    id: Attr<String>,
    size: u8,
    ratio: f64,
    exact: Number,
    note: Option<String>,
    labels: Attr<BTreeMap<String, String>>,
    zones: BTreeSet<String>,
    rules: Attr<Vec<Rule>>,
    raw: Value,
    r#type: Attr<bool>,
    timeouts: Timeouts,
}

#[derive(Clone, Debug, PartialEq, Model)]
struct Rule {
    #[model(name = "match")]
    pattern: String,
}

fn queue() -> BTreeMap<String, Value> {
    let number = |text: &str| Value::Number(text.parse().expect("a number"));
    let rule = |pattern: &str| Value::object([("match", pattern.into())]);
    let values = [
        ("id", Value::unknown()),
        ("size", 7_u8.into()),
        ("ratio", number("0.1")),
        ("exact", number("12345678901234567890.125")),
        ("note", Value::Null),
        ("labels", Value::Map([("team".to_owned(), Value::from("blue"))].into())),
        ("zones", Value::Set(vec!["b".into(), "a".into()])),
        ("rules", Value::List(vec![rule("x"), rule("y")])),
        ("raw", Value::Tuple(vec![Value::Bool(true), "z".into()])),
        ("type", Value::Bool(true)),
        ("timeouts", Value::object([("create", Value::from("30m")), ("delete", Value::Null)])),
    ];
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn read(values: BTreeMap<String, Value>) -> Result<Queue, ValueError> {
    Queue::from_value(Value::Object(values), &AttributePath::root())
}

#[test]
fn a_struct_holds_an_object_and_gives_it_back() {
    let model = read(queue()).expect("a queue");
    assert_eq!(model.id, Attr::Unknown);
    assert_eq!(model.zones, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    assert_eq!(model.rules.get().expect("rules")[1].pattern, "y");
    assert_eq!(model.timeouts.get("create").map(|limit| limit.as_secs()), Some(1800));
    assert_eq!(model.timeouts.get("delete"), None);
    let given = model.to_value();
    for (name, value) in queue() {
        // Maps and objects are told apart by the schema only.
        match (given.attribute(&name), &value) {
            (Value::Map(given), Value::Object(value)) => assert_eq!(given, value, "{name}"),
            (given, value) => assert_eq!(given, value, "{name}"),
        }
    }
}

#[test]
fn the_names_of_the_fields_are_those_of_the_attributes() {
    assert_eq!(Rule::FIELDS, ["match"]);
    assert!(Queue::FIELDS.contains(&"type"), "a raw identifier loses its prefix: {:?}", Queue::FIELDS);
}

#[test]
fn a_value_that_does_not_fit_is_an_error_that_names_its_place() {
    let rule = Value::object([("match", Value::Bool(true))]);
    let cases = [
        ("size", Value::from(256), "`size` is 256, but must be a whole number from 0 to 255"),
        (
            "size",
            Value::Number("1.5".parse().expect("a number")),
            "`size` is 1.5, but must be a whole number from 0 to 255",
        ),
        ("size", Value::Null, "`size` has no value, but needs one"),
        ("size", Value::unknown(), "`size` is known only after apply"),
        ("note", Value::Bool(true), "`note` is a bool where a string is expected"),
        ("zones", Value::List(vec!["a".into(), 1.into()]), "`zones[1]` is a number where a string is expected"),
        (
            "labels",
            Value::Map([("a".into(), 1.into())].into()),
            "`labels[\"a\"]` is a number where a string is expected",
        ),
        ("rules", Value::List(vec![rule]), "`rules[0].match` is a bool where a string is expected"),
    ];
    for (name, value, message) in cases {
        let mut values = queue();
        values.insert(name.into(), value);
        assert_eq!(read(values).expect_err(message).to_string(), message);
    }
}

#[test]
fn a_collection_with_an_unknown_part_reads_as_unknown() {
    let mut values = queue();
    let rule = Value::object([("match", Value::unknown())]);
    values.insert("rules".into(), Value::List(vec![rule]));
    assert_eq!(read(values).expect("a queue").rules, Attr::Unknown);
}

#[test]
fn a_plain_field_says_that_its_only_trouble_is_an_unknown_value() {
    let mut values = queue();
    values.insert("zones".into(), Value::List(vec![Value::unknown()]));
    let error = read(values).expect_err("unknown");
    assert!(error.unknown);
    assert_eq!(error.path, AttributePath::attribute("zones").index(0));
}

#[test]
fn a_required_value_that_is_missing_is_an_error_on_its_attribute() {
    let missing: Attr<String> = Attr::Null;
    assert_eq!(missing.require("name").expect_err("null").to_string(), "`name` has no value, but needs one");
    assert!(Attr::<u8>::Unknown.require("size").expect_err("unknown").unknown);
    assert_eq!(Attr::Known(3).require("size"), Ok(&3));
}

#[test]
fn an_attr_behaves_as_an_option_with_a_third_state() {
    assert_eq!(Attr::<i32>::from(Some(2)).map(|n| n + 1), Attr::Known(3));
    assert_eq!(Attr::<i32>::from(None), Attr::Null);
    assert_eq!(Attr::<i32>::Unknown.map(|n| n + 1), Attr::Unknown);
    assert_eq!(Attr::<i32>::Unknown.unwrap_or(5), 5);
    assert_eq!(Attr::from("text").as_deref(), Some("text"));
    assert_eq!(Attr::<String>::Unknown.to_value(), Value::unknown());
}
