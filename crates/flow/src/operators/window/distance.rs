//! Going a distance from a key: the offsets of `RANGE` frames (SQL-8.2).

use millstream_value::Decimal;

use crate::{Datum, Interval, Offset, key};

/// Which way to go, in the order of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To lesser values.
    Down,
    /// To greater values.
    Up,
}

/// Which end of a span of values is asked for: an instant between two milliseconds is rounded into the span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Its least value.
    Least,
    /// Its greatest value.
    Greatest,
}

/// The value so far away from `from`; `None` where the distance means nothing: NULL, NaN, a key of another class. Such a key
/// has only its peers near it.
pub(super) fn go(from: &Datum, way: Way, offset: &Offset, end: End) -> Option<Datum> {
    match offset {
        Offset::Count(_) => None,
        Offset::Number(distance) => number(from, way, distance),
        Offset::Interval(interval) => Some(Datum::Instant(instant(ms_of(from)?, way, *interval, end))),
    }
}

/// A value that is at least as far away: months are longer or shorter than they were on the way here.
pub(super) fn go_at_least(from: &Datum, way: Way, offset: &Offset) -> Option<Datum> {
    let end = if way == Way::Down { End::Least } else { End::Greatest };
    let reached = go(from, way, offset, end)?;
    match (offset, reached) {
        (Offset::Interval(Interval { months: 1.., .. }), Datum::Instant(ms)) => {
            let slack_ms = 4 * DAY_MS;
            Some(Datum::Instant(if way == Way::Down {
                ms.saturating_sub(slack_ms)
            } else {
                ms.saturating_add(slack_ms)
            }))
        }
        (_, reached) => Some(reached),
    }
}

/// The least value that a row so much before another one has: milliseconds, or units of a number.
pub(in crate::operators) fn earlier(than: &Datum, by: i64) -> Option<Datum> {
    let offset = match ms_of(than) {
        Some(_) => Offset::Interval(Interval { micros: by.saturating_mul(1000), ..Interval::default() }),
        None => Offset::Number(Datum::Long(by)),
    };
    back(than, &offset)
}

/// The least value that is no further back than a distance.
pub(in crate::operators) fn back(from: &Datum, distance: &Offset) -> Option<Datum> {
    go(from, Way::Down, distance, End::Least)
}

/// The greatest value that is as far back as a distance.
pub(in crate::operators) fn far_back(from: &Datum, distance: &Offset) -> Option<Datum> {
    go(from, Way::Down, distance, End::Greatest)
}

fn ms_of(value: &Datum) -> Option<i64> {
    match value {
        Datum::Instant(ms) | Datum::Timestamp(ms) => Some(*ms),
        Datum::Date(days) => Some(i64::from(*days) * DAY_MS),
        _ => None,
    }
}

fn number(from: &Datum, way: Way, distance: &Datum) -> Option<Datum> {
    let sum = match (whole(from), whole(distance)) {
        (Some(from), Some(distance)) => {
            let sum = if way == Way::Down { from - distance } else { from + distance };
            return Some(match i64::try_from(sum) {
                Ok(sum) => Datum::Long(sum),
                Err(_) => Datum::Decimal(Decimal::parse(&sum.to_string())?),
            });
        }
        _ => match (from, distance) {
            (Datum::Double(_), _) | (_, Datum::Double(_)) => {
                let (from, distance) = (double(from)?, double(distance)?);
                Datum::Double(if way == Way::Down { from - distance } else { from + distance })
            }
            _ => {
                let (from, distance) = (decimal(from)?, decimal(distance)?);
                Datum::Decimal(if way == Way::Down { from.minus(distance) } else { from.plus(distance) })
            }
        },
    };
    match (&sum, is_nan(from)) {
        (_, true) => None,
        // An infinite distance from an infinity reaches everything on the way.
        (sum, false) if is_nan(sum) => {
            Some(Datum::Double(if way == Way::Down { f64::NEG_INFINITY } else { f64::INFINITY }))
        }
        (_, false) => Some(sum),
    }
}

