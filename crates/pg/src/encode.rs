//! Values as PostgreSQL's clients read them: as text, and in the binary form of each type.

use jiff::tz::TimeZone;
use millstream_flow::Datum;
use millstream_sql::SqlError;
use millstream_sql::expr::{restored, to_json, to_text};

use crate::shape::Field;
use crate::{numeric, types};

/// From 1970 to 2000, from when the protocol counts.
pub(crate) const EPOCH_DAYS: i32 = 10_957;
/// The same in milliseconds.
pub(crate) const EPOCH_MS: i64 = 10_957 * 86_400_000;

/// The bytes of a value that is not NULL.
pub(crate) fn encode(value: Datum, field: &Field, zone: &TimeZone) -> Result<Vec<u8>, SqlError> {
    // What documents cannot hold was stored as something else (SQL-4.13).
    let value = match &field.kind {
        Some(kind) => restored(value, kind, zone),
        None => value,
    };
    if field.binary { binary(&value, field, zone) } else { Ok(text(&value, field.number, zone).into_bytes()) }
}

fn text(value: &Datum, number: u32, zone: &TimeZone) -> String {
    match (number, value) {
        (types::JSONB, value) => to_json(value, zone),
        (_, Datum::Bool(value)) => if *value { "t" } else { "f" }.to_owned(),
        // A text of the protocol may hold no zero byte.
        (_, Datum::Text(text)) if text.contains('\0') => text.replace('\0', "\u{fffd}"),
        (_, value) => to_text(value, zone),
    }
}

fn binary(value: &Datum, field: &Field, zone: &TimeZone) -> Result<Vec<u8>, SqlError> {
    let other = || {
        let message = format!("column \"{}\" holds a value that its type has no binary form for", field.name);
        SqlError::new("22P03", message).hint("cast it, or ask for text")
    };
    Ok(match (field.number, value) {
        (types::BOOL, Datum::Bool(value)) => vec![u8::from(*value)],
        (types::BYTEA, Datum::Binary(_, bytes)) => bytes.to_vec(),
        (types::UUID, Datum::Binary(_, bytes)) if bytes.len() == 16 => bytes.to_vec(),
        (types::INT4, value) => {
            let whole = whole(value).and_then(|value| i32::try_from(value).ok()).ok_or_else(other)?;
            whole.to_be_bytes().to_vec()
        }
        (types::INT8, value) => whole(value).ok_or_else(other)?.to_be_bytes().to_vec(),
        (types::FLOAT8, value) => {
            let double: f64 = match value {
                Datum::Double(value) => *value,
                Datum::Int(value) => f64::from(*value),
                Datum::Long(_) | Datum::Decimal(_) => to_text(value, zone).parse().map_err(|_| other())?,
                _ => return Err(other()),
            };
            double.to_be_bytes().to_vec()
        }
        (types::NUMERIC, Datum::Int(_) | Datum::Long(_) | Datum::Double(_) | Datum::Decimal(_)) => {
            numeric::encode(&to_text(value, zone)).ok_or_else(other)?
        }
        (types::DATE, Datum::Date(days)) => days.saturating_sub(EPOCH_DAYS).to_be_bytes().to_vec(),
        (types::TIME, Datum::Time(micros)) => micros.to_be_bytes().to_vec(),
        (types::TIMESTAMP, Datum::Timestamp(ms)) | (types::TIMESTAMPTZ, Datum::Instant(ms)) => {
            ms.saturating_sub(EPOCH_MS).saturating_mul(1_000).to_be_bytes().to_vec()
        }
        (types::INTERVAL, Datum::Interval(length)) => {
            let mut bytes = length.micros.to_be_bytes().to_vec();
            bytes.extend(length.days.to_be_bytes());
            bytes.extend(length.months.to_be_bytes());
            bytes
        }
        (types::JSONB, value) => {
            // The version of the form.
            let mut bytes = vec![1];
            bytes.extend(to_json(value, zone).into_bytes());
            bytes
        }
        (types::TEXT | types::VARCHAR, value) => text(value, field.number, zone).into_bytes(),
        _ => return Err(other()),
    })
}

fn whole(value: &Datum) -> Option<i64> {
    match value {
        Datum::Int(value) => Some(i64::from(*value)),
        Datum::Long(value) => Some(*value),
        _ => None,
    }
}
