//! `TO_CHAR` of times and intervals.

use millstream_flow::{Datum, Interval, RowError};

use super::Result;
use super::field;
use super::pattern::{DAYS, MONTHS, Part, ROMAN_MONTHS, Spelled, ordinal, parts};
use crate::expr::calendar::{self, DAY_MS};
use crate::expr::{Context, cast};

/// What the fields are read from.
struct Shown {
    year: i64,
    month: i64,
    day: i64,
    /// Microseconds since midnight, or an interval's.
    micros: i64,
    /// Days since 1970; an interval has none.
    days: Option<i64>,
    /// Seconds ahead of UTC, and what the zone is called.
    zone: Option<(i64, String)>,
}

pub(super) fn to_char(value: &Datum, pattern: &str, context: &Context) -> Result {
    let shown = match value {
        Datum::Interval(v) => of_interval(*v),
        Datum::Time(micros) => Shown { year: 0, month: 0, day: 0, micros: *micros, days: None, zone: None },
        Datum::Timestamp(ms) => of_local(*ms, None),
        Datum::Instant(_) | Datum::Date(_) => {
            let zone = &context.time_zone;
            let instant = calendar::instant_of(value, zone).unwrap_or_default();
            let offset = calendar::offset_seconds(instant, zone);
            let name = jiff::Timestamp::from_millisecond(instant)
                .map(|instant| zone.to_offset_info(instant).abbreviation().to_owned())
                .unwrap_or_default();
            of_local(instant + offset * 1000, Some((offset, name)))
        }
        other => return Err(RowError::new("42804", format!("TO_CHAR does not take {}", cast::name(other)))),
    };
    let mut out = String::new();
    for part in parts(pattern) {
        match part {
            Part::Text(text) => out.push_str(&text),
            Part::Field(field) => {
                let text = shown.field(&field)?;
                out.push_str(&text);
                if let Some(upper) = field.ordinal.filter(|_| text.ends_with(|c: char| c.is_ascii_digit())) {
                    out.push_str(ordinal(&text, upper));
                }
            }
        }
    }
    Ok(Datum::text(out))
}

fn of_local(local_ms: i64, zone: Option<(i64, String)>) -> Shown {
    let days = local_ms.div_euclid(DAY_MS);
    let day = calendar::day_of(days);
    let micros = local_ms.rem_euclid(DAY_MS) * 1000;
    Shown { year: day.year, month: day.month, day: day.day, micros, days: Some(days), zone }
}

fn of_interval(v: Interval) -> Shown {
    let (year, month) = (i64::from(v.months / 12), i64::from(v.months % 12));
    Shown { year, month, day: i64::from(v.days), micros: v.micros, days: None, zone: None }
}