fn whole(value: &Datum) -> Option<i128> {
    match value {
        Datum::Int(value) => Some(i128::from(*value)),
        Datum::Long(value) => Some(i128::from(*value)),
        _ => None,
    }
}

fn double(value: &Datum) -> Option<f64> {
    match value {
        Datum::Double(value) => Some(*value),
        _ => decimal(value).map(Decimal::to_f64),
    }
}

fn decimal(value: &Datum) -> Option<Decimal> {
    match value {
        Datum::Int(value) => Some(Decimal::from(*value)),
        Datum::Long(value) => Some(Decimal::from(*value)),
        Datum::Decimal(value) => Some(*value),
        _ => None,
    }
}

fn is_nan(value: &Datum) -> bool {
    key::equal(value, &Datum::Double(f64::NAN))
}

const DAY_MS: i64 = 86_400_000;

/// Months first (clipped to the month's last day), then days, then time (SQL-4.9); in UTC.
fn instant(ms: i64, way: Way, interval: Interval, end: End) -> i64 {
    let sign: i64 = if way == Way::Down { -1 } else { 1 };
    let ms = add_months(ms, sign * i64::from(interval.months));
    let ms = ms.saturating_add(sign.saturating_mul(i64::from(interval.days)).saturating_mul(DAY_MS));
    let micros = i128::from(ms) * 1000 + i128::from(sign) * i128::from(interval.micros);
    let rounded = if end == End::Least { -((-micros).div_euclid(1000)) } else { micros.div_euclid(1000) };
    i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
}

fn add_months(ms: i64, months: i64) -> i64 {
    if months == 0 {
        return ms;
    }
    let (days, time_ms) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
    let (year, month, day) = civil(days);
    let month0 = year * 12 + (month - 1) + months;
    let (year, month) = (month0.div_euclid(12), month0.rem_euclid(12) + 1);
    let first = days_of(year, month, 1);
    let length = days_of(year + month / 12, month % 12 + 1, 1) - first;
    (first + day.min(length) - 1).saturating_mul(DAY_MS).saturating_add(time_ms)
}

/// Year, month and day of a day since 1970, in the proleptic Gregorian calendar. Years begin in March inside, so that a leap
/// day is a year's last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(year: i64, month: i64, day: i64) -> i64 {
        days_of(year, month, day) * DAY_MS
    }

    /// SQL-4.9: months are clipped to the month's last day.
    #[test]
    fn months_are_clipped() {
        let month = Interval { months: 1, ..Interval::default() };
        let go = |ms, way| instant(ms, way, month, End::Least);
        assert_eq!(go(at(2025, 1, 31), Way::Up), at(2025, 2, 28));
        assert_eq!(go(at(2024, 3, 31), Way::Down), at(2024, 2, 29));
        assert_eq!(go(at(2025, 1, 15) + 5, Way::Down), at(2024, 12, 15) + 5);
        assert_eq!(go(at(1969, 12, 31), Way::Up), at(1970, 1, 31));
    }

    #[test]
    fn days_come_back() {
        for days in (-800_000..800_000).step_by(7) {
            let (year, month, day) = civil(days);
            assert_eq!(days_of(year, month, day), days);
        }
    }

    #[test]
    fn numbers_go_exactly_and_past_64_bits() {
        let go = |from: Datum, way, distance: Datum| number(&from, way, &distance).unwrap();
        assert!(key::equal(&go(Datum::Int(5), Way::Down, Datum::Int(7)), &Datum::Int(-2)));
        assert!(key::compare(&go(Datum::Long(i64::MAX), Way::Up, Datum::Int(1)), &Datum::Long(i64::MAX)).is_gt());
        let half = Decimal::parse("0.5").unwrap();
        let sum = go(Datum::Int(5), Way::Up, Datum::Decimal(half));
        assert!(key::equal(&sum, &Datum::Double(5.5)));
        assert_eq!(number(&Datum::Double(f64::NAN), Way::Up, &Datum::Int(1)), None);
        assert_eq!(number(&Datum::text("5"), Way::Up, &Datum::Int(1)), None);
    }
}
