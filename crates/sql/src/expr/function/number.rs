//! Functions of numbers (SQL-6.3).

use std::f64::consts::PI;

use dec::Rounding;
use millstream_flow::{Datum, RowError, key};
use millstream_value::Decimal;

use super::arguments::{double, elements, integer, value};
use super::{Context, Function, Takes};
use crate::Type;
use crate::expr::{Arithmetic, number};

type Result = std::result::Result<Datum, RowError>;

const DOUBLE: Option<Type> = Some(Type::Double);
const N: &[Takes] = &[Takes::Number];

// tidy: sorted by name
pub(super) static NUMBERS: &[Function] = &[
    Function::new("ABS", (1, 1), N, None, abs),
    Function::new("ACOS", (1, 1), N, DOUBLE, |a, _| within_one(a, f64::acos)),
    Function::new("ASIN", (1, 1), N, DOUBLE, |a, _| within_one(a, f64::asin)),
    Function::new("ATAN", (1, 1), N, DOUBLE, |a, _| of_double(a, f64::atan)),
    Function::new("ATAN2", (2, 2), N, DOUBLE, |a, _| Ok(Datum::Double(double(a, 0)?.atan2(double(a, 1)?)))),
    Function::new("CBRT", (1, 1), N, DOUBLE, |a, _| of_double(a, f64::cbrt)),
    Function::new("CEIL", (1, 1), N, None, |a, _| whole(a, Rounding::Ceiling, f64::ceil)),
    Function::new("CEILING", (1, 1), N, None, |a, _| whole(a, Rounding::Ceiling, f64::ceil)),
    Function::new("COS", (1, 1), N, DOUBLE, |a, _| of_angle(a, f64::cos)),
    Function::new("DEGREES", (1, 1), N, DOUBLE, |a, _| of_double(a, |x| x / (PI / 180.0))),
    Function::new("DIV", (2, 2), N, None, |a, _| div(a)),
    Function::new("EXP", (1, 1), N, DOUBLE, |a, _| of_double(a, f64::exp)),
    Function::new("FLOOR", (1, 1), N, None, |a, _| whole(a, Rounding::Floor, f64::floor)),
    Function::new("GCD", (2, 2), N, None, gcd),
    Function::new("GREATEST", (1, usize::MAX), &[Takes::Alike], None, |a, _| {
        Ok(furthest(a, std::cmp::Ordering::Greater))
    })
    .nulls(),
    Function::new("LCM", (2, 2), N, None, lcm),
    Function::new("LEAST", (1, usize::MAX), &[Takes::Alike], None, |a, _| Ok(furthest(a, std::cmp::Ordering::Less)))
        .nulls(),
    Function::new("LN", (1, 1), N, DOUBLE, |a, _| Ok(Datum::Double(positive(a, 0)?.ln()))),
    Function::new("LOG", (1, 2), N, DOUBLE, log),
    Function::new("LOG10", (1, 1), N, DOUBLE, |a, _| Ok(Datum::Double(positive(a, 0)?.log10()))),
    Function::new("MOD", (2, 2), N, None, |a, _| calculated(Arithmetic::Modulo, a)),
    Function::new("PI", (0, 0), N, DOUBLE, |_, _| Ok(Datum::Double(PI))),
    Function::new("POW", (2, 2), N, DOUBLE, |a, _| number::power(double(a, 0)?, double(a, 1)?)),
    Function::new("POWER", (2, 2), N, DOUBLE, |a, _| number::power(double(a, 0)?, double(a, 1)?)),
    Function::new("RADIANS", (1, 1), N, DOUBLE, |a, _| of_double(a, |x| x * (PI / 180.0))),
    Function::new("RANDOM", (0, 0), N, DOUBLE, |_, _| Ok(random())).volatile(),
    Function::new("ROUND", (1, 2), N, None, round),
    Function::new("SIGN", (1, 1), N, None, sign),
    Function::new("SIN", (1, 1), N, DOUBLE, |a, _| of_angle(a, f64::sin)),
    Function::new("SQRT", (1, 1), N, DOUBLE, sqrt),
    Function::new("TAN", (1, 1), N, DOUBLE, |a, _| of_angle(a, f64::tan)),
    Function::new("TRUNC", (1, 2), N, None, trunc),
    Function::new("WIDTH_BUCKET", (2, 4), &[Takes::Any], Some(Type::Integer), width_bucket),
];

fn calculated(how: Arithmetic, a: &[Datum]) -> Result {
    number::calculate(how, value(a, 0), value(a, 1)).unwrap_or(Ok(Datum::Null))
}

fn of_double(a: &[Datum], function: fn(f64) -> f64) -> Result {
    let x = double(a, 0)?;
    number::double(function(x), x.is_finite())
}

fn of_angle(a: &[Datum], function: fn(f64) -> f64) -> Result {
    let x = double(a, 0)?;
    if x.is_infinite() {
        Err(RowError::new("22003", "an angle must be finite"))
    } else {
        Ok(Datum::Double(function(x)))
    }
}

