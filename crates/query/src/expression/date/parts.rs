//! `$dateToParts` and `$dateFromParts`.
//!
//! Shape:  `{date: a, timezone: b, iso8601: <bool>}`;
//!         `{year|isoWeekYear: a, month|isoWeek: b, day|isoDayOfWeek: c, hour, minute, second, millisecond, timezone}`.
//! Absent: null or missing gives null; parts that are not written count as their first.
//! Result: a document; a date, where parts beyond their range carry over.

use millstream_value::{DocBuf, Value};

use super::calendar::{Civil, iso_to_days, iso_week, iso_weekday};
use super::{DAY, to_ms, zone_of};
use crate::expression::compile::Compiler;
use crate::expression::node::Node;
use crate::expression::operator::{Args, Name, Operator, Unknown, optional, required, shown};
use crate::{Error, Result};

pub(in crate::expression) static DATE_FROM_PARTS: Operator = Operator::own("$dateFromParts", parse_from_parts);
pub(in crate::expression) static DATE_TO_PARTS: Operator =
    Operator::named("$dateToParts", TO_NAMES, 40520, 40524, to_parts);

static TO_NAMES: &[Name] = &[required("date", 40522), optional("timezone"), optional("iso8601")];

fn to_parts<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let iso = match args.get(2) {
        _ if !args.given(2) => false,
        Some(Value::Bool(iso)) => *iso,
        _ if args.nullish(2) => return Ok(Some(Value::Null)),
        _ => {
            return Err(Error::location(
                40521,
                format!("iso8601 must evaluate to a bool, found {}", args.type_name(2)),
            ));
        }
    };
    let Some(zone) = zone_of(args, 1)? else { return Ok(Some(Value::Null)) };
    if args.nullish(0) {
        return Ok(Some(Value::Null));
    }
    let ms = zone.to_local(to_ms(args.get(0))?);
    let civil = Civil::of(ms);
    let mut parts = DocBuf::new();
    let mut push = |name: &str, number: i64| {
        parts.push(name, i32::try_from(number).map_or(Value::Int64(number), Value::Int32));
    };
    if iso {
        let (year, week) = iso_week(ms);
        push("isoWeekYear", year);
        push("isoWeek", week);
        push("isoDayOfWeek", iso_weekday(ms));
    } else {
        push("year", civil.year);
        push("month", civil.month);
        push("day", civil.day);
    }
    push("hour", civil.hour);
    push("minute", civil.minute);
    push("second", civil.second);
    push("millisecond", civil.millisecond);
    Ok(Some(parts.into()))
}

static FROM_NAMES: &[Name] = &[
    optional("year"),
    optional("month"),
    optional("day"),
    optional("isoWeekYear"),
    optional("isoWeek"),
    optional("isoDayOfWeek"),
    optional("hour"),
    optional("minute"),
    optional("second"),
    optional("millisecond"),
    optional("timezone"),
];

fn parse_from_parts(name: &'static str, value: &Value<'_>, compiler: &mut Compiler<'_>) -> Result<Node> {
    let (args, given) = compiler.named(name, FROM_NAMES, &Unknown { unknown: 40518, not_object: 40519 }, value)?;
    let (year, iso_year) = (given & 1 != 0, given & 8 != 0);
    if !year && !iso_year {
        return Err(Error::location(40516, "$dateFromParts requires either 'year' or 'isoWeekYear' to be present"));
    }
    let (natural, iso) = (given & 0b111 != 0, given & 0b11_1000 != 0);
    if natural && iso {
        let text = if year {
            "$dateFromParts does not allow mixing natural dates with ISO dates"
        } else {
            "$dateFromParts does not allow mixing ISO dates with natural dates"
        };
        return Err(Error::location(if year { 40489 } else { 40525 }, text));
    }
    let constant = args.iter().all(Node::is_literal);
    compiler.fold(Node::Eager { name, run: from_parts, args, given }, constant)
}

fn from_parts<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let mut parts = [0_i64; 10];
    for (at, part) in parts.iter_mut().enumerate() {
        let Some(number) = one_part(args, at)? else { return Ok(Some(Value::Null)) };
        *part = number;
    }
    let Some(zone) = zone_of(args, 10)? else { return Ok(Some(Value::Null)) };
    let [year, month, day, iso_year, iso_week, iso_day, hour, minute, second, millisecond] = parts;
    let days = if args.given(3) { iso_to_days(iso_year, iso_week, iso_day) } else { None };
    let local = match days {
        Some(days) => Civil { day: days + 1, ..Civil::midnight(1970, 1, 1) },
        None => Civil::midnight(year, month, day),
    };
    let local = Civil { hour, minute, second, millisecond, ..local };
    let ms = local.to_ms().ok_or_else(|| super::out_of_range(args))?;
    Ok(Some(Value::Date(zone.to_utc(ms))))
}

/// One part; its first value where it is not written, `None` where it is null.
fn one_part(args: &Args<'_, '_>, at: usize) -> Result<Option<i64>> {
    let name = FROM_NAMES.get(at).map_or("", |name| name.name);
    if !u32::try_from(at).is_ok_and(|at| args.given(at)) {
        return Ok(Some(match name {
            "year" | "isoWeekYear" => 1970,
            "hour" | "minute" | "second" | "millisecond" => 0,
            _ => 1,
        }));
    }
    if args.nullish(at) {
        return Ok(None);
    }
    let value = args.get(at);
    let Some(number) = value.and_then(Value::as_integer) else {
        return Err(Error::location(
            40515,
            format!("'{name}' must evaluate to an integer, found {} with value {}", args.type_name(at), shown(value)),
        ));
    };
    let year = matches!(name, "year" | "isoWeekYear");
    if year && !(1..=9999).contains(&number) {
        return Err(Error::location(
            40523,
            format!("'{name}' must evaluate to an integer in the range 1 to 9999, found {number}"),
        ));
    }
    // Seconds and milliseconds may be any number; the others are held to 16 bits.
    let wide = matches!(name, "second" | "millisecond");
    if !year && !wide && i16::try_from(number).is_err() {
        return Err(Error::location(
            31034,
            format!("'{name}' must evaluate to a value in the range [-32768, 32767]; value {number} is not in range"),
        ));
    }
    Ok(Some(number))
}

/// Milliseconds of the first moment of a local day.
pub(super) const fn midnight(days: i64) -> i64 {
    days.saturating_mul(DAY)
}
