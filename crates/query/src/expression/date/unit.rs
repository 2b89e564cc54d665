//! Units of time.

use crate::{Error, Result};

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// So many months.
    Months(i64),
    /// So many days, of whatever length the zone gives them.
    Days(i64),
    /// So many milliseconds.
    Milliseconds(i64),
}

impl Unit {
    /// By its name.
    pub(super) fn parse(name: &str) -> Result<Self> {
        Ok(match name {
            "year" => Self::Months(12),
            "quarter" => Self::Months(3),
            "month" => Self::Months(1),
            "week" => Self::Days(7),
            "day" => Self::Days(1),
            "hour" => Self::Milliseconds(3_600_000),
            "minute" => Self::Milliseconds(60_000),
            "second" => Self::Milliseconds(1000),
            "millisecond" => Self::Milliseconds(1),
            other => return Err(Error::failed_to_parse(format!("unknown time unit value: {other}"))),
        })
    }
}

/// The day that a week starts with, Monday = 1, by name or its first three letters.
pub(super) fn weekday(name: &str) -> Result<i64> {
    let names = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let lower = name.to_ascii_lowercase();
    names
        .iter()
        .zip(1..)
        .find(|(known, _)| lower == **known || known.get(..3) == Some(lower.as_str()))
        .map(|(_, number)| number)
        .ok_or_else(|| Error::failed_to_parse(format!("unknown day of week value: {name}")))
}
