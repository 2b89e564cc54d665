//! The REGEXP_ functions (SQL-5.5).

use millstream_flow::{Datum, RowError};

use super::super::arguments::{array, integer, optional_text, text};
use super::{Result, count as number};
use crate::expr::{Context, pattern};

pub(super) fn like(a: &[Datum], _: &Context) -> Result {
    Ok(Datum::Bool(pattern::cached(text(a, 1), optional_text(a, 2).unwrap_or(""))?.is_match(text(a, 0))))
}

/// `REGEXP_COUNT(s, p[, start[, flags]])`.
pub(super) fn count(a: &[Datum], _: &Context) -> Result {
    let regex = pattern::cached(text(a, 1), optional_text(a, 3).unwrap_or(""))?;
    let start = if a.len() > 2 { integer(a, 2)? } else { 1 };
    let Some(skip) = start.checked_sub(1).and_then(|skip| usize::try_from(skip).ok()) else {
        return Err(RowError::new("22023", "REGEXP_COUNT counts places from 1"));
    };
    let whole = text(a, 0);
    let rest = whole.char_indices().nth(skip).and_then(|(at, _)| whole.get(at..)).unwrap_or("");
    Ok(number(regex.find_iter(rest).count()))
}

/// The groups, or all of it where there are none.
pub(super) fn matched(a: &[Datum], _: &Context) -> Result {
    let flags = optional_text(a, 2).unwrap_or("");
    if flags.contains('g') {
        return Err(RowError::new("22023", "REGEXP_MATCH has no flag \"g\""));
    }
    let regex = pattern::cached(text(a, 1), flags)?;
    let Some(found) = regex.captures(text(a, 0)) else { return Ok(Datum::Null) };
    let skip = usize::from(found.len() > 1);
    Ok(array(found.iter().skip(skip).map(|group| group.map_or(Datum::Null, |it| Datum::text(it.as_str()))).collect()))
}

pub(super) fn substr(a: &[Datum], _: &Context) -> Result {
    let found = pattern::cached(text(a, 1), "")?;
    Ok(found.find(text(a, 0)).map_or(Datum::Null, |it| Datum::text(it.as_str())))
}

/// `SUBSTRING(s FROM p)`: the first group, or all of it.
pub(super) fn substring(a: &[Datum], _: &Context) -> Result {
    let regex = pattern::cached(text(a, 1), "")?;
    let Some(found) = regex.captures(text(a, 0)) else { return Ok(Datum::Null) };
    let group = found.get(usize::from(found.len() > 1));
    Ok(group.map_or(Datum::Null, |it| Datum::text(it.as_str())))
}

pub(super) fn replace(a: &[Datum], _: &Context) -> Result {
    let (whole, with, flags) = (text(a, 0), text(a, 2), optional_text(a, 3).unwrap_or(""));
    let regex = pattern::cached(text(a, 1), flags)?;
    let limit = if flags.contains('g') { 0 } else { 1 };
    Ok(Datum::text(regex.replacen(whole, limit, |found: &regex::Captures<'_>| expanded(with, found))))
}

/// `\1`…`\9`, `\&` for all that was matched, `\\`.
fn expanded(with: &str, found: &regex::Captures<'_>) -> String {
    let mut out = String::new();
    let mut chars = with.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('&') => out.push_str(found.get(0).map_or("", |it| it.as_str())),
            Some(digit @ '1'..='9') => {
                let group = digit.to_digit(10).and_then(|at| usize::try_from(at).ok()).and_then(|at| found.get(at));
                out.push_str(group.map_or("", |it| it.as_str()));
            }
            Some('\\') => out.push('\\'),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    out
}
