//! Intervals: their text and their arithmetic (SQL-4.9).

use millstream_flow::{Interval, RowError};

use super::calendar::{DAY_MICROS, Result};

const HOUR: f64 = 3_600_000_000.0;
const MINUTE: f64 = 60_000_000.0;
const SECOND: f64 = 1_000_000.0;

fn not_an_interval(text: &str) -> RowError {
    RowError::new("22007", format!("\"{text}\" is no interval"))
}

pub(crate) fn out_of_range() -> RowError {
    RowError::new("22008", "the interval is out of range")
}

/// Parts as they are read, before they are cut to size.
#[derive(Default)]
struct Sum {
    months: f64,
    days: f64,
    micros: f64,
}

impl Sum {
    /// Adds an amount of a unit. A fraction of a month goes on as days, one of a day as time.
    fn add(&mut self, amount: f64, unit: &str) -> Option<()> {
        let mut months = |amount: f64| {
            self.months += amount.trunc();
            let days = micro(amount.fract() * 30.0);
            self.days += days.trunc();
            self.micros += (micro(days.fract()) * DAY_MICROS_F).round();
        };
        match unit {
            "millennium" | "millennia" | "mil" | "mils" => months(amount * 12_000.0),
            "century" | "centuries" | "cent" | "c" => months(amount * 1200.0),
            "decade" | "decades" | "dec" | "decs" => months(amount * 120.0),
            // A fraction of a year goes on as months alone.
            "year" | "years" | "yr" | "yrs" | "y" => self.months += (amount * 12.0).round(),
            "month" | "months" | "mon" | "mons" => months(amount),
            "week" | "weeks" | "w" => self.whole_days(amount * 7.0),
            "day" | "days" | "d" => self.whole_days(amount),
            "hour" | "hours" | "hr" | "hrs" | "h" => self.micros += (amount * HOUR).round(),
            "minute" | "minutes" | "min" | "mins" | "m" => self.micros += (amount * MINUTE).round(),
            "second" | "seconds" | "sec" | "secs" | "s" => self.micros += (amount * SECOND).round(),
            "millisecond" | "milliseconds" | "msec" | "msecs" | "ms" => self.micros += (amount * 1000.0).round(),
            "microsecond" | "microseconds" | "usec" | "usecs" | "us" => self.micros += amount.round(),
            _ => return None,
        }
        Some(())
    }

    fn whole_days(&mut self, amount: f64) {
        self.days += amount.trunc();
        self.micros += (micro(amount.fract()) * DAY_MICROS_F).round();
    }

    fn finish(self, sign: f64) -> Result<Interval> {
        whole(self.months * sign, self.days * sign, self.micros * sign)
    }
}

const DAY_MICROS_F: f64 = 86_400_000_000.0;

/// Rounded to millionths, so that fractions of decimals do not show their binary form.
fn micro(value: f64) -> f64 {
    (value * 1e6).round_ties_even() / 1e6
}

fn whole(months: f64, days: f64, micros: f64) -> Result<Interval> {
    let small = |value: f64| {
        let whole = millstream_value::number::exact_i64(value.trunc()).ok_or_else(out_of_range)?;
        i32::try_from(whole).map_err(|_| out_of_range())
    };
    let micros = millstream_value::number::exact_i64(micros).ok_or_else(out_of_range)?;
    Ok(Interval { months: small(months)?, days: small(days)?, micros })
}

/// `1 year 2 mons 3 days 04:05:06`, `P1Y2M3DT4H5M6S`, `1-2`, `3 04:05`, `2 hours ago`.
pub(crate) fn parse(text: &str) -> Result<Interval> {
    let lower = text.trim().to_lowercase();
    if let Some(iso) = lower.strip_prefix('p') {
        return iso_8601(iso).ok_or_else(|| not_an_interval(text))?;
    }
    let (body, sign) = match lower.strip_suffix("ago") {
        Some(body) => (body.trim_end(), -1.0),
        None => (lower.as_str(), 1.0),
    };
    let words = words(body.strip_prefix('@').unwrap_or(body));
    let mut sum = Sum::default();
    let mut words = words.into_iter().peekable();
    let mut any = false;
    while let Some(word) = words.next() {
        let known = if word.contains(':') {
            clock(&word).map(|micros| sum.micros += micros)
        } else if let Some((years, months)) = years_and_months(&word) {
            sum.months += years * 12.0 + months;
            Some(())
        } else {
            let amount: Option<f64> = word.parse().ok();
            let unit = words.next_if(|next| next.starts_with(|c: char| c.is_ascii_alphabetic()));
            // A number before a clock is days, one without a unit seconds.
            let unit = unit.unwrap_or_else(|| if words.peek().is_some() { "day" } else { "second" }.to_owned());
            amount.and_then(|amount| sum.add(amount, &unit))
        };
        known.ok_or_else(|| not_an_interval(text))?;
        any = true;
    }
    if !any {
        return Err(not_an_interval(text));
    }
    sum.finish(sign)
}