fn within_one(a: &[Datum], function: fn(f64) -> f64) -> Result {
    let x = double(a, 0)?;
    if x.abs() > 1.0 {
        Err(RowError::new("22003", "the number must be from -1 to 1"))
    } else {
        Ok(Datum::Double(function(x)))
    }
}

fn positive(a: &[Datum], at: usize) -> std::result::Result<f64, RowError> {
    let x = double(a, at)?;
    if x <= 0.0 { Err(RowError::new("2201E", "there is no logarithm of zero or less")) } else { Ok(x) }
}

fn log(a: &[Datum], _: &Context) -> Result {
    if a.len() == 1 {
        return Ok(Datum::Double(positive(a, 0)?.log10()));
    }
    let (base, x) = (positive(a, 0)?, positive(a, 1)?);
    let divisor = base.ln();
    if divisor == 0.0 { Err(number::by_zero()) } else { Ok(Datum::Double(x.ln() / divisor)) }
}

fn sqrt(a: &[Datum], _: &Context) -> Result {
    let x = double(a, 0)?;
    if x < 0.0 {
        Err(RowError::new("2201F", "there is no square root of a negative number"))
    } else {
        Ok(Datum::Double(x.sqrt()))
    }
}

fn decimal(value: Decimal) -> Datum {
    Datum::Decimal(number::plain(value.into()))
}

fn abs(a: &[Datum], _: &Context) -> Result {
    match value(a, 0) {
        Datum::Double(v) => Ok(Datum::Double(v.abs())),
        Datum::Decimal(v) => Ok(decimal(v.abs())),
        other if number::to_i64(other).is_some_and(|v| v < 0) => number::negate(other).unwrap_or(Ok(Datum::Null)),
        other => Ok(other.clone()),
    }
}

fn sign(a: &[Datum], _: &Context) -> Result {
    Ok(match value(a, 0) {
        Datum::Double(v) if v.is_nan() || *v == 0.0 => Datum::Double(v.abs()),
        Datum::Double(v) => Datum::Double(v.signum()),
        Datum::Decimal(v) if v.is_nan() => value(a, 0).clone(),
        Datum::Decimal(v) if v.is_zero() => Datum::Decimal(Decimal::zero()),
        Datum::Decimal(v) => Datum::Decimal(Decimal::from(if v.is_signed() { -1 } else { 1 })),
        other => Datum::Int(number::to_i64(other).map_or(0, |v| if v > 0 { 1 } else { -i32::from(v < 0) })),
    })
}

fn whole(a: &[Datum], way: Rounding, of_double: fn(f64) -> f64) -> Result {
    Ok(match value(a, 0) {
        Datum::Double(v) => Datum::Double(of_double(*v)),
        Datum::Decimal(v) => decimal(v.round_to(0, way)),
        other => other.clone(),
    })
}

/// How many places a ROUND or TRUNC may name: more digits than any number has.
fn places(a: &[Datum]) -> std::result::Result<i32, RowError> {
    let places = integer(a, 1)?.clamp(-6200, 6200);
    i32::try_from(places).map_err(|_| number::out_of_range())
}

fn round(a: &[Datum], _: &Context) -> Result {
    rounded(a, Rounding::HalfUp, f64::round_ties_even)
}

fn trunc(a: &[Datum], _: &Context) -> Result {
    rounded(a, Rounding::Down, f64::trunc)
}

/// With places a double goes by way of a decimal, and an integer stays one.
fn rounded(a: &[Datum], way: Rounding, of_double: fn(f64) -> f64) -> Result {
    if a.len() == 1 {
        return whole(a, way, of_double);
    }
    let places = places(a)?;
    let Some(exact) = number::to_decimal(value(a, 0)) else { return Ok(Datum::Null) };
    let result = cut(exact, places, way);
    Ok(match value(a, 0) {
        Datum::Double(v) if !v.is_finite() => value(a, 0).clone(),
        Datum::Double(_) => Datum::Double(result.to_f64()),
        Datum::Decimal(_) => decimal(result),
        whole if places >= 0 => whole.clone(),
        whole => match (whole, result.to_i64_exact()) {
            (Datum::Int(_), Some(v)) if i32::try_from(v).is_ok() => Datum::Int(i32::try_from(v).unwrap_or_default()),
            (_, Some(v)) => Datum::Long(v),
            (_, None) => decimal(result),
        },
    })
}

/// Rounded to places; further from the point than the number has digits there is nothing left.
fn cut(value: Decimal, places: i32, way: Rounding) -> Decimal {
    let (top, _) = value.normalized();
    if value.is_finite() && -places > top + 1 { Decimal::zero() } else { value.round_to(places, way) }
}

fn div(a: &[Datum]) -> Result {
    let whole = |at| matches!(value(a, at), Datum::Int(_) | Datum::Long(_));
    if whole(0) && whole(1) {
        return calculated(Arithmetic::Divide, a);
    }
    if let (Datum::Double(_), _) | (_, Datum::Double(_)) = (value(a, 0), value(a, 1)) {
        let quotient = calculated(Arithmetic::Divide, a)?;
        return whole_of(&quotient);
    }
    // Exactly: what is left after the remainder divides without one.
    let rest = calculated(Arithmetic::Modulo, a)?;
    let even = number::calculate(Arithmetic::Subtract, value(a, 0), &rest).unwrap_or(Ok(Datum::Null))?;
    let quotient = number::calculate(Arithmetic::Divide, &even, value(a, 1)).unwrap_or(Ok(Datum::Null))?;
    whole_of(&quotient)
}

