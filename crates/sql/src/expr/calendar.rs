//! The calendar: days, months and zones. All of it counts from 1970-01-01; the calendar is Gregorian throughout.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use millstream_flow::{Datum, RowError};

pub(crate) type Result<T> = std::result::Result<T, RowError>;

/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 86_400_000;
/// Microseconds of a day.
pub(crate) const DAY_MICROS: i64 = 86_400_000_000;

/// A day of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Day {
    pub(crate) year: i64,
    /// From 1.
    pub(crate) month: i64,
    /// From 1.
    pub(crate) day: i64,
}

pub(crate) fn out_of_range() -> RowError {
    RowError::new("22008", "the time is out of range: years go from 0001 to 9999")
}

/// The day that is so many days after 1970-01-01.
pub(crate) fn day_of(days: i64) -> Day {
    // Years begin in March here, so that the leap day is a year's last one; eras are of 400 years.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Day { year, month, day: of_year - (153 * from_march + 2) / 5 + 1 }
}

/// Days from 1970-01-01 to a day; months beyond a year's count on.
pub(crate) fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let year = year + (month - 1).div_euclid(12);
    let month = (month - 1).rem_euclid(12) + 1;
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

pub(crate) fn month_length(year: i64, month: i64) -> i64 {
    days_to(year, month + 1, 1) - days_to(year, month, 1)
}

/// The days of a date that a calendar has: 22008 if it has not.
pub(crate) fn checked_day(year: i64, month: i64, day: i64) -> Result<i64> {
    let there = (1..=9999).contains(&year) && (1..=12).contains(&month) && day >= 1 && day <= month_length(year, month);
    if there { Ok(days_to(year, month, day)) } else { Err(RowError::new("22008", "there is no such date")) }
}

fn in_range(days: i64) -> bool {
    // From 0001-01-01 to 9999-12-31.
    (-719_162..=2_932_896).contains(&days)
}

/// A `timestamptz` or `timestamp`, if it is between the years 1 and 9999.
pub(crate) fn checked_ms(ms: i64) -> Result<i64> {
    if in_range(ms.div_euclid(DAY_MS)) { Ok(ms) } else { Err(out_of_range()) }
}

pub(crate) fn date(days: i64) -> Result<Datum> {
    match i32::try_from(days) {
        Ok(small) if in_range(days) => Ok(Datum::Date(small)),
        _ => Err(out_of_range()),
    }
}

/// What a clock in the zone shows at an instant: milliseconds since 1970-01-01 00:00 on that clock.
pub(crate) fn to_local(instant_ms: i64, zone: &TimeZone) -> i64 {
    instant_ms + offset_seconds(instant_ms, zone) * 1000
}

/// How many seconds the zone is ahead of UTC at an instant.
pub(crate) fn offset_seconds(instant_ms: i64, zone: &TimeZone) -> i64 {
    match Timestamp::from_millisecond(instant_ms) {
        Ok(instant) => i64::from(zone.to_offset(instant).seconds()),
        Err(_) => 0,
    }
}

/// The instant at which a clock in the zone shows a time: of two the later one, of a time that was skipped the one that the
/// clock would have shown without the change.
pub(crate) fn to_instant(local_ms: i64, zone: &TimeZone) -> i64 {
    if zone == &TimeZone::UTC {
        return local_ms;
    }
    let Ok(shown) = Timestamp::from_millisecond(local_ms) else { return local_ms };
    let shown = jiff::tz::Offset::UTC.to_datetime(shown);
    match zone.to_ambiguous_timestamp(shown).later() {
        Ok(instant) => instant.as_millisecond(),
        Err(_) => local_ms,
    }
}

/// A zone by its name, or by its distance from UTC (`+02`, `-03:30`).
pub(crate) fn zone(name: &str) -> Result<TimeZone> {
    let unknown = || RowError::new("22023", format!("there is no time zone \"{name}\""));
    let trimmed = name.trim();
    if trimmed.eq_ignore_ascii_case("z") || trimmed.eq_ignore_ascii_case("utc") {
        return Ok(TimeZone::UTC);
    }
    if trimmed.starts_with(['+', '-']) {
        let seconds = offset(trimmed).ok_or_else(unknown)?;
        // A bare distance counts to the west, as POSIX has it.
        let seconds = i32::try_from(-seconds).map_err(|_| unknown())?;
        return jiff::tz::Offset::from_seconds(seconds).map(|it| it.to_time_zone()).map_err(|_| unknown());
    }
    TimeZone::get(trimmed).map_err(|_| unknown())
}

/// The seconds of `+02`, `-0330`, `+05:45:10`.
pub(crate) fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes, seconds) = if rest.contains(':') {
        let mut parts = rest.split(':');
        (parts.next()?, parts.next().unwrap_or("0"), parts.next().unwrap_or("0"))
    } else {
        match rest.len() {
            1 | 2 => (rest, "0", "0"),
            3 => (rest.get(..1)?, rest.get(1..)?, "0"),
            4 => (rest.get(..2)?, rest.get(2..)?, "0"),
            6 => (rest.get(..2)?, rest.get(2..4)?, rest.get(4..)?),
            _ => return None,
        }
    };
    let number =
        |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<i64>().ok()).flatten();
    let (hours, minutes, seconds) = (number(hours)?, number(minutes)?, number(seconds)?);
    (hours < 16 && minutes < 60 && seconds < 60).then_some(sign * (hours * 3600 + minutes * 60 + seconds))
}

/// A time as a clock in the zone shows it; a date is its midnight. `None`: it is no time.
pub(crate) fn local_of(value: &Datum, zone: &TimeZone) -> Option<i64> {
    match value {
        Datum::Instant(ms) => Some(to_local(*ms, zone)),
        Datum::Timestamp(ms) => Some(*ms),
        Datum::Date(days) => Some(i64::from(*days) * DAY_MS),
        _ => None,
    }
}

/// The instant of a time: what has no zone is taken in the given one. `None`: it is no time.
pub(crate) fn instant_of(value: &Datum, zone: &TimeZone) -> Option<i64> {
    match value {
        Datum::Instant(ms) => Some(*ms),
        other => Some(to_instant(local_of(other, zone)?, zone)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_there_and_back() {
        for days in [-719_162, -1, 0, 59, 11_016, 19_782, 2_932_896] {
            let day = day_of(days);
            assert_eq!(days_to(day.year, day.month, day.day), days, "{day:?}");
        }
        assert_eq!(day_of(0), Day { year: 1970, month: 1, day: 1 });
        assert_eq!(day_of(-719_162), Day { year: 1, month: 1, day: 1 });
        assert_eq!(day_of(11_016), Day { year: 2000, month: 2, day: 29 });
        assert_eq!(month_length(1900, 2), 28);
    }

    /// A clock that is set forward skips times; one that is set back shows some twice.
    #[test]
    fn changes_of_the_clock() {
        let rome = TimeZone::get("Europe/Rome").unwrap();
        let local =
            |month, day, hours: i64, minutes: i64| days_to(2025, month, day) * DAY_MS + (hours * 60 + minutes) * 60_000;
        assert_eq!(to_instant(local(3, 30, 2, 30), &rome), local(3, 30, 1, 30));
        assert_eq!(to_instant(local(10, 26, 2, 30), &rome), local(10, 26, 1, 30));
    }
}
