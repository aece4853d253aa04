//! Rules that the value of an attribute must meet.

use std::fmt;
use std::ops::RangeInclusive;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::number::Number;
use crate::path::AttributePath;
use crate::value::Value;

/// A rule for the value of an attribute. It is asked only for values that are neither null nor unknown as a whole; elements
/// of a collection may still be unknown and must then be accepted.
pub trait Validator: fmt::Debug + Send + Sync {
    /// What a value must be, for the documentation: "one of `a`, `b`".
    fn documentation(&self) -> String;

    /// Checks a value.
    fn validate(&self, value: &Value, path: &AttributePath, diagnostics: &mut Diagnostics);
}

/// A rule made of a text and a closure.
pub struct Check<F> {
    documentation: String,
    rule: F,
}

impl<F> fmt::Debug for Check<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Check({:?})", self.documentation)
    }
}

impl<F: Fn(&Value) -> Result<(), String> + Send + Sync> Validator for Check<F> {
    fn documentation(&self) -> String {
        self.documentation.clone()
    }

    fn validate(&self, value: &Value, path: &AttributePath, diagnostics: &mut Diagnostics) {
        if let Err(detail) = (self.rule)(value) {
            diagnostics.push(Diagnostic::error(format!("Invalid value for {path}"), detail).at(path.clone()));
        }
    }
}

/// A rule for values of any type; the closure says what is wrong.
pub fn check<F: Fn(&Value) -> Result<(), String> + Send + Sync>(documentation: impl Into<String>, rule: F) -> Check<F> {
    Check { documentation: documentation.into(), rule }
}

/// A rule for strings.
pub fn check_string(
    documentation: impl Into<String>,
    rule: impl Fn(&str) -> Result<(), String> + Send + Sync,
) -> Check<impl Fn(&Value) -> Result<(), String> + Send + Sync> {
    check(documentation, move |value| value.as_str().map_or(Ok(()), &rule))
}

/// A string from a fixed choice.
#[must_use]
pub fn one_of(choice: &'static [&'static str]) -> Check<impl Fn(&Value) -> Result<(), String> + Send + Sync> {
    let listed = choice.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    check_string(format!("one of {listed}"), move |text| {
        if choice.contains(&text) { Ok(()) } else { Err(format!("`{text}` is not one of {listed}.")) }
    })
}

/// A whole number within bounds.
#[must_use]
pub fn integer_between(range: RangeInclusive<i64>) -> Check<impl Fn(&Value) -> Result<(), String> + Send + Sync> {
    let text = format!("a whole number from {} to {}", range.start(), range.end());
    check(text.clone(), move |value| match value {
        Value::Number(number) => match number.to_integer::<i64>() {
            Some(integer) if range.contains(&integer) => Ok(()),
            _ => Err(format!("{number} is not {text}.")),
        },
        _ => Ok(()),
    })
}

/// The number of characters of a string, or of elements of a collection.
#[must_use]
pub fn length_between(range: RangeInclusive<usize>) -> Check<impl Fn(&Value) -> Result<(), String> + Send + Sync> {
    let text = format!("{} to {} long", range.start(), range.end());
    check(text.clone(), move |value| {
        let length = match value {
            Value::String(text) => text.chars().count(),
            Value::Map(values) => values.len(),
            Value::List(values) | Value::Set(values) | Value::Tuple(values) => values.len(),
            _ => return Ok(()),
        };
        if range.contains(&length) {
            Ok(())
        } else {
            Err(format!("The length is {}, but must be {text}.", Number::from(length)))
        }
    })
}

/// Applies a rule to each known element of a collection.
pub fn each<V: Validator>(rule: V) -> Each<V> {
    Each(rule)
}

/// See [`each`].
#[derive(Debug)]
pub struct Each<V>(V);

impl<V: Validator> Validator for Each<V> {
    fn documentation(&self) -> String {
        format!("each element {}", self.0.documentation())
    }

    fn validate(&self, value: &Value, path: &AttributePath, diagnostics: &mut Diagnostics) {
        let mut apply = |element: &Value, path: &AttributePath| {
            if !element.is_null() && !element.is_unknown() {
                self.0.validate(element, path, diagnostics);
            }
        };
        match value {
            Value::List(values) | Value::Tuple(values) => {
                values.iter().enumerate().for_each(|(index, value)| apply(value, &path.index(index)));
            }
            Value::Set(values) => {
                for value in values {
                    apply(value, &path.step(crate::path::Step::Element));
                }
            }
            Value::Map(values) => values.iter().for_each(|(key, value)| apply(value, &path.key(key))),
            _ => {}
        }
    }
}
