//! Types: `$type`, `$isNumber`, `$convert` and `$toInt`, `$toString` and their kin.
//!
//! Shape:  `{input: a, to: <type>, onError: b, onNull: c}`, `to` by name or number; `$to<Type>` takes the input alone.
//! Absent: `onNull`, or null. `$type` of a missing value is `"missing"`.
//! Errors: `ConversionFailure` (241) for what cannot be converted, unless there is `onError`.
//! Source: MongoDB manual 8.0, "Type Expression Operators".

use millstream_value::{Code, Decimal, Value, kind, number, shell};

use super::operator::{Args, Name, Operator, optional, required, type_name};
use super::{date, text};
use crate::{Error, Result};

pub(super) static CONVERT: Operator = Operator::named("$convert", NAMES, 9, 9, convert);
pub(super) static IS_NUMBER: Operator =
    Operator::exactly("$isNumber", 1, |args| Ok(Some(args.get(0).is_some_and(Value::is_number).into())));
pub(super) static TO_BOOL: Operator = Operator::exactly("$toBool", 1, |args| to(args, kind::BOOL));
pub(super) static TO_DATE: Operator = Operator::exactly("$toDate", 1, |args| to(args, kind::DATE));
pub(super) static TO_DECIMAL: Operator = Operator::exactly("$toDecimal", 1, |args| to(args, kind::DECIMAL));
pub(super) static TO_DOUBLE: Operator = Operator::exactly("$toDouble", 1, |args| to(args, kind::DOUBLE));
pub(super) static TO_INT: Operator = Operator::exactly("$toInt", 1, |args| to(args, kind::INT32));
pub(super) static TO_LONG: Operator = Operator::exactly("$toLong", 1, |args| to(args, kind::INT64));
pub(super) static TO_OBJECT_ID: Operator = Operator::exactly("$toObjectId", 1, |args| to(args, kind::OBJECT_ID));
pub(super) static TO_STRING: Operator = Operator::exactly("$toString", 1, |args| to(args, kind::STRING));
pub(super) static TYPE: Operator = Operator::exactly("$type", 1, |args| Ok(Some(type_name(args.get(0)).into())));

static NAMES: &[Name] = &[required("input", 9), required("to", 9), optional("onError"), optional("onNull")];

/// The types that can be converted to, by number and name.
const TARGETS: [(i64, u8); 8] = [
    (1, kind::DOUBLE),
    (2, kind::STRING),
    (7, kind::OBJECT_ID),
    (8, kind::BOOL),
    (9, kind::DATE),
    (16, kind::INT32),
    (18, kind::INT64),
    (19, kind::DECIMAL),
];

fn to<'v>(args: &mut Args<'_, 'v>, target: u8) -> Result<Option<Value<'v>>> {
    match args.take(0) {
        Some(input) if !input.is_nullish() => value_to(input, target).map(Some),
        _ => Ok(Some(Value::Null)),
    }
}

fn convert<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let target = if args.nullish(1) { None } else { target(args.get(1))? };
    if args.nullish(0) {
        return Ok(if args.given(3) { args.take(3) } else { Some(Value::Null) });
    }
    if args.nullish(1) {
        return Ok(Some(Value::Null));
    }
    let Some(input) = args.take(0) else { return Ok(None) };
    let result = match target {
        Some(target) => value_to(input, target),
        None => Err(unsupported(&input, type_name(args.get(1)))),
    };
    match result {
        Err(error) if error.code == Code::ConversionFailure && args.given(2) => Ok(args.take(2)),
        result => result.map(Some),
    }
}

