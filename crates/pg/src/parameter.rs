//! The values of `$1`, `$2`… as clients send them.

use jiff::tz::TimeZone;
use millstream_flow::{Datum, Interval};
use millstream_mill::Parameter;
use millstream_sql::expr::read;
use millstream_sql::{SqlError, Type};

use crate::encode::{EPOCH_DAYS, EPOCH_MS};
use crate::{numeric, types};

/// Arrays, and what they are of.
// Sorted by number.
static ARRAYS: &[(u32, u32)] = &[
    (199, types::JSON),
    (1000, types::BOOL),
    (1001, types::BYTEA),
    (1005, types::INT2),
    (1007, types::INT4),
    (1009, types::TEXT),
    (1015, types::VARCHAR),
    (1016, types::INT8),
    (1021, types::FLOAT4),
    (1022, types::FLOAT8),
    (1115, types::TIMESTAMP),
    (1182, types::DATE),
    (1183, types::TIME),
    (1185, types::TIMESTAMPTZ),
    (1187, types::INTERVAL),
    (1231, types::NUMERIC),
    (2951, types::UUID),
    (3807, types::JSONB),
];

/// A value of a type, in its text or its binary form. A text is an untyped literal: it takes the type of what it meets
/// (SQL-4.10).
pub(crate) fn decode(bytes: &[u8], number: u32, is_binary: bool, zone: &TimeZone) -> Result<Parameter, SqlError> {
    let kind = kind(number)?;
    match (kind, is_binary) {
        (None, _) => Ok(Parameter::Literal(text(bytes)?.to_owned())),
        (Some(kind), false) => Ok(Parameter::Value(read(text(bytes)?, &kind, zone)?)),
        (Some(_), true) => {
            let wrong = || SqlError::new("22P03", format!("a parameter's binary form is wrong (type {number})"));
            binary(bytes, number, zone).ok_or_else(wrong).map(Parameter::Value)
        }
    }
}

/// The type of a parameter by its number; `None`: a text, or not said.
pub(crate) fn kind(number: u32) -> Result<Option<Type>, SqlError> {
    Ok(Some(match number {
        // Also bpchar and name.
        0 | types::TEXT | types::VARCHAR | types::UNKNOWN | 1042 | 19 => return Ok(None),
        types::BOOL => Type::Boolean,
        types::BYTEA => Type::Bytea,
        types::INT2 | types::INT4 => Type::Integer,
        types::INT8 | types::OID => Type::BigInt,
        types::FLOAT4 | types::FLOAT8 => Type::Double,
        types::NUMERIC => Type::Numeric(None),
        types::DATE => Type::Date,
        types::TIME => Type::Time,
        types::TIMESTAMP => Type::Timestamp,
        types::TIMESTAMPTZ => Type::Timestamptz,
        types::INTERVAL => Type::Interval,
        types::UUID => Type::Uuid,
        types::JSON | types::JSONB => Type::Document,
        other => match element(other) {
            Some(element) => Type::Array(kind(element)?.or(Some(Type::Text(None))).map(Box::new)),
            None => {
                let message = format!("parameters of the type number {other} are not supported");
                return Err(SqlError::new("0A000", message).hint("send it as text"));
            }
        },
    }))
}

fn element(number: u32) -> Option<u32> {
    let at = ARRAYS.binary_search_by_key(&number, |(array, _)| *array).ok()?;
    ARRAYS.get(at).map(|(_, element)| *element)
}

fn text(bytes: &[u8]) -> Result<&str, SqlError> {
    let text = std::str::from_utf8(bytes).map_err(|_| SqlError::new("22021", "a parameter is no UTF-8"))?;
    if text.contains('\0') {
        return Err(SqlError::new("22021", "a text may hold no zero byte"));
    }
    Ok(text)
}

