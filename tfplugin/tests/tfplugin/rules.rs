//! The rules of a schema: what values it accepts, and what is wrong with a schema itself.

use tfplugin::schema::{Validator, check, each, integer_between, length_between, one_of};
use tfplugin::{Attribute, AttributePath, Diagnostics, Object, Schema, Type, Value};

fn verdict(rule: &dyn Validator, value: impl Into<Value>) -> Vec<String> {
    let mut diagnostics = Diagnostics::new();
    rule.validate(&value.into(), &AttributePath::attribute("it"), &mut diagnostics);
    diagnostics.iter().map(ToString::to_string).collect()
}

#[test]
fn a_whole_number_is_within_its_bounds_or_the_message_has_them() {
    let rule = integer_between(1..=10);
    assert!(verdict(&rule, 1).is_empty());
    assert!(verdict(&rule, 10).is_empty());
    assert_eq!(verdict(&rule, 11), ["it: Invalid value for it: 11 is not a whole number from 1 to 10."]);
    let half = Value::Number("1.5".parse().expect("a number"));
    assert_eq!(verdict(&rule, half), ["it: Invalid value for it: 1.5 is not a whole number from 1 to 10."]);
}

#[test]
fn a_length_counts_characters_and_elements() {
    let rule = length_between(2..=3);
    assert!(verdict(&rule, "äöü").is_empty());
    assert_eq!(verdict(&rule, "x"), ["it: Invalid value for it: The length is 1, but must be 2 to 3 long."]);
    assert_eq!(verdict(&rule, vec![1, 2, 3, 4]).len(), 1);
    assert_eq!(verdict(&rule, Value::Map([("a".into(), Value::Null)].into())).len(), 1);
}

#[test]
fn a_choice_names_what_is_allowed() {
    let rule = one_of(&["fast", "safe"]);
    assert!(verdict(&rule, "safe").is_empty());
    assert_eq!(verdict(&rule, "slow"), ["it: Invalid value for it: `slow` is not one of `fast`, `safe`."]);
}

#[test]
fn a_rule_for_each_element_names_the_element_and_leaves_the_unknown_alone() {
    let rule = each(one_of(&["a"]));
    let list = Value::List(vec!["a".into(), Value::unknown(), Value::Null, "b".into()]);
    assert_eq!(verdict(&rule, list), ["it[3]: Invalid value for it[3]: `b` is not one of `a`."]);
    let map = Value::Map([("k".into(), Value::from("b"))].into());
    assert_eq!(verdict(&rule, map), ["it[\"k\"]: Invalid value for it[\"k\"]: `b` is not one of `a`."]);
    assert_eq!(verdict(&rule, Value::Set(vec!["b".into(), "c".into()])).len(), 2);
}

#[test]
fn every_rule_documents_itself() {
    assert_eq!(integer_between(1..=10).documentation(), "a whole number from 1 to 10");
    assert_eq!(length_between(2..=3).documentation(), "2 to 3 long");
    assert_eq!(one_of(&["fast", "safe"]).documentation(), "one of `fast`, `safe`");
    assert_eq!(check("even", |_| Ok(())).documentation(), "even");
}

#[test]
fn a_sound_schema_has_no_problems() {
    let schema = Schema::new("A queue.")
        .attribute("id", Attribute::string("The id.").computed().use_state_for_unknown())
        .attribute("size", Attribute::number("Most messages.").default(100))
        .timeouts(&[("create", "30m")]);
    assert_eq!(schema.problems(&["id", "size", "timeouts"]), Vec::<String>::new());
}

#[test]
fn the_mistakes_in_a_schema_are_found_before_terraform_finds_them() {
    let retry = Object::new().attribute("count", Attribute::number("").optional());
    let schema = Schema::new("A queue.")
        .attribute("neither", Attribute::string("Text."))
        .attribute("both", Attribute::string("Text.").required().computed())
        .attribute("secret", Attribute::string("Text.").optional().computed().write_only())
        .attribute("size", Attribute::number("Text.").default("many"))
        .attribute("retry", Attribute::single(retry, "Text.").optional());
    let problems = schema.problems(&["neither", "both", "secret", "size", "extra"]);
    for expected in [
        "the model has no field for `retry`",
        "the schema has no attribute for the model's field `extra`",
        "`neither` must be either required, or optional or computed",
        "`both` must be either required, or optional or computed",
        "`secret` is write-only and cannot be computed",
        "the default of `size` is a string where a number is expected",
        "`retry.count` has no description",
    ] {
        assert!(problems.iter().any(|problem| problem == expected), "{expected:?} is not among {problems:#?}");
    }
    assert_eq!(problems.len(), 7, "{problems:#?}");
}

#[test]
fn the_type_of_a_schema_has_its_attributes_and_blocks() {
    let retry = Object::new().attribute("count", Attribute::number("How often.").optional());
    let schema = Schema::new("A queue.")
        .attribute("retry", Attribute::nested(tfplugin::Nesting::Map, retry, "By code.").optional())
        .timeouts(&[("create", "30m")]);
    let expected = Type::object([
        ("retry", Type::map(Type::object([("count", Type::Number)]))),
        ("timeouts", Type::object([("create", Type::String)])),
    ]);
    assert_eq!(schema.ty(), expected);
}
