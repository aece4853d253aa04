use std::cmp::Ordering;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::{from_json, from_msgpack, to_json, to_msgpack};
use crate::number::Number;
use crate::path::AttributePath;
use crate::types::Type;
use crate::value::{Refinements, Value};

fn types() -> impl Strategy<Value = Type> {
    let leaf = prop_oneof![Just(Type::Bool), Just(Type::Number), Just(Type::String)];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(Type::list),
            inner.clone().prop_map(Type::set),
            inner.clone().prop_map(Type::map),
            vec(inner.clone(), 0..4).prop_map(Type::Tuple),
            btree_map("[a-z]{1,4}", inner, 0..4).prop_map(Type::Object),
        ]
    })
}

fn numbers() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        (any::<i64>(), -60_i64..60).prop_map(|(digits, exponent)| format!("{digits}e{exponent}").parse().unwrap()),
        "-?[0-9]{1,60}(\\.[0-9]{1,60})?".prop_map(|text| text.parse().unwrap()),
        any::<f64>().prop_filter_map("finite", |float| Number::from_f64_exact(float).ok()),
    ]
}

fn refinements() -> impl Strategy<Value = Refinements> {
    let bound = || proptest::option::of((numbers(), any::<bool>()));
    let null = proptest::option::of(any::<bool>());
    let length = || proptest::option::of(any::<u64>());
    (null, proptest::option::of(".{0,8}"), bound(), bound(), length(), length()).prop_map(
        |(null, prefix, lower, upper, min_length, max_length)| Refinements {
            null,
            prefix,
            lower,
            upper,
            min_length,
            max_length,
        },
    )
}

/// Values of a type; unknown ones too if `unknown`.
fn values(ty: &Type, unknown: bool) -> BoxedStrategy<Value> {
    let known = match ty {
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::Number => numbers().prop_map(Value::Number).boxed(),
        Type::String | Type::Dynamic => any::<String>().prop_map(Value::String).boxed(),
        Type::List(element) => vec(values(element, unknown), 0..4).prop_map(Value::List).boxed(),
        Type::Set(element) => vec(values(element, unknown), 0..4).prop_map(Value::Set).boxed(),
        Type::Map(element) => btree_map(any::<String>(), values(element, unknown), 0..4).prop_map(Value::Map).boxed(),
        Type::Object(types) => {
            let names: Vec<_> = types.keys().cloned().collect();
            let fields: Vec<_> = types.values().map(|ty| values(ty, unknown)).collect();
            fields.prop_map(move |fields| Value::object(names.clone().into_iter().zip(fields))).boxed()
        }
        Type::Tuple(types) => {
            let elements: Vec<_> = types.iter().map(|ty| values(ty, unknown)).collect();
            elements.prop_map(Value::Tuple).boxed()
        }
    };
    if unknown {
        let refined = refinements().prop_map(|refinements| {
            Value::Unknown((refinements != Refinements::default()).then(|| Box::new(refinements)))
        });
        prop_oneof![8 => known, 1 => Just(Value::Null), 1 => refined].boxed()
    } else {
        prop_oneof![8 => known, 1 => Just(Value::Null)].boxed()
    }
}

fn typed(unknown: bool) -> impl Strategy<Value = (Type, Value)> {
    types().prop_flat_map(move |ty| values(&ty, unknown).prop_map(move |value| (ty.clone(), value)))
}

