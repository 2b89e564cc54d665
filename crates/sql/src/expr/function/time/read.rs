//! `TO_TIMESTAMP` and `TO_DATE`: times read by a pattern.

use millstream_flow::{Datum, RowError};

use super::Result;
use super::field;
use super::pattern::{DAYS, MONTHS, Part, ROMAN_MONTHS, Spelled, parts};
use crate::expr::Context;
use crate::expr::calendar::{self, DAY_MS};

/// What was read so far.
#[derive(Default)]
struct Read {
    year: Option<i64>,
    iso_year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    iso_week: Option<i64>,
    iso_weekday: Option<i64>,
    week: Option<i64>,
    julian: Option<i64>,
    century: Option<i64>,
    hour: i64,
    /// The hour is one of twelve: whether it is after noon, where that was said.
    twelve: bool,
    after_noon: Option<bool>,
    minute: i64,
    second: i64,
    micros: i64,
    zone_sign: i64,
    zone_hours: Option<i64>,
    zone_minutes: i64,
}

pub(super) fn instant(text: &str, pattern: &str, context: &Context) -> Result {
    let read = read(text, pattern)?;
    let local = read.days()? * DAY_MS + read.of_day_ms()?;
    let instant = match read.zone_hours {
        Some(hours) => local - (hours * 60 + read.zone_sign * read.zone_minutes) * 60_000,
        None => calendar::to_instant(local, &context.time_zone),
    };
    calendar::checked_ms(instant).map(Datum::Instant)
}

pub(super) fn date(text: &str, pattern: &str) -> Result {
    calendar::date(read(text, pattern)?.days()?)
}

fn read(text: &str, pattern: &str) -> Result<Read> {
    let mut read = Read::default();
    let mut rest = text.trim_start();
    let parts = parts(pattern);
    for (at, part) in parts.iter().enumerate() {
        match part {
            Part::Text(literal) => rest = skip(rest, literal),
            Part::Field(field) => {
                rest = rest.trim_start();
                // A number goes to its end unless another one follows at once.
                let alone = match parts.get(at + 1) {
                    Some(Part::Field(next)) => !is_number(next.name),
                    Some(Part::Text(next)) => !next.starts_with(|c: char| c.is_ascii_digit()),
                    None => true,
                };
                rest = read.field(field, rest, alone)?;
            }
        }
    }
    Ok(read)
}

fn is_number(name: &str) -> bool {
    !matches!(
        name,
        "MONTH"
            | "MON"
            | "DAY"
            | "DY"
            | "AM"
            | "PM"
            | "A.M."
            | "P.M."
            | "AD"
            | "BC"
            | "A.D."
            | "B.C."
            | "RM"
            | "TZ"
            | "OF"
    )
}

/// A separator of the pattern stands for at most one in the text, whichever; other characters for any one.
fn skip<'a>(rest: &'a str, literal: &str) -> &'a str {
    let mut rest = rest;
    for c in literal.chars() {
        let separator = !c.is_alphanumeric();
        let next = rest.chars().next();
        if separator {
            if next.is_some_and(char::is_whitespace) {
                rest = rest.trim_start();
            }
            if let Some(next) =
                rest.chars().next().filter(|next| !next.is_alphanumeric() && !matches!(next, '+' | '-') || *next == c)
            {
                rest = rest.get(next.len_utf8()..).unwrap_or("");
            } else if let Some(next) = rest.chars().next().filter(|next| *next == '-' && !c.is_whitespace()) {
                rest = rest.get(next.len_utf8()..).unwrap_or("");
            }
        } else if let Some(next) = next {
            rest = rest.get(next.len_utf8()..).unwrap_or("");
        }
    }
    rest
}

fn wrong(text: &str, field: &str) -> RowError {
    let start: String = text.chars().take(10).collect();
    RowError::new("22007", format!("\"{start}\" is no {field}"))
}