/// The type that `to` names; `None` if there is such a type and nothing converts to it.
fn target(value: Option<&Value<'_>>) -> Result<Option<u8>> {
    let wanted = match value {
        // `{type: …}` may also tell a binary subtype.
        Some(Value::Document(bytes)) => millstream_value::Doc::new(bytes).get("type").map(Value::into_owned),
        other => other.map(|value| value.clone().into_owned()),
    };
    match &wanted {
        Some(Value::String(name)) => {
            if let Some((_, tag)) = TARGETS.iter().find(|(_, tag)| millstream_value::type_name(*tag) == name) {
                return Ok(Some(*tag));
            }
            let known =
                (1..=19).chain([kind::MIN_KEY, kind::MAX_KEY]).any(|tag| millstream_value::type_name(tag) == name);
            if known { Ok(None) } else { Err(Error::bad_value(format!("Unknown type name: {name}"))) }
        }
        Some(number) if number.is_number() => {
            let Some(code) = number.as_integer() else {
                return Err(Error::failed_to_parse("In $convert, numeric 'to' argument is not an integer".to_owned()));
            };
            match TARGETS.iter().find(|(known, _)| *known == code) {
                Some((_, tag)) => Ok(Some(*tag)),
                None if (1..=19).contains(&code) || code == -1 || code == 127 => Ok(None),
                None => Err(Error::failed_to_parse(format!(
                    "In $convert, numeric value for 'to' does not correspond to a BSON type: {code}"
                ))),
            }
        }
        other => Err(Error::failed_to_parse(format!(
            "$convert's 'to' argument must be a string or number, but is {}",
            type_name(other.as_ref())
        ))),
    }
}

/// `ConversionFailure`.
pub(super) fn failure(message: impl Into<String>) -> Error {
    Error::new(Code::ConversionFailure, message)
}

fn unsupported(value: &Value<'_>, target: &str) -> Error {
    failure(format!("Unsupported conversion from {} to {target} in $convert with no onError value", value.type_name()))
}

