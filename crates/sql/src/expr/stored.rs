//! SQL values as they are written into documents, and documents made of them (SQL-4.13).

use std::borrow::Cow;
use std::sync::Arc;

use jiff::tz::TimeZone;
use millstream_flow::Datum;
use millstream_value::{ArrayBuf, DocBuf, Value};

use super::calendar::{self, DAY_MS};
use super::{interval, time_text};

/// The stored form of a value: dates and timestamps become instants (of midnight in the zone, or taken in it), times of day
/// and intervals text, NULL null.
#[must_use]
pub fn to_value(value: &Datum, zone: &TimeZone) -> Value<'static> {
    match value {
        Datum::Missing | Datum::Null => Value::Null,
        Datum::Int(v) => Value::Int32(*v),
        Datum::Long(v) => Value::Int64(*v),
        Datum::Double(v) => Value::Double(*v),
        Datum::Decimal(v) => Value::Decimal(*v),
        Datum::Text(v) => Value::String(Cow::Owned(v.to_string())),
        Datum::Document(bytes) => Value::Document(Cow::Owned(bytes.to_vec())),
        Datum::Array(values) => {
            let mut array = ArrayBuf::new();
            for value in values.iter() {
                array.push(to_value(value, zone));
            }
            Value::Array(Cow::Owned(array.into_bytes()))
        }
        Datum::Binary(subtype, bytes) => Value::Binary(*subtype, Cow::Owned(bytes.to_vec())),
        Datum::ObjectId(id) => Value::ObjectId(*id),
        Datum::Bool(v) => Value::Bool(*v),
        Datum::Instant(ms) => Value::Date(*ms),
        Datum::Timestamp(ms) => Value::Date(calendar::to_instant(*ms, zone)),
        Datum::Date(days) => Value::Date(calendar::to_instant(i64::from(*days) * DAY_MS, zone)),
        Datum::BsonTimestamp(time) => Value::Timestamp(*time),
        Datum::Interval(v) => Value::String(Cow::Owned(interval::print_iso(*v))),
        Datum::Time(micros) => Value::String(Cow::Owned(time_text::print_time(*micros))),
        Datum::Opaque(value) => value.as_ref().clone(),
    }
}

pub(crate) fn from_buf(doc: DocBuf) -> Datum {
    Datum::Document(Arc::from(doc.into_bytes()))
}
