//! Exact decimal numbers, as Terraform's type `number` has them.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use num_bigint::BigUint;

/// Most digits, and the largest power of ten, that a number may have. Terraform's own numbers have about 155 digits.
const LIMIT: usize = 10_000;

/// A decimal number of any size: an integer times a power of ten, without rounding.
///
/// Two numbers are equal when their values are: `1.50` equals `1.5`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Number {
    negative: bool,
    /// Decimal digits without leading or trailing zeros; `0` for zero.
    digits: String,
    exponent: i64,
}

/// A text or float that is not a number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// The text is not of the form `-12.5e3`.
    #[error("`{0}` is not a decimal number")]
    Syntax(String),
    /// The number has more digits or a larger exponent than is accepted.
    #[error("the number has more than {LIMIT} digits or an exponent beyond {LIMIT}")]
    TooLarge,
    /// Infinity or NaN.
    #[error("{0} is not a finite number")]
    NotFinite(String),
}

impl Number {
    fn normalised(negative: bool, digits: &str, exponent: i64) -> Self {
        let leading = digits.trim_start_matches('0');
        let trimmed = leading.trim_end_matches('0');
        if trimmed.is_empty() {
            return Self { negative: false, digits: "0".into(), exponent: 0 };
        }
        let dropped = i64::try_from(leading.len() - trimmed.len()).unwrap_or(i64::MAX);
        Self { negative, digits: trimmed.into(), exponent: exponent.saturating_add(dropped) }
    }

    /// The exact value of a float, which may have hundreds of digits: `0.1_f64` is not one tenth.
    pub fn from_f64_exact(value: f64) -> Result<Self, NumberError> {
        if !value.is_finite() {
            return Err(NumberError::NotFinite(value.to_string()));
        }
        let bits = value.to_bits();
        let biased = i64::try_from((bits >> 52) & 0x7ff).unwrap_or_default();
        let fraction = bits & ((1 << 52) - 1);
        let (mantissa, power) = if biased == 0 { (fraction, -1074) } else { (fraction | (1 << 52), biased - 1075) };
        let mantissa = BigUint::from(mantissa);
        let size = u32::try_from(power.unsigned_abs()).unwrap_or_default();
        let (digits, exponent) = if power >= 0 {
            (mantissa << size, 0)
        } else {
            // m / 2^n is m * 5^n / 10^n.
            (mantissa * BigUint::from(5_u8).pow(size), power)
        };
        Ok(Self::normalised(value.is_sign_negative(), &digits.to_string(), exponent))
    }

    /// The number that a person would write for this float: the shortest decimal that reads back as it.
    pub fn from_f64(value: f64) -> Result<Self, NumberError> {
        if value.is_finite() { format!("{value:e}").parse() } else { Err(NumberError::NotFinite(value.to_string())) }
    }

    /// The nearest float.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}{}e{}", self.digits, self.exponent).parse().unwrap_or(f64::NAN)
    }

    /// The value as an integer type, if it is an integer within that type's range.
    #[must_use]
    pub fn to_integer<T: FromStr>(&self) -> Option<T> {
        let zeros = usize::try_from(self.exponent).ok().filter(|zeros| *zeros < 40)?;
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}{}{}", self.digits, "0".repeat(zeros)).parse().ok()
    }

    fn magnitude(&self) -> i64 {
        self.exponent.saturating_add(i64::try_from(self.digits.len()).unwrap_or(i64::MAX))
    }
}

impl FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        let syntax = || NumberError::Syntax(text.chars().take(80).collect());
        if text.len() > 2 * LIMIT {
            return Err(NumberError::TooLarge);
        }
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().map_err(|_| syntax())?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(syntax());
        }
        let limit = i64::try_from(LIMIT).unwrap_or(i64::MAX);
        if digits.len() > LIMIT || exponent.abs() > limit {
            return Err(NumberError::TooLarge);
        }
        Ok(Self::normalised(negative, &digits, exponent - i64::try_from(fraction.len()).unwrap_or(limit)))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negative {
            f.write_str("-")?;
        }
        let point = self.magnitude();
        if self.exponent >= 0 && point <= 400 {
            let zeros = usize::try_from(self.exponent).unwrap_or_default();
            write!(f, "{}{}", self.digits, "0".repeat(zeros))
        } else if self.exponent < 0 && (-400..=0).contains(&point) {
            let zeros = usize::try_from(-point).unwrap_or_default();
            write!(f, "0.{}{}", "0".repeat(zeros), self.digits)
        } else if self.exponent < 0 && point > 0 {
            let (whole, fraction) = self.digits.split_at(usize::try_from(point).unwrap_or_default());
            write!(f, "{whole}.{fraction}")
        } else {
            write!(f, "{}e{}", self.digits, self.exponent)
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.digits.as_str(), number.negative) {
            ("0", _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        };
        let absolute = || self.magnitude().cmp(&other.magnitude()).then_with(|| self.digits.cmp(&other.digits));
        sign(self).cmp(&sign(other)).then_with(|| match sign(self) {
            0 => Ordering::Equal,
            1 => absolute(),
            _ => absolute().reverse(),
        })
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

macro_rules! from_integer {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Number {
            fn from(value: $integer) -> Self {
                let text = value.to_string();
                match text.strip_prefix('-') {
                    Some(digits) => Self::normalised(true, digits, 0),
                    None => Self::normalised(false, &text, 0),
                }
            }
        }
    )*};
}
from_integer!(i8, i16, i32, i64, isize, u8, u16, u32, u64, usize);
