//! Dates: their parts, their text, and arithmetic in a time zone.
//!
//! A date is milliseconds since 1970 in UTC, for any year that fits. A zone is `UTC`, an offset (`+05:30`, `-0800`,
//! `+03`) or an Olson name (`Europe/Oslo`). Timestamps and ObjectIds count as the dates they hold.
//! Source: MongoDB manual 8.0, "Date Expression Operators".

pub(super) mod arithmetic;
pub(super) mod calendar;
pub(super) mod difference;
pub(super) mod format;
pub(super) mod parse;
pub(super) mod part;
pub(super) mod parts;
pub(super) mod truncate;
mod unit;
mod zone;

use millstream_value::Value;

use super::operator::{Args, shown, type_name};
use crate::{Error, Result};
use calendar::Civil;

pub(super) use parse::parse_text;
pub(super) use zone::Zone;

/// Milliseconds of a day.
pub(super) const DAY: i64 = 86_400_000;

/// `2021-03-14T15:09:26.000Z`
pub(super) fn iso(ms: i64) -> String {
    let c = Civil::of(ms);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        c.year, c.month, c.day, c.hour, c.minute, c.second, c.millisecond
    )
}

/// Whether the year has at most four digits.
pub(super) fn is_printable(ms: i64) -> bool {
    (0..=9999).contains(&Civil::of(ms).year)
}

/// When an ObjectId was made.
pub(super) fn of_object_id(id: &[u8; 12]) -> i64 {
    let [a, b, c, d, ..] = *id;
    i64::from(u32::from_be_bytes([a, b, c, d])) * 1000
}

/// A value as milliseconds since 1970; `None` if it is no date.
pub(super) fn ms_of(value: Option<&Value<'_>>) -> Option<i64> {
    match value? {
        Value::Date(ms) => Some(*ms),
        Value::Timestamp(time) => Some(i64::from(time.seconds) * 1000),
        Value::ObjectId(id) => Some(of_object_id(id)),
        _ => None,
    }
}

fn to_ms(value: Option<&Value<'_>>) -> Result<i64> {
    ms_of(value)
        .ok_or_else(|| Error::location(16006, format!("can't convert from BSON type {} to Date", type_name(value))))
}

/// A named `timezone` argument; `None` if it was written and is null or missing.
fn zone_of(args: &Args<'_, '_>, at: u32) -> Result<Option<Zone>> {
    if !args.given(at) {
        return Ok(Some(Zone::Utc));
    }
    let value = usize::try_from(at).ok().and_then(|at| args.get(at));
    match value {
        None => Ok(None),
        Some(value) if value.is_nullish() => Ok(None),
        Some(Value::String(name)) => Zone::parse(name).map(Some),
        Some(other) => {
            Err(Error::location(40517, format!("timezone must evaluate to a string, found {}", other.type_name())))
        }
    }
}

/// An error of a result that no date can hold.
fn out_of_range(args: &Args<'_, '_>) -> Error {
    Error::location(5_166_406, format!("{} overflowed: {}", args.name, shown(args.get(0))))
}