/// A number of at most `width` digits, and what follows it.
fn digits<'a>(text: &'a str, width: usize, alone: bool, field: &str) -> Result<(i64, usize, &'a str)> {
    let signed = usize::from(alone && text.starts_with(['-', '+']));
    let all = text.bytes().skip(signed).take_while(u8::is_ascii_digit).count();
    let taken = if alone { all } else { all.min(width) };
    let (number, rest) = text.split_at_checked(taken + signed).ok_or_else(|| wrong(text, field))?;
    if taken == 0 {
        return Err(wrong(text, field));
    }
    let value =
        number.parse().map_err(|_| RowError::new("22008", format!("\"{number}\" is out of range for {field}")))?;
    Ok((value, taken, rest))
}

/// The place of the name that the text begins with, whole or by its first three letters, and what follows it.
fn named<'a>(text: &'a str, names: &[&str], short: bool, field: &str) -> Result<(i64, &'a str)> {
    for (at, name) in names.iter().enumerate() {
        let name = if short { name.get(..3).unwrap_or(name) } else { name };
        if let Some((head, rest)) = text.split_at_checked(name.len())
            && head.eq_ignore_ascii_case(name)
        {
            return Ok((i64::try_from(at).unwrap_or_default(), rest));
        }
    }
    Err(wrong(text, field))
}

