//! `$dateFromString`.
//!
//! Shape:  `{dateString: <text>, format: <text>, timezone: a, onError: b, onNull: c}`
//! Absent: `onNull`, or null.
//! Format: as of `$dateToString`; without one: `2017-02-08`, `2017/02/08`, `20170208`, `02/08/2017`, `8 Feb 2017`,
//!         `Feb 8, 2017`, each with a time (`12:10:40.787`, `12:10 pm`) and an offset (`Z`, `GMT`, `+02:00`) or not.
//! Errors: `ConversionFailure` (241) for text that is no date, unless there is `onError`.

use millstream_value::Value;

use super::calendar::{Civil, days_in_month, iso_to_days};
use super::format::MONTHS;
use super::{DAY, Zone, zone_of};
use crate::expression::convert::failure;
use crate::expression::operator::{Args, Name, Operator, optional, required, shown};
use crate::{Error, Result};

pub(in crate::expression) static DATE_FROM_STRING: Operator =
    Operator::named("$dateFromString", NAMES, 40541, 40540, date_from_string);

static NAMES: &[Name] =
    &[required("dateString", 40542), optional("format"), optional("timezone"), optional("onError"), optional("onNull")];

fn date_from_string<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let zone = zone_of(args, 2)?;
    if args.given(1) && !args.nullish(1) && args.get(1).and_then(Value::as_str).is_none() {
        return args.fail(
            40684,
            format_args!(
                "requires that 'format' be a string, found: {} with value {}",
                args.type_name(1),
                shown(args.get(1))
            ),
        );
    }
    if args.nullish(0) {
        return Ok(if args.given(4) { args.take(4) } else { Some(Value::Null) });
    }
    if args.given(1) && args.nullish(1) {
        return Ok(Some(Value::Null));
    }
    let Some(zone) = zone else { return Ok(Some(Value::Null)) };
    let parsed = match args.get(0) {
        Some(Value::String(text)) => parse_text(text, args.get(1).and_then(Value::as_str), &zone),
        other => Err(failure(format!(
            "$dateFromString requires that 'dateString' be a string, found: {} with value {}",
            args.type_name(0),
            shown(other)
        ))),
    };
    match parsed {
        Ok(ms) => Ok(Some(Value::Date(ms))),
        Err(error) if error.code == failure("").code && args.given(3) => Ok(args.take(3)),
        Err(error) => Err(error),
    }
}

/// Text as a date: in `format`, or in one of the usual forms. `zone` holds where the text has no offset.
pub(in crate::expression) fn parse_text(text: &str, format: Option<&str>, zone: &Zone) -> Result<i64> {
    let fail = |why: &str| failure(format!("Error parsing date string '{text}'; {why}"));
    let found = match format {
        Some(format) => formatted(text, format)?,
        None => free(text),
    };
    let found = found.ok_or_else(|| fail("0: Unexpected character"))?;
    let ms = found.to_local().ok_or_else(|| fail("0: The parsed date was invalid"))?;
    match found.offset {
        None => Ok(zone.to_utc(ms)),
        Some(_) if !matches!(zone, Zone::Utc) => {
            Err(fail("you cannot pass in a date/time string with GMT offset together with a timezone argument"))
        }
        Some(offset) => Ok(ms.saturating_sub(offset)),
    }
}

/// The parts that a text tells.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    iso: Option<i64>,
    iso_week: Option<i64>,
    iso_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    millisecond: i64,
    /// Milliseconds ahead of UTC.
    offset: Option<i64>,
}

impl Found {
    fn to_local(self) -> Option<i64> {
        if self.hour > 23 || self.minute > 59 || self.second > 59 {
            return None;
        }
        let time = Civil {
            hour: self.hour,
            minute: self.minute,
            second: self.second,
            millisecond: self.millisecond,
            ..Civil::midnight(1970, 1, 1)
        };
        let days = if let Some(year) = self.iso {
            iso_to_days(year, self.iso_week.unwrap_or(1), self.iso_day.unwrap_or(1))?
        } else if let Some(day) = self.day_of_year {
            Civil::midnight(self.year?, 1, day).to_ms()?.div_euclid(DAY)
        } else {
            let (year, month, day) = (self.year?, self.month.unwrap_or(1), self.day.unwrap_or(1));
            if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
                return None;
            }
            Civil::midnight(year, month, day).to_ms()?.div_euclid(DAY)
        };
        days.checked_mul(DAY)?.checked_add(time.to_ms()?)
    }
}

/// The month that a word names, whole or by its first three letters.
fn month_named(word: &str) -> Option<i64> {
    let is = |name: &str| {
        name.eq_ignore_ascii_case(word) || name.get(..3).is_some_and(|short| short.eq_ignore_ascii_case(word))
    };
    MONTHS.iter().zip(1..).find(|(name, _)| is(name)).map(|(_, number)| number)
}

