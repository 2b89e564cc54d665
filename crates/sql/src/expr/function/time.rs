//! Functions of times and intervals (SQL-6.4).

mod field;
mod number_format;
mod pattern;
mod read;
mod write;

use millstream_flow::{Datum, Interval, RowError};

use super::arguments::{double, integer, interval, optional_text, text, value};
use super::{Context, Function, Takes};
use crate::Type;
use crate::expr::calendar::{self, DAY_MICROS, DAY_MS};
use crate::expr::{arithmetic, interval as span};
use field::Field;

type Result<T = Datum> = std::result::Result<T, RowError>;

const INTERVAL: Option<Type> = Some(Type::Interval);
const NUMERIC: Option<Type> = Some(Type::Numeric(None));
const TEXT: Option<Type> = Some(Type::Text(None));
const TIMESTAMPTZ: Option<Type> = Some(Type::Timestamptz);
const FIELD: &[Takes] = &[Takes::Text, Takes::TimeOrSpan];
const NUMBERS: &[Takes] = &[Takes::Number];
const SPAN: &[Takes] = &[Takes::Interval];
/// Years, months, days, hours, minutes, seconds.
const PARTS: &[Takes] =
    &[Takes::Integer, Takes::Integer, Takes::Integer, Takes::Integer, Takes::Integer, Takes::Number, Takes::Text];

// tidy: sorted by name
pub(super) static TIMES: &[Function] = &[
    Function::new("AGE", (2, 2), &[Takes::Time], INTERVAL, age),
    Function::new("CLOCK_TIMESTAMP", (0, 0), &[], TIMESTAMPTZ, |_, context| Ok(Datum::Instant((context.clock)())))
        .volatile(),
    Function::new("DATE_BIN", (3, 3), &[Takes::Interval, Takes::Time], None, date_bin),
    Function::new("DATE_PART", (2, 2), FIELD, NUMERIC, |a, context| field::extract(text(a, 0), value(a, 1), context)),
    Function::new("DATE_TRUNC", (2, 3), &[Takes::Text, Takes::TimeOrSpan, Takes::Text], None, date_trunc),
    Function::new("EXTRACT", (2, 2), FIELD, NUMERIC, |a, context| field::extract(text(a, 0), value(a, 1), context)),
    Function::new("JUSTIFY_DAYS", (1, 1), SPAN, INTERVAL, |a, _| {
        span::justify_days(interval(a, 0)?).map(Datum::Interval)
    }),
    Function::new("JUSTIFY_HOURS", (1, 1), SPAN, INTERVAL, |a, _| {
        span::justify_hours(interval(a, 0)?).map(Datum::Interval)
    }),
    Function::new("JUSTIFY_INTERVAL", (1, 1), SPAN, INTERVAL, |a, _| {
        span::justify_interval(interval(a, 0)?).map(Datum::Interval)
    }),
    Function::new("MAKE_DATE", (3, 3), &[Takes::Integer], Some(Type::Date), make_date),
    Function::new("MAKE_INTERVAL", (7, 7), NUMBERS, INTERVAL, make_interval),
    Function::new("MAKE_TIMESTAMP", (6, 6), PARTS, Some(Type::Timestamp), |a, _| made(a).map(Datum::Timestamp)),
    Function::new("MAKE_TIMESTAMPTZ", (6, 7), PARTS, TIMESTAMPTZ, make_timestamptz),
    Function::new("OVERLAPS", (4, 4), &[Takes::TimeOrSpan], Some(Type::Boolean), overlaps).nulls(),
    Function::new("TIMEZONE", (2, 2), &[Takes::Text, Takes::Time], None, timezone),
    Function::new("TO_CHAR", (2, 2), &[Takes::Any, Takes::Text], TEXT, to_char),
    Function::new("TO_DATE", (2, 2), &[Takes::Text], Some(Type::Date), |a, _| read::date(text(a, 0), text(a, 1))),
    Function::new("TO_TIMESTAMP", (1, 2), &[Takes::Any, Takes::Text], TIMESTAMPTZ, to_timestamp),
];

fn range(value: i64) -> Result<i32> {
    i32::try_from(value).map_err(|_| span::out_of_range())
}

