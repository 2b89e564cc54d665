//! `$dateTrunc`.
//!
//! Shape:  `{date: a, unit: <unit>, binSize: b, timezone: c, startOfWeek: <day>}`
//! Absent: null or missing gives null.
//! Result: the start of the bin that the date is in; bins are counted from 2000-01-01 in the zone, those of weeks from
//!         the first `startOfWeek` (by default Sunday) on or after it.

use millstream_value::Value;

use super::arithmetic::{unit_of, week_start_of};
use super::calendar::Civil;
use super::parts::midnight;
use super::unit::Unit;
use super::{DAY, Zone, ms_of, out_of_range, zone_of};
use crate::Result;
use crate::expression::operator::{Args, Name, Operator, optional, required, shown};

pub(in crate::expression) static DATE_TRUNC: Operator =
    Operator::named("$dateTrunc", NAMES, 5_439_008, 5_439_007, date_trunc);

static NAMES: &[Name] = &[
    required("date", 5_439_009),
    required("unit", 5_439_010),
    optional("binSize"),
    optional("timezone"),
    optional("startOfWeek"),
];

/// 2000-01-01, a Saturday, in days since 1970.
const REFERENCE: i64 = 10_957;

fn date_trunc<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    if args.nullish(0) || args.nullish(1) || (args.given(2) && args.nullish(2)) {
        return Ok(Some(Value::Null));
    }
    let Some(ms) = ms_of(args.get(0)) else {
        return args.fail(5_439_012, format_args!("requires 'date' to be a date, but got {}", args.type_name(0)));
    };
    let unit = unit_of(args, 1, 5_439_013)?;
    let size = match args.get(2) {
        None => 1,
        Some(size) => match size.as_integer() {
            None => {
                return args.fail(
                    5_439_017,
                    format_args!(
                        "requires 'binSize' to be a 64-bit integer, but got value '{}' of type {}",
                        shown(Some(size)),
                        size.type_name()
                    ),
                );
            }
            Some(size) if size <= 0 => {
                return args
                    .fail(5_439_018, format_args!("requires 'binSize' to be greater than 0, but got value {size}"));
            }
            Some(size) => size,
        },
    };
    let (Some(zone), Some(week)) = (zone_of(args, 3)?, week_start_of(args, 4, unit, 5_439_015)?) else {
        return Ok(Some(Value::Null));
    };
    let start = truncate(ms, unit, size, week, &zone).ok_or_else(|| out_of_range(args))?;
    Ok(Some(Value::Date(start)))
}

fn truncate(ms: i64, unit: Unit, size: i64, week_start: i64, zone: &Zone) -> Option<i64> {
    let bin = |at: i64, length: i64| -> Option<i64> {
        let length = length.checked_mul(size)?;
        at.div_euclid(length).checked_mul(length)
    };
    match unit {
        Unit::Milliseconds(length) => {
            let reference = zone.to_utc(midnight(REFERENCE));
            reference.checked_add(bin(ms.checked_sub(reference)?, length)?)
        }
        Unit::Days(length) => {
            let reference = if length == 7 { REFERENCE + (week_start - 6).rem_euclid(7) } else { REFERENCE };
            let day = zone.to_local(ms).div_euclid(DAY);
            let start = reference.checked_add(bin(day.checked_sub(reference)?, length)?)?;
            Some(zone.to_utc(start.checked_mul(DAY)?))
        }
        Unit::Months(length) => {
            let civil = Civil::of(zone.to_local(ms));
            let months = (civil.year - 2000) * 12 + civil.month - 1;
            Some(zone.to_utc(Civil::midnight(2000, bin(months, length)?.checked_add(1)?, 1).to_ms()?))
        }
    }
}