impl Shown {
    fn field(&self, field: &Spelled) -> Result<String> {
        let padded = |value: i64, width: usize| {
            let width = if field.fill { 0 } else { width + usize::from(value < 0) };
            format!("{value:0width$}")
        };
        let seconds = self.micros / 1_000_000;
        let fraction = self.micros % 1_000_000;
        let hour = seconds / 3600;
        let year_of = |places: u32| self.year.rem_euclid(10_i64.pow(places));
        let iso = || self.days.map_or((0, 0), field::iso_week);
        let digit_of_second = |digits: u32| {
            let width = usize::try_from(digits).unwrap_or(6);
            format!("{:0width$}", fraction.abs() / 10_i64.pow(6 - digits))
        };
        Ok(match field.name {
            "HH24" => padded(hour, 2),
            "HH" | "HH12" => padded(if hour % 12 == 0 { 12 } else { hour % 12 }, 2),
            "MI" => padded(seconds / 60 % 60, 2),
            "SS" => padded(seconds % 60, 2),
            "MS" | "FF3" => digit_of_second(3),
            "US" | "FF6" => digit_of_second(6),
            "FF1" => digit_of_second(1),
            "FF2" => digit_of_second(2),
            "FF4" => digit_of_second(4),
            "FF5" => digit_of_second(5),
            "SSSS" | "SSSSS" => seconds.to_string(),
            "AM" | "PM" => cased(if hour % 24 >= 12 { "PM" } else { "AM" }, field),
            "A.M." | "P.M." => cased(if hour % 24 >= 12 { "P.M." } else { "A.M." }, field),
            "AD" | "BC" => cased("AD", field),
            "A.D." | "B.C." => cased("A.D.", field),
            "Y,YYY" => format!("{},{:03}", self.year / 1000, self.year % 1000),
            "YYYY" => padded(self.year, 4),
            "YYY" => padded(year_of(3), 3),
            "YY" => padded(year_of(2), 2),
            "Y" => padded(year_of(1), 1),
            "IYYY" => padded(iso().0, 4),
            "IYY" => padded(iso().0.rem_euclid(1000), 3),
            "IY" => padded(iso().0.rem_euclid(100), 2),
            "I" => padded(iso().0.rem_euclid(10), 1),
            "MM" => padded(self.month, 2),
            "DD" => padded(self.day, 2),
            "DDD" => padded(self.day_of_year(), 3),
            "IDDD" => padded(self.iso_day_of_year(), 3),
            "CC" => padded((self.year + 99) / 100, 2),
            "Q" => ((self.month - 1) / 3 + 1).to_string(),
            "W" => ((self.day - 1) / 7 + 1).to_string(),
            "WW" => padded((self.day_of_year() - 1) / 7 + 1, 2),
            "IW" => padded(iso().1, 2),
            "J" => self.days.map_or(0, |days| days + 2_440_588).to_string(),
            "MONTH" => self.name(&MONTHS, self.month - 1, field, 9),
            "MON" => self.name(&MONTHS, self.month - 1, field, 0),
            "RM" => {
                let roman =
                    usize::try_from(self.month - 1).ok().and_then(|at| ROMAN_MONTHS.get(at)).copied().unwrap_or("");
                let roman = cased(roman, field);
                if field.fill { roman } else { format!("{roman:<4}") }
            }
            "D" => self.days.map_or(0, |days| (days + 4).rem_euclid(7) + 1).to_string(),
            "ID" => self.days.map_or(0, field::iso_weekday).to_string(),
            "DAY" => self.name(&DAYS, self.days.map_or(0, |days| (days + 4).rem_euclid(7)), field, 9),
            "DY" => self.name(&DAYS, self.days.map_or(0, |days| (days + 4).rem_euclid(7)), field, 0),
            _ => self.of_zone(field)?,
        })
    }

    fn day_of_year(&self) -> i64 {
        match self.days {
            Some(days) => days - calendar::days_to(self.year, 1, 1) + 1,
            None => self.year * 360 + self.month * 30 + self.day,
        }
    }

    fn iso_day_of_year(&self) -> i64 {
        self.days.map_or(0, |days| (field::iso_week(days).1 - 1) * 7 + field::iso_weekday(days))
    }

    /// The whole name padded to a width, or its first three letters.
    fn name(&self, names: &[&str], at: i64, field: &Spelled, width: usize) -> String {
        let name = usize::try_from(at).ok().and_then(|at| names.get(at)).copied().unwrap_or("");
        let name = if width == 0 { name.get(..3).unwrap_or(name) } else { name };
        let width = if field.fill { 0 } else { width };
        format!("{:<width$}", cased(name, field))
    }

    fn of_zone(&self, field: &Spelled) -> Result<String> {
        if self.days.is_none() {
            return Err(RowError::new("22007", "intervals and times of day have no zone"));
        }
        let Some((offset, name)) = &self.zone else {
            return Ok(match field.name {
                "TZH" | "OF" => "+00".to_owned(),
                "TZM" => "00".to_owned(),
                _ => String::new(),
            });
        };
        let sign = if *offset < 0 { '-' } else { '+' };
        let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
        Ok(match field.name {
            "TZH" => format!("{sign}{hours:02}"),
            "TZM" => format!("{minutes:02}"),
            "OF" if minutes != 0 => format!("{sign}{hours:02}:{minutes:02}"),
            "OF" => format!("{sign}{hours:02}"),
            _ if field.letters.starts_with('t') => name.to_lowercase(),
            _ => name.to_uppercase(),
        })
    }
}

/// In the case of the field's own letters: `MONTH`, `Month`, `month`.
fn cased(text: &str, field: &Spelled) -> String {
    let mut letters = field.letters.chars().filter(char::is_ascii_alphabetic);
    match (letters.next(), letters.next()) {
        (Some(first), _) if first.is_ascii_lowercase() => text.to_lowercase(),
        (_, Some(second)) if second.is_ascii_lowercase() => {
            let mut chars = text.chars();
            let first = chars.next().map(|c| c.to_ascii_uppercase());
            first.into_iter().chain(chars.map(|c| c.to_ascii_lowercase())).collect()
        }
        _ => text.to_uppercase(),
    }
}
