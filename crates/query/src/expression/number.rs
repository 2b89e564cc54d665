//! Numbers of four types, and which type a result has.

use millstream_value::{Decimal, Value, number};

/// A number with its type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Num {
    /// `int`
    Int(i32),
    /// `long`
    Long(i64),
    /// `double`
    Double(f64),
    /// `decimal`
    Decimal(Decimal),
}

impl Num {
    /// The number that a value is.
    pub(super) const fn of(value: &Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Int32(v) => Self::Int(*v),
            Value::Int64(v) => Self::Long(*v),
            Value::Double(v) => Self::Double(*v),
            Value::Decimal(v) => Self::Decimal(*v),
            _ => return None,
        })
    }

    /// The nearest double.
    pub(super) fn to_f64(self) -> f64 {
        match self {
            Self::Int(v) => f64::from(v),
            Self::Long(v) => number::to_f64(v),
            Self::Double(v) => v,
            Self::Decimal(v) => v.to_f64(),
        }
    }

    /// The number as a decimal; doubles keep 15 digits.
    pub(super) fn to_decimal(self) -> Decimal {
        match self {
            Self::Int(v) => v.into(),
            Self::Long(v) => v.into(),
            Self::Double(v) => Decimal::from_f64_15(v),
            Self::Decimal(v) => v,
        }
    }

    /// Is it 0 or -0?
    pub(super) fn is_zero(self) -> bool {
        match self {
            Self::Int(v) => v == 0,
            Self::Long(v) => v == 0,
            Self::Double(v) => v == 0.0,
            Self::Decimal(v) => v.is_zero(),
        }
    }

    /// The integer, if its type is one of the two.
    pub(super) const fn integer(self) -> Option<i64> {
        match self {
            Self::Int(v) => Some(v as i64),
            Self::Long(v) => Some(v),
            _ => None,
        }
    }
}

impl From<Num> for Value<'_> {
    fn from(num: Num) -> Self {
        match num {
            Num::Int(v) => Self::Int32(v),
            Num::Long(v) => Self::Int64(v),
            Num::Double(v) => Self::Double(v),
            Num::Decimal(v) => Self::Decimal(v),
        }
    }
}

/// Two numbers brought to the type that their sum or product has.
pub(super) enum Pair {
    /// Both integers; `true` if both are `int`.
    Integers(i64, i64, bool),
    /// At least one double.
    Doubles(f64, f64),
    /// At least one decimal.
    Decimals(Decimal, Decimal),
}

/// Brings two numbers to one type.
pub(super) fn pair(left: Num, right: Num) -> Pair {
    match (left, right) {
        (Num::Decimal(_), _) | (_, Num::Decimal(_)) => Pair::Decimals(left.to_decimal(), right.to_decimal()),
        (Num::Double(_), _) | (_, Num::Double(_)) => Pair::Doubles(left.to_f64(), right.to_f64()),
        (Num::Int(a), Num::Int(b)) => Pair::Integers(i64::from(a), i64::from(b), true),
        (a, b) => Pair::Integers(a.integer().unwrap_or(0), b.integer().unwrap_or(0), false),
    }
}

/// An integer result: `int` if both operands were and it fits.
pub(super) fn integer(value: i64, ints: bool) -> Num {
    match i32::try_from(value) {
        Ok(small) if ints => Num::Int(small),
        _ => Num::Long(value),
    }
}

/// The sum; a long that overflows becomes a double.
pub(super) fn add(left: Num, right: Num) -> Num {
    match pair(left, right) {
        Pair::Decimals(a, b) => Num::Decimal(a.plus(b)),
        Pair::Doubles(a, b) => Num::Double(a + b),
        Pair::Integers(a, b, ints) => match a.checked_add(b) {
            Some(sum) => integer(sum, ints),
            None => Num::Double(number::to_f64(a) + number::to_f64(b)),
        },
    }
}

/// The difference; a long that overflows becomes a double.
pub(super) fn subtract(left: Num, right: Num) -> Num {
    match pair(left, right) {
        Pair::Decimals(a, b) => Num::Decimal(a.minus(b)),
        Pair::Doubles(a, b) => Num::Double(a - b),
        Pair::Integers(a, b, ints) => match a.checked_sub(b) {
            Some(difference) => integer(difference, ints),
            None => Num::Double(number::to_f64(a) - number::to_f64(b)),
        },
    }
}

/// The product; a long that overflows becomes a double.
pub(super) fn multiply(left: Num, right: Num) -> Num {
    match pair(left, right) {
        Pair::Decimals(a, b) => Num::Decimal(a.times(b)),
        Pair::Doubles(a, b) => Num::Double(a * b),
        Pair::Integers(a, b, ints) => match a.checked_mul(b) {
            Some(product) => integer(product, ints),
            None => Num::Double(number::to_f64(a) * number::to_f64(b)),
        },
    }
}

/// A double as `$toString` spells it: up to 16 digits, `1`, `1.5`, `1e+16`, `NaN`, `Infinity`.
pub(super) fn print_double(value: f64) -> String {
    print_digits(value, 16)
}

/// A double as messages spell it: up to 6 digits.
pub(super) fn print_short(value: f64) -> String {
    print_digits(value, 6)
}

/// As C's `%.<digits>g`.
fn print_digits(value: f64, digits: i32) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let places = usize::try_from(digits - 1).unwrap_or(0);
    let text = format!("{value:.places$e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..digits).contains(&exponent) {
        let places = usize::try_from(digits - 1 - exponent).unwrap_or(0);
        return trimmed(&format!("{value:.places$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_as_text() {
        let cases = [
            (1.0, "1"),
            (1.5, "1.5"),
            (0.1, "0.1"),
            (-0.0, "-0"),
            (1e15, "1000000000000000"),
            (1e16, "1e+16"),
            (1.5e-5, "1.5e-05"),
            (0.0001, "0.0001"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, text) in cases {
            assert_eq!(print_double(value), text);
        }
        assert_eq!(print_short(30_000_000_000.0), "3e+10");
    }
}
