//! Fields of times: what EXTRACT reads and DATE_TRUNC cuts at.

use dec::{Context as Decimals, Decimal128};
use millstream_flow::{Datum, Interval, RowError};

use super::Result;
use crate::expr::calendar::{self, DAY_MICROS, DAY_MS, Day};
use crate::expr::{Context, number};

/// A unit, or a part that only EXTRACT knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Microseconds,
    Milliseconds,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    Dow,
    Doy,
    Epoch,
    Isodow,
    Isoyear,
    Julian,
    Timezone,
    TimezoneHour,
    TimezoneMinute,
}

impl Field {
    pub(super) fn parse(name: &str) -> Result<Self> {
        Ok(match name.trim().to_ascii_lowercase().as_str() {
            "microseconds" | "microsecond" | "us" | "usec" | "usecs" => Self::Microseconds,
            "milliseconds" | "millisecond" | "ms" | "msec" | "msecs" => Self::Milliseconds,
            "second" | "seconds" | "sec" | "secs" | "s" => Self::Second,
            "minute" | "minutes" | "min" | "mins" | "m" => Self::Minute,
            "hour" | "hours" | "hr" | "hrs" | "h" => Self::Hour,
            "day" | "days" | "d" => Self::Day,
            "week" | "weeks" | "w" => Self::Week,
            "month" | "months" | "mon" | "mons" => Self::Month,
            "quarter" | "qtr" => Self::Quarter,
            "year" | "years" | "yr" | "yrs" | "y" => Self::Year,
            "decade" | "decades" | "dec" | "decs" => Self::Decade,
            "century" | "centuries" | "cent" | "c" => Self::Century,
            "millennium" | "millennia" | "mil" | "mils" => Self::Millennium,
            "dow" => Self::Dow,
            "doy" => Self::Doy,
            "epoch" => Self::Epoch,
            "isodow" => Self::Isodow,
            "isoyear" => Self::Isoyear,
            "julian" => Self::Julian,
            "timezone" => Self::Timezone,
            "timezone_hour" => Self::TimezoneHour,
            "timezone_minute" => Self::TimezoneMinute,
            _ => return Err(RowError::new("22023", format!("there is no unit \"{name}\" of time"))),
        })
    }

    pub(super) fn within_day(self) -> bool {
        matches!(self, Self::Microseconds | Self::Milliseconds | Self::Second | Self::Minute | Self::Hour)
    }

    fn unsupported(self, of: &str) -> RowError {
        let name = format!("{self:?}").to_lowercase();
        RowError::new("0A000", format!("{of} has no {name}"))
    }
}

/// `value ÷ 10^scale`.
fn scaled(value: i128, scale: i32) -> Datum {
    let mut context = Decimals::<Decimal128>::default();
    let mut decimal = context.from_i128(value);
    context.set_exponent(&mut decimal, -scale);
    Datum::Decimal(number::plain(decimal))
}

fn whole(value: i64) -> Result {
    Ok(scaled(i128::from(value), 0))
}

/// `EXTRACT(field FROM value)`: a numeric.
pub(super) fn extract(name: &str, value: &Datum, context: &Context) -> Result {
    let field = Field::parse(name)?;
    match value {
        Datum::Interval(v) => of_interval(field, *v),
        Datum::Time(micros) => match of_clock(field, *micros) {
            Some(value) => value,
            None if field == Field::Epoch => Ok(scaled(i128::from(*micros), 6)),
            None => Err(field.unsupported("a time of day")),
        },
        Datum::Date(days) => match field {
            Field::Epoch => whole(i64::from(*days) * 86_400),
            Field::Timezone | Field::TimezoneHour | Field::TimezoneMinute => Err(field.unsupported("a date")),
            field if field.within_day() => Err(field.unsupported("a date")),
            field => of_date(field, i64::from(*days)),
        },
        Datum::Instant(ms) => {
            let offset = calendar::offset_seconds(*ms, &context.time_zone);
            match field {
                Field::Epoch => Ok(scaled(i128::from(*ms), 3)),
                Field::Timezone => whole(offset),
                Field::TimezoneHour => whole(offset / 3600),
                Field::TimezoneMinute => whole(offset / 60 % 60),
                field => of_local(field, ms + offset * 1000),
            }
        }
        Datum::Timestamp(ms) => match field {
            Field::Epoch => Ok(scaled(i128::from(*ms), 3)),
            Field::Timezone | Field::TimezoneHour | Field::TimezoneMinute => Err(field.unsupported("a timestamp")),
            field => of_local(field, *ms),
        },
        _ => Ok(Datum::Null),
    }
}

fn of_local(field: Field, local_ms: i64) -> Result {
    let (days, of_day) = (local_ms.div_euclid(DAY_MS), local_ms.rem_euclid(DAY_MS));
    if field == Field::Julian {
        let ms = i128::from(days + 2_440_588) * i128::from(DAY_MS) + i128::from(of_day);
        return number::calculate(crate::expr::Arithmetic::Divide, &scaled(ms, 0), &scaled(i128::from(DAY_MS), 0))
            .unwrap_or(Ok(Datum::Null));
    }
    of_clock(field, of_day * 1000).unwrap_or_else(|| of_date(field, days))
}

