//! Single values, outside of any expression.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use millstream_flow::{Datum, RowError};

use super::untyped::Reading;
use super::{Context, Step, cast, path, print};
use crate::Type;

/// A value as text (SQL-4.2).
#[must_use]
pub fn to_text(value: &Datum, zone: &TimeZone) -> String {
    print::text(value, zone)
}

/// A value as jsonb has it: what JSON has no form for is a text, as `to_jsonb` of PostgreSQL makes it; inside of documents and
/// arrays it is Extended JSON (SQL-4.11).
#[must_use]
pub fn to_json(value: &Datum, zone: &TimeZone) -> String {
    match value {
        Datum::Double(number) if !number.is_finite() => print::quoted_text(&print::text(value, zone)),
        Datum::Decimal(number) if number.is_finite() => print::text(value, zone),
        Datum::Instant(_) => {
            let mut text = print::text(value, zone).replacen(' ', "T", 1);
            // The offset has minutes.
            if text.rfind(['+', '-']).is_some_and(|sign| text.len() - sign == 3) {
                text.push_str(":00");
            }
            print::quoted_text(&text)
        }
        Datum::Timestamp(_) => print::quoted_text(&print::text(value, zone).replacen(' ', "T", 1)),
        Datum::Text(_)
        | Datum::Decimal(_)
        | Datum::Binary(..)
        | Datum::ObjectId(_)
        | Datum::Date(_)
        | Datum::BsonTimestamp(_)
        | Datum::Interval(_)
        | Datum::Time(_) => print::quoted_text(&print::text(value, zone)),
        _ => print::json(value, zone),
    }
}

/// A value that was stored, as one of a type that documents do not have: `date`, `timestamp`, `time`, `interval` (SQL-4.13).
#[must_use]
pub fn restored(value: Datum, kind: &Type, zone: &TimeZone) -> Datum {
    match (kind, &value) {
        (Type::Date | Type::Timestamp, Datum::Instant(_)) | (Type::Time | Type::Interval, Datum::Text(_)) => {
            cast::cast(&value, kind, &constants(zone)).unwrap_or(value)
        }
        _ => value,
    }
}

/// The value that a text reads as (SQL-4.11).
///
/// # Errors
/// It does not read so.
pub fn read(text: &str, kind: &Type, zone: &TimeZone) -> Result<Datum, RowError> {
    cast::cast(&Datum::text(text), kind, &constants(zone))
}

fn constants(zone: &TimeZone) -> Context {
    Context {
        variables: Vec::new(),
        time_zone: zone.clone(),
        routine: Box::new(|_, _| Err(RowError::new("0A000", "no routine"))),
        clock: Box::new(|| 0),
    }
}

/// Follows the steps of a path (SQL-3.5).
#[must_use]
pub fn step_into(value: &Datum, steps: &[Step]) -> Datum {
    path::walk(Cow::Borrowed(value), steps).into_owned()
}

/// Everything that an untyped text may be stored as (SQL-4.10).
#[must_use]
pub fn stored_forms(text: &str, context: &Context) -> Vec<Datum> {
    Reading::new(text, context).stored().into_iter().cloned().collect()
}