fn binary(bytes: &[u8], number: u32, zone: &TimeZone) -> Option<Datum> {
    let long = || bytes.try_into().ok().map(i64::from_be_bytes);
    let instant = |micros: i64| micros.div_euclid(1_000).checked_add(EPOCH_MS);
    Some(match number {
        types::TEXT | types::VARCHAR => Datum::text(text(bytes).ok()?),
        types::BOOL => match bytes {
            [byte] => Datum::Bool(*byte != 0),
            _ => return None,
        },
        types::BYTEA => Datum::Binary(0, bytes.into()),
        types::UUID if bytes.len() == 16 => Datum::Binary(4, bytes.into()),
        types::INT2 => Datum::Int(i32::from(i16::from_be_bytes(bytes.try_into().ok()?))),
        types::INT4 => Datum::Int(i32::from_be_bytes(bytes.try_into().ok()?)),
        types::OID => Datum::Long(i64::from(u32::from_be_bytes(bytes.try_into().ok()?))),
        types::INT8 => Datum::Long(long()?),
        types::FLOAT4 => Datum::Double(f64::from(f32::from_be_bytes(bytes.try_into().ok()?))),
        types::FLOAT8 => Datum::Double(f64::from_be_bytes(bytes.try_into().ok()?)),
        types::NUMERIC => read(&numeric::decode(bytes)?, &Type::Numeric(None), zone).ok()?,
        types::DATE => Datum::Date(i32::from_be_bytes(bytes.try_into().ok()?).checked_add(EPOCH_DAYS)?),
        types::TIME => Datum::Time(long()?),
        types::TIMESTAMP => Datum::Timestamp(instant(long()?)?),
        types::TIMESTAMPTZ => Datum::Instant(instant(long()?)?),
        types::INTERVAL => {
            let (micros, rest) = bytes.split_first_chunk()?;
            let (days, rest) = rest.split_first_chunk()?;
            let micros = i64::from_be_bytes(*micros);
            let days = i32::from_be_bytes(*days);
            Datum::Interval(Interval { micros, days, months: i32::from_be_bytes(rest.try_into().ok()?) })
        }
        types::JSON => read(text(bytes).ok()?, &Type::Document, zone).ok()?,
        types::JSONB => match bytes.split_first()? {
            (1, json) => read(text(json).ok()?, &Type::Document, zone).ok()?,
            _ => return None,
        },
        other => array(bytes, element(other)?, zone)?,
    })
}

/// An array of one dimension: dimensions, whether there are NULLs, the type, then length and lower bound, then the elements.
fn array(bytes: &[u8], kind: u32, zone: &TimeZone) -> Option<Datum> {
    let (dimensions, rest) = bytes.split_first_chunk()?;
    let (_, rest) = rest.split_first_chunk::<4>()?;
    let (element, mut rest) = rest.split_first_chunk()?;
    if u32::from_be_bytes(*element) != kind {
        return None;
    }
    let mut values = Vec::new();
    match i32::from_be_bytes(*dimensions) {
        0 => {}
        1 => {
            (_, rest) = rest.split_first_chunk::<8>()?;
            while let Some((length, more)) = rest.split_first_chunk() {
                let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
                    values.push(Datum::Null);
                    rest = more;
                    continue;
                };
                let (value, more) = more.split_at_checked(length)?;
                values.push(binary(value, kind, zone)?);
                rest = more;
            }
        }
        _ => return None,
    }
    rest.is_empty().then(|| Datum::Array(values.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(bytes: &[u8], number: u32, is_binary: bool) -> Datum {
        match decode(bytes, number, is_binary, &TimeZone::UTC).unwrap() {
            Parameter::Value(value) => value,
            Parameter::Literal(text) => panic!("{text} is a literal"),
        }
    }

    #[test]
    fn both_forms_are_the_same_value() {
        for (text, bytes, number) in [
            ("t", b"\x01".as_slice(), types::BOOL),
            ("-2", b"\xff\xff\xff\xfe", types::INT4),
            ("7", b"\0\0\0\0\0\0\0\x07", types::INT8),
            ("0.5", b"\x3f\xe0\0\0\0\0\0\0", types::FLOAT8),
            ("12.5", b"\0\x02\0\0\0\0\0\x01\0\x0c\x13\x88", types::NUMERIC),
            ("2000-01-02", b"\0\0\0\x01", types::DATE),
            ("2000-01-01 00:00:01+00", b"\0\0\0\0\0\x0f\x42\x40", types::TIMESTAMPTZ),
            ("\\x00ff", b"\0\xff", types::BYTEA),
            ("{\"a\": 1}", b"\x01{\"a\": 1}", types::JSONB),
            (
                "{1,NULL}",
                b"\0\0\0\x01\0\0\0\x01\0\0\0\x17\0\0\0\x02\0\0\0\x01\0\0\0\x04\0\0\0\x01\xff\xff\xff\xff",
                1007,
            ),
        ] {
            assert_eq!(value(text.as_bytes(), number, false), value(bytes, number, true), "{text}");
        }
    }

    #[test]
    fn texts_are_literals_and_wrong_bytes_are_refused() {
        assert!(matches!(decode(b"5", 0, false, &TimeZone::UTC), Ok(Parameter::Literal(_))));
        assert!(matches!(decode(b"5", types::TEXT, true, &TimeZone::UTC), Ok(Parameter::Literal(_))));
        for (bytes, number, is_binary) in [
            (b"\0".as_slice(), types::INT4, true),
            (b"x", types::INT4, false),
            (b"\xff", 0, false),
            (b"a\0b", 0, false),
            (b"\0\0\0\x01\0\0\0\0\0\0\0\x17\0\0\0\x01\0\0\0\x01\0\0\0\x09\0", 1007, true),
            (b"", 600, false),
        ] {
            assert!(decode(bytes, number, is_binary, &TimeZone::UTC).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(ARRAYS.is_sorted());
    }
}
