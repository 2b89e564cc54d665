//! Numbers: integers, decimals and doubles (SQL-4.6 to SQL-4.8).

use std::cmp::Ordering;

use dec::{Context, Decimal128, Rounding};
use millstream_flow::{Datum, RowError};
use millstream_value::Decimal;

use super::Arithmetic;

type Result<T> = std::result::Result<T, RowError>;

/// The digits of a decimal.
const DIGITS_MAX: i32 = 34;

/// A context that rounds ties away from zero.
pub(crate) fn away() -> Context<Decimal128> {
    let mut context = Context::default();
    context.set_rounding(Rounding::HalfUp);
    context
}

pub(crate) fn out_of_range() -> RowError {
    RowError::new("22003", "the number is out of range")
}

pub(crate) fn by_zero() -> RowError {
    RowError::new("22012", "division by zero")
}

pub(crate) fn is_number(value: &Datum) -> bool {
    matches!(value, Datum::Int(_) | Datum::Long(_) | Datum::Double(_) | Datum::Decimal(_))
}

/// The value of a literal: integer, bigint or numeric, the first that it fits (SQL-2.2).
pub(crate) fn literal(text: &str) -> Option<Datum> {
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
        && let Ok(whole) = text.parse::<i64>()
    {
        return Some(i32::try_from(whole).map_or(Datum::Long(whole), Datum::Int));
    }
    parse_decimal(text).ok().flatten().filter(|value| value.is_finite()).map(Datum::Decimal)
}

/// The number that a text reads as, of whatever type it needs.
pub(crate) fn parse(text: &str) -> Option<Datum> {
    let text = text.trim();
    if let Ok(whole) = text.parse::<i64>() {
        return Some(i32::try_from(whole).map_or(Datum::Long(whole), Datum::Int));
    }
    match parse_decimal(text).ok()?? {
        value if value.is_finite() => Some(Datum::Decimal(value)),
        value => Some(Datum::Double(value.to_f64())),
    }
}

/// A decimal as SQL writes it. `None`: it is none. 22003: it is too large.
pub(crate) fn parse_decimal(text: &str) -> Result<Option<Decimal>> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let special = matches!(unsigned.to_ascii_lowercase().as_str(), "nan" | "inf" | "infinity");
    if !special && !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Ok(None);
    }
    let mut context = away();
    let Ok(value) = context.parse(text) else { return Ok(None) };
    if !special && !value.is_finite() {
        return Err(out_of_range());
    }
    Ok(Some(plain(value)))
}

/// Without trailing zeros of the fraction, without an exponent where its digits suffice, without a negative zero.
pub(crate) fn plain(value: Decimal128) -> Decimal {
    if value.is_nan() {
        return Decimal::from(Decimal128::NAN);
    }
    if value.is_zero() {
        return Decimal::zero();
    }
    if !value.is_finite() {
        return Decimal::from(value);
    }
    let mut context = Context::<Decimal128>::default();
    let mut reduced = if value.exponent() < 0 { context.reduce(value) } else { value };
    let digits = i32::try_from(reduced.digits()).unwrap_or(DIGITS_MAX);
    if reduced.exponent() > 0 && digits + reduced.exponent() <= DIGITS_MAX {
        context.rescale(&mut reduced, 0);
    }
    Decimal::from(reduced)
}

fn checked(value: Decimal128, finite_before: bool) -> Result<Datum> {
    if finite_before && !value.is_finite() {
        return Err(out_of_range());
    }
    Ok(Datum::Decimal(plain(value)))
}

/// An integer, as wide as it must be: integer if `small` and it fits, else bigint.
fn integer(value: i128, small: bool) -> Result<Datum> {
    if small && let Ok(value) = i32::try_from(value) {
        return Ok(Datum::Int(value));
    }
    i64::try_from(value).map(Datum::Long).map_err(|_| RowError::new("22003", "bigint out of range"))
}

/// As a double, if it is a number.
pub(crate) fn to_f64(value: &Datum) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a double has no more digits")]
    match value {
        Datum::Int(v) => Some(f64::from(*v)),
        Datum::Long(v) => Some(*v as f64),
        Datum::Double(v) => Some(*v),
        Datum::Decimal(v) => Some(v.to_f64()),
        _ => None,
    }
}

/// As an integer, if it is one by value.
pub(crate) fn to_i64(value: &Datum) -> Option<i64> {
    match value {
        Datum::Int(v) => Some(i64::from(*v)),
        Datum::Long(v) => Some(*v),
        Datum::Double(v) => millstream_value::number::exact_i64(*v),
        Datum::Decimal(v) => v.to_i64_exact(),
        _ => None,
    }
}

