//! Functions of BSON's own types (SQL-6.8, SQL-6.6).

use millstream_flow::{Datum, RowError};
use millstream_value::{new_uuid, type_name};

use super::arguments::{text, value};
use super::{Context, Function, Takes};
use crate::Type;
use crate::expr::{cast, json, stored};

type Result = std::result::Result<Datum, RowError>;

// tidy: sorted by name
pub(super) static BSON: &[Function] = &[
    Function::new("BSON_TYPE", (1, 1), &[Takes::Any], Some(Type::Text(None)), bson_type).nulls(),
    Function::new("FROM_EXTJSON", (1, 1), &[Takes::Text], None, |a, _| json::parse_extended(text(a, 0))),
    Function::new("GEN_RANDOM_UUID", (0, 0), &[], Some(Type::Uuid), |_, _| {
        Ok(Datum::Binary(4, new_uuid().as_slice().into()))
    })
    .volatile(),
    Function::new("OBJECTID", (1, 1), &[Takes::Text], Some(Type::ObjectId), object_id),
    Function::new("OBJECTID_TIMESTAMP", (1, 1), &[Takes::Any], Some(Type::Timestamptz), object_id_timestamp),
    Function::new("TO_EXTJSON", (1, 2), &[Takes::Any], Some(Type::Text(None)), to_extjson).nulls(),
];

/// The name that `$type` has for it.
pub(super) fn bson_type(a: &[Datum], context: &Context) -> Result {
    Ok(Datum::text(match value(a, 0) {
        Datum::Missing => "missing",
        Datum::Interval(_) => "interval",
        Datum::Time(_) => "time",
        other => type_name(stored::to_value(other, &context.time_zone).kind()),
    }))
}

fn object_id(a: &[Datum], _: &Context) -> Result {
    let wrong = || RowError::new("22P02", format!("\"{}\" is no objectid", text(a, 0)));
    cast::object_id(text(a, 0).trim()).map(Datum::ObjectId).ok_or_else(wrong)
}

/// An ObjectId begins with the second in which it was made.
fn object_id_timestamp(a: &[Datum], _: &Context) -> Result {
    match value(a, 0) {
        Datum::ObjectId([b0, b1, b2, b3, ..]) => {
            Ok(Datum::Instant(i64::from(u32::from_be_bytes([*b0, *b1, *b2, *b3])) * 1000))
        }
        other => Err(RowError::new("42804", format!("OBJECTID_TIMESTAMP does not take {}", cast::name(other)))),
    }
}

fn to_extjson(a: &[Datum], context: &Context) -> Result {
    let canonical = matches!(a.get(1), Some(Datum::Bool(true)));
    if value(a, 0).is_null() {
        return Ok(Datum::Null);
    }
    Ok(Datum::text(json::print_extended(&stored::to_value(value(a, 0), &context.time_zone), canonical)))
}
