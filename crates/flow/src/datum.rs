//! One SQL value: a BSON value, or one of the few that only expressions have.

use std::sync::Arc;

use millstream_value::{ClusterTime, Decimal, Value};

/// A value of SQL (SQL-4.2). Cloning is cheap: what is long is shared.
///
/// `PartialEq` is the equality of type and content, which decides whether a stored row has changed; for SQL's equality use
/// [`crate::key::compare`]. `Missing` is NULL wherever it is not asked for by name.
#[derive(Clone, Debug)]
pub enum Datum {
    /// No field of that name: NULL.
    Missing,
    /// NULL.
    Null,
    /// `integer`.
    Int(i32),
    /// `bigint`.
    Long(i64),
    /// `double precision`.
    Double(f64),
    /// `numeric`.
    Decimal(Decimal),
    /// `text`.
    Text(Arc<str>),
    /// `document`: encoded BSON, length and terminator included, checked.
    Document(Arc<[u8]>),
    /// `array`.
    Array(Arc<[Datum]>),
    /// `bytea`, and `uuid` with subtype 4.
    Binary(u8, Arc<[u8]>),
    /// `objectid`.
    ObjectId([u8; 12]),
    /// `boolean`.
    Bool(bool),
    /// `timestamptz`: milliseconds since 1970 UTC.
    Instant(i64),
    /// `timestamp`: milliseconds since 1970-01-01 00:00 in no zone.
    Timestamp(i64),
    /// `date`: days since 1970-01-01.
    Date(i32),
    /// `bson_timestamp`.
    BsonTimestamp(ClusterTime),
    /// `interval`.
    Interval(Interval),
    /// `time`: microseconds since midnight.
    Time(i64),
    /// What SQL can only hand on: regular expressions, code, pointers, MinKey and MaxKey.
    Opaque(Arc<Value<'static>>),
}

/// A span of time. Its parts are kept apart: a month has no fixed number of days, nor a day of hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Interval {
    /// Months.
    pub months: i32,
    /// Days.
    pub days: i32,
    /// Microseconds.
    pub micros: i64,
}

impl Interval {
    /// Its length in microseconds with days of 24 hours and months of 30 days, by which intervals compare (SQL-4.5).
    #[must_use]
    pub fn length_micros(self) -> i128 {
        (i128::from(self.months) * 30 + i128::from(self.days)) * 86_400_000_000 + i128::from(self.micros)
    }
}

impl Datum {
    /// Text.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Text(Arc::from(text.as_ref()))
    }

    /// Whether it is NULL.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Missing | Self::Null)
    }

    /// From a stored value.
    #[must_use]
    pub fn from_value(value: &Value<'_>) -> Self {
        match value {
            Value::Undefined | Value::Null => Self::Null,
            Value::Double(v) => Self::Double(*v),
            Value::Int32(v) => Self::Int(*v),
            Value::Int64(v) => Self::Long(*v),
            Value::Decimal(v) => Self::Decimal(*v),
            Value::String(v) | Value::Symbol(v) => Self::Text(Arc::from(v.as_ref())),
            Value::Document(bytes) => Self::Document(Arc::from(bytes.as_ref())),
            Value::Array(_) => {
                let values = value.as_array().into_iter().flat_map(|array| array.values());
                Self::Array(values.map(|value| Self::from_value(&value)).collect())
            }
            Value::Binary(subtype, bytes) => Self::Binary(*subtype, Arc::from(bytes.as_ref())),
            Value::ObjectId(id) => Self::ObjectId(*id),
            Value::Bool(v) => Self::Bool(*v),
            Value::Date(ms) => Self::Instant(*ms),
            Value::Timestamp(time) => Self::BsonTimestamp(*time),
            Value::MinKey
            | Value::MaxKey
            | Value::Regex(..)
            | Value::DbPointer(..)
            | Value::Code(_)
            | Value::CodeWithScope(..) => Self::Opaque(Arc::new(value.clone().into_owned())),
        }
    }
}

impl PartialEq for Datum {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Missing, Self::Missing) | (Self::Null, Self::Null) => true,
            (Self::Int(a), Self::Int(b)) | (Self::Date(a), Self::Date(b)) => a == b,
            (Self::Long(a), Self::Long(b))
            | (Self::Instant(a), Self::Instant(b))
            | (Self::Timestamp(a), Self::Timestamp(b))
            | (Self::Time(a), Self::Time(b)) => a == b,
            (Self::Double(a), Self::Double(b)) => a.to_bits() == b.to_bits(),
            (Self::Decimal(a), Self::Decimal(b)) => a.to_le_bytes() == b.to_le_bytes(),
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Document(a), Self::Document(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Binary(s, a), Self::Binary(t, b)) => s == t && a == b,
            (Self::ObjectId(a), Self::ObjectId(b)) => a == b,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::BsonTimestamp(a), Self::BsonTimestamp(b)) => a == b,
            (Self::Interval(a), Self::Interval(b)) => a == b,
            (Self::Opaque(a), Self::Opaque(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Datum {}
