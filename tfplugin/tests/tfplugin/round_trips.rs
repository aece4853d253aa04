//! Both encodings, with values that say their own type among them, and the shape of a schema.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use tfplugin::codec::{from_json, from_msgpack, to_json, to_msgpack};
use tfplugin::{Number, Refinements, Type, Value};

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        any::<f64>().prop_filter_map("finite", |float| Number::from_f64_exact(float).ok()),
        "-?[0-9]{1,40}(\\.[0-9]{1,40})?(e-?[0-9]{1,2})?".prop_map(|text| text.parse().expect("a decimal")),
    ]
}

fn any_type() -> impl Strategy<Value = Type> {
    let leaf = prop_oneof![Just(Type::Bool), Just(Type::Number), Just(Type::String), Just(Type::Dynamic)];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(Type::list),
            inner.clone().prop_map(Type::set),
            inner.clone().prop_map(Type::map),
            btree_map("[a-z_]{1,8}", inner.clone(), 0..4).prop_map(Type::Object),
            vec(inner, 0..4).prop_map(Type::Tuple),
        ]
    })
}

fn refinements() -> impl Strategy<Value = Refinements> {
    let bound = || proptest::option::of((number(), any::<bool>()));
    let length = || proptest::option::of(0..1000_u64);
    (proptest::option::of(any::<bool>()), proptest::option::of(".{0,8}"), bound(), bound(), length(), length())
        .prop_map(|(null, prefix, lower, upper, min_length, max_length)| Refinements {
            null,
            prefix,
            lower,
            upper,
            min_length,
            max_length,
        })
}

fn unknown() -> impl Strategy<Value = Value> {
    refinements()
        .prop_map(|refinements| Value::Unknown((refinements != Refinements::default()).then(|| Box::new(refinements))))
}

/// A value of a type; with unknown parts only if `unknowns`.
fn value(ty: &Type, unknowns: bool) -> BoxedStrategy<Value> {
    let known = match ty {
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::Number => number().prop_map(Value::Number).boxed(),
        Type::String => ".{0,12}".prop_map(Value::String).boxed(),
        // Whatever is inside says its own type, which only a uniform, known collection can.
        Type::Dynamic => prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            number().prop_map(Value::Number),
            ".{0,12}".prop_map(Value::String),
            vec(".{0,4}".prop_map(Value::String), 0..3).prop_map(Value::List),
            vec(any::<bool>().prop_map(Value::Bool), 0..3).prop_map(Value::set),
            btree_map(".{0,4}", number().prop_map(Value::Number), 0..3).prop_map(Value::Map),
            (any::<bool>(), ".{0,4}").prop_map(|(a, b)| Value::Tuple(vec![Value::Bool(a), Value::String(b)])),
            (any::<bool>(), ".{0,4}")
                .prop_map(|(a, b)| Value::object([("a", Value::Bool(a)), ("b", Value::String(b))])),
        ]
        .boxed(),
        Type::List(element) => vec(value(element, unknowns), 0..4).prop_map(Value::List).boxed(),
        Type::Set(element) => vec(value(element, unknowns), 0..4).prop_map(Value::set).boxed(),
        Type::Map(element) => btree_map(".{0,6}", value(element, unknowns), 0..4).prop_map(Value::Map).boxed(),
        Type::Object(types) => types
            .iter()
            .map(|(name, ty)| (Just(name.clone()), value(ty, unknowns)))
            .collect::<Vec<_>>()
            .prop_map(|attributes| Value::Object(attributes.into_iter().collect()))
            .boxed(),
        Type::Tuple(types) => {
            types.iter().map(|ty| value(ty, unknowns)).collect::<Vec<_>>().prop_map(Value::Tuple).boxed()
        }
    };
    if unknowns {
        prop_oneof![1 => Just(Value::Null), 1 => unknown(), 6 => known].boxed()
    } else {
        prop_oneof![1 => Just(Value::Null), 6 => known].boxed()
    }
}

fn typed(unknowns: bool) -> impl Strategy<Value = (Type, Value)> {
    any_type().prop_flat_map(move |ty| {
        let value = value(&ty, unknowns);
        (Just(ty), value)
    })
}

proptest! {
    #[test]
    fn any_value_reads_back_from_msgpack((ty, value) in typed(true)) {
        prop_assert_eq!(from_msgpack(&to_msgpack(&value, &ty), &ty).expect("the same value"), value);
    }

    #[test]
    fn a_wholly_known_value_reads_back_from_json((ty, value) in typed(false)) {
        let text = to_json(&value, &ty).expect("everything is known");
        prop_assert_eq!(from_json(text.as_bytes(), &ty, false).expect("the same value"), value);
    }

    #[test]
    fn a_value_of_a_type_conforms_to_it_unchanged((ty, value) in typed(true)) {
        prop_assert_eq!(value.clone().conform(&ty, &tfplugin::AttributePath::root()).expect("the same value"), value);
    }
}

#[test]
fn an_integer_beyond_every_machine_type_keeps_all_its_digits() {
    let text = "123456789012345678901234567890.5";
    let value = from_json(text.as_bytes(), &Type::Number, false).expect("a number");
    assert_eq!(to_json(&value, &Type::Number).expect("known"), text);
}

#[test]
fn every_error_names_the_place() {
    let rule = Type::object([("match", Type::String)]);
    let ty = Type::object([("rules", Type::list(rule)), ("tags", Type::map(Type::Bool)), ("size", Type::Number)]);
    let cases = [
        (r#"{"rules":[{"match":"a"},{"match":5}]}"#, "`rules[1].match` is not a string"),
        (r#"{"tags":{"a b":"x"}}"#, "`tags[\"a b\"]` is not a bool"),
        (r#"{"size":"many"}"#, "`size` is not a number: `many` is not a decimal number"),
        (r#"{"sise":1}"#, "`sise` is not an attribute of this object"),
        ("[]", "`(root)` is not an object"),
    ];
    for (json, message) in cases {
        let error = from_json(json.as_bytes(), &ty, false).expect_err(json);
        assert_eq!(error.to_string(), message);
    }
    let missing = to_msgpack(&Value::object([("rules", Value::Null)]), &ty);
    let error = from_msgpack(&missing, &ty).expect_err("attributes are missing");
    assert_eq!(error.to_string(), "`size` is missing");
}

#[test]
fn the_state_of_another_release_reads_without_what_is_gone_and_with_null_for_what_is_new() {
    let ty = Type::object([("kept", Type::Bool), ("new", Type::String)]);
    let value = from_json(br#"{"kept":true,"gone":[1,2]}"#, &ty, true).expect("a state");
    assert_eq!(value, Value::object([("kept", Value::Bool(true)), ("new", Value::Null)]));
}

#[test]
fn json_of_something_unknown_is_an_error_at_its_place() {
    let value = Value::object([("id", Value::unknown())]);
    let error = to_json(&value, &Type::object([("id", Type::String)])).expect_err("unknown");
    assert!(error.unknown);
    assert_eq!(error.to_string(), "`id` is known only after apply");
}