/// Numbers, units and clocks, also where nothing stands between them (`1h30m`).
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut letters = false;
    let mut fresh = true;
    for c in text.chars() {
        if c.is_whitespace() || c == ',' {
            fresh = true;
            continue;
        }
        let letter = c.is_alphabetic();
        match words.last_mut() {
            Some(word) if !fresh && letter == letters => word.push(c),
            _ => words.push(c.to_string()),
        }
        letters = letter;
        fresh = false;
    }
    words
}

/// Microseconds of `4:05:06.7`, `-2:00`, `4:05`.
fn clock(word: &str) -> Option<f64> {
    let (sign, rest) = match word.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, word.strip_prefix('+').unwrap_or(word)),
    };
    let mut parts = rest.split(':');
    let number =
        |part: &str| part.parse::<f64>().ok().filter(|value| !part.starts_with(['-', '+']) && value.is_finite());
    let (hours, minutes) = (number(parts.next()?)?, number(parts.next()?)?);
    let seconds = parts.next().map_or(Some(0.0), number)?;
    let there = parts.next().is_none() && minutes < 60.0 && seconds <= 60.0;
    // `4:05.6` is minutes and seconds.
    if there && rest.matches(':').count() == 1 && rest.contains('.') {
        return Some(sign * (hours * MINUTE + (minutes * SECOND).round()));
    }
    there.then(|| sign * (hours * HOUR + minutes * MINUTE + (seconds * SECOND).round()))
}

/// `1-2`.
fn years_and_months(word: &str) -> Option<(f64, f64)> {
    let (sign, rest) = match word.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, word.strip_prefix('+').unwrap_or(word)),
    };
    let (years, months) = rest.split_once('-')?;
    let (years, months) = (years.parse::<u32>().ok()?, months.parse::<u32>().ok()?);
    (months < 12).then(|| (sign * f64::from(years), sign * f64::from(months)))
}

/// What follows the `P`, in lower case. `None`: it is no interval.
fn iso_8601(text: &str) -> Option<Result<Interval>> {
    let (date, time) = match text.split_once('t') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut sum = Sum::default();
    let mut any = false;
    for (part, units) in [
        (Some(date), [("y", "year"), ("m", "month"), ("w", "week"), ("d", "day")].as_slice()),
        (time, &[("h", "hour"), ("m", "minute"), ("s", "second")]),
    ] {
        let words = words(part.unwrap_or_default());
        let mut words = words.into_iter();
        while let Some(amount) = words.next() {
            let letter = words.next()?;
            let (_, unit) = units.iter().find(|(known, _)| *known == letter)?;
            sum.add(amount.parse().ok()?, unit)?;
            any = true;
        }
    }
    any.then(|| sum.finish(1.0))
}

/// `1 year 2 mons 3 days 04:05:06.7`.
pub(crate) fn print(interval: Interval) -> String {
    let mut out = String::new();
    let mut negative_before = false;
    let parts = [(interval.months / 12, "year"), (interval.months % 12, "mon"), (interval.days, "day")];
    for (amount, unit) in parts.into_iter().filter(|(amount, _)| *amount != 0) {
        let blank = if out.is_empty() { "" } else { " " };
        let sign = if negative_before && amount > 0 { "+" } else { "" };
        let plural = if amount == 1 { "" } else { "s" };
        out.push_str(&format!("{blank}{sign}{amount} {unit}{plural}"));
        negative_before = amount < 0;
    }
    if out.is_empty() || interval.micros != 0 {
        let blank = if out.is_empty() { "" } else { " " };
        let sign = if interval.micros < 0 {
            "-"
        } else if negative_before {
            "+"
        } else {
            ""
        };
        out.push_str(&format!("{blank}{sign}{}", print_micros(interval.micros.unsigned_abs())));
    }
    out
}

fn print_micros(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    match micros % 1_000_000 {
        0 => clock,
        fraction => format!("{clock}.{}", format!("{fraction:06}").trim_end_matches('0')),
    }
}

