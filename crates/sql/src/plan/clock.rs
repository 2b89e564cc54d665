//! Temporal filters: conditions on the clock of a view (SQL-11.2 to SQL-11.4).
//!
//! A comparison of a row's value `E` with a monotone form `M` of the clock changes its truth when `M` reaches `E`, or passes
//! it. That instant is found by taking `M` apart from the outside and applying the inverse of each part to `E`.

use jiff::tz::TimeZone;
use millstream_flow::{Datum, Interval};

use crate::error::Result;
use crate::expr::{Arithmetic, Comparison};
use crate::plan::rel::ColumnId;
use crate::{Expr, SqlError, Type};

/// The instants at which a condition may change its truth, as expressions over the row.
pub(crate) fn instants(condition: &Expr, clock: ColumnId, zone: &TimeZone) -> Result<Vec<Expr>> {
    let mut out = Vec::new();
    collect(condition, clock, zone, &mut out)?;
    Ok(out)
}

fn collect(expr: &Expr, clock: ColumnId, zone: &TimeZone, out: &mut Vec<Expr>) -> Result<()> {
    let on_clock = |expr: &Expr| expr.columns().contains(&clock);
    if !on_clock(expr) {
        return Ok(());
    }
    match expr {
        Expr::And(all) | Expr::Or(all) => all.iter().try_for_each(|part| collect(part, clock, zone, out)),
        Expr::Not(inner) => collect(inner, clock, zone, out),
        Expr::Between { value, low, high, symmetric: false } => {
            let compare = |op, a: &Expr, b: &Expr| Expr::Compare(op, Box::new(a.clone()), Box::new(b.clone()));
            collect(&compare(Comparison::GreaterOrEqual, value, low), clock, zone, out)?;
            collect(&compare(Comparison::LessOrEqual, value, high), clock, zone, out)
        }
        Expr::Compare(op, a, b) => {
            let (value, form, op) = match (on_clock(a), on_clock(b)) {
                (false, true) => (a, b, *op),
                (true, false) => (b, a, turned(*op)),
                _ => return Err(not_monotone("the clock on both sides of a comparison")),
            };
            let time = Expr::Cast { value: value.clone(), to: Type::Timestamptz, attempt: true };
            // `value op form`: it changes when the form reaches the value, or when it passes it.
            let (reaches, passes) = match op {
                Comparison::LessOrEqual | Comparison::Greater => (true, false),
                Comparison::Less | Comparison::GreaterOrEqual => (false, true),
                Comparison::Equal => (true, true),
                Comparison::NotEqual | Comparison::Distinct | Comparison::NotDistinct => {
                    return Err(not_monotone("comparing with the clock by <> or IS DISTINCT FROM"));
                }
            };
            if reaches {
                out.push(inverse(form, time.clone(), false, clock, zone)?);
            }
            if passes {
                out.push(inverse(form, time, true, clock, zone)?);
            }
            Ok(())
        }
        _ => Err(not_monotone("the clock inside of another expression")),
    }
}

