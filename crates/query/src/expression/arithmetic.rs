//! Arithmetic: `$add`, `$subtract`, `$multiply`, `$divide`, `$mod`, rounding, powers and logarithms.
//!
//! Absent: null or missing gives null.
//! Result: the widest type of the operands, `int` < `long` < `double` < `decimal`; an `int` that overflows becomes a
//!         `long`, a `long` a `double`. `$divide` of integers is a `double`. A date plus or minus milliseconds is a
//!         date; a date minus a date is milliseconds as a `long`.
//! Source: MongoDB manual 8.0, "Arithmetic Expression Operators".

use dec::Rounding;
use millstream_value::{Decimal, Value, number};

use super::number::{Num, Pair, add as sum, multiply as product, pair, subtract as difference};
use super::operator::{Args, Operator, shown};
use crate::{Error, Result};

pub(super) static ABS: Operator = Operator::exactly("$abs", 1, abs);
pub(super) static ADD: Operator = Operator::any("$add", add);
pub(super) static CEIL: Operator = Operator::exactly("$ceil", 1, |args| whole(args, Rounding::Ceiling, f64::ceil));
pub(super) static DIVIDE: Operator = Operator::exactly("$divide", 2, divide);
pub(super) static EXP: Operator = Operator::exactly("$exp", 1, |args| unary(args, f64::exp, |c, n| c.exp(n)));
pub(super) static FLOOR: Operator = Operator::exactly("$floor", 1, |args| whole(args, Rounding::Floor, f64::floor));
pub(super) static LN: Operator = Operator::exactly("$ln", 1, |args| logarithm(args, 28766, f64::ln, |c, n| c.ln(n)));
pub(super) static LOG: Operator = Operator::exactly("$log", 2, log);
pub(super) static LOG10: Operator =
    Operator::exactly("$log10", 1, |args| logarithm(args, 28761, f64::log10, |c, n| c.log10(n)));
pub(super) static MOD: Operator = Operator::exactly("$mod", 2, modulo);
pub(super) static MULTIPLY: Operator = Operator::any("$multiply", multiply);
pub(super) static POW: Operator = Operator::exactly("$pow", 2, pow);
pub(super) static ROUND: Operator = Operator::list("$round", 1, 2, |args| places(args, Rounding::HalfEven));
pub(super) static SQRT: Operator = Operator::exactly("$sqrt", 1, sqrt);
pub(super) static SUBTRACT: Operator = Operator::exactly("$subtract", 2, subtract);
pub(super) static TRUNC: Operator = Operator::list("$trunc", 1, 2, |args| places(args, Rounding::Down));

/// Decimals with enough digits inside that a result is right to 34.
type Wide = dec::Decimal<12>;
type WideContext = dec::Context<Wide>;

fn add<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let (mut total, mut date) = (Num::Int(0), None);
    for value in args.all() {
        match value {
            None => return Ok(Some(Value::Null)),
            Some(value) if value.is_nullish() => return Ok(Some(Value::Null)),
            Some(Value::Date(ms)) => {
                if date.replace(*ms).is_some() {
                    return Err(Error::location(16612, "only one date allowed in an $add expression"));
                }
            }
            Some(value) => match Num::of(value) {
                Some(number) => total = sum(total, number),
                None => {
                    return Err(Error::type_mismatch(format!(
                        "$add only supports numeric or date types, not {}",
                        value.type_name()
                    )));
                }
            },
        }
    }
    match date {
        None => Ok(Some(total.into())),
        Some(ms) => date_plus(ms, total).map(Some),
    }
}

fn date_plus<'v>(ms: i64, offset: Num) -> Result<Value<'v>> {
    let offset = match offset {
        Num::Int(v) => Some(i64::from(v)),
        Num::Long(v) => Some(v),
        Num::Double(v) => number::truncated_i64(v.round()),
        Num::Decimal(v) => v.to_i64_rounded(),
    };
    let result = offset.and_then(|offset| ms.checked_add(offset));
    result.map(Value::Date).ok_or_else(|| Error::new(millstream_value::Code::Overflow, "date overflow"))
}

