//! `$dateAdd` and `$dateSubtract`.
//!
//! Shape:  `{startDate: a, unit: <unit>, amount: b, timezone: c}`
//! Absent: null or missing gives null.
//! Result: a date. Days and longer keep the local time of day; a month that is too short gives its last day.

use millstream_value::Value;

use super::calendar::{Civil, days_in_month};
use super::unit::Unit;
use super::{DAY, Zone, ms_of, out_of_range, zone_of};
use crate::expression::operator::{Args, Name, Operator, optional, required, shown};
use crate::{Error, Result};

pub(in crate::expression) static DATE_ADD: Operator = shifting("$dateAdd");
pub(in crate::expression) static DATE_SUBTRACT: Operator = shifting("$dateSubtract");

static NAMES: &[Name] = &[
    required("startDate", 5_166_402),
    required("unit", 5_166_402),
    required("amount", 5_166_402),
    optional("timezone"),
];

const fn shifting(name: &'static str) -> Operator {
    Operator::named(name, NAMES, 5_166_401, 5_166_400, shift)
}

fn shift<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let zone = zone_of(args, 3)?;
    if args.nullish(0) || args.nullish(1) || args.nullish(2) {
        return Ok(Some(Value::Null));
    }
    let Some(zone) = zone else { return Ok(Some(Value::Null)) };
    let Some(ms) = ms_of(args.get(0)) else {
        return args.fail(
            5_166_403,
            format_args!("requires startDate to be convertible to a date, but got {}", args.type_name(0)),
        );
    };
    let Some(Value::String(unit)) = args.get(1) else {
        return args
            .fail(5_166_404, format_args!("expects string defining the time unit, but got {}", args.type_name(1)));
    };
    let unit = Unit::parse(unit)?;
    let Some(amount) = args.get(2).and_then(Value::as_integer) else {
        return args
            .fail(5_166_405, format_args!("expects integer amount of time units, found {}", shown(args.get(2))));
    };
    let amount = if args.name == "$dateSubtract" { amount.checked_neg() } else { Some(amount) };
    let moved = amount.and_then(|amount| add(ms, unit, amount, &zone)).ok_or_else(|| out_of_range(args))?;
    Ok(Some(Value::Date(moved)))
}

fn add(ms: i64, unit: Unit, amount: i64, zone: &Zone) -> Option<i64> {
    match unit {
        Unit::Milliseconds(length) => ms.checked_add(amount.checked_mul(length)?),
        Unit::Days(length) => {
            let local = zone.to_local(ms).checked_add(amount.checked_mul(length)?.checked_mul(DAY)?)?;
            Some(zone.to_utc(local))
        }
        Unit::Months(length) => {
            let civil = Civil::of(zone.to_local(ms));
            let months = (civil.month - 1).checked_add(amount.checked_mul(length)?)?;
            let year = civil.year.checked_add(months.div_euclid(12))?;
            let month = months.rem_euclid(12) + 1;
            let day = civil.day.min(days_in_month(year, month));
            Some(zone.to_utc(Civil { year, month, day, ..civil }.to_ms()?))
        }
    }
}

/// The unit argument of `$dateDiff` and `$dateTrunc`.
pub(super) fn unit_of(args: &Args<'_, '_>, at: usize, code: i32) -> Result<Unit> {
    match args.get(at).and_then(Value::as_str) {
        Some(unit) => Unit::parse(unit),
        None => Err(Error::location(
            code,
            format!("{} requires 'unit' to be a string, but got {}", args.name, args.type_name(at)),
        )),
    }
}

/// The day that weeks start with, where a unit is a week; `None` if it was written and is null.
pub(super) fn week_start_of(args: &Args<'_, '_>, at: u32, unit: Unit, code: i32) -> Result<Option<i64>> {
    const SUNDAY: i64 = 7;
    if unit != Unit::Days(7) || !args.given(at) {
        return Ok(Some(SUNDAY));
    }
    match usize::try_from(at).ok().and_then(|at| args.get(at)) {
        Some(Value::String(name)) => super::unit::weekday(name).map(Some),
        other if crate::expression::operator::is_nullish(other) => Ok(None),
        other => Err(Error::location(
            code,
            format!(
                "{} requires 'startOfWeek' to be a string, but got {}",
                args.name,
                crate::expression::operator::type_name(other)
            ),
        )),
    }
}
