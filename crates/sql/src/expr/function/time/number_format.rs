//! `TO_CHAR` of numbers: `FM999,990.00`.

use dec::Rounding;
use millstream_flow::{Datum, RowError};
use millstream_value::Decimal;

use super::Result;
use super::pattern::ordinal;
use crate::expr::number;

/// One part of a pattern.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    /// `9`, or `0` with the flag.
    Digit(bool),
    Point,
    Group,
    /// `S`: the sign beside the number.
    Sign,
    Minus,
    Plus,
    /// `SG`
    PlusOrMinus,
    /// `PR`
    Angle,
    /// `TH` (true) or `th`.
    Ordinal(bool),
    /// `V`: moves the point.
    Shift,
    /// `EEEE`
    Exponent,
    /// `RN` (true) or `rn`.
    Roman(bool),
    Text(String),
}

struct Pattern {
    parts: Vec<Part>,
    fill: bool,
}

impl Pattern {
    fn has(&self, part: &Part) -> bool {
        self.parts.contains(part)
    }
}

pub(super) fn to_char(value: &Datum, pattern: &str) -> Result {
    let pattern = parse(pattern)?;
    let exact = match value {
        Datum::Double(v) if !v.is_finite() => None,
        Datum::Decimal(v) if !v.is_finite() => None,
        other => number::to_decimal(other),
    };
    let roman = pattern.parts.iter().find_map(|part| if let Part::Roman(upper) = part { Some(*upper) } else { None });
    Ok(Datum::text(match (roman, exact) {
        (Some(upper), exact) => write_roman(exact, upper, pattern.fill),
        (None, Some(exact)) if pattern.has(&Part::Exponent) => write_exponent(exact, &pattern),
        (None, exact) => write(exact, &pattern),
    }))
}

fn parse(text: &str) -> Result<Pattern> {
    let mut pattern = Pattern { parts: Vec::new(), fill: false };
    let mut rest = text;
    let words: &[(&str, Part)] = &[
        ("EEEE", Part::Exponent),
        ("MI", Part::Minus),
        ("PL", Part::Plus),
        ("SG", Part::PlusOrMinus),
        ("PR", Part::Angle),
        ("S", Part::Sign),
        ("V", Part::Shift),
        ("9", Part::Digit(false)),
        ("0", Part::Digit(true)),
        (".", Part::Point),
        ("D", Part::Point),
        (",", Part::Group),
        ("G", Part::Group),
    ];
    let prefix = |text: &str, word: &str| text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    while let Some(c) = rest.chars().next() {
        let taken = if prefix(rest, "FM") {
            pattern.fill = true;
            2
        } else if prefix(rest, "TH") {
            pattern.parts.push(Part::Ordinal(rest.starts_with('T')));
            2
        } else if prefix(rest, "RN") {
            pattern.parts.push(Part::Roman(rest.starts_with('R')));
            2
        } else if let Some((word, part)) = words.iter().find(|(word, _)| prefix(rest, word)) {
            if *part == Part::Point && (pattern.has(&Part::Point) || pattern.has(&Part::Shift)) {
                return Err(RowError::new("42601", "a number has one decimal point"));
            }
            pattern.parts.push(part.clone());
            word.len()
        } else if c == '"' {
            let inner = rest.get(1..).unwrap_or("");
            let end = inner.find('"').unwrap_or(inner.len());
            pattern.parts.push(Part::Text(inner.get(..end).unwrap_or("").to_owned()));
            end + 2
        } else {
            // There is no currency.
            let shown = if c.eq_ignore_ascii_case(&'l') { ' ' } else { c };
            pattern.parts.push(Part::Text(shown.to_string()));
            c.len_utf8()
        };
        rest = rest.get(taken.min(rest.len())..).unwrap_or("");
    }
    Ok(pattern)
}