fn subtract<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    if args.nullish(0) || args.nullish(1) {
        return Ok(Some(Value::Null));
    }
    let (Some(left), Some(right)) = (args.get(0), args.get(1)) else { return Ok(None) };
    let result = match (left, right) {
        (Value::Date(a), Value::Date(b)) => a
            .checked_sub(*b)
            .map(Value::Int64)
            .ok_or_else(|| Error::new(millstream_value::Code::Overflow, "overflow subtracting dates")),
        (Value::Date(ms), other) if other.is_number() => {
            let minus = Num::of(other).map_or(Num::Int(0), |n| difference(Num::Int(0), n));
            date_plus(*ms, minus)
        }
        (Value::Date(_), other) => {
            Err(Error::type_mismatch(format!("can't $subtract {} from date", other.type_name())))
        }
        (left, right) => match (Num::of(left), Num::of(right)) {
            (Some(a), Some(b)) => Ok(difference(a, b).into()),
            _ => Err(Error::type_mismatch(format!("can't $subtract {} from {}", right.type_name(), left.type_name()))),
        },
    };
    result.map(Some)
}

fn multiply<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let mut total = Num::Int(1);
    for value in args.all() {
        let Some(value) = value.as_ref().filter(|value| !value.is_nullish()) else { return Ok(Some(Value::Null)) };
        match Num::of(value) {
            Some(number) => total = product(total, number),
            None => {
                return Err(Error::type_mismatch(format!(
                    "$multiply only supports numeric types, not {}",
                    value.type_name()
                )));
            }
        }
    }
    Ok(Some(total.into()))
}

/// Both arguments as numbers; `None` if either is null or missing.
fn two_numbers(args: &Args<'_, '_>, code: i32) -> Result<Option<(Num, Num)>> {
    match (args.get(0).and_then(Num::of), args.get(1).and_then(Num::of)) {
        (Some(left), Some(right)) => Ok(Some((left, right))),
        _ if args.nullish(0) || args.nullish(1) => Ok(None),
        _ => args.fail(
            code,
            format_args!("only supports numeric types, not {} and {}", args.type_name(0), args.type_name(1)),
        ),
    }
}

fn divide<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let Some((left, right)) = two_numbers(args, 14)? else { return Ok(Some(Value::Null)) };
    if right.is_zero() {
        return Err(Error::new(millstream_value::Code::BadValue, "can't $divide by zero"));
    }
    Ok(Some(match pair(left, right) {
        Pair::Decimals(a, b) => Value::Decimal(a.over(b)),
        _ => Value::Double(left.to_f64() / right.to_f64()),
    }))
}

fn modulo<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let Some((left, right)) = two_numbers(args, 16611)? else { return Ok(Some(Value::Null)) };
    if right.is_zero() {
        return Err(Error::location(16610, "can't $mod by zero"));
    }
    Ok(Some(match pair(left, right) {
        Pair::Decimals(a, b) => Value::Decimal(a.modulo(b)),
        Pair::Doubles(a, b) => Value::Double(a % b),
        Pair::Integers(a, b, ints) => super::number::integer(a.wrapping_rem(b), ints).into(),
    }))
}

/// The only argument as a number; `None` if it is null or missing.
pub(super) fn one_number(args: &Args<'_, '_>) -> Result<Option<Num>> {
    match args.get(0).and_then(Num::of) {
        Some(number) => Ok(Some(number)),
        None if args.nullish(0) => Ok(None),
        None => args.fail(28765, format_args!("only supports numeric types, not {}", args.type_name(0))),
    }
}

fn abs<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    Ok(Some(match one_number(args)? {
        None => Value::Null,
        Some(Num::Int(v)) => v.checked_abs().map_or(Value::Int64(i64::from(v).abs()), Value::Int32),
        Some(Num::Long(v)) => match v.checked_abs() {
            Some(v) => Value::Int64(v),
            None => return Err(Error::location(28680, "can't take $abs of long long min")),
        },
        Some(Num::Double(v)) => Value::Double(v.abs()),
        Some(Num::Decimal(v)) => Value::Decimal(v.abs()),
    }))
}