/// `P1Y2M3DT4H5M6.7S`, as it is written into documents (SQL-4.13).
pub(crate) fn print_iso(interval: Interval) -> String {
    let mut out = "P".to_owned();
    let push = |out: &mut String, amount: i64, unit: char| {
        if amount != 0 {
            out.push_str(&format!("{amount}{unit}"));
        }
    };
    push(&mut out, i64::from(interval.months / 12), 'Y');
    push(&mut out, i64::from(interval.months % 12), 'M');
    push(&mut out, i64::from(interval.days), 'D');
    if interval.micros != 0 || out.len() == 1 {
        out.push('T');
        let seconds = interval.micros / 1_000_000;
        push(&mut out, seconds / 3600, 'H');
        push(&mut out, seconds / 60 % 60, 'M');
        let rest = interval.micros % 60_000_000;
        if rest != 0 || out.ends_with('T') {
            let sign = if rest < 0 { "-" } else { "" };
            let fraction = format!("{:06}", rest.unsigned_abs() % 1_000_000);
            let fraction = fraction.trim_end_matches('0');
            let point = if fraction.is_empty() { "" } else { "." };
            out.push_str(&format!("{sign}{}{point}{fraction}S", rest.unsigned_abs() / 1_000_000));
        }
    }
    out
}

/// The sum, part by part.
pub(crate) fn plus(a: Interval, b: Interval) -> Result<Interval> {
    let sum = || {
        Some(Interval {
            months: a.months.checked_add(b.months)?,
            days: a.days.checked_add(b.days)?,
            micros: a.micros.checked_add(b.micros)?,
        })
    };
    sum().ok_or_else(out_of_range)
}

pub(crate) fn negate(interval: Interval) -> Result<Interval> {
    let negated = || {
        Some(Interval {
            months: interval.months.checked_neg()?,
            days: interval.days.checked_neg()?,
            micros: interval.micros.checked_neg()?,
        })
    };
    negated().ok_or_else(out_of_range)
}

/// `interval × factor`: fractions of months go on as days of 1/30 of a month, those of days as time.
pub(crate) fn times(interval: Interval, factor: f64) -> Result<Interval> {
    scaled(interval, |part| part * factor)
}

/// `interval ÷ divisor`.
pub(crate) fn over(interval: Interval, divisor: f64) -> Result<Interval> {
    if divisor == 0.0 {
        return Err(super::number::by_zero());
    }
    scaled(interval, |part| part / divisor)
}

fn scaled(interval: Interval, scale: impl Fn(f64) -> f64) -> Result<Interval> {
    let months = scale(f64::from(interval.months));
    let days = scale(f64::from(interval.days));
    let days_of_months = micro(months.fract() * 30.0);
    let mut whole_days = days.trunc();
    let mut seconds = micro((days.fract() + days_of_months.fract()) * 86_400.0);
    if seconds.abs() >= 86_400.0 {
        whole_days += (seconds / 86_400.0).trunc();
        seconds %= 86_400.0;
    }
    whole_days += days_of_months.trunc();
    #[expect(clippy::cast_precision_loss, reason = "PostgreSQL multiplies as doubles too")]
    let micros = scale(interval.micros as f64) + seconds * SECOND;
    whole(months, whole_days, micros.round_ties_even())
}

/// 24 hours become a day.
pub(crate) fn justify_hours(interval: Interval) -> Result<Interval> {
    let days = i64::from(interval.days) + interval.micros / DAY_MICROS;
    let (days, micros) = same_sign(days, interval.micros % DAY_MICROS, DAY_MICROS);
    Ok(Interval { months: interval.months, days: i32::try_from(days).map_err(|_| out_of_range())?, micros })
}

/// 30 days become a month.
pub(crate) fn justify_days(interval: Interval) -> Result<Interval> {
    let months = i64::from(interval.months) + i64::from(interval.days / 30);
    let (months, days) = same_sign(months, i64::from(interval.days % 30), 30);
    let small = |value: i64| i32::try_from(value).map_err(|_| out_of_range());
    Ok(Interval { months: small(months)?, days: small(days)?, micros: interval.micros })
}

/// Both, and all parts get one sign.
pub(crate) fn justify_interval(interval: Interval) -> Result<Interval> {
    let mut days = i64::from(interval.days) + interval.micros / DAY_MICROS;
    let mut micros = interval.micros % DAY_MICROS;
    let mut months = i64::from(interval.months) + days / 30;
    days %= 30;
    if months > 0 && (days < 0 || (days == 0 && micros < 0)) {
        days += 30;
        months -= 1;
    } else if months < 0 && (days > 0 || (days == 0 && micros > 0)) {
        days -= 30;
        months += 1;
    }
    (days, micros) = same_sign(days, micros, DAY_MICROS);
    let small = |value: i64| i32::try_from(value).map_err(|_| out_of_range());
    Ok(Interval { months: small(months)?, days: small(days)?, micros })
}

fn same_sign(large: i64, small: i64, size: i64) -> (i64, i64) {
    if large > 0 && small < 0 {
        (large - 1, small + size)
    } else if large < 0 && small > 0 {
        (large + 1, small - size)
    } else {
        (large, small)
    }
}
