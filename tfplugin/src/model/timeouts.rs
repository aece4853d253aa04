//! The `timeouts` block: how long each operation may take.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Attr, Field};
use crate::error::ValueError;
use crate::path::AttributePath;
use crate::value::Value;

/// The field for a `timeouts` block (see [`crate::Schema::timeouts`]). The framework reads it: an operation's context
/// has the deadline. Null when the block is not written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeouts(Attr<BTreeMap<String, Attr<String>>>);

impl Timeouts {
    /// How long an operation (`create`, `read`, `update`, `delete`) may take, if the user says so.
    #[must_use]
    pub fn get(&self, operation: &str) -> Option<Duration> {
        parse_duration(self.0.get()?.get(operation)?.get()?)
    }
}

impl Field for Timeouts {
    fn from_value(value: Value, path: &AttributePath) -> Result<Self, ValueError> {
        Attr::from_value(value, path).map(Self)
    }

    fn to_value(&self) -> Value {
        self.0.to_value()
    }
}

/// Reads a duration as Terraform users write it: `30s`, `45m`, `1h30m`, `1.5h`, `500ms`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (digits, tail) = rest.split_at(number);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(digits.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = tail;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_sums_of_numbers_with_units() {
        for (text, seconds) in [("30s", 30.0), ("45m", 2700.0), ("1h30m", 5400.0), ("1.5h", 5400.0), ("500ms", 0.5)] {
            assert_eq!(parse_duration(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "30", "m", "30 m", "-1s", "1d", "1..5s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