fn whole<'v>(args: &Args<'_, 'v>, rounding: Rounding, double: fn(f64) -> f64) -> Result<Option<Value<'v>>> {
    Ok(Some(match one_number(args)? {
        None => Value::Null,
        Some(Num::Double(v)) => Value::Double(double(v)),
        Some(Num::Decimal(v)) => Value::Decimal(v.round_to(0, rounding)),
        Some(integer) => integer.into(),
    }))
}

/// `$round` and `$trunc`: to a number of places between -20 and 100.
fn places<'v>(args: &Args<'_, 'v>, rounding: Rounding) -> Result<Option<Value<'v>>> {
    let Some(number) = one_number(args)? else { return Ok(Some(Value::Null)) };
    let places = match args.get(1) {
        _ if args.len() == 1 => 0,
        value if super::operator::is_nullish(value) => return Ok(Some(Value::Null)),
        Some(value) if value.is_number() => match value.as_integer() {
            Some(places) if (-20..=100).contains(&places) => i32::try_from(places).unwrap_or_default(),
            Some(places) => {
                return Err(Error::location(
                    51083,
                    format!("cannot apply {} with precision value {places} value must be in [-20, 100]", args.name),
                ));
            }
            None => {
                return Err(Error::location(
                    51082,
                    format!("precision argument to  {} must be a integral value", args.name),
                ));
            }
        },
        _ => return args.fail(51081, format_args!("only supports numeric types, not {}", args.type_name(1))),
    };
    Ok(Some(match number {
        Num::Decimal(v) => Value::Decimal(v.round_to(places, rounding)),
        Num::Double(v) if places == 0 => {
            Value::Double(if rounding == Rounding::Down { v.trunc() } else { v.round_ties_even() })
        }
        Num::Double(v) if !v.is_finite() => Value::Double(v),
        Num::Double(v) => Value::Double(Decimal::from_f64_15(v).round_to(places, rounding).to_f64()),
        Num::Int(_) | Num::Long(_) if places >= 0 => number.into(),
        Num::Int(v) => round_integer(args.name, i64::from(v), places, rounding, true)?,
        Num::Long(v) => round_integer(args.name, v, places, rounding, false)?,
    }))
}

fn round_integer<'v>(name: &str, value: i64, places: i32, rounding: Rounding, int: bool) -> Result<Value<'v>> {
    let rounded = Decimal::from(value).round_to(places, rounding).to_i64_exact();
    let rounded = rounded.ok_or_else(|| {
        Error::location(51080, format!("invalid conversion from Decimal128 result in {name} resulting from arguments"))
    })?;
    Ok(super::number::integer(rounded, int).into())
}

/// Through text, so that nothing depends on how either side encodes.
fn wide(value: Decimal) -> Wide {
    value.to_string().parse().unwrap_or_else(|_| Wide::nan())
}

fn narrow(value: &Wide) -> Decimal {
    Decimal::parse(&value.to_string()).unwrap_or_else(Decimal::zero)
}

fn unary<'v>(
    args: &Args<'_, 'v>,
    double: fn(f64) -> f64,
    decimal: fn(&mut WideContext, &mut Wide),
) -> Result<Option<Value<'v>>> {
    Ok(Some(match one_number(args)? {
        None => Value::Null,
        Some(Num::Decimal(v)) => {
            let mut number = wide(v);
            decimal(&mut WideContext::default(), &mut number);
            Value::Decimal(narrow(&number))
        }
        Some(other) => Value::Double(double(other.to_f64())),
    }))
}

fn logarithm<'v>(
    args: &Args<'_, 'v>,
    code: i32,
    double: fn(f64) -> f64,
    decimal: fn(&mut WideContext, &mut Wide),
) -> Result<Option<Value<'v>>> {
    if let Some(number) = one_number(args)?
        && !is_positive(number)
    {
        return Err(Error::location(
            code,
            format!("{}'s argument must be a positive number, but is {}", args.name, shown(args.get(0))),
        ));
    }
    unary(args, double, decimal)
}