fn number(text: &str) -> Option<i64> {
    (!text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Text in no stated form: words and numbers tell by their look what they are.
fn free(text: &str) -> Option<Found> {
    let mut found = Found::default();
    let spaced = separate_time(text.trim_matches(' '));
    let mut timed = false;
    for word in spaced.split([' ', ',']).filter(|word| !word.is_empty()) {
        let lower = word.to_ascii_lowercase();
        if word.contains(':') && !timed && !word.starts_with(['+', '-']) {
            timed = true;
            time(word, &mut found)?;
        } else if lower == "am" || lower == "pm" {
            twelve_hours(&lower, &mut found)?;
        } else if let Some(offset) = offset(word) {
            if !timed || found.offset.replace(offset).is_some() {
                return None;
            }
        } else if let Some(month) = month_named(word) {
            found.month = Some(month);
        } else if is_weekday(&lower) {
            // What day of the week it is follows from the date.
        } else {
            date(word, &lower, &mut found)?;
        }
    }
    found.year.and(found.month).map(|_| found)
}

/// `2017-02-08T12:00` with a space in place of the `T`.
fn separate_time(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let between = before.is_ascii_digit() && rest.peek().is_some_and(char::is_ascii_digit);
        out.push(if between && matches!(c, 'T' | 't') { ' ' } else { c });
        before = c;
    }
    out
}

fn is_weekday(word: &str) -> bool {
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
        .iter()
        .any(|name| *name == word || name.get(..3) == Some(word))
}

/// `hh:mm`, `hh:mm:ss`, `hh:mm:ss.fff`, with `am`, `pm` or an offset behind it.
fn time(word: &str, found: &mut Found) -> Option<()> {
    let end = word.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.')).unwrap_or(word.len());
    let (clock, rest) = word.split_at_checked(end)?;
    let mut parts = clock.split(':');
    found.hour = number(parts.next()?)?;
    found.minute = number(parts.next()?)?;
    if let Some(seconds) = parts.next() {
        let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
        found.second = number(whole)?;
        found.millisecond = milliseconds(fraction)?;
    }
    if parts.next().is_some() {
        return None;
    }
    match rest.to_ascii_lowercase().as_str() {
        "" => {}
        half @ ("am" | "pm") => twelve_hours(half, found)?,
        _ => found.offset = Some(offset(rest)?),
    }
    Some(())
}

/// The first three digits after the point.
fn milliseconds(fraction: &str) -> Option<i64> {
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    number(&format!("{fraction:0<3}").chars().take(3).collect::<String>())
}

fn twelve_hours(half: &str, found: &mut Found) -> Option<()> {
    if !(1..=12).contains(&found.hour) {
        return None;
    }
    found.hour = found.hour % 12 + if half == "pm" { 12 } else { 0 };
    Some(())
}

fn offset(word: &str) -> Option<i64> {
    if matches!(word, "Z" | "z" | "UTC" | "utc" | "GMT" | "gmt") {
        return Some(0);
    }
    let word = word.strip_prefix("GMT").or_else(|| word.strip_prefix("UTC")).unwrap_or(word);
    if !word.starts_with(['+', '-']) {
        return None;
    }
    match Zone::parse(word) {
        Ok(Zone::Offset(ms)) => Some(ms),
        _ => None,
    }
}

/// A word that holds a date or a part of one.
fn date(word: &str, lower: &str, found: &mut Found) -> Option<()> {
    if let Some(separator) = ['-', '/', '.'].into_iter().find(|&c| word.contains(c)) {
        let mut parts = word.split(separator);
        let (first, second, third) = (parts.next()?, parts.next()?, parts.next());
        if parts.next().is_some() {
            return None;
        }
        return match (first.len(), third) {
            (4, third) => {
                found.year = number(first);
                found.month = number(second).or_else(|| month_named(second));
                found.day = third.map_or(Some(1), number);
                found.year.and(found.month).and(found.day).map(|_| ())
            }
            (_, Some(year)) if year.len() == 4 => {
                found.year = number(year);
                // With slashes the month is first, as Americans write; else the day.
                (found.month, found.day) = if separator == '/' {
                    (number(first), number(second))
                } else {
                    (number(second).or_else(|| month_named(second)), number(first))
                };
                found.year.and(found.month).and(found.day).map(|_| ())
            }
            _ => None,
        };
    }
    if word.len() == 8
        && let Some(all) = number(word)
    {
        (found.year, found.month, found.day) = (Some(all / 10_000), Some(all / 100 % 100), Some(all % 100));
        return Some(());
    }
    if word.len() == 4 && number(word).is_some() {
        found.year = number(word);
        return Some(());
    }
    let digits = ["st", "nd", "rd", "th"].iter().find_map(|ending| lower.strip_suffix(ending)).unwrap_or(lower);
    if digits.len() > 2 {
        return None;
    }
    found.day = Some(number(digits)?);
    Some(())
}

/// Text in a stated form; `Ok(None)` if it does not follow it.
fn formatted(text: &str, format: &str) -> Result<Option<Found>> {
    let mut found = Found::default();
    let mut rest = text;
    let mut specifiers = format.chars();
    while let Some(c) = specifiers.next() {
        let next = if c == '%' {
            match specifiers.next() {
                None => return Err(Error::location(18535, "Unmatched '%' at end of format string")),
                Some(specifier) => part(specifier, rest, &mut found)?,
            }
        } else {
            rest.strip_prefix(c)
        };
        let Some(next) = next else { return Ok(None) };
        rest = next;
    }
    Ok(rest.is_empty().then_some(found))
}

/// Reads one part and gives what is behind it; `Ok(None)` if it is not there.
fn part<'t>(specifier: char, text: &'t str, found: &mut Found) -> Result<Option<&'t str>> {
    let digits = |most: usize| {
        let end = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
        text.split_at_checked(end).and_then(|(digits, rest)| Some((number(digits)?, rest)))
    };
    let word = || {
        let end = text.bytes().take_while(u8::is_ascii_alphabetic).count();
        text.split_at_checked(end)
    };
    let keep = |slot: &mut Option<i64>, read: Option<(i64, &'t str)>| {
        read.map(|(number, rest)| {
            *slot = Some(number);
            rest
        })
    };
    let set = |slot: &mut i64, read: Option<(i64, &'t str)>| {
        read.map(|(number, rest)| {
            *slot = number;
            rest
        })
    };
    Ok(match specifier {
        '%' => text.strip_prefix('%'),
        'Y' => keep(&mut found.year, digits(4)),
        'm' => keep(&mut found.month, digits(2)),
        'd' => keep(&mut found.day, digits(2)),
        'j' => keep(&mut found.day_of_year, digits(3)),
        'G' => keep(&mut found.iso, digits(4)),
        'V' => keep(&mut found.iso_week, digits(2)),
        'u' => keep(&mut found.iso_day, digits(1)),
        'H' => set(&mut found.hour, digits(2)),
        'M' => set(&mut found.minute, digits(2)),
        'S' => set(&mut found.second, digits(2)),
        'L' => set(&mut found.millisecond, digits(3)),
        'b' | 'B' => keep(&mut found.month, word().and_then(|(name, rest)| Some((month_named(name)?, rest)))),
        'z' => {
            let end = text.bytes().take_while(|b| b.is_ascii_digit() || b"+-:Z".contains(b)).count();
            keep(&mut found.offset, text.split_at_checked(end).and_then(|(word, rest)| Some((offset(word)?, rest))))
        }
        'Z' => {
            let negative = text.starts_with('-');
            let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
            let end = unsigned.bytes().take(4).take_while(u8::is_ascii_digit).count();
            keep(
                &mut found.offset,
                unsigned
                    .split_at_checked(end)
                    .and_then(|(digits, rest)| Some((number(digits)? * if negative { -60_000 } else { 60_000 }, rest))),
            )
        }
        other => {
            return Err(Error::location(18536, format!("Invalid format character '%{other}' in format string")));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_forms() {
        let day = 1_486_512_000_000;
        let noon = day + 12 * 3_600_000;
        for (text, want) in [
            ("2017-02-08", day),
            ("2017/02/08", day),
            ("20170208", day),
            ("02/08/2017", day),
            ("8 Feb 2017", day),
            ("February 8th, 2017", day),
            ("2017-02-08T12:00:00.000Z", noon),
            ("2017-02-08 12:00", noon),
            ("2017-02-08T12:00:00.5", noon + 500),
            ("2017-02-08T14:00:00+02:00", noon),
            ("2017-02-08T14:00:00 +0200", noon),
            ("Wed, 08 Feb 2017 12:00:00 GMT", noon),
            ("Feb 8 2017 12:00 pm", noon),
        ] {
            assert_eq!(parse_text(text, None, &Zone::Utc).unwrap(), want, "{text}");
        }
        for text in
            ["", "bad", "2017-13-01", "2017-02-30", "2017-02-08T25:00", "12:00", "2017-02-08 12:00 Europe/Oslo", "é"]
        {
            assert!(parse_text(text, None, &Zone::Utc).is_err(), "{text}");
        }
    }

    #[test]
    fn stated_forms() {
        let parse = |text, format| parse_text(text, Some(format), &Zone::Utc);
        assert_eq!(parse("08-02-2017", "%d-%m-%Y").unwrap(), 1_486_512_000_000);
        assert_eq!(parse("2017 039", "%Y %j").unwrap(), 1_486_512_000_000);
        assert_eq!(parse("2017-W06-3", "%G-W%V-%u").unwrap(), 1_486_512_000_000);
        assert_eq!(parse("2017-02-08 +0100", "%Y-%m-%d %z").unwrap(), 1_486_508_400_000);
        assert!(parse("2017-02-08x", "%Y-%m-%d").is_err());
        assert_eq!(parse("2017", "%Q").unwrap_err().code.number(), 18536);
    }
}
