//! `$dateDiff`.
//!
//! Shape:  `{startDate: a, endDate: b, unit: <unit>, timezone: c, startOfWeek: <day>}`
//! Absent: null or missing gives null.
//! Result: how many starts of a unit lie between, as a `long`; weeks start on Sunday unless `startOfWeek` says.

use millstream_value::Value;

use super::arithmetic::{unit_of, week_start_of};
use super::calendar::Civil;
use super::unit::Unit;
use super::{DAY, Zone, ms_of, zone_of};
use crate::Result;
use crate::expression::operator::{Args, Name, Operator, optional, required};

pub(in crate::expression) static DATE_DIFF: Operator =
    Operator::named("$dateDiff", NAMES, 5_166_302, 5_166_301, date_diff);

static NAMES: &[Name] = &[
    required("startDate", 5_166_303),
    required("endDate", 5_166_304),
    required("unit", 5_166_305),
    optional("timezone"),
    optional("startOfWeek"),
];

fn date_diff<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    if args.nullish(0) || args.nullish(1) || args.nullish(2) {
        return Ok(Some(Value::Null));
    }
    let (Some(start), Some(end)) = (ms_of(args.get(0)), ms_of(args.get(1))) else {
        let (name, at) = if ms_of(args.get(0)).is_none() { ("startDate", 0) } else { ("endDate", 1) };
        return args.fail(5_166_307, format_args!("requires '{name}' to be a date, but got {}", args.type_name(at)));
    };
    let unit = unit_of(args, 2, 5_166_306)?;
    let (Some(zone), Some(week)) = (zone_of(args, 3)?, week_start_of(args, 4, unit, 5_439_016)?) else {
        return Ok(Some(Value::Null));
    };
    let count = |ms| position(ms, unit, week, &zone);
    Ok(Some(Value::Int64(count(end).saturating_sub(count(start)))))
}

/// How many starts of a unit precede a time, from some fixed point on.
fn position(ms: i64, unit: Unit, week_start: i64, zone: &Zone) -> i64 {
    match unit {
        Unit::Months(length) => {
            let civil = Civil::of(zone.to_local(ms));
            (civil.year * 12 + civil.month - 1).div_euclid(length)
        }
        Unit::Days(7) => {
            let day = zone.to_local(ms).div_euclid(DAY);
            // 1970-01-01 was a Thursday, the fourth day of a week that starts on Monday.
            (day + 4 - week_start).div_euclid(7)
        }
        Unit::Days(_) => zone.to_local(ms).div_euclid(DAY),
        // Hours and shorter are counted in UTC: a clock that is put back must not count twice. What an offset is
        // short of whole hours decides where an hour starts.
        Unit::Milliseconds(length) => ms.saturating_add(zone.offset_at(ms).rem_euclid(3_600_000)).div_euclid(length),
    }
}
