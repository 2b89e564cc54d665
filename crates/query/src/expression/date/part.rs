//! One part of a date: `$year`, `$month`, `$dayOfMonth`, `$hour`, … `$isoWeek`.
//!
//! Shape:  a date, or `{date: a, timezone: b}`.
//! Absent: null or missing, also as zone, gives null.
//! Result: `int`; `$isoWeekYear` is a `long`. Weeks of `$week` start on Sunday, the days before the first are week 0;
//!         `$dayOfWeek` is 1 on Sunday, `$isoDayOfWeek` 1 on Monday.

use millstream_value::Value;

use super::calendar::{Civil, day_of_year, iso_week, iso_weekday};
use super::{Zone, to_ms};
use crate::expression::compile::Compiler;
use crate::expression::node::Node;
use crate::expression::operator::{Args, Operator, type_name};
use crate::{Error, Result};

pub(in crate::expression) static DAY_OF_MONTH: Operator = Operator::own("$dayOfMonth", parse);
pub(in crate::expression) static DAY_OF_WEEK: Operator = Operator::own("$dayOfWeek", parse);
pub(in crate::expression) static DAY_OF_YEAR: Operator = Operator::own("$dayOfYear", parse);
pub(in crate::expression) static HOUR: Operator = Operator::own("$hour", parse);
pub(in crate::expression) static ISO_DAY_OF_WEEK: Operator = Operator::own("$isoDayOfWeek", parse);
pub(in crate::expression) static ISO_WEEK: Operator = Operator::own("$isoWeek", parse);
pub(in crate::expression) static ISO_WEEK_YEAR: Operator = Operator::own("$isoWeekYear", parse);
pub(in crate::expression) static MILLISECOND: Operator = Operator::own("$millisecond", parse);
pub(in crate::expression) static MINUTE: Operator = Operator::own("$minute", parse);
pub(in crate::expression) static MONTH: Operator = Operator::own("$month", parse);
pub(in crate::expression) static SECOND: Operator = Operator::own("$second", parse);
pub(in crate::expression) static WEEK: Operator = Operator::own("$week", parse);
pub(in crate::expression) static YEAR: Operator = Operator::own("$year", parse);

fn parse(name: &'static str, value: &Value<'_>, compiler: &mut Compiler<'_>) -> Result<Node> {
    let options = value.as_doc().filter(|doc| !doc.elements().next().is_some_and(|e| e.key().starts_with('$')));
    let args = match options {
        Some(doc) => {
            if let Some(other) = doc.elements().find(|e| !matches!(e.key(), "date" | "timezone")) {
                return Err(Error::location(40535, format!("unrecognized option to {name}: \"{}\"", other.key())));
            }
            let date = doc.get("date").ok_or_else(|| {
                Error::location(40539, format!("missing 'date' argument to {name}, provided: {doc:?}"))
            })?;
            let mut args = vec![compiler.node(&date)?];
            if let Some(zone) = doc.get("timezone") {
                args.push(compiler.node(&zone)?);
            }
            args
        }
        None => match value.as_array() {
            None => vec![compiler.node(value)?],
            Some(list) => {
                let mut items = list.values();
                let (Some(date), None) = (items.next(), items.next()) else {
                    return Err(Error::location(
                        40536,
                        format!("{name} accepts exactly one argument if given an array, but was given {}", list.len()),
                    ));
                };
                vec![compiler.node(&date)?]
            }
        },
    };
    let constant = args.iter().all(Node::is_literal);
    compiler.fold(Node::Eager { name, run: part, args, given: u32::MAX }, constant)
}

fn part<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    if (0..args.len()).any(|at| args.nullish(at)) {
        return Ok(Some(Value::Null));
    }
    let zone = match args.get(1) {
        None => Zone::Utc,
        Some(Value::String(name)) => Zone::parse(name)?,
        other => {
            return args.fail(
                40533,
                format_args!("requires a string for the timezone argument, but was given a {}", type_name(other)),
            );
        }
    };
    let ms = zone.to_local(to_ms(args.get(0))?);
    let civil = Civil::of(ms);
    let number = match args.name {
        "$year" => civil.year,
        "$month" => civil.month,
        "$dayOfMonth" => civil.day,
        "$hour" => civil.hour,
        "$minute" => civil.minute,
        "$second" => civil.second,
        "$millisecond" => civil.millisecond,
        "$dayOfYear" => day_of_year(ms),
        "$dayOfWeek" => iso_weekday(ms) % 7 + 1,
        "$isoDayOfWeek" => iso_weekday(ms),
        "$isoWeek" => iso_week(ms).1,
        "$isoWeekYear" => return Ok(Some(Value::Int64(iso_week(ms).0))),
        _ => week(ms),
    };
    Ok(Some(i32::try_from(number).map_or(Value::Int64(number), Value::Int32)))
}

/// Week of the year, weeks starting on Sunday; the days before the first Sunday are week 0.
pub(super) fn week(ms: i64) -> i64 {
    (day_of_year(ms) - 1 + 7 - iso_weekday(ms) % 7) / 7
}
