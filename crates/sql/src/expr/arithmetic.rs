//! `+ - * / %` and `^` on numbers, times and intervals (SQL-4.6 to SQL-4.9, SQL-5.1).

use millstream_flow::{Datum, Interval, RowError};

use super::calendar::{self, DAY_MICROS, DAY_MS, Result};
use super::eval::Side;
use super::{Arithmetic, Context, Operator, cast, interval, number, operator};

/// `a how b`. A literal takes the type that makes sense of the other side.
pub(crate) fn sides(how: Arithmetic, a: &Side<'_>, b: &Side<'_>, context: &Context) -> Result<Datum> {
    let (a, b) = match (a, b) {
        (Side::Value(a), Side::Untyped(b)) => match (&**a, how) {
            (Datum::Instant(_) | Datum::Timestamp(_) | Datum::Time(_), Arithmetic::Add) => (&**a, b.as_interval()),
            (Datum::Date(_), Arithmetic::Add | Arithmetic::Subtract) if number::is_number(b.as_number()) => {
                (&**a, b.as_number())
            }
            (Datum::Date(_), Arithmetic::Add) => (&**a, b.as_interval()),
            (Datum::Interval(_), Arithmetic::Multiply | Arithmetic::Divide) => (&**a, b.as_number()),
            (Datum::Document(_) | Datum::Array(_), _) => (&**a, &b.text),
            (value, _) => (value, b.as_met(value)),
        },
        (Side::Untyped(a), Side::Value(b)) => match (&**b, how) {
            (Datum::Instant(_) | Datum::Timestamp(_) | Datum::Date(_) | Datum::Time(_), Arithmetic::Add) => {
                (a.as_interval(), &**b)
            }
            (Datum::Interval(_), Arithmetic::Multiply) => (a.as_number(), &**b),
            (value, _) => (a.as_met(value), value),
        },
        (a, b) => a.meet(b),
    };
    values(how, a, b, context)
}

pub(crate) fn values(how: Arithmetic, a: &Datum, b: &Datum, context: &Context) -> Result<Datum> {
    if let Some(result) = number::calculate(how, a, b) {
        return result;
    }
    if a.is_null() || b.is_null() {
        return Ok(Datum::Null);
    }
    if how == Arithmetic::Subtract && matches!(a, Datum::Document(_) | Datum::Array(_)) {
        return operator::values(Operator::Without, a, b, context);
    }
    times(how, a, b, context).unwrap_or_else(|| {
        let message = format!("there is no {} {} {}", cast::name(a), sign(how), cast::name(b));
        Err(RowError::new("42804", message))
    })
}

pub(crate) fn sign(how: Arithmetic) -> &'static str {
    match how {
        Arithmetic::Add => "+",
        Arithmetic::Subtract => "-",
        Arithmetic::Multiply => "*",
        Arithmetic::Divide => "/",
        Arithmetic::Modulo => "%",
        Arithmetic::Power => "^",
    }
}

/// `-x`.
pub(crate) fn negate(value: &Datum) -> Result<Datum> {
    match value {
        Datum::Interval(v) => interval::negate(*v).map(Datum::Interval),
        value if value.is_null() => Ok(Datum::Null),
        other => number::negate(other)
            .unwrap_or_else(|| Err(RowError::new("42804", format!("there is no -{}", cast::name(other))))),
    }
}

