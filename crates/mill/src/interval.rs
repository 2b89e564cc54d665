//! Lengths of time in options.

use std::time::Duration;

use millstream_sql::SqlError;

use crate::error::Result;

/// Units and their milliseconds.
// Sorted by name.
static UNITS: &[(&str, i64)] = &[
    ("d", 86_400_000),
    ("day", 86_400_000),
    ("days", 86_400_000),
    ("h", 3_600_000),
    ("hour", 3_600_000),
    ("hours", 3_600_000),
    ("m", 60_000),
    ("min", 60_000),
    ("millisecond", 1),
    ("milliseconds", 1),
    ("mins", 60_000),
    ("minute", 60_000),
    ("minutes", 60_000),
    ("ms", 1),
    ("s", 1_000),
    ("sec", 1_000),
    ("second", 1_000),
    ("seconds", 1_000),
    ("secs", 1_000),
    ("week", 604_800_000),
    ("weeks", 604_800_000),
];

/// The milliseconds of a text such as `5 minutes` or `1 hour 30 minutes`.
pub(crate) fn millis(text: &str) -> Result<i64> {
    let wrong = || SqlError::new("22023", format!("'{text}' is no length of time")).hint("for example '5 minutes'");
    let mut total = 0.0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        let (number, more) = rest.split_at(end);
        let more = more.trim_start();
        let end = more.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(more.len());
        let (unit, more) = more.split_at(end);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let unit = if unit.is_empty() { "s".to_owned() } else { unit.to_ascii_lowercase() };
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        #[expect(clippy::cast_precision_loss, reason = "units are small")]
        let millis = *millis as f64;
        total += number * millis;
        rest = more.trim_start();
    }
    #[expect(clippy::cast_possible_truncation, reason = "saturates, which is right")]
    Ok(total.round() as i64)
}

/// The same as a duration.
pub(crate) fn duration(text: &str) -> Result<Duration> {
    Ok(Duration::from_millis(u64::try_from(millis(text)?).unwrap_or(0)))
}

/// A time, such as `2025-09-05T10:00:00Z`, as the first moment of its second.
pub(crate) fn time(text: &str) -> Result<bson::Timestamp> {
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| SqlError::new("22007", format!("'{text}' is no time, such as 2025-09-05T10:00:00Z")))?;
    Ok(bson::Timestamp { time: u32::try_from(time.as_second()).unwrap_or(0), increment: 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        let read = |text| millis(text).map_err(|error| error.state.0);
        assert_eq!(read("5 minutes"), Ok(300_000));
        assert_eq!(read("1 hour 30 min"), Ok(5_400_000));
        assert_eq!(read("250ms"), Ok(250));
        assert_eq!(read("1.5"), Ok(1_500));
        assert_eq!(read("soon"), Err("22023"));
        assert_eq!(read(""), Err("22023"));
        assert_eq!(read("3 moons"), Err("22023"));
    }
}