/// Converts a value that is there.
pub(super) fn value_to(value: Value<'_>, target: u8) -> Result<Value<'_>> {
    let name = millstream_value::type_name(target);
    if value.kind() == target {
        return Ok(value);
    }
    match target {
        kind::BOOL => Ok(value.is_truthy().into()),
        kind::STRING => to_string(&value),
        kind::OBJECT_ID => to_object_id(&value),
        kind::DATE => to_date(&value),
        kind::INT32 | kind::INT64 => to_integer(&value, target),
        kind::DOUBLE => to_double(&value),
        kind::DECIMAL => to_decimal(&value),
        _ => Err(unsupported(&value, name)),
    }
}

fn to_string(value: &Value<'_>) -> Result<Value<'static>> {
    Ok(match value {
        Value::Bool(v) => v.to_string().into(),
        Value::ObjectId(bytes) => shell::hex(bytes).into(),
        Value::Date(ms) => {
            if !date::is_printable(*ms) {
                return Err(failure("$convert is only defined on year 0-9999"));
            }
            date::iso(*ms).into()
        }
        number if number.is_number() => text::print(number).unwrap_or_default().into(),
        other => return Err(unsupported(other, "string")),
    })
}

fn to_object_id(value: &Value<'_>) -> Result<Value<'static>> {
    let Value::String(text) = value else { return Err(unsupported(value, "objectId")) };
    let fail =
        |why: String| failure(format!("Failed to parse objectId '{text}' in $convert with no onError value: {why}"));
    if text.len() != 24 {
        return Err(fail(format!("Invalid string length for parsing to OID, expected 24 but found {}", text.len())));
    }
    let mut bytes = [0_u8; 12];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        *byte = digits
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .ok_or_else(|| fail("Invalid character found in hex string".to_owned()))?;
    }
    Ok(Value::ObjectId(bytes))
}

fn to_date(value: &Value<'_>) -> Result<Value<'static>> {
    match value {
        Value::String(text) => date::parse_text(text, None, &date::Zone::Utc).map(Value::Date),
        Value::ObjectId(id) => Ok(Value::Date(date::of_object_id(id))),
        Value::Int64(ms) => Ok(Value::Date(*ms)),
        Value::Double(_) | Value::Decimal(_) => whole(value, i64::MIN, i64::MAX).map(Value::Date),
        other => Err(unsupported(other, "date")),
    }
}

fn to_integer(value: &Value<'_>, target: u8) -> Result<Value<'static>> {
    let int = target == kind::INT32;
    let (low, high) = if int { (i64::from(i32::MIN), i64::from(i32::MAX)) } else { (i64::MIN, i64::MAX) };
    let result = match value {
        Value::String(text) => parse_integer(text, low, high)?,
        Value::Bool(v) => i64::from(*v),
        Value::Date(ms) if !int => *ms,
        number if number.is_number() => whole(number, low, high)?,
        other => return Err(unsupported(other, millstream_value::type_name(target))),
    };
    Ok(if int { Value::Int32(i32::try_from(result).unwrap_or_default()) } else { Value::Int64(result) })
}

/// A number cut towards zero, if it is within bounds.
fn whole(value: &Value<'_>, low: i64, high: i64) -> Result<i64> {
    let special = |nan: bool| {
        let what = if nan { "NaN" } else { "infinity" };
        failure(format!("Attempt to convert {what} value to integer type in $convert with no onError value"))
    };
    let whole = match value {
        Value::Int32(v) => Some(i64::from(*v)),
        Value::Int64(v) => Some(*v),
        Value::Double(v) if !v.is_finite() => return Err(special(v.is_nan())),
        Value::Double(v) => number::truncated_i64(*v),
        Value::Decimal(v) if !v.is_finite() => return Err(special(v.is_nan())),
        Value::Decimal(v) => v.to_i64_truncated(),
        _ => None,
    };
    whole.filter(|v| (low..=high).contains(v)).ok_or_else(|| overflow(value))
}

fn overflow(value: &Value<'_>) -> Error {
    failure(format!(
        "Conversion would overflow target type in $convert with no onError value: {}",
        super::operator::shown(Some(value))
    ))
}

fn unparsed(text: &str, why: &str) -> Error {
    failure(format!("Failed to parse number '{text}' in $convert with no onError value: {why}"))
}

fn parse_integer(text: &str, low: i64, high: i64) -> Result<i64> {
    if text.is_empty() || text == "-" || text == "+" {
        return Err(unparsed(text, "No digits"));
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(unparsed(text, "Did not consume whole string."));
    }
    text.parse::<i64>().ok().filter(|v| (low..=high).contains(v)).ok_or_else(|| unparsed(text, "Overflow"))
}

fn to_double(value: &Value<'_>) -> Result<Value<'static>> {
    let result = match value {
        Value::String(text) => parse_double(text)?,
        Value::Bool(v) => f64::from(u8::from(*v)),
        Value::Date(ms) => number::to_f64(*ms),
        Value::Decimal(v) => {
            let double = v.to_f64();
            if double.is_infinite() && v.is_finite() {
                return Err(overflow(value));
            }
            double
        }
        other => other.as_f64().ok_or_else(|| unsupported(other, "double"))?,
    };
    Ok(Value::Double(result))
}

fn parse_double(text: &str) -> Result<f64> {
    if text.is_empty() {
        return Err(unparsed(text, "Empty string"));
    }
    if text.starts_with(|c: char| c.is_ascii_whitespace()) {
        return Err(unparsed(text, "Leading whitespace"));
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_infinite() && text.contains(|c: char| c.is_ascii_digit()) => {
            Err(unparsed(text, "Out of range"))
        }
        Ok(value) => Ok(value),
        Err(_) if text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => {
            Err(unparsed(text, "Did not consume whole string."))
        }
        Err(_) => Err(unparsed(text, "Did not consume any digits")),
    }
}

fn to_decimal(value: &Value<'_>) -> Result<Value<'static>> {
    Ok(Value::Decimal(match value {
        Value::String(text) if text.is_empty() => return Err(unparsed(text, "Empty string")),
        Value::String(text) => {
            Decimal::parse(text).ok_or_else(|| unparsed(text, "Failed to parse string to decimal"))?
        }
        Value::Bool(v) => i32::from(*v).into(),
        Value::Date(ms) => (*ms).into(),
        Value::Int32(v) => (*v).into(),
        Value::Int64(v) => (*v).into(),
        Value::Double(v) => Decimal::from_f64_15(*v),
        other => return Err(unsupported(other, "decimal")),
    }))
}