/// Positive, or not a number at all, which every function passes on.
fn is_positive(number: Num) -> bool {
    match number {
        Num::Decimal(v) => v.is_nan() || !(v.is_zero() || v.is_signed()),
        other => {
            let value = other.to_f64();
            value.is_nan() || value > 0.0
        }
    }
}

fn log<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    if args.nullish(0) || args.nullish(1) {
        return Ok(Some(Value::Null));
    }
    let (Some(number), Some(base)) = (args.get(0).and_then(Num::of), args.get(1).and_then(Num::of)) else {
        let (code, what, at) =
            if args.get(0).is_some_and(Value::is_number) { (28757, "base", 1) } else { (28756, "argument", 0) };
        return Err(Error::location(code, format!("$log's {what} must be numeric, not {}", args.type_name(at))));
    };
    if !is_positive(number) {
        return Err(Error::location(
            28758,
            format!("$log's argument must be a positive number, but is {}", shown(args.get(0))),
        ));
    }
    let base_fits = match base {
        Num::Decimal(v) => v.is_nan() || v.compare(1.into()).is_gt(),
        other => other.to_f64().is_nan() || (is_positive(other) && other.to_f64() != 1.0),
    };
    if !base_fits || !is_positive(base) {
        return Err(Error::location(
            28759,
            format!("$log's base must be a positive number not equal to 1, but is {}", shown(args.get(1))),
        ));
    }
    Ok(Some(match pair(number, base) {
        Pair::Decimals(a, b) => {
            let mut context = WideContext::default();
            let (mut a, mut b) = (wide(a), wide(b));
            context.ln(&mut a);
            context.ln(&mut b);
            context.div(&mut a, &b);
            Value::Decimal(narrow(&a))
        }
        _ => Value::Double(number.to_f64().ln() / base.to_f64().ln()),
    }))
}

fn sqrt<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    if let Some(number) = one_number(args)? {
        let negative = match number {
            Num::Decimal(v) => !v.is_nan() && !v.is_zero() && v.is_signed(),
            other => other.to_f64() < 0.0,
        };
        if negative {
            return Err(Error::location(28714, "$sqrt's argument must be greater than or equal to 0"));
        }
    }
    unary(args, f64::sqrt, |context, number| context.sqrt(number))
}

fn pow<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    if args.nullish(0) || args.nullish(1) {
        return Ok(Some(Value::Null));
    }
    let (Some(base), Some(exponent)) = (args.get(0).and_then(Num::of), args.get(1).and_then(Num::of)) else {
        let (code, what, at) =
            if args.get(0).is_some_and(Value::is_number) { (28763, "exponent", 1) } else { (28762, "base", 0) };
        return Err(Error::location(code, format!("$pow's {what} must be numeric, not {}", args.type_name(at))));
    };
    let negative_exponent = match exponent {
        Num::Decimal(v) => !v.is_nan() && !v.is_zero() && v.is_signed(),
        other => other.to_f64() < 0.0,
    };
    if base.is_zero() && negative_exponent {
        return Err(Error::location(28764, "$pow cannot take a base of 0 and a negative exponent"));
    }
    Ok(Some(match pair(base, exponent) {
        Pair::Decimals(a, b) => {
            let mut number = wide(a);
            WideContext::default().pow(&mut number, &wide(b));
            Value::Decimal(narrow(&number))
        }
        Pair::Doubles(a, b) => Value::Double(a.powf(b)),
        Pair::Integers(a, b, ints) => {
            // Integers stay integers while the result is one and fits.
            match u32::try_from(b).ok().and_then(|b| a.checked_pow(b)) {
                Some(result) => super::number::integer(result, ints).into(),
                None if b < 0 && a == 1 => super::number::integer(1, ints).into(),
                None if b < 0 && a == -1 => super::number::integer(if b % 2 == 0 { 1 } else { -1 }, ints).into(),
                None => Value::Double(number::to_f64(a).powf(number::to_f64(b))),
            }
        }
    }))
}
