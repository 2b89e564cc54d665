//! `$dateToString`.
//!
//! Shape:  `{date: a, format: <text>, timezone: b, onNull: c}`
//! Absent: `onNull`, or null.
//! Format: `%Y %m %d %H %M %S %L %j %b %B %u %w %U %G %V %z %Z %%`; by default `%Y-%m-%dT%H:%M:%S.%L`, and `Z` in UTC.
//! Errors: 18535 and 18536 for the format, 18537 for a year of more than four digits.

use std::fmt::Write;

use millstream_value::Value;

use super::calendar::{Civil, day_of_year, iso_week, iso_weekday};
use super::part::week;
use super::{Zone, to_ms, zone_of};
use crate::expression::operator::{Args, Name, Operator, optional, required, shown};
use crate::{Error, Result};

pub(in crate::expression) static DATE_TO_STRING: Operator =
    Operator::named("$dateToString", NAMES, 18534, 18629, date_to_string);

static NAMES: &[Name] = &[required("date", 18628), optional("format"), optional("timezone"), optional("onNull")];

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

fn date_to_string<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let zone = zone_of(args, 2)?;
    if args.given(1) && !args.nullish(1) && args.get(1).and_then(Value::as_str).is_none() {
        return args.fail(
            18533,
            format_args!(
                "requires that 'format' be a string, found: {} with value {}",
                args.type_name(1),
                shown(args.get(1))
            ),
        );
    }
    if args.nullish(0) {
        return Ok(if args.given(3) { args.take(3) } else { Some(Value::Null) });
    }
    let ms = to_ms(args.get(0))?;
    let Some(zone) = zone else { return Ok(Some(Value::Null)) };
    if args.given(1) && args.nullish(1) {
        return Ok(Some(Value::Null));
    }
    let default = if matches!(zone, Zone::Utc) { "%Y-%m-%dT%H:%M:%S.%LZ" } else { "%Y-%m-%dT%H:%M:%S.%L" };
    let format = args.get(1).and_then(Value::as_str).unwrap_or(default);
    write(format, ms, &zone).map(|text| Some(text.into()))
}

fn write(format: &str, utc_ms: i64, zone: &Zone) -> Result<String> {
    let ms = zone.to_local(utc_ms);
    let offset = zone.offset_at(utc_ms) / 60_000;
    let civil = Civil::of(ms);
    if !(0..=9999).contains(&civil.year) {
        return Err(Error::location(
            18537,
            format!("$dateToString is only defined on year 0-9999, tried to use year {}", civil.year),
        ));
    }
    let month = usize::try_from(civil.month - 1).ok().and_then(|at| MONTHS.get(at)).copied().unwrap_or_default();
    let mut out = String::with_capacity(format.len() + 16);
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        // Writing to a string cannot fail.
        let _ = match rest.next() {
            Some('%') => out.write_char('%'),
            Some('Y') => write!(out, "{:04}", civil.year),
            Some('m') => write!(out, "{:02}", civil.month),
            Some('d') => write!(out, "{:02}", civil.day),
            Some('H') => write!(out, "{:02}", civil.hour),
            Some('M') => write!(out, "{:02}", civil.minute),
            Some('S') => write!(out, "{:02}", civil.second),
            Some('L') => write!(out, "{:03}", civil.millisecond),
            Some('j') => write!(out, "{:03}", day_of_year(ms)),
            Some('b') => out.write_str(month.get(..3).unwrap_or(month)),
            Some('B') => out.write_str(month),
            Some('u') => write!(out, "{}", iso_weekday(ms)),
            Some('w') => write!(out, "{}", iso_weekday(ms) % 7 + 1),
            Some('U') => write!(out, "{:02}", week(ms)),
            Some('G') => write!(out, "{:04}", iso_week(ms).0),
            Some('V') => write!(out, "{:02}", iso_week(ms).1),
            Some('z') => {
                let sign = if offset < 0 { '-' } else { '+' };
                write!(out, "{sign}{:02}{:02}", offset.abs() / 60, offset.abs() % 60)
            }
            Some('Z') => write!(out, "{offset:+}"),
            Some(other) => {
                return Err(Error::location(18536, format!("Invalid format character '%{other}' in format string")));
            }
            None => return Err(Error::location(18535, "Unmatched '%' at end of format string")),
        };
    }
    Ok(out)
}