/// The first instant at which `form >= value`, or `form > value`.
fn inverse(form: &Expr, value: Expr, strictly: bool, clock: ColumnId, zone: &TimeZone) -> Result<Expr> {
    let utc = *zone == TimeZone::UTC;
    match form {
        Expr::Column(id) if *id == clock => {
            Ok(if strictly { plus(value, Interval { months: 0, days: 0, micros: 1000 }) } else { value })
        }
        Expr::Cast { value: inner, to: Type::Timestamptz, .. } => inverse(inner, value, strictly, clock, zone),
        Expr::Cast { value: inner, to: Type::Timestamp, .. } if utc => inverse(inner, value, strictly, clock, zone),
        Expr::Cast { value: inner, to: Type::Date, .. } if utc => {
            inverse(inner, stepped("day", value, strictly)?, false, clock, zone)
        }
        Expr::Cast { to: Type::Timestamp | Type::Date, .. } => {
            Err(not_monotone("a date of the clock in a time zone other than UTC").hint("use intervals of hours"))
        }
        Expr::Arithmetic(op @ (Arithmetic::Add | Arithmetic::Subtract), inner, offset) => {
            let Expr::Constant(Datum::Interval(interval)) = offset.as_ref() else {
                return Err(not_monotone("adding something to the clock that is no constant interval"));
            };
            if interval.months != 0 {
                return Err(not_monotone("adding or subtracting months")
                    .hint("put the months on the other side: created_at + INTERVAL '1 month' >= CURRENT_TIMESTAMP"));
            }
            if interval.days != 0 && !utc {
                return Err(not_monotone("days in a time zone other than UTC").hint("use intervals of hours"));
            }
            let negative = Interval { months: 0, days: -interval.days, micros: -interval.micros };
            let moved = if *op == Arithmetic::Add { plus(value, negative) } else { plus(value, *interval) };
            inverse(inner, moved, strictly, clock, zone)
        }
        Expr::Call(function, arguments) if function.name == "DATE_TRUNC" => {
            let unit = arguments.first().map(typed);
            let (Some(Expr::Constant(Datum::Text(unit))), Some(inner), None) =
                (&unit, arguments.get(1), arguments.get(2))
            else {
                return Err(not_monotone("DATE_TRUNC of the clock by something that is no constant unit"));
            };
            if !utc {
                return Err(not_monotone("DATE_TRUNC in a time zone other than UTC").hint("use intervals of hours"));
            }
            inverse(inner, stepped(unit, value, strictly)?, false, clock, zone)
        }
        _ => Err(not_monotone("this use of the clock")),
    }
}

/// A literal with the type that it would have as text.
fn typed(expr: &Expr) -> Expr {
    match expr {
        Expr::Untyped(text) => Expr::Constant(Datum::text(text)),
        other => other.clone(),
    }
}

/// The first instant at which the time, cut to a unit, is at least `value`, or more than it.
fn stepped(unit: &str, value: Expr, strictly: bool) -> Result<Expr> {
    let step = unit_interval(unit)?;
    let cut = Expr::Call(crate::plan::builtin("DATE_TRUNC"), vec![Expr::Constant(Datum::text(unit)), value.clone()]);
    let next = plus(cut.clone(), step);
    if strictly {
        return Ok(next);
    }
    let exact = Expr::Compare(Comparison::Equal, Box::new(cut), Box::new(value.clone()));
    Ok(Expr::Case { operand: None, branches: vec![(exact, value)], otherwise: Some(Box::new(next)) })
}

/// How long a unit of `DATE_TRUNC` is.
pub(crate) fn unit_interval(unit: &str) -> Result<Interval> {
    let months = |months| Interval { months, days: 0, micros: 0 };
    let micros = |micros| Interval { months: 0, days: 0, micros };
    Ok(match unit.to_ascii_lowercase().as_str() {
        "millisecond" | "milliseconds" => micros(1_000),
        "second" => micros(1_000_000),
        "minute" => micros(60_000_000),
        "hour" => micros(3_600_000_000),
        "day" => Interval { months: 0, days: 1, micros: 0 },
        "week" => Interval { months: 0, days: 7, micros: 0 },
        "month" => months(1),
        "quarter" => months(3),
        "year" => months(12),
        "decade" => months(120),
        "century" => months(1200),
        other => return Err(SqlError::new("22023", format!("unit \"{other}\" is not known"))),
    })
}

pub(crate) fn plus(value: Expr, interval: Interval) -> Expr {
    Expr::Arithmetic(Arithmetic::Add, Box::new(value), Box::new(Expr::Constant(Datum::Interval(interval))))
}

/// The same comparison with its sides exchanged.
pub(crate) fn turned(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        same => same,
    }
}

/// The clock where it cannot be followed.
pub(crate) fn not_monotone(what: &str) -> SqlError {
    SqlError::new("MS005", format!("{what} is not allowed in a view: its rows would change at every moment"))
        .hint("compare a row's time with CURRENT_TIMESTAMP, or CURRENT_TIMESTAMP minus a constant interval, in WHERE")
}