/// Years, months, days and time between two times, as a calendar counts them.
fn age(a: &[Datum], context: &Context) -> Result {
    let zone = &context.time_zone;
    let local = |at| calendar::local_of(value(a, at), zone).unwrap_or_default();
    let (later, earlier) = (local(0), local(1));
    let negative = later < earlier;
    let (from, to) = if negative { (later, earlier) } else { (earlier, later) };
    let (first, last) = (calendar::day_of(from.div_euclid(DAY_MS)), calendar::day_of(to.div_euclid(DAY_MS)));
    let mut months = (last.year - first.year) * 12 + last.month - first.month;
    let mut days = last.day - first.day;
    let mut ms = to.rem_euclid(DAY_MS) - from.rem_euclid(DAY_MS);
    if ms < 0 {
        ms += DAY_MS;
        days -= 1;
    }
    if days < 0 {
        days += calendar::month_length(first.year, first.month);
        months -= 1;
    }
    let sign = if negative { -1 } else { 1 };
    Ok(Datum::Interval(Interval { months: range(months * sign)?, days: range(days * sign)?, micros: ms * 1000 * sign }))
}

/// The beginning of the bin of so many days and hours, counted from the origin.
fn date_bin(a: &[Datum], context: &Context) -> Result {
    let stride = interval(a, 0)?;
    if stride.months != 0 {
        return Err(RowError::new("0A000", "DATE_BIN knows no months and years"));
    }
    let micros = i128::from(stride.days) * i128::from(DAY_MICROS) + i128::from(stride.micros);
    if micros <= 0 {
        return Err(RowError::new("22008", "the stride must be greater than zero"));
    }
    let zone = &context.time_zone;
    let zoned = !matches!(value(a, 1), Datum::Timestamp(_));
    let at = |at| {
        let ms = if zoned { calendar::instant_of(value(a, at), zone) } else { calendar::local_of(value(a, at), zone) };
        i128::from(ms.unwrap_or_default()) * 1000
    };
    let (time, origin) = (at(1), at(2));
    let begin = origin + (time - origin).div_euclid(micros) * micros;
    let ms =
        i64::try_from(begin.div_euclid(1000)).map_err(|_| calendar::out_of_range()).and_then(calendar::checked_ms)?;
    Ok(if zoned { Datum::Instant(ms) } else { Datum::Timestamp(ms) })
}

fn date_trunc(a: &[Datum], context: &Context) -> Result {
    let field = Field::parse(text(a, 0))?;
    let zone = match optional_text(a, 2) {
        Some(name) => calendar::zone(name)?,
        None => context.time_zone.clone(),
    };
    match value(a, 1) {
        Datum::Interval(v) => field::truncated_interval(field, *v).map(Datum::Interval),
        Datum::Time(micros) => field::truncated_time(field, *micros).map(Datum::Time),
        Datum::Timestamp(ms) if a.len() == 2 => field::truncated(field, *ms).map(Datum::Timestamp),
        time => {
            let instant = calendar::instant_of(time, &zone).unwrap_or_default();
            let local = calendar::to_local(instant, &zone);
            let truncated = field::truncated(field, local)?;
            // Within a day the clock's distance from UTC stays, so that an hour that comes twice is two hours.
            let instant =
                if field.within_day() { truncated - (local - instant) } else { calendar::to_instant(truncated, &zone) };
            calendar::checked_ms(instant).map(Datum::Instant)
        }
    }
}

fn make_date(a: &[Datum], _: &Context) -> Result {
    calendar::date(calendar::checked_day(integer(a, 0)?, integer(a, 1)?, integer(a, 2)?)?)
}

fn make_interval(a: &[Datum], _: &Context) -> Result {
    let part = |at| integer(a, at);
    let months = part(0)? * 12 + part(1)?;
    let days = part(2)? * 7 + part(3)?;
    let seconds = double(a, 6)? * 1e6;
    let seconds = millstream_value::number::exact_i64(seconds.round()).ok_or_else(span::out_of_range)?;
    let micros = part(4)?
        .checked_mul(60)
        .and_then(|minutes| minutes.checked_add(part(5).ok()?))
        .and_then(|minutes| minutes.checked_mul(60_000_000))
        .and_then(|micros| micros.checked_add(seconds));
    Ok(Datum::Interval(Interval {
        months: range(months)?,
        days: range(days)?,
        micros: micros.ok_or_else(span::out_of_range)?,
    }))
}

