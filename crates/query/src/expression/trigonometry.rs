//! Angles, in radians but where an operator says degrees.
//!
//! Absent: null or missing gives null.
//! Result: `double`; `decimal` for decimals, computed to a double's precision.
//! Errors: 50989 outside of an operator's domain.
//! Source: MongoDB manual 8.0, "Trigonometry Expression Operators".

use millstream_value::{Decimal, Value};

use super::arithmetic::one_number;
use super::number::{Num, Pair, pair};
use super::operator::{Args, Operator, shown};
use crate::{Error, Result};

pub(super) static ACOS: Operator = Operator::exactly("$acos", 1, |args| apply(args, f64::acos, UNIT));
pub(super) static ACOSH: Operator = Operator::exactly("$acosh", 1, |args| apply(args, f64::acosh, FROM_ONE));
pub(super) static ASIN: Operator = Operator::exactly("$asin", 1, |args| apply(args, f64::asin, UNIT));
pub(super) static ASINH: Operator = Operator::exactly("$asinh", 1, |args| apply(args, f64::asinh, ALL));
pub(super) static ATAN: Operator = Operator::exactly("$atan", 1, |args| apply(args, f64::atan, ALL));
pub(super) static ATAN2: Operator = Operator::exactly("$atan2", 2, atan2);
pub(super) static ATANH: Operator = Operator::exactly("$atanh", 1, |args| apply(args, f64::atanh, UNIT));
pub(super) static COS: Operator = Operator::exactly("$cos", 1, |args| apply(args, f64::cos, FINITE));
pub(super) static COSH: Operator = Operator::exactly("$cosh", 1, |args| apply(args, f64::cosh, ALL));
pub(super) static DEGREES_TO_RADIANS: Operator =
    Operator::exactly("$degreesToRadians", 1, |args| scale(args, DEGREE, std::f64::consts::PI / 180.0));
pub(super) static RADIANS_TO_DEGREES: Operator =
    Operator::exactly("$radiansToDegrees", 1, |args| scale(args, RADIAN, 180.0 / std::f64::consts::PI));
pub(super) static SIN: Operator = Operator::exactly("$sin", 1, |args| apply(args, f64::sin, FINITE));
pub(super) static SINH: Operator = Operator::exactly("$sinh", 1, |args| apply(args, f64::sinh, ALL));
pub(super) static TAN: Operator = Operator::exactly("$tan", 1, |args| apply(args, f64::tan, FINITE));
pub(super) static TANH: Operator = Operator::exactly("$tanh", 1, |args| apply(args, f64::tanh, ALL));

/// π/180 and 180/π to 34 digits.
const DEGREE: &str = "0.01745329251994329576923690768488613";
const RADIAN: &str = "57.29577951308232087679815481410517";

/// Where a function is defined: its test and how messages put it.
type Domain = (fn(f64) -> bool, &'static str);

const ALL: Domain = (|_| true, "");
const FINITE: Domain = (f64::is_finite, "(-inf,inf)");
const FROM_ONE: Domain = (|v| v >= 1.0, "[1,inf]");
const UNIT: Domain = (|v| (-1.0..=1.0).contains(&v), "[-1,1]");

fn apply<'v>(args: &Args<'_, 'v>, function: fn(f64) -> f64, domain: Domain) -> Result<Option<Value<'v>>> {
    let Some(number) = one_number(args)? else { return Ok(Some(Value::Null)) };
    let (defined, words) = domain;
    let value = number.to_f64();
    if !value.is_nan() && !defined(value) {
        return Err(Error::location(
            50989,
            format!("cannot apply {} to {}, value must be in {words}", args.name, shown(args.get(0))),
        ));
    }
    Ok(Some(like(number, function(value))))
}

/// The result in the type that `number` asks for.
fn like<'v>(number: Num, value: f64) -> Value<'v> {
    match number {
        Num::Decimal(_) => Value::Decimal(Decimal::from_f64_15(value)),
        _ => Value::Double(value),
    }
}

fn atan2<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    if args.nullish(0) || args.nullish(1) {
        return Ok(Some(Value::Null));
    }
    let (Some(y), Some(x)) = (args.get(0).and_then(Num::of), args.get(1).and_then(Num::of)) else {
        let at = usize::from(args.get(0).is_some_and(Value::is_number));
        return args.fail(
            if at == 0 { 51044 } else { 51045 },
            format_args!("only supports numeric types, not {}", args.type_name(at)),
        );
    };
    let angle = y.to_f64().atan2(x.to_f64());
    Ok(Some(match pair(y, x) {
        Pair::Decimals(..) => Value::Decimal(Decimal::from_f64_15(angle)),
        _ => Value::Double(angle),
    }))
}

fn scale<'v>(args: &Args<'_, 'v>, decimal: &str, double: f64) -> Result<Option<Value<'v>>> {
    Ok(Some(match one_number(args)? {
        None => Value::Null,
        Some(Num::Decimal(v)) => Value::Decimal(v.times(Decimal::parse(decimal).unwrap_or_else(Decimal::zero))),
        Some(other) => Value::Double(other.to_f64() * double),
    }))
}