/// As a decimal; a double with 15 significant digits (SQL-4.11).
pub(crate) fn to_decimal(value: &Datum) -> Option<Decimal> {
    match value {
        Datum::Int(v) => Some(Decimal::from(*v)),
        Datum::Long(v) => Some(Decimal::from(*v)),
        Datum::Double(v) => Some(plain(Decimal::from_f64_15(*v).into())),
        Datum::Decimal(v) => Some(*v),
        _ => None,
    }
}

fn whole(value: &Datum) -> Option<i128> {
    match value {
        Datum::Int(v) => Some(i128::from(*v)),
        Datum::Long(v) => Some(i128::from(*v)),
        _ => None,
    }
}

/// `a how b` of two numbers; `None` if one is none.
pub(crate) fn calculate(how: Arithmetic, a: &Datum, b: &Datum) -> Option<Result<Datum>> {
    if let (Some(left), Some(right)) = (whole(a), whole(b))
        && how != Arithmetic::Power
    {
        let small = matches!((a, b), (Datum::Int(_), Datum::Int(_)));
        return Some(integers(how, left, right, small));
    }
    if how == Arithmetic::Power || matches!(a, Datum::Double(_)) || matches!(b, Datum::Double(_)) {
        return Some(doubles(how, to_f64(a)?, to_f64(b)?));
    }
    Some(decimals(how, to_decimal(a)?.into(), to_decimal(b)?.into()))
}

fn integers(how: Arithmetic, a: i128, b: i128, small: bool) -> Result<Datum> {
    let result = match how {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide => a.checked_div(b).ok_or_else(by_zero)?,
        Arithmetic::Modulo | Arithmetic::Power => a.checked_rem(b).ok_or_else(by_zero)?,
    };
    integer(result, small)
}

fn doubles(how: Arithmetic, a: f64, b: f64) -> Result<Datum> {
    let result = match how {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide | Arithmetic::Modulo if b == 0.0 && !a.is_nan() => return Err(by_zero()),
        Arithmetic::Divide => a / b,
        Arithmetic::Modulo => a % b,
        Arithmetic::Power => return power(a, b),
    };
    double(result, a.is_finite() && b.is_finite())
}

/// A double that must not be infinite if what it was made from was not.
pub(crate) fn double(value: f64, finite_before: bool) -> Result<Datum> {
    if value.is_infinite() && finite_before { Err(out_of_range()) } else { Ok(Datum::Double(value)) }
}

pub(crate) fn power(a: f64, b: f64) -> Result<Datum> {
    if a == 0.0 && b < 0.0 {
        return Err(RowError::new("2201F", "zero raised to a negative power"));
    }
    if a < 0.0 && a.is_finite() && b.is_finite() && b.fract() != 0.0 {
        return Err(RowError::new("2201F", "a negative number raised to a non-integer power"));
    }
    double(a.powf(b), a.is_finite() && b.is_finite())
}

fn decimals(how: Arithmetic, a: Decimal128, b: Decimal128) -> Result<Datum> {
    let mut context = away();
    let finite = a.is_finite() && b.is_finite();
    let result = match how {
        Arithmetic::Add => context.add(a, b),
        Arithmetic::Subtract => context.sub(a, b),
        Arithmetic::Multiply => context.mul(a, b),
        Arithmetic::Divide | Arithmetic::Modulo if b.is_zero() && !a.is_nan() => return Err(by_zero()),
        Arithmetic::Divide => divide(a, b),
        Arithmetic::Modulo | Arithmetic::Power => remainder(a, b),
    };
    checked(result, finite)
}

/// Division with the scale of SQL-4.7.
fn divide(a: Decimal128, b: Decimal128) -> Decimal128 {
    let mut context = away();
    if !a.is_finite() || !b.is_finite() || a.is_zero() {
        return context.div(a, b);
    }
    let ((a_weight, a_first), (b_weight, b_first)) = (first_digit(a), first_digit(b));
    let q = a_weight - b_weight - i32::from(a_first <= b_first);
    let scale = (16 - 4 * q).max(-a.exponent()).max(-b.exponent());
    // First with all digits, rounded so that a second rounding sees on which side of a tie the rest lies.
    context.set_rounding(Rounding::ZeroFiveUp);
    let quotient = context.div(a, b);
    if -quotient.exponent() > scale {
        let mut unit = Decimal128::from(1);
        let mut context = away();
        context.set_exponent(&mut unit, -scale);
        return context.quantize(quotient, unit);
    }
    away().div(a, b)
}

/// In base 10000: the exponent and the value of the first digit that is not zero.
fn first_digit(value: Decimal128) -> (i32, i32) {
    let digits = value.coefficient_digits();
    let mut significant = digits.iter().skip_while(|digit| **digit == 0);
    let count = i32::try_from(significant.clone().count()).unwrap_or(DIGITS_MAX);
    // The power of ten of the first decimal digit.
    let top = value.exponent() + count - 1;
    let taken = top.rem_euclid(4) + 1;
    let first = (0..taken).fold(0, |so_far, _| so_far * 10 + i32::from(significant.next().copied().unwrap_or(0)));
    (top.div_euclid(4), first)
}

