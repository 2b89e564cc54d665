//! `FORMAT`, and quotes as SQL writes them.

use millstream_flow::{Datum, RowError};

use super::Result;
use crate::expr::{Context, print};

/// `%s %I %L %%`, also with a place (`%2$s`), a width and `-`.
pub(super) fn format(a: &[Datum], context: &Context) -> Result {
    let Some(Datum::Text(pattern)) = a.first() else { return Ok(Datum::Null) };
    let mut out = String::new();
    let mut rest = pattern.as_ref();
    let mut next = 1;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let (spec, after) = spec(after).ok_or_else(|| RowError::new("22023", "FORMAT knows %s, %I, %L and %%"))?;
        let at = spec.place.unwrap_or(next);
        if at == 0 {
            return Err(RowError::new("22023", "FORMAT counts its arguments from 1"));
        }
        next = at + 1;
        let value = a.get(at).ok_or_else(|| RowError::new("22023", "too few arguments for FORMAT"))?;
        let text = match (spec.kind, value.is_null()) {
            ('s', true) => String::new(),
            ('L', true) => "NULL".to_owned(),
            (_, true) => return Err(RowError::new("22004", "NULL is no identifier")),
            (kind, false) => {
                let text = print::text(value, &context.time_zone);
                match kind {
                    'I' => quote_ident(&text),
                    'L' => quote_literal(&text),
                    _ => text,
                }
            }
        };
        let padding = " ".repeat(spec.width.saturating_sub(text.chars().count()));
        if spec.left {
            out.push_str(&text);
        }
        out.push_str(&padding);
        if !spec.left {
            out.push_str(&text);
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(Datum::text(out))
}

struct Spec {
    place: Option<usize>,
    left: bool,
    width: usize,
    kind: char,
}

/// What follows a `%`, and what follows that.
fn spec(text: &str) -> Option<(Spec, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (mut text, mut place) = (text, None);
    if let (number, Some(rest)) = (text.get(..digits(text))?, text.get(digits(text)..)?.strip_prefix('$')) {
        place = Some(number.parse().ok()?);
        text = rest;
    }
    let left = text.starts_with('-');
    text = text.trim_start_matches('-');
    let (number, rest) = text.split_at(digits(text));
    // Wider than any line that somebody means.
    let width = if number.is_empty() { 0 } else { number.parse().ok().filter(|width| *width < 1_000_000)? };
    let kind = rest.chars().next().filter(|kind| matches!(kind, 's' | 'I' | 'L'))?;
    Some((Spec { place, left, width, kind }, rest.get(1..)?))
}

pub(super) fn quote_ident(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !is_reserved(name);
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn is_reserved(name: &str) -> bool {
    use sqlparser::keywords::{
        ALL_KEYWORDS, ALL_KEYWORDS_INDEX, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_IDENTIFIER, RESERVED_FOR_TABLE_ALIAS,
    };
    let upper = name.to_ascii_uppercase();
    let Ok(at) = ALL_KEYWORDS.binary_search(&upper.as_str()) else { return false };
    let Some(keyword) = ALL_KEYWORDS_INDEX.get(at) else { return false };
    [RESERVED_FOR_IDENTIFIER, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_TABLE_ALIAS]
        .iter()
        .any(|words| words.contains(keyword))
}

pub(super) fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}
