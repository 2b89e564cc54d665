//! Times as text: `2025-09-05 10:00:00.25+00` (SQL-4.2, SQL-4.11).

use jiff::tz::TimeZone;
use millstream_flow::{Datum, RowError};

use super::calendar::{self, DAY_MICROS, DAY_MS, Result};

/// A time that was read: parts that the text had.
struct Read {
    days: i64,
    /// Nanoseconds since midnight.
    nanos: i64,
    zone: Option<TimeZone>,
}

fn not_a_time(text: &str) -> RowError {
    RowError::new("22007", format!("\"{text}\" is no time"))
}

/// `timestamptz`: what has no zone is taken in the given one.
pub(crate) fn instant(text: &str, zone: &TimeZone) -> Result<Datum> {
    let read = read(text)?;
    let local = read.days * DAY_MS + rounded_ms(read.days, read.nanos);
    let zone = read.zone.as_ref().unwrap_or(zone);
    calendar::checked_ms(calendar::to_instant(local, zone)).map(Datum::Instant)
}

/// `timestamp`: a zone in the text is read over.
pub(crate) fn timestamp(text: &str) -> Result<Datum> {
    let read = read(text)?;
    calendar::checked_ms(read.days * DAY_MS + rounded_ms(read.days, read.nanos)).map(Datum::Timestamp)
}

/// `date`: a time of day in the text is read over.
pub(crate) fn date(text: &str) -> Result<Datum> {
    calendar::date(read(text)?.days)
}

/// `time`.
pub(crate) fn time(text: &str) -> Result<Datum> {
    let trimmed = text.trim();
    let clock = match trimmed.split_once([' ', 'T']) {
        Some((day, clock)) if day.contains('-') => clock,
        _ => trimmed,
    };
    let clock = clock.find(['+', '-', 'Z', 'z']).and_then(|at| clock.get(..at)).unwrap_or(clock);
    let nanos = time_of_day(clock.trim(), text)?;
    Ok(Datum::Time((nanos + 500) / 1000))
}

/// Milliseconds of a day: finer parts round half away from 1970.
fn rounded_ms(days: i64, nanos: i64) -> i64 {
    let half = if days < 0 { 499_999 } else { 500_000 };
    (nanos + half).div_euclid(1_000_000)
}

fn read(text: &str) -> Result<Read> {
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'-').count();
    let (day, rest) = trimmed.split_at(digits);
    let mut parts = day.split('-');
    let mut number = |lengths: std::ops::RangeInclusive<usize>| -> Result<i64> {
        let digits = parts.next().filter(|part| lengths.contains(&part.len())).ok_or_else(|| not_a_time(text))?;
        digits.parse().map_err(|_| not_a_time(text))
    };
    let (year, month, date) = (number(4..=4)?, number(1..=2)?, number(1..=2)?);
    if parts.next().is_some() {
        return Err(not_a_time(text));
    }
    let days = calendar::checked_day(year, month, date)
        .map_err(|_| RowError::new("22008", format!("there is no date \"{text}\"")))?;
    let clock = rest.strip_prefix(['T', 't']).unwrap_or(rest).trim_start();
    if clock.is_empty() && rest.trim().is_empty() {
        return Ok(Read { days, nanos: 0, zone: None });
    }
    let end = clock.bytes().take_while(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.')).count();
    let (clock, zone) = clock.split_at(end);
    let nanos = if clock.is_empty() { 0 } else { time_of_day(clock, text)? };
    let zone = match zone.trim() {
        "" => None,
        "Z" | "z" => Some(TimeZone::UTC),
        zone if zone.starts_with(['+', '-']) => {
            let seconds =
                calendar::offset(zone).and_then(|it| i32::try_from(it).ok()).ok_or_else(|| not_a_time(text))?;
            let offset = jiff::tz::Offset::from_seconds(seconds).map_err(|_| not_a_time(text))?;
            Some(offset.to_time_zone())
        }
        name => Some(calendar::zone(name).map_err(|_| not_a_time(text))?),
    };
    Ok(Read { days, nanos, zone })
}

/// Nanoseconds since midnight of `10:00`, `10:00:00.25`.
fn time_of_day(clock: &str, text: &str) -> Result<i64> {
    let wrong = || not_a_time(text);
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = [0_i64; 3];
    let mut count = 0;
    for (slot, part) in parts.iter_mut().zip(whole.split(':')) {
        if part.is_empty() || part.len() > 2 {
            return Err(wrong());
        }
        *slot = part.parse().map_err(|_| wrong())?;
        count += 1;
    }
    if count < 2 || whole.split(':').count() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let [hours, minutes, seconds] = parts;
    let nanos: i64 = format!("{fraction:0<9}").get(..9).and_then(|digits| digits.parse().ok()).ok_or_else(wrong)?;
    let total = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000_000 + nanos;
    if minutes > 59 || seconds > 60 || total > DAY_MICROS * 1000 {
        return Err(RowError::new("22008", format!("\"{text}\" is out of range")));
    }
    Ok(total)
}

/// `2025-09-05 10:00:00.25+00`, as a clock in the zone shows it.
pub(crate) fn print_instant(ms: i64, zone: &TimeZone) -> String {
    let offset = calendar::offset_seconds(ms, zone);
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes, seconds) = (offset.abs() / 3600, offset.abs() / 60 % 60, offset.abs() % 60);
    let mut out = format!("{}{sign}{hours:02}", print_timestamp(ms + offset * 1000));
    if minutes != 0 || seconds != 0 {
        out.push_str(&format!(":{minutes:02}"));
    }
    if seconds != 0 {
        out.push_str(&format!(":{seconds:02}"));
    }
    out
}

/// `2025-09-05 10:00:00.25`.
pub(crate) fn print_timestamp(ms: i64) -> String {
    let of_day = ms.rem_euclid(DAY_MS);
    format!("{} {}", print_date(ms.div_euclid(DAY_MS)), print_time(of_day * 1000))
}

/// `2025-09-05`.
pub(crate) fn print_date(days: i64) -> String {
    let day = calendar::day_of(days);
    format!("{:04}-{:02}-{:02}", day.year, day.month, day.day)
}

/// `10:00:00.25`.
pub(crate) fn print_time(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    match micros % 1_000_000 {
        0 => clock,
        fraction => format!("{clock}.{}", format!("{fraction:06}").trim_end_matches('0')),
    }
}