/// Digits before and after the point; `None`: the number has too many for the pattern.
fn split(value: Decimal, after: usize) -> (String, String) {
    let text = number::print_decimal(value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    (whole.trim_start_matches('0').to_owned(), format!("{fraction:0<after$}"))
}

fn write(value: Option<Decimal>, pattern: &Pattern) -> String {
    let point =
        pattern.parts.iter().position(|part| matches!(part, Part::Point | Part::Shift)).unwrap_or(pattern.parts.len());
    let shifted = pattern.has(&Part::Shift);
    let is_digit = |part: &&Part| matches!(part, Part::Digit(_));
    let after = pattern.parts.iter().skip(point).filter(is_digit).count();
    let before = pattern.parts.iter().take(point).filter(is_digit).count() + if shifted { after } else { 0 };
    let after_point = if shifted { 0 } else { after };
    let mut negative = false;
    let (whole, fraction) = match value {
        None => ("#".repeat(before + 1), "#".repeat(after_point)),
        Some(value) => {
            let moved = if shifted { value.times(power_of_ten(after)) } else { value };
            let rounded = moved.round_to(i32::try_from(after_point).unwrap_or(34), Rounding::HalfUp);
            negative = rounded.is_signed() && !rounded.is_zero();
            split(rounded, after_point)
        }
    };
    let fits = whole.len() <= before;
    // A zero is only shown where nothing follows the point.
    let nothing_after = after_point == 0 || (pattern.fill && shown_fraction(pattern, point, &fraction) == 0);
    let whole = if whole.is_empty() && nothing_after { "0".to_owned() } else { whole };
    let mut writer =
        Writer { out: String::new(), fill: pattern.fill, begun: false, sign: Some(default_sign(pattern, negative)) };
    let mut whole_digits = whole.chars();
    let mut place = before;
    let mut fraction_digits = fraction.chars();
    let mut past_point = false;
    let mut forced = false;
    // With `FM` zeros at the end of the fraction are only shown where the pattern has a 0 there or later.
    let shown = shown_fraction(pattern, point, &fraction);
    let mut fraction_place = 0;
    for (at, part) in pattern.parts.iter().enumerate() {
        match part {
            Part::Digit(zero) if past_point && !shifted => {
                let digit = if fits { fraction_digits.next().unwrap_or('0') } else { '#' };
                fraction_place += 1;
                if !pattern.fill || !fits || fraction_place <= shown || *zero {
                    writer.begin();
                    writer.out.push(digit);
                }
            }
            Part::Digit(zero) => {
                forced |= zero;
                let digit = if !fits {
                    Some('#')
                } else if place <= whole.len() {
                    whole_digits.next()
                } else if forced {
                    Some('0')
                } else {
                    None
                };
                place = place.saturating_sub(1);
                match digit {
                    Some(digit) => {
                        writer.begin();
                        writer.out.push(digit);
                    }
                    None => writer.blank(),
                }
            }
            Part::Point if after == 0 => past_point = true,
            Part::Point => {
                past_point = true;
                writer.begin();
                writer.out.push('.');
            }
            Part::Shift => past_point = true,
            Part::Group => {
                if writer.begun {
                    writer.out.push(',');
                } else {
                    writer.blank();
                }
            }
            Part::Sign => {
                let mark = if negative { '-' } else { '+' };
                let last = !pattern.parts.iter().skip(at + 1).any(|part| matches!(part, Part::Digit(_)));
                if last {
                    writer.out.push(mark);
                }
            }
            Part::Minus if negative => writer.out.push('-'),
            Part::Minus => writer.blank(),
            Part::Plus if negative => writer.blank(),
            Part::Plus => writer.out.push('+'),
            Part::PlusOrMinus => writer.out.push(if negative { '-' } else { '+' }),
            Part::Angle if negative => writer.out.push('>'),
            Part::Angle => writer.blank(),
            Part::Ordinal(upper) => {
                if !negative && after_point == 0 && fits {
                    writer.out.push_str(ordinal(&whole, *upper));
                }
            }
            Part::Text(text) => writer.out.push_str(text),
            Part::Exponent | Part::Roman(_) => {}
        }
    }
    writer.out
}

/// How many digits of the fraction `FM` shows.
fn shown_fraction(pattern: &Pattern, point: usize, fraction: &str) -> usize {
    let forced = pattern.parts.iter().skip(point).filter(|part| matches!(part, Part::Digit(_)));
    let last_zero = forced.enumerate().filter(|(_, part)| **part == Part::Digit(true)).map(|(at, _)| at + 1).last();
    fraction.trim_end_matches('0').len().max(last_zero.unwrap_or(0))
}

/// What stands before the first digit. Non-negative numbers have a blank there.
fn default_sign(pattern: &Pattern, negative: bool) -> &'static str {
    let first_digit = pattern.parts.iter().position(|part| matches!(part, Part::Digit(_))).unwrap_or(0);
    let sign_first = pattern.parts.iter().take(first_digit).any(|part| *part == Part::Sign);
    match (sign_first, negative) {
        (true, true) => "-",
        (true, false) => "+",
        _ if pattern.has(&Part::Sign) || pattern.has(&Part::Minus) || pattern.has(&Part::PlusOrMinus) => "",
        _ if pattern.has(&Part::Angle) && negative => "<",
        (_, true) => "-",
        (_, false) if pattern.fill => "",
        (_, false) => " ",
    }
}