/// Parts of a time of day; `None`: it is none of them.
fn of_clock(field: Field, micros: i64) -> Option<Result> {
    let of_minute = i128::from(micros % 60_000_000);
    Some(match field {
        Field::Microseconds => Ok(scaled(of_minute, 0)),
        Field::Milliseconds => Ok(scaled(of_minute, 3)),
        Field::Second => Ok(scaled(of_minute, 6)),
        Field::Minute => whole(micros / 60_000_000 % 60),
        Field::Hour => whole(micros / 3_600_000_000),
        _ => return None,
    })
}

fn of_date(field: Field, days: i64) -> Result {
    let day = calendar::day_of(days);
    whole(match field {
        Field::Day => day.day,
        Field::Week => iso_week(days).1,
        Field::Month => day.month,
        Field::Quarter => (day.month - 1) / 3 + 1,
        Field::Year => day.year,
        Field::Decade => day.year.div_euclid(10),
        Field::Century => (day.year + 99) / 100,
        Field::Millennium => (day.year + 999) / 1000,
        Field::Dow => (days + 4).rem_euclid(7),
        Field::Isodow => iso_weekday(days),
        Field::Doy => day_of_year(days, day),
        Field::Isoyear => iso_week(days).0,
        Field::Julian => days + 2_440_588,
        other => return Err(other.unsupported("a date")),
    })
}

pub(super) fn day_of_year(days: i64, day: Day) -> i64 {
    days - calendar::days_to(day.year, 1, 1) + 1
}

/// Monday is 1, Sunday 7.
pub(super) fn iso_weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7) + 1
}

/// The year and the number of the week: that of its Thursday.
pub(super) fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days - iso_weekday(days) + 4;
    let year = calendar::day_of(thursday).year;
    (year, (thursday - calendar::days_to(year, 1, 1)) / 7 + 1)
}

fn of_interval(field: Field, v: Interval) -> Result {
    let (years, months) = (i64::from(v.months / 12), i64::from(v.months % 12));
    match field {
        Field::Hour => whole(v.micros / 3_600_000_000),
        Field::Day => whole(i64::from(v.days)),
        Field::Month => whole(months),
        Field::Quarter => whole(months / 3 + 1),
        Field::Year => whole(years),
        Field::Decade => whole(years / 10),
        Field::Century => whole(years / 100),
        Field::Millennium => whole(years / 1000),
        Field::Epoch => {
            // A year counts 365.25 days, a month 30.
            let quarter_days = years * 1461 + months * 120 + i64::from(v.days) * 4;
            Ok(scaled(i128::from(quarter_days) * 21_600_000_000 + i128::from(v.micros), 6))
        }
        other => of_clock(other, v.micros).unwrap_or_else(|| Err(other.unsupported("an interval"))),
    }
}

/// The beginning of the field's unit.
pub(super) fn truncated(field: Field, local_ms: i64) -> Result<i64> {
    let (days, of_day) = (local_ms.div_euclid(DAY_MS), local_ms.rem_euclid(DAY_MS));
    let day = calendar::day_of(days);
    let year =
        |size: i64, from: i64| calendar::days_to((day.year - from).div_euclid(size) * size + from, 1, 1) * DAY_MS;
    let ms = match field {
        Field::Microseconds | Field::Milliseconds => local_ms,
        Field::Second => local_ms - of_day % 1000,
        Field::Minute => local_ms - of_day % 60_000,
        Field::Hour => local_ms - of_day % 3_600_000,
        Field::Day => days * DAY_MS,
        Field::Week => (days - iso_weekday(days) + 1) * DAY_MS,
        Field::Month => calendar::days_to(day.year, day.month, 1) * DAY_MS,
        Field::Quarter => calendar::days_to(day.year, (day.month - 1) / 3 * 3 + 1, 1) * DAY_MS,
        Field::Year => year(1, 0),
        Field::Decade => year(10, 0),
        Field::Century => year(100, 1),
        Field::Millennium => year(1000, 1),
        other => {
            let name = format!("{other:?}").to_lowercase();
            return Err(RowError::new("22023", format!("DATE_TRUNC does not know {name}")));
        }
    };
    calendar::checked_ms(ms)
}

pub(super) fn truncated_time(field: Field, micros: i64) -> Result<i64> {
    Ok(micros
        - match field {
            Field::Microseconds => 0,
            Field::Milliseconds => micros % 1000,
            Field::Second => micros % 1_000_000,
            Field::Minute => micros % 60_000_000,
            Field::Hour => micros % 3_600_000_000,
            Field::Day => micros % DAY_MICROS,
            other => return Err(other.unsupported("a time of day")),
        })
}

pub(super) fn truncated_interval(field: Field, v: Interval) -> Result<Interval> {
    let months = |size: i32| Interval { months: v.months / size * size, ..Interval::default() };
    Ok(match field {
        Field::Microseconds | Field::Milliseconds | Field::Second | Field::Minute | Field::Hour => {
            Interval { micros: truncated_time(field, v.micros)?, ..v }
        }
        Field::Day => Interval { micros: 0, ..v },
        Field::Month => months(1),
        Field::Quarter => months(3),
        Field::Year => months(12),
        Field::Decade => months(120),
        Field::Century => months(1200),
        Field::Millennium => months(12_000),
        other => return Err(other.unsupported("an interval")),
    })
}