impl Read {
    /// Reads one field off the text.
    fn field<'a>(&mut self, field: &Spelled, text: &'a str, alone: bool) -> Result<&'a str> {
        let name = field.name;
        let number = |width: usize| digits(text, width, alone, name);
        let rest = match name {
            "YYYY" | "IYYY" => {
                let (value, _, rest) = number(4)?;
                self.set_year(name, value);
                rest
            }
            "YYY" | "YY" | "Y" | "IYY" | "IY" | "I" => {
                let (value, taken, rest) = number(name.trim_start_matches('I').len().max(name.len()))?;
                self.set_year(name, if taken < 4 { full_year(value) } else { value });
                rest
            }
            "Y,YYY" => {
                let (thousands, _, rest) = digits(text, 1, false, name)?;
                let (value, _, rest) = digits(rest.strip_prefix(',').unwrap_or(rest), 3, false, name)?;
                self.year = Some(thousands * 1000 + value);
                rest
            }
            "MS" | "FF1" | "FF2" | "FF3" => self.fraction(text, 3, alone, name)?,
            "US" | "FF4" | "FF5" | "FF6" => self.fraction(text, 6, alone, name)?,
            "MONTH" | "MON" => {
                let (month, rest) = named(text, &MONTHS, name == "MON", name)?;
                self.month = Some(month + 1);
                rest
            }
            "RM" => {
                let mut longest: Vec<&str> = ROMAN_MONTHS.to_vec();
                longest.sort_by_key(|roman| std::cmp::Reverse(roman.len()));
                let (at, rest) = named(text, &longest, false, name)?;
                let roman = usize::try_from(at).ok().and_then(|at| longest.get(at).copied());
                let month = ROMAN_MONTHS.iter().position(|known| Some(*known) == roman).unwrap_or_default();
                self.month = Some(i64::try_from(month).unwrap_or_default() + 1);
                rest
            }
            "DAY" | "DY" => named(text, &DAYS, name == "DY", name)?.1,
            "AM" | "PM" | "A.M." | "P.M." => {
                let names: &[&str] = if name.contains('.') { &["a.m.", "p.m."] } else { &["am", "pm"] };
                let (half, rest) = named(text, names, false, name)?;
                self.after_noon = Some(half == 1);
                self.twelve = true;
                rest
            }
            "AD" | "BC" | "A.D." | "B.C." => {
                let names: &[&str] = if name.contains('.') { &["a.d.", "b.c."] } else { &["ad", "bc"] };
                let (era, rest) = named(text, names, false, name)?;
                if era == 1 {
                    return Err(calendar::out_of_range());
                }
                rest
            }
            "TZH" => {
                self.zone_sign = if text.starts_with('-') { -1 } else { 1 };
                let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
                let (hours, _, rest) = digits(unsigned, 2, false, name)?;
                self.zone_hours = Some(hours * self.zone_sign);
                rest
            }
            "TZ" | "OF" => return Err(RowError::new("0A000", format!("{name} is for TO_CHAR only"))),
            _ => {
                let width = match name {
                    "SSSS" | "SSSSS" => 5,
                    "DDD" | "IDDD" => 3,
                    "J" => 10,
                    "D" | "ID" | "W" | "Q" => 1,
                    _ => 2,
                };
                let (value, _, rest) = number(width)?;
                self.set(name, value)?;
                rest
            }
        };
        Ok(rest)
    }

    fn set_year(&mut self, name: &str, value: i64) {
        if name.starts_with('I') { self.iso_year = Some(value) } else { self.year = Some(value) }
    }

    /// `5` is half a second: digits of a fraction.
    fn fraction<'a>(&mut self, text: &'a str, width: usize, alone: bool, name: &str) -> Result<&'a str> {
        let (_, taken, rest) = digits(text, width, alone, name)?;
        let padded = format!("{:0<6}", text.get(..taken).unwrap_or("0"));
        self.micros = padded.get(..6).and_then(|digits| digits.parse().ok()).unwrap_or_default();
        Ok(rest)
    }

    fn set(&mut self, name: &str, value: i64) -> Result<()> {
        let within = |from: i64, to: i64| {
            let message = format!("{value} is out of range for {name}");
            if (from..=to).contains(&value) { Ok(value) } else { Err(RowError::new("22008", message)) }
        };
        match name {
            "HH24" => self.hour = within(0, 24)?,
            "HH" | "HH12" => {
                // Zero is no hour of twelve.
                self.hour = within(1, 12).map_err(|error| RowError::new("22007", error.message))?;
                self.twelve = true;
            }
            "MI" => self.minute = within(0, 59)?,
            "SS" => self.second = within(0, 59)?,
            "SSSS" | "SSSSS" => {
                let seconds = within(0, 86_400)?;
                (self.hour, self.minute, self.second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            }
            "MM" => self.month = Some(within(1, 12)?),
            "DD" => self.day = Some(within(1, 31)?),
            "DDD" | "IDDD" => self.day_of_year = Some(within(1, 371)?),
            "WW" => self.week = Some(within(1, 53)?),
            "IW" => self.iso_week = Some(within(1, 53)?),
            "ID" => self.iso_weekday = Some(within(1, 7)?),
            "CC" => self.century = Some(value),
            "J" => self.julian = Some(value),
            "TZM" => self.zone_minutes = within(0, 59)?,
            // Neither of them says which day it is.
            _ => {}
        }
        Ok(())
    }

    fn days(&self) -> Result<i64> {
        if let Some(julian) = self.julian {
            return Ok(julian - 2_440_588);
        }
        if let Some(year) = self.iso_year {
            let first = calendar::days_to(year, 1, 4);
            let monday = first - field::iso_weekday(first) + 1;
            let week = self.iso_week.unwrap_or(1);
            return Ok(match self.day_of_year {
                Some(day) => monday + day - 1,
                None => monday + (week - 1) * 7 + self.iso_weekday.unwrap_or(1) - 1,
            });
        }
        let year = match (self.year, self.century) {
            (Some(year), Some(century)) if year < 100 => (century - 1) * 100 + year,
            (Some(year), _) => year,
            (None, Some(century)) => (century - 1) * 100 + 1,
            (None, None) => 0,
        };
        if !(1..=9999).contains(&year) {
            return Err(calendar::out_of_range());
        }
        let start = calendar::days_to(year, 1, 1);
        match (self.day_of_year, self.week) {
            (Some(day), _) if self.month.is_none() => Ok(start + day - 1),
            (_, Some(week)) if self.month.is_none() => Ok(start + (week - 1) * 7),
            _ => calendar::checked_day(year, self.month.unwrap_or(1), self.day.unwrap_or(1)),
        }
    }

    fn of_day_ms(&self) -> Result<i64> {
        let mut hour = self.hour;
        if self.twelve {
            hour = match self.after_noon {
                Some(true) if hour < 12 => hour + 12,
                Some(false) | None if hour == 12 => 0,
                _ => hour,
            };
        }
        let micros = ((hour * 60 + self.minute) * 60 + self.second) * 1_000_000 + self.micros;
        Ok((micros + 500) / 1000)
    }
}

/// Years of fewer than four digits are those nearest to 2020.
fn full_year(year: i64) -> i64 {
    match year {
        0..70 => year + 2000,
        70..100 => year + 1900,
        100..520 => year + 2000,
        520..1000 => year + 1000,
        _ => year,
    }
}