/// Milliseconds of years, months, days, hours, minutes and seconds.
fn made(a: &[Datum]) -> Result<i64> {
    let days = calendar::checked_day(integer(a, 0)?, integer(a, 1)?, integer(a, 2)?)?;
    let (hours, minutes, seconds) = (integer(a, 3)?, integer(a, 4)?, double(a, 5)?);
    let there = (0..24).contains(&hours) && (0..60).contains(&minutes) && (0.0..=60.0).contains(&seconds);
    if !there {
        return Err(RowError::new("22008", "there is no such time of day"));
    }
    let ms = millstream_value::number::exact_i64((seconds * 1000.0).round()).unwrap_or_default();
    calendar::checked_ms(days * DAY_MS + (hours * 60 + minutes) * 60_000 + ms)
}

fn make_timestamptz(a: &[Datum], context: &Context) -> Result {
    let zone = match optional_text(a, 6) {
        Some(name) => calendar::zone(name)?,
        None => context.time_zone.clone(),
    };
    Ok(Datum::Instant(calendar::to_instant(made(a)?, &zone)))
}

/// Whether two spans of time share an instant; each from its earlier end to before its later one.
fn overlaps(a: &[Datum], context: &Context) -> Result {
    let ends = |start: &Datum, end: &Datum| -> Result<Option<(i64, Option<i64>)>> {
        let zone = &context.time_zone;
        let end = match end {
            Datum::Interval(_) => arithmetic::values(crate::expr::Arithmetic::Add, start, end, context)?,
            other => other.clone(),
        };
        let (start, end) = (calendar::instant_of(start, zone), calendar::instant_of(&end, zone));
        Ok(match (start, end) {
            (Some(start), Some(end)) => Some((start.min(end), Some(start.max(end)))),
            (Some(one), None) | (None, Some(one)) => Some((one, None)),
            (None, None) => None,
        })
    };
    let (first, second) = (ends(value(a, 0), value(a, 1))?, ends(value(a, 2), value(a, 3))?);
    let (Some(first), Some(second)) = (first, second) else { return Ok(Datum::Null) };
    let truth = match (first, second) {
        ((a, a_end), (b, b_end)) if a != b => {
            let (earlier_end, later, later_end) = if a > b { (b_end, a, a_end) } else { (a_end, b, b_end) };
            match (earlier_end, later_end) {
                (None, _) => None,
                (Some(end), _) if later < end => Some(true),
                (Some(_), None) => None,
                (Some(_), Some(_)) => Some(false),
            }
        }
        ((_, Some(_)), (_, Some(_))) => Some(true),
        _ => None,
    };
    Ok(truth.map_or(Datum::Null, Datum::Bool))
}

/// `t AT TIME ZONE z`: an instant as that zone's clock shows it, or the instant at which it shows it.
fn timezone(a: &[Datum], context: &Context) -> Result {
    let zone = calendar::zone(text(a, 0))?;
    match value(a, 1) {
        Datum::Timestamp(ms) => calendar::checked_ms(calendar::to_instant(*ms, &zone)).map(Datum::Instant),
        time => {
            let instant = calendar::instant_of(time, &context.time_zone).unwrap_or_default();
            calendar::checked_ms(calendar::to_local(instant, &zone)).map(Datum::Timestamp)
        }
    }
}

fn to_char(a: &[Datum], context: &Context) -> Result {
    let format = text(a, 1);
    match value(a, 0) {
        Datum::Int(_) | Datum::Long(_) | Datum::Double(_) | Datum::Decimal(_) => {
            number_format::to_char(value(a, 0), format)
        }
        value => write::to_char(value, format, context),
    }
}

fn to_timestamp(a: &[Datum], context: &Context) -> Result {
    if a.len() == 2 {
        return read::instant(text(a, 0), text(a, 1), context);
    }
    let seconds = double(a, 0)?;
    let ms = millstream_value::number::exact_i64((seconds * 1000.0).round()).ok_or_else(calendar::out_of_range)?;
    calendar::checked_ms(ms).map(Datum::Instant)
}