/// The remainder with the dividend's sign, also where the quotient has more than 34 digits.
fn remainder(a: Decimal128, b: Decimal128) -> Decimal128 {
    let mut context = away();
    let result = context.rem(a, b);
    let impossible = result.is_nan() && a.is_finite() && b.is_finite();
    if !impossible {
        return result;
    }
    // Then the dividend's exponent is the greater one: shift it digit by digit.
    let divisor = b.coefficient().unsigned_abs();
    let mut rest = a.coefficient().unsigned_abs() % divisor;
    for _ in b.exponent()..a.exponent() {
        rest = rest * 10 % divisor;
    }
    let mut value = context.from_u128(rest);
    context.set_exponent(&mut value, b.exponent());
    if a.is_signed() { context.minus(value) } else { value }
}

/// `-x`; `None` if it is no number.
pub(crate) fn negate(value: &Datum) -> Option<Result<Datum>> {
    match value {
        Datum::Int(v) => Some(integer(-i128::from(*v), true)),
        Datum::Long(v) => Some(integer(-i128::from(*v), false)),
        Datum::Double(v) => Some(Ok(Datum::Double(-v))),
        Datum::Decimal(v) => Some(Ok(Datum::Decimal(plain(v.negate().into())))),
        _ => None,
    }
}

/// The order of two numbers as operators see it: a decimal is rounded to a double where it meets one (SQL-4.5).
pub(crate) fn compare(a: &Datum, b: &Datum) -> Ordering {
    match (a, b) {
        (Datum::Int(a), Datum::Int(b)) => a.cmp(b),
        (Datum::Long(a), Datum::Long(b)) => a.cmp(b),
        (Datum::Int(a), Datum::Long(b)) => i64::from(*a).cmp(b),
        (Datum::Long(a), Datum::Int(b)) => a.cmp(&i64::from(*b)),
        (Datum::Double(a), Datum::Double(b)) => compare_f64(*a, *b),
        (Datum::Decimal(a), Datum::Double(b)) => compare_f64(a.to_f64(), *b),
        (Datum::Double(a), Datum::Decimal(b)) => compare_f64(*a, b.to_f64()),
        (Datum::Int(a), Datum::Double(b)) => compare_f64(f64::from(*a), *b),
        (Datum::Double(a), Datum::Int(b)) => compare_f64(*a, f64::from(*b)),
        _ => millstream_flow::key::compare(a, b),
    }
}

fn compare_f64(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Rounded to an integer type: decimals with ties away from zero, doubles with ties to even (SQL-4.11).
pub(crate) fn rounded(value: &Datum) -> Result<i64> {
    match value {
        Datum::Int(v) => Ok(i64::from(*v)),
        Datum::Long(v) => Ok(*v),
        Datum::Double(v) => millstream_value::number::exact_i64(v.round_ties_even())
            .ok_or_else(|| RowError::new("22003", "bigint out of range")),
        Datum::Decimal(v) => {
            v.round_to(0, Rounding::HalfUp).to_i64_exact().ok_or_else(|| RowError::new("22003", "bigint out of range"))
        }
        _ => Err(RowError::new("42804", "not a number")),
    }
}

/// Rounded to so many digits after the point, ties away from zero.
pub(crate) fn round(value: Decimal, places: i32) -> Decimal {
    plain(value.round_to(places, Rounding::HalfUp).into())
}

/// The text of a double: the shortest that reads back.
pub(crate) fn print_f64(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let exponent: i32 = scientific.split_once('e').and_then(|(_, digits)| digits.parse().ok()).unwrap_or(0);
    if (-4..15).contains(&exponent) {
        return value.to_string();
    }
    let mantissa = scientific.split_once('e').map_or(scientific.as_str(), |(digits, _)| digits);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

/// The text of a decimal: plain digits.
pub(crate) fn print_decimal(value: Decimal) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let inner = Decimal128::from(value);
    let digits: String = inner.coefficient().unsigned_abs().to_string();
    let exponent = inner.exponent();
    let sign = if inner.is_signed() && !inner.is_zero() { "-" } else { "" };
    if exponent >= 0 {
        let zeros = if inner.is_zero() { 0 } else { usize::try_from(exponent).unwrap_or(0) };
        return format!("{sign}{digits}{}", "0".repeat(zeros));
    }
    let scale = usize::try_from(-exponent).unwrap_or(0);
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    format!("{sign}{whole}.{fraction}")
}