proptest! {
    #[test]
    fn a_type_survives_its_json(ty in types()) {
        prop_assert_eq!(Type::from_json(&ty.to_json()).unwrap(), ty);
    }

    #[test]
    fn a_value_survives_messagepack((ty, value) in typed(true)) {
        prop_assert_eq!(from_msgpack(&to_msgpack(&value, &ty), &ty).unwrap(), value);
    }

    #[test]
    fn a_known_value_survives_json((ty, value) in typed(false)) {
        let text = to_json(&value, &ty).unwrap();
        prop_assert_eq!(from_json(text.as_bytes(), &ty, false).unwrap(), value);
    }

    #[test]
    fn a_number_survives_its_text(number in numbers()) {
        prop_assert_eq!(number.to_string().parse::<Number>().unwrap(), number);
    }

    #[test]
    fn an_exact_float_is_that_float(float in any::<f64>().prop_filter("finite", |float| float.is_finite())) {
        // A decimal number has one zero only; adding zero makes the negative one positive.
        let number = Number::from_f64_exact(float).unwrap();
        prop_assert_eq!(number.to_f64().total_cmp(&(float + 0.0)), Ordering::Equal);
        prop_assert_eq!(Number::from_f64(float).unwrap().to_f64().total_cmp(&(float + 0.0)), Ordering::Equal);
    }

    #[test]
    fn integers_are_ordered_as_numbers(a in any::<i64>(), b in any::<i64>()) {
        prop_assert_eq!(Number::from(a).cmp(&Number::from(b)), a.cmp(&b));
        prop_assert_eq!(Number::from(a).to_integer::<i64>(), Some(a));
    }

    #[test]
    fn arbitrary_bytes_are_an_error_or_a_value_but_never_a_panic(bytes in vec(any::<u8>(), 0..64), ty in types()) {
        let _ = from_msgpack(&bytes, &ty);
        let _ = from_msgpack(&bytes, &Type::Dynamic);
        let _ = from_json(&bytes, &ty, true);
    }

    #[test]
    fn a_value_cut_short_is_an_error((ty, value) in typed(true)) {
        let bytes = to_msgpack(&value, &ty);
        for length in 0..bytes.len() {
            prop_assert!(from_msgpack(&bytes[..length], &ty).is_err());
        }
    }
}

#[test]
fn numbers_travel_as_integer_float_or_text_whichever_is_exact() {
    let bytes = |text: &str| to_msgpack(&Value::Number(text.parse().unwrap()), &Type::Number);
    assert_eq!(bytes("5"), [5]);
    assert_eq!(bytes("-1"), [0xff]);
    assert_eq!(bytes("0.5"), [0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes("0.1"), *b"\xa30.1");
    // Beyond i64, but a power of two is exact in a float; one more is not.
    assert_eq!(bytes("18446744073709551616")[0], 0xcb);
    assert_eq!(bytes("18446744073709551617"), *b"\xb418446744073709551617");
}

#[test]
fn any_extension_is_unknown_and_refinements_come_back() {
    assert_eq!(from_msgpack(&[0xd4, 0, 0], &Type::String).unwrap(), Value::unknown());
    assert_eq!(from_msgpack(&[0xc7, 0, 5], &Type::Bool).unwrap(), Value::unknown());
    // Extension 12 with {1: false}: certainly not null.
    let refined = [0xc7, 3, 12, 0x81, 1, 0xc2];
    let Value::Unknown(Some(refinements)) = from_msgpack(&refined, &Type::String).unwrap() else { panic!() };
    assert_eq!(refinements.null, Some(false));
}

#[test]
fn a_dynamic_value_names_its_type() {
    let value = Value::object([("a", Value::from(1)), ("b", Value::from(vec!["x"]))]);
    let bytes = to_msgpack(&value, &Type::Dynamic);
    assert_eq!(from_msgpack(&bytes, &Type::Dynamic).unwrap(), value);
    assert_eq!(
        to_json(&value, &Type::Dynamic).unwrap(),
        r#"{"type":["object",{"a":"number","b":["list","string"]}],"value":{"a":1,"b":["x"]}}"#
    );
}

#[test]
fn errors_name_the_place_of_the_value() {
    let ty = Type::object([("items", Type::list(Type::map(Type::Number)))]);
    let error = from_json(br#"{"items":[{},{"k":true}]}"#, &ty, false).unwrap_err();
    assert_eq!(error.to_string(), "`items[1][\"k\"]` is not a number: `true` is not a decimal number");
    let error = from_json(br#"{"items":[],"old":1}"#, &ty, false).unwrap_err();
    assert_eq!(error.to_string(), "`old` is not an attribute of this object");
    assert!(from_json(br#"{"items":[],"old":1}"#, &ty, true).is_ok());
    let bytes = to_msgpack(&Value::object([("items", Value::List(vec![Value::from("x")]))]), &ty);
    assert_eq!(from_msgpack(&bytes, &ty).unwrap_err().path, AttributePath::attribute("items").index(0));
    let error = from_msgpack(&[0x80], &ty).unwrap_err();
    assert_eq!(error.to_string(), "`items` is missing");
}

#[test]
fn a_length_that_lies_allocates_nothing() {
    assert!(from_msgpack(&[0xdd, 0xff, 0xff, 0xff, 0xff], &Type::list(Type::Bool)).is_err());
    assert!(from_msgpack(&[0xdb, 0xff, 0xff, 0xff, 0xff], &Type::String).is_err());
}
