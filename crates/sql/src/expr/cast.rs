//! Casts (SQL-4.11).

use std::sync::Arc;

use dec::Rounding;
use millstream_flow::{Datum, RowError};
use millstream_value::{ClusterTime, Decimal};

use super::calendar::{self, DAY_MICROS, DAY_MS, Result};
use super::{Context, interval, json, number, print, time_text};
use crate::{Class, Type};

/// The value as a type.
pub(crate) fn cast(value: &Datum, to: &Type, context: &Context) -> Result<Datum> {
    let zone = &context.time_zone;
    if value.is_null() {
        return Ok(Datum::Null);
    }
    if let (Datum::Text(text), false) = (value, matches!(to, Type::Text(_))) {
        return read(text, to, context);
    }
    let none = || RowError::new("42846", format!("{} can not be cast to {to}", name(value)));
    match to {
        Type::Text(None) => Ok(match value {
            Datum::Text(_) => value.clone(),
            other => Datum::text(print::text(other, zone)),
        }),
        Type::Text(Some(length)) => {
            let text = print::text(value, zone);
            Ok(Datum::Text(
                text.chars().take(usize::try_from(*length).unwrap_or(usize::MAX)).collect::<String>().into(),
            ))
        }
        Type::Integer => match value {
            Datum::Bool(v) => Ok(Datum::Int(i32::from(*v))),
            other if number::is_number(other) => {
                let whole = number::rounded(other)?;
                i32::try_from(whole).map(Datum::Int).map_err(|_| RowError::new("22003", "integer out of range"))
            }
            _ => Err(none()),
        },
        Type::BigInt => match value {
            Datum::Bool(v) => Ok(Datum::Long(i64::from(*v))),
            other if number::is_number(other) => number::rounded(other).map(Datum::Long),
            _ => Err(none()),
        },
        Type::Numeric(size) => sized(number::to_decimal(value).ok_or_else(none)?, *size),
        Type::Double => match value {
            Datum::Decimal(decimal) => number::double(decimal.to_f64(), decimal.is_finite()),
            other => number::to_f64(other).map(Datum::Double).ok_or_else(none),
        },
        Type::Boolean => match value {
            Datum::Bool(_) => Ok(value.clone()),
            Datum::Int(v) => Ok(Datum::Bool(*v != 0)),
            Datum::Long(v) => Ok(Datum::Bool(*v != 0)),
            _ => Err(none()),
        },
        Type::Timestamptz => match value {
            Datum::BsonTimestamp(time) => Ok(Datum::Instant(i64::from(time.seconds) * 1000)),
            other => calendar::checked_ms(calendar::instant_of(other, zone).ok_or_else(none)?).map(Datum::Instant),
        },
        Type::Timestamp => {
            calendar::checked_ms(calendar::local_of(value, zone).ok_or_else(none)?).map(Datum::Timestamp)
        }
        Type::Date => calendar::date(calendar::local_of(value, zone).ok_or_else(none)?.div_euclid(DAY_MS)),
        Type::Time => match value {
            Datum::Time(_) => Ok(value.clone()),
            Datum::Interval(v) => Ok(Datum::Time(v.micros.rem_euclid(DAY_MICROS))),
            Datum::Date(_) => Err(none()),
            other => Ok(Datum::Time(calendar::local_of(other, zone).ok_or_else(none)?.rem_euclid(DAY_MS) * 1000)),
        },
        Type::Interval => match value {
            Datum::Interval(_) => Ok(value.clone()),
            Datum::Time(micros) => {
                Ok(Datum::Interval(millstream_flow::Interval { micros: *micros, ..Default::default() }))
            }
            _ => Err(none()),
        },
        Type::Document => match value {
            // A value of jsonb may be anything that JSON can say.
            Datum::Document(_) | Datum::Array(_) => Ok(value.clone()),
            _ => Err(none()),
        },
        Type::Array(element) => match (value, element) {
            (Datum::Array(_), None) => Ok(value.clone()),
            (Datum::Array(values), Some(element)) => elements(values, element, context),
            _ => Err(none()),
        },
        Type::ObjectId if matches!(value, Datum::ObjectId(_)) => Ok(value.clone()),
        Type::BsonTimestamp if matches!(value, Datum::BsonTimestamp(_)) => Ok(value.clone()),
        Type::Uuid if matches!(value, Datum::Binary(4, _)) => Ok(value.clone()),
        Type::Bytea => match value {
            Datum::Binary(4, bytes) => Ok(Datum::Binary(0, bytes.clone())),
            Datum::Binary(..) => Ok(value.clone()),
            _ => Err(none()),
        },
        Type::ObjectId | Type::BsonTimestamp | Type::Uuid => Err(none()),
    }
}

/// Whether some value of one type can be cast to the other.
pub(crate) fn possible(from: &Type, to: &Type) -> bool {
    let (source, target) = (from.class(), to.class());
    match (source, target) {
        _ if source == target => true,
        (Class::Text, _) | (_, Class::Text) => true,
        (Class::Boolean, Class::Number) => matches!(to, Type::Integer | Type::BigInt),
        (Class::Number, Class::Boolean) => matches!(from, Type::Integer | Type::BigInt),
        (Class::BsonTimestamp, Class::Time) => *to == Type::Timestamptz,
        (Class::Time, Class::TimeOfDay) => *from != Type::Date,
        (Class::Interval, Class::TimeOfDay) | (Class::TimeOfDay, Class::Interval) => true,
        (Class::Document, Class::Array) | (Class::Array, Class::Document) => true,
        // What is typed as a document may be any JSON value.
        (Class::Document, _) => true,
        _ => false,
    }
}

