//! Patterns of times, taken apart: `YYYY-MM-DD HH24:MI:SS`.

/// One part of a pattern.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    /// A field by its name in upper case.
    Field(Spelled),
    /// Text that stands for itself.
    Text(String),
}

/// A field as somebody wrote it.
#[derive(Debug, PartialEq)]
pub(super) struct Spelled {
    pub(super) name: &'static str,
    /// Its letters as they stand: their case is that of the names of months and days.
    pub(super) letters: String,
    /// `FM`: without blanks and leading zeros.
    pub(super) fill: bool,
    /// `TH` or `th`: with the ending of an ordinal number.
    pub(super) ordinal: Option<bool>,
}

/// Longer names before those that they begin with.
static FIELDS: &[&str] = &[
    "SSSSS", "SSSS", "MONTH", "Y,YYY", "A.M.", "P.M.", "B.C.", "A.D.", "HH24", "HH12", "YYYY", "IYYY", "IDDD", "MON",
    "DAY", "DDD", "YYY", "IYY", "TZH", "TZM", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "HH", "MI", "SS", "MS", "US",
    "AM", "PM", "BC", "AD", "MM", "DY", "DD", "ID", "YY", "IY", "WW", "IW", "CC", "RM", "TZ", "OF", "Y", "I", "D", "W",
    "J", "Q",
];

pub(super) fn parts(pattern: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut rest = pattern;
    let mut fill = false;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = prefix(rest, "FM") {
            fill = true;
            rest = after;
        } else if let Some(after) = prefix(rest, "FX").or_else(|| prefix(rest, "TM")) {
            rest = after;
        } else if let Some((name, after)) = FIELDS.iter().find_map(|name| Some((*name, prefix(rest, name)?))) {
            let letters = rest.get(..name.len()).unwrap_or(name).to_owned();
            let upper = after.starts_with("TH");
            let ordinal = (upper || after.starts_with("th")).then_some(upper);
            rest = if ordinal.is_some() { after.get(2..).unwrap_or("") } else { after };
            parts.push(Part::Field(Spelled { name, letters, fill, ordinal }));
            fill = false;
        } else if c == '"' {
            let (quoted, after) = quoted(rest.get(1..).unwrap_or(""));
            parts.push(Part::Text(quoted));
            rest = after;
        } else {
            let c = if c == '\\' && rest.get(1..).is_some_and(|next| next.starts_with('"')) { '"' } else { c };
            let skip = if rest.starts_with("\\\"") { 2 } else { c.len_utf8() };
            parts.push(Part::Text(c.to_string()));
            rest = rest.get(skip..).unwrap_or("");
        }
    }
    parts
}

fn prefix<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(name.len())?;
    head.eq_ignore_ascii_case(name).then_some(rest)
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> (String, &str) {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (out, text.get(at + 1..).unwrap_or("")),
            '\\' => out.extend(chars.next().map(|(_, next)| next)),
            c => out.push(c),
        }
    }
    (out, "")
}

pub(super) static MONTHS: [&str; 12] = [
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

pub(super) static DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

pub(super) static ROMAN_MONTHS: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// The ending of an ordinal number.
pub(super) fn ordinal(digits: &str, upper: bool) -> &'static str {
    let mut last = digits.bytes().rev();
    let (units, tens) = (last.next(), last.next());
    let lower = match (tens, units) {
        (Some(b'1'), _) => "th",
        (_, Some(b'1')) => "st",
        (_, Some(b'2')) => "nd",
        (_, Some(b'3')) => "rd",
        _ => "th",
    };
    match (upper, lower) {
        (true, "st") => "ST",
        (true, "nd") => "ND",
        (true, "rd") => "RD",
        (true, _) => "TH",
        (false, lower) => lower,
    }
}