fn whole_of(quotient: &Datum) -> Result {
    whole(std::slice::from_ref(quotient), Rounding::Down, f64::trunc)
}

/// Euclid's algorithm, with the remainder of whatever type the numbers are of.
fn gcd(a: &[Datum], _: &Context) -> Result {
    let absolute = |value: &Datum| abs_of(value);
    let (mut x, mut y) = (absolute(value(a, 0))?, absolute(value(a, 1))?);
    if matches!(x, Datum::Double(_)) || matches!(y, Datum::Double(_)) {
        return Err(RowError::new("42883", "GCD and LCM take integers and numerics"));
    }
    if !finite(&x) || !finite(&y) {
        return Ok(Datum::Decimal(Decimal::from(dec::Decimal128::NAN)));
    }
    while !is_zero(&y) {
        let rest = number::calculate(Arithmetic::Modulo, &x, &y).unwrap_or(Ok(Datum::Null))?;
        x = std::mem::replace(&mut y, rest);
    }
    Ok(x)
}

fn abs_of(value: &Datum) -> Result {
    match value {
        Datum::Decimal(v) => Ok(decimal(v.abs())),
        other if number::to_i64(other).is_some_and(|v| v < 0) => number::negate(other).unwrap_or(Ok(Datum::Null)),
        other => Ok(other.clone()),
    }
}

fn finite(value: &Datum) -> bool {
    !matches!(value, Datum::Decimal(v) if !v.is_finite())
}

fn is_zero(value: &Datum) -> bool {
    number::compare(value, &Datum::Int(0)).is_eq()
}

fn lcm(a: &[Datum], context: &Context) -> Result {
    let (x, y) = (abs_of(value(a, 0))?, abs_of(value(a, 1))?);
    if is_zero(&x) || is_zero(&y) {
        return Ok(if is_zero(&x) { x } else { y });
    }
    let common = gcd(a, context)?;
    let part = number::calculate(Arithmetic::Divide, &x, &common).unwrap_or(Ok(Datum::Null))?;
    number::calculate(Arithmetic::Multiply, &part, &y).unwrap_or(Ok(Datum::Null))
}

/// The first or last in the total order, NULLs aside.
fn furthest(a: &[Datum], way: std::cmp::Ordering) -> Datum {
    let mut found = &Datum::Null;
    for value in a.iter().filter(|value| !value.is_null()) {
        if found.is_null() || key::compare(value, found) == way {
            found = value;
        }
    }
    found.clone()
}

/// From 0 to below 1, of the random bits of a version 4 UUID.
#[expect(clippy::cast_precision_loss, reason = "53 bits are a double's")]
fn random() -> Datum {
    let bytes = millstream_value::new_uuid();
    let bits = bytes.iter().skip(9).take(7).fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    Datum::Double((bits >> 3) as f64 / (1_u64 << 53) as f64)
}

/// `WIDTH_BUCKET(x, low, high, count)`, `WIDTH_BUCKET(x, thresholds)`.
fn width_bucket(a: &[Datum], _: &Context) -> Result {
    if a.len() == 2 {
        let below = elements(a, 1)?.iter().filter(|threshold| key::compare(threshold, value(a, 0)).is_le()).count();
        return Ok(Datum::Int(i32::try_from(below).unwrap_or(i32::MAX)));
    }
    let (x, low, high) = (value(a, 0), value(a, 1), value(a, 2));
    if ![x, low, high].into_iter().all(number::is_number) || a.len() != 4 {
        return Err(RowError::new("42804", "WIDTH_BUCKET takes four numbers, or a value and an array"));
    }
    let count = integer(a, 3)?;
    let wrong = |why: &str| RowError::new("2201G", why);
    let Some(buckets) = i32::try_from(count).ok().filter(|count| *count > 0) else {
        return Err(wrong("the number of buckets must be greater than zero"));
    };
    let order = number::compare(low, high);
    if order.is_eq() {
        return Err(wrong("the bounds must not be equal"));
    }
    // `order` is that of a value that stands before another one in the direction of the buckets.
    if number::compare(x, low) == order {
        return Ok(Datum::Int(0));
    }
    if number::compare(x, high) != order {
        return buckets.checked_add(1).map(Datum::Int).ok_or_else(number::out_of_range);
    }
    // count × (x - low) ÷ (high - low), rounded down.
    let minus = |a: &Datum, b: &Datum| number::calculate(Arithmetic::Subtract, a, b).unwrap_or(Ok(Datum::Null));
    let scaled =
        number::calculate(Arithmetic::Multiply, &minus(x, low)?, &Datum::Long(count)).unwrap_or(Ok(Datum::Null))?;
    let bucket = div(&[scaled, minus(high, low)?])?;
    Ok(Datum::Int(number::to_i64(&bucket).and_then(|it| i32::try_from(it + 1).ok()).unwrap_or(buckets)))
}