fn elements(values: &[Datum], element: &Type, context: &Context) -> Result<Datum> {
    let cast_element = |value: &Datum| match (value, element) {
        // Arrays of arrays have the innermost elements' type.
        (Datum::Array(inner), other) if !matches!(other, Type::Array(_) | Type::Document) => {
            elements(inner, other, context)
        }
        (other, _) => cast(other, element, context),
    };
    Ok(Datum::Array(values.iter().map(cast_element).collect::<Result<Vec<_>>>()?.into()))
}

/// What errors call a value.
pub(crate) fn name(value: &Datum) -> String {
    Type::of(value)
        .map_or_else(|| if value.is_null() { "NULL" } else { "this value" }.to_owned(), |kind| kind.to_string())
}

fn sized(value: Decimal, size: Option<(u32, i32)>) -> Result<Datum> {
    let Some((digits, scale)) = size else { return Ok(Datum::Decimal(value)) };
    if !value.is_finite() {
        return if value.is_nan() { Ok(Datum::Decimal(value)) } else { Err(number::out_of_range()) };
    }
    let rounded = number::round(value.round_to(scale, Rounding::HalfUp), scale);
    let (top, _) = rounded.normalized();
    if !rounded.is_zero() && top >= i32::try_from(digits).unwrap_or(i32::MAX) - scale {
        return Err(RowError::new("22003", format!("the number does not fit numeric({digits}, {scale})")));
    }
    Ok(Datum::Decimal(rounded))
}

/// The value that a text reads as.
fn read(text: &str, to: &Type, context: &Context) -> Result<Datum> {
    let zone = &context.time_zone;
    let trimmed = text.trim();
    let wrong = || RowError::new("22P02", format!("\"{text}\" is no {to}"));
    match to {
        Type::Text(_) => Ok(Datum::text(text)),
        Type::Integer => match whole(trimmed) {
            Some(value) => {
                i32::try_from(value).map(Datum::Int).map_err(|_| RowError::new("22003", "integer out of range"))
            }
            None => Err(wrong()),
        },
        Type::BigInt => match whole(trimmed) {
            Some(value) => {
                i64::try_from(value).map(Datum::Long).map_err(|_| RowError::new("22003", "bigint out of range"))
            }
            None => Err(wrong()),
        },
        Type::Numeric(size) => sized(number::parse_decimal(trimmed)?.ok_or_else(wrong)?, *size),
        Type::Double => double(trimmed).ok_or_else(wrong)?,
        Type::Boolean => boolean(trimmed).map(Datum::Bool).ok_or_else(wrong),
        Type::Timestamptz => time_text::instant(trimmed, zone),
        Type::Timestamp => time_text::timestamp(trimmed),
        Type::Date => time_text::date(trimmed),
        Type::Time => time_text::time(trimmed),
        Type::Interval => interval::parse(trimmed).map(Datum::Interval),
        Type::Document => json::parse(trimmed),
        Type::Array(element) => {
            let values = if trimmed.starts_with('{') {
                Datum::Array(json::parse_braces(trimmed)?.into())
            } else {
                json::parse(trimmed)?
            };
            match (&values, element) {
                (Datum::Array(_), None) => Ok(values),
                (Datum::Array(values), Some(element)) => elements(values, element, context),
                _ => Err(wrong()),
            }
        }
        Type::ObjectId => object_id(trimmed).map(Datum::ObjectId).ok_or_else(wrong),
        Type::Uuid => uuid(trimmed).map(|bytes| Datum::Binary(4, Arc::from(bytes))).ok_or_else(wrong),
        Type::Bytea => bytes(text).map(|bytes| Datum::Binary(0, Arc::from(bytes))).ok_or_else(wrong),
        Type::BsonTimestamp => bson_timestamp(trimmed).map(Datum::BsonTimestamp).ok_or_else(wrong),
    }
}

/// A whole number of any size; past 128 bits it is out of range anyway.
fn whole(text: &str) -> Option<i128> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(i128::MAX))
}

fn double(text: &str) -> Option<Result<Datum>> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text).to_ascii_lowercase();
    let special = matches!(unsigned.as_str(), "inf" | "infinity" | "nan");
    if !special && !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    Some(number::double(value, !special))
}

fn boolean(text: &str) -> Option<bool> {
    let lower = text.to_ascii_lowercase();
    let starts = |word: &str, least: usize| lower.len() >= least && word.starts_with(&lower);
    if starts("true", 1) || starts("yes", 1) || starts("on", 2) || lower == "1" {
        Some(true)
    } else if starts("false", 1) || starts("no", 1) || starts("off", 2) || lower == "0" {
        Some(false)
    } else {
        None
    }
}

fn digits(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len() / 2).map(|at| u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()).collect()
}

pub(crate) fn object_id(text: &str) -> Option<[u8; 12]> {
    digits(text)?.try_into().ok()
}

pub(crate) fn uuid(text: &str) -> Option<Vec<u8>> {
    let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
    digits(&inner.replace('-', "")).filter(|bytes| bytes.len() == 16)
}

/// `\x0aff`, or text with `\\` and octal escapes.
pub(crate) fn bytes(text: &str) -> Option<Vec<u8>> {
    if let Some(hex) = text.trim().strip_prefix("\\x") {
        return digits(&hex.split_whitespace().collect::<String>());
    }
    super::function::encoding::from_escape(text)
}

fn bson_timestamp(text: &str) -> Option<ClusterTime> {
    let (seconds, increment) = text.strip_prefix("Timestamp(")?.strip_suffix(')')?.split_once(',')?;
    Some(ClusterTime { seconds: seconds.trim().parse().ok()?, increment: increment.trim().parse().ok()? })
}