struct Writer {
    out: String,
    fill: bool,
    /// Whether a digit or the point has been written.
    begun: bool,
    /// What is to be written before it.
    sign: Option<&'static str>,
}

impl Writer {
    fn begin(&mut self) {
        self.begun = true;
        if let Some(sign) = self.sign.take() {
            self.out.push_str(sign);
        }
    }

    /// A place that has nothing to show.
    fn blank(&mut self) {
        if !self.fill {
            self.out.push(' ');
        }
    }
}

fn power_of_ten(places: usize) -> Decimal {
    Decimal::parse(&format!("1E+{places}")).unwrap_or(Decimal::from(1))
}

/// `d.dde+XX`.
fn write_exponent(value: Decimal, pattern: &Pattern) -> String {
    let point = pattern.parts.iter().position(|part| *part == Part::Point).unwrap_or(pattern.parts.len());
    let after = pattern.parts.iter().skip(point).filter(|part| matches!(part, Part::Digit(_))).count();
    let (top, _) = value.normalized();
    let places = |top: i32| i32::try_from(after).unwrap_or(34) - top;
    let mut rounded = value.abs().round_to(places(top), Rounding::HalfUp);
    let mut exponent = top;
    if !rounded.is_zero() && rounded.normalized().0 != top {
        exponent = rounded.normalized().0;
        rounded = rounded.round_to(places(exponent), Rounding::HalfUp);
    }
    if rounded.is_zero() {
        exponent = 0;
    }
    let digits = format!("{:034}", rounded.normalized().1);
    let (first, rest) = digits.split_at(1);
    let fraction = rest.get(..after.min(33)).unwrap_or("");
    let sign = if value.is_signed() && !value.is_zero() {
        "-"
    } else if pattern.fill {
        ""
    } else {
        " "
    };
    let dot = if after > 0 { "." } else { "" };
    let mark = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{first}{dot}{fraction}e{mark}{:02}", exponent.abs())
}

fn write_roman(value: Option<Decimal>, upper: bool, fill: bool) -> String {
    const UNITS: [(i64, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let number = value.and_then(|value| value.round_to(0, Rounding::HalfUp).to_i64_exact());
    let Some(mut rest) = number.filter(|number| (1..4000).contains(number)) else { return "#".repeat(15) };
    let mut out = String::new();
    for (size, letters) in UNITS {
        while rest >= size {
            out.push_str(letters);
            rest -= size;
        }
    }
    let out = if upper { out } else { out.to_lowercase() };
    if fill { out } else { format!("{out:>15}") }
}