/// Times and intervals; `None`: there is no such operator.
fn times(how: Arithmetic, a: &Datum, b: &Datum, context: &Context) -> Option<Result<Datum>> {
    use Arithmetic::{Add, Divide, Multiply, Subtract};
    use Datum as D;
    Some(match (how, a, b) {
        (Add, D::Interval(a), D::Interval(b)) => interval::plus(*a, *b).map(D::Interval),
        (Subtract, D::Interval(a), D::Interval(b)) => {
            interval::negate(*b).and_then(|b| interval::plus(*a, b)).map(D::Interval)
        }
        (Multiply, D::Interval(v), other) | (Multiply, other, D::Interval(v)) => {
            interval::times(*v, number::to_f64(other)?).map(D::Interval)
        }
        (Divide, D::Interval(v), other) => interval::over(*v, number::to_f64(other)?).map(D::Interval),
        (Subtract, D::Date(a), D::Date(b)) => Ok(D::Int(a - b)),
        (Add, D::Date(days), other) | (Add, other, D::Date(days)) if number::is_number(other) => {
            date_plus(*days, number::to_i64(other)?)
        }
        (Subtract, D::Date(days), other) if number::is_number(other) => {
            date_plus(*days, number::to_i64(other)?.checked_neg()?)
        }
        (Add, D::Time(micros), D::Interval(v)) | (Add, D::Interval(v), D::Time(micros)) => {
            Ok(D::Time((micros + v.micros % DAY_MICROS).rem_euclid(DAY_MICROS)))
        }
        (Subtract, D::Time(micros), D::Interval(v)) => {
            Ok(D::Time((micros - v.micros % DAY_MICROS).rem_euclid(DAY_MICROS)))
        }
        (Subtract, D::Time(a), D::Time(b)) => Ok(D::Interval(Interval { micros: a - b, ..Interval::default() })),
        (Add, D::Interval(v), time) => plus_interval(time, *v, context)?,
        (Add, time, D::Interval(v)) => plus_interval(time, *v, context)?,
        (Subtract, time, D::Interval(v)) => match interval::negate(*v) {
            Ok(v) => plus_interval(time, v, context)?,
            Err(error) => Err(error),
        },
        (Add, time, D::Time(micros)) | (Add, D::Time(micros), time) => {
            plus_interval(time, Interval { micros: *micros, ..Interval::default() }, context)?
        }
        (Subtract, time, D::Time(micros)) => {
            plus_interval(time, Interval { micros: -micros, ..Interval::default() }, context)?
        }
        (Subtract, a, b) => Ok(D::Interval(difference(a, b, context)?)),
        _ => return None,
    })
}

fn date_plus(days: i32, more: i64) -> Result<Datum> {
    calendar::date(i64::from(days).saturating_add(more))
}

/// Days and time between two times; without a zone where neither has one.
fn difference(a: &Datum, b: &Datum, context: &Context) -> Option<Interval> {
    let zone = &context.time_zone;
    let zoned = matches!(a, Datum::Instant(_)) || matches!(b, Datum::Instant(_));
    let at = |value| if zoned { calendar::instant_of(value, zone) } else { calendar::local_of(value, zone) };
    let ms = at(a)? - at(b)?;
    let days = i32::try_from(ms / DAY_MS).ok()?;
    Some(Interval { months: 0, days, micros: ms % DAY_MS * 1000 })
}

/// `None`: it is no time.
pub(crate) fn plus_interval(time: &Datum, interval: Interval, context: &Context) -> Option<Result<Datum>> {
    let zone = &context.time_zone;
    Some(match time {
        Datum::Instant(ms) => {
            let mut instant = *ms;
            if interval.months != 0 || interval.days != 0 {
                match shifted(calendar::to_local(*ms, zone), interval) {
                    Ok(local) => instant = calendar::to_instant(local, zone),
                    Err(error) => return Some(Err(error)),
                }
            }
            plus_micros(instant, interval.micros).map(Datum::Instant)
        }
        Datum::Timestamp(_) | Datum::Date(_) => {
            let local = calendar::local_of(time, zone)?;
            shifted(local, interval).and_then(|local| plus_micros(local, interval.micros)).map(Datum::Timestamp)
        }
        _ => return None,
    })
}

/// Months are added first, clipped to the month's last day, then days.
fn shifted(local_ms: i64, interval: Interval) -> Result<i64> {
    let (mut days, of_day) = (local_ms.div_euclid(DAY_MS), local_ms.rem_euclid(DAY_MS));
    if interval.months != 0 {
        let day = calendar::day_of(days);
        let month = day.month + i64::from(interval.months);
        let last = calendar::month_length(day.year, month);
        days = calendar::days_to(day.year, month, day.day.min(last));
    }
    calendar::checked_ms((days + i64::from(interval.days)) * DAY_MS + of_day)
}

/// Rounded to milliseconds, ties away from 1970.
fn plus_micros(ms: i64, micros: i64) -> Result<i64> {
    let total = i128::from(ms) * 1000 + i128::from(micros);
    let half = if total < 0 { -500 } else { 500 };
    i64::try_from((total + half) / 1000).map_err(|_| calendar::out_of_range()).and_then(calendar::checked_ms)
}
