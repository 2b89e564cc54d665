//! Functions of texts (SQL-6.2).

mod format;
mod regexp;

use std::sync::Arc;

use md5::Digest as _;
use millstream_flow::{Datum, RowError};

use super::arguments::{array, integer, optional_text, text};
use super::{Context, Function, Takes, encoding};
use crate::Type;
use crate::expr::{like, print};

type Result = std::result::Result<Datum, RowError>;

const TEXT: Option<Type> = Some(Type::Text(None));
const INTEGER: Option<Type> = Some(Type::Integer);
const T: &[Takes] = &[Takes::Text];
const TI: &[Takes] = &[Takes::Text, Takes::Integer];
const TTI: &[Takes] = &[Takes::Text, Takes::Text, Takes::Integer];

/// The longest text that a function makes: more would not fit a document.
const BYTES_MAX: usize = 16 << 20;

// tidy: sorted by name
pub(super) static TEXTS: &[Function] = &[
    Function::new("ASCII", (1, 1), T, INTEGER, ascii),
    Function::new("BTRIM", (1, 2), T, TEXT, |a, _| trim(a, true, true)),
    Function::new("CHARACTER_LENGTH", (1, 1), T, INTEGER, length),
    Function::new("CHAR_LENGTH", (1, 1), T, INTEGER, length),
    Function::new("CHR", (1, 1), &[Takes::Integer], TEXT, chr),
    Function::new("CONCAT", (1, usize::MAX), &[Takes::Any], TEXT, concat).nulls(),
    Function::new("CONCAT_WS", (2, usize::MAX), &[Takes::Text, Takes::Any], TEXT, concat_ws).nulls(),
    Function::new("DECODE", (2, 2), T, Some(Type::Bytea), decode),
    Function::new("ENCODE", (2, 2), &[Takes::Bytes, Takes::Text], TEXT, encode),
    Function::new("FORMAT", (1, usize::MAX), &[Takes::Text, Takes::Any], TEXT, format::format).nulls(),
    Function::new("INITCAP", (1, 1), T, TEXT, initcap),
    Function::new("LEFT", (2, 2), TI, TEXT, left),
    Function::new("LENGTH", (1, 1), &[Takes::TextOrBytes], INTEGER, length),
    Function::new("LOWER", (1, 1), T, TEXT, |a, _| Ok(text_of(text(a, 0).chars().map(like::lower)))),
    Function::new("LPAD", (2, 3), &[Takes::Text, Takes::Integer, Takes::Text], TEXT, |a, _| pad(a, true)),
    Function::new("LTRIM", (1, 2), T, TEXT, |a, _| trim(a, true, false)),
    Function::new("MD5", (1, 1), &[Takes::TextOrBytes], TEXT, md5),
    Function::new("OCTET_LENGTH", (1, 1), &[Takes::TextOrBytes], INTEGER, octet_length),
    Function::new("OVERLAY", (3, 4), TTI, TEXT, overlay),
    Function::new("POSITION", (2, 2), T, INTEGER, |a, _| position(text(a, 1), text(a, 0))),
    Function::new("QUOTE_IDENT", (1, 1), T, TEXT, |a, _| Ok(Datum::text(format::quote_ident(text(a, 0))))),
    Function::new("QUOTE_LITERAL", (1, 1), &[Takes::Any], TEXT, quote_literal),
    Function::new(
        "REGEXP_COUNT",
        (2, 4),
        &[Takes::Text, Takes::Text, Takes::Integer, Takes::Text],
        INTEGER,
        regexp::count,
    ),
    Function::new("REGEXP_LIKE", (2, 3), T, Some(Type::Boolean), regexp::like),
    Function::new("REGEXP_MATCH", (2, 3), T, Some(Type::Array(None)), regexp::matched),
    Function::new("REGEXP_REPLACE", (3, 4), T, TEXT, regexp::replace),
    Function::new("REGEXP_SUBSTR", (2, 2), T, TEXT, regexp::substr),
    Function::new("REPEAT", (2, 2), TI, TEXT, repeat),
    Function::new("REPLACE", (3, 3), T, TEXT, replace),
    Function::new("REVERSE", (1, 1), T, TEXT, |a, _| Ok(text_of(text(a, 0).chars().rev()))),
    Function::new("RIGHT", (2, 2), TI, TEXT, right),
    Function::new("RPAD", (2, 3), &[Takes::Text, Takes::Integer, Takes::Text], TEXT, |a, _| pad(a, false)),
    Function::new("RTRIM", (1, 2), T, TEXT, |a, _| trim(a, false, true)),
    Function::new("SHA256", (1, 1), &[Takes::Bytes], Some(Type::Bytea), sha256),
    Function::new("SPLIT_PART", (3, 3), TTI, TEXT, split_part),
    Function::new("STARTS_WITH", (2, 2), T, Some(Type::Boolean), |a, _| {
        Ok(Datum::Bool(text(a, 0).starts_with(text(a, 1))))
    }),
    Function::new("STRING_TO_ARRAY", (2, 3), T, Some(Type::Array(None)), string_to_array).nulls(),
    Function::new("STRPOS", (2, 2), T, INTEGER, |a, _| position(text(a, 0), text(a, 1))),
    Function::new("SUBSTR", (2, 3), TI, TEXT, substring),
    Function::new("SUBSTRING", (2, 3), &[Takes::Text, Takes::Any, Takes::Any], TEXT, substring),
    Function::new("TO_HEX", (1, 1), &[Takes::Integer], TEXT, to_hex),
    Function::new("TRANSLATE", (3, 3), T, TEXT, translate),
    Function::new("UPPER", (1, 1), T, TEXT, |a, _| Ok(text_of(text(a, 0).chars().map(like::upper)))),
];

fn text_of(chars: impl Iterator<Item = char>) -> Datum {
    Datum::Text(chars.collect::<String>().into())
}

fn count(number: usize) -> Datum {
    i32::try_from(number).map_or(Datum::Long(i64::MAX), Datum::Int)
}

fn too_long() -> RowError {
    RowError::new("54000", "the text would be too long")
}

fn ascii(a: &[Datum], _: &Context) -> Result {
    let first = text(a, 0).chars().next().map_or(0, u32::from);
    Ok(Datum::Int(i32::try_from(first).unwrap_or_default()))
}

fn chr(a: &[Datum], _: &Context) -> Result {
    let code = u32::try_from(integer(a, 0)?).ok().filter(|code| *code > 0).and_then(char::from_u32);
    match code {
        Some(c) => Ok(Datum::text(c.to_string())),
        None => Err(RowError::new("54000", "there is no such character")),
    }
}

fn length(a: &[Datum], _: &Context) -> Result {
    match a.first() {
        Some(Datum::Text(text)) => Ok(count(text.chars().count())),
        Some(Datum::Binary(_, bytes)) => Ok(count(bytes.len())),
        _ => Err(RowError::new("42804", "LENGTH takes text or bytes")),
    }
}

fn octet_length(a: &[Datum], _: &Context) -> Result {
    match a.first() {
        Some(Datum::Text(text)) => Ok(count(text.len())),
        Some(Datum::Binary(_, bytes)) => Ok(count(bytes.len())),
        _ => Err(RowError::new("42804", "OCTET_LENGTH takes text or bytes")),
    }
}

fn trim(a: &[Datum], start: bool, end: bool) -> Result {
    let set: Vec<char> = optional_text(a, 1).unwrap_or(" ").chars().collect();
    let mut rest = text(a, 0);
    if start {
        rest = rest.trim_start_matches(set.as_slice());
    }
    if end {
        rest = rest.trim_end_matches(set.as_slice());
    }
    Ok(Datum::text(rest))
}

fn concat(a: &[Datum], context: &Context) -> Result {
    let parts = a.iter().filter(|value| !value.is_null()).map(|value| print::text(value, &context.time_zone));
    Ok(Datum::text(parts.collect::<String>()))
}

fn concat_ws(a: &[Datum], context: &Context) -> Result {
    let Some((Datum::Text(separator), rest)) = a.split_first() else { return Ok(Datum::Null) };
    let parts = rest.iter().filter(|value| !value.is_null()).map(|value| print::text(value, &context.time_zone));
    Ok(Datum::text(parts.collect::<Vec<_>>().join(separator)))
}

fn decode(a: &[Datum], _: &Context) -> Result {
    let (from, format) = (text(a, 0), text(a, 1).to_ascii_lowercase());
    let bytes = match format.as_str() {
        "hex" => {
            let digits: String = from.split_whitespace().collect();
            crate::expr::cast::bytes(&format!("\\x{digits}"))
        }
        "base64" => encoding::from_base64(from),
        "escape" => encoding::from_escape(from),
        _ => return Err(unknown_encoding(&format)),
    };
    let state = if format == "escape" { "22P02" } else { "22023" };
    bytes
        .map(|it| Datum::Binary(0, Arc::from(it)))
        .ok_or_else(|| RowError::new(state, format!("the text is no {format}")))
}

fn encode(a: &[Datum], _: &Context) -> Result {
    let Some(Datum::Binary(_, bytes)) = a.first() else { return Ok(Datum::Null) };
    let format = text(a, 1).to_ascii_lowercase();
    Ok(Datum::text(match format.as_str() {
        "hex" => print::hex(bytes),
        "base64" => encoding::to_base64(bytes),
        "escape" => encoding::to_escape(bytes),
        _ => return Err(unknown_encoding(&format)),
    }))
}

fn unknown_encoding(format: &str) -> RowError {
    RowError::new("22023", format!("there is no encoding \"{format}\": it is hex, base64 or escape"))
}

fn initcap(a: &[Datum], _: &Context) -> Result {
    let mut inside = false;
    Ok(text_of(text(a, 0).chars().map(|c| {
        let changed = if inside { like::lower(c) } else { like::upper(c) };
        inside = c.is_alphanumeric();
        changed
    })))
}

/// How many of `total` characters `n` means: a negative one leaves as many out.
fn kept(n: i64, total: usize) -> usize {
    let size = usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX);
    if n >= 0 { size.min(total) } else { total.saturating_sub(size) }
}

fn left(a: &[Datum], _: &Context) -> Result {
    let whole = text(a, 0);
    let n = kept(integer(a, 1)?, whole.chars().count());
    Ok(text_of(whole.chars().take(n)))
}

fn right(a: &[Datum], _: &Context) -> Result {
    let whole = text(a, 0);
    let total = whole.chars().count();
    let n = kept(integer(a, 1)?, total);
    Ok(text_of(whole.chars().skip(total - n)))
}

fn pad(a: &[Datum], at_start: bool) -> Result {
    let whole = text(a, 0);
    let wanted = usize::try_from(integer(a, 1)?).unwrap_or(0);
    let fill = optional_text(a, 2).unwrap_or(" ");
    let total = whole.chars().count();
    if wanted > BYTES_MAX {
        return Err(too_long());
    }
    if wanted <= total || fill.is_empty() {
        return Ok(text_of(whole.chars().take(wanted)));
    }
    let padding = fill.chars().cycle().take(wanted - total);
    Ok(if at_start { text_of(padding.chain(whole.chars())) } else { text_of(whole.chars().chain(padding)) })
}

fn md5(a: &[Datum], _: &Context) -> Result {
    let digest = match a.first() {
        Some(Datum::Text(text)) => md5::Md5::digest(text.as_bytes()),
        Some(Datum::Binary(_, bytes)) => md5::Md5::digest(bytes),
        _ => return Err(RowError::new("42804", "MD5 takes text or bytes")),
    };
    Ok(Datum::text(print::hex(&digest)))
}

fn sha256(a: &[Datum], _: &Context) -> Result {
    let Some(Datum::Binary(_, bytes)) = a.first() else { return Ok(Datum::Null) };
    Ok(Datum::Binary(0, Arc::from(sha2::Sha256::digest(bytes).as_slice())))
}

fn overlay(a: &[Datum], _: &Context) -> Result {
    let (whole, new, from) = (text(a, 0), text(a, 1), integer(a, 2)?);
    let replaced = if a.len() > 3 { integer(a, 3)? } else { i64::try_from(new.chars().count()).unwrap_or(i64::MAX) };
    if from <= 0 {
        return Err(RowError::new("22011", "OVERLAY counts from 1"));
    }
    let before = usize::try_from(from - 1).unwrap_or(usize::MAX);
    let after = usize::try_from((from - 1).saturating_add(replaced).max(0)).unwrap_or(usize::MAX);
    Ok(text_of(whole.chars().take(before).chain(new.chars()).chain(whole.chars().skip(after))))
}

/// From 1; 0 if it is nowhere.
fn position(whole: &str, part: &str) -> Result {
    let at = whole.find(part).and_then(|at| whole.get(..at));
    Ok(count(at.map_or(0, |before| before.chars().count() + 1)))
}

fn quote_literal(a: &[Datum], context: &Context) -> Result {
    let value = a.first().map(|value| print::text(value, &context.time_zone)).unwrap_or_default();
    Ok(Datum::text(format::quote_literal(&value)))
}

fn repeat(a: &[Datum], _: &Context) -> Result {
    let (whole, times) = (text(a, 0), usize::try_from(integer(a, 1)?).unwrap_or(0));
    if whole.len().saturating_mul(times) > BYTES_MAX {
        return Err(too_long());
    }
    Ok(Datum::text(whole.repeat(times)))
}

fn replace(a: &[Datum], _: &Context) -> Result {
    let (whole, from, to) = (text(a, 0), text(a, 1), text(a, 2));
    Ok(if from.is_empty() { Datum::text(whole) } else { Datum::text(whole.replace(from, to)) })
}

fn split_part(a: &[Datum], _: &Context) -> Result {
    let (whole, delimiter, n) = (text(a, 0), text(a, 1), integer(a, 2)?);
    let at = usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX);
    let Some(skip) = at.checked_sub(1) else { return Err(RowError::new("22023", "SPLIT_PART counts from 1 or -1")) };
    if delimiter.is_empty() {
        return Ok(Datum::text(if skip == 0 { whole } else { "" }));
    }
    let part = if n > 0 { whole.split(delimiter).nth(skip) } else { whole.rsplit(delimiter).nth(skip) };
    Ok(Datum::text(part.unwrap_or("")))
}

fn string_to_array(a: &[Datum], _: &Context) -> Result {
    let Some(Datum::Text(whole)) = a.first() else { return Ok(Datum::Null) };
    let null = optional_text(a, 2);
    let value = |part: &str| if Some(part) == null { Datum::Null } else { Datum::text(part) };
    let parts: Vec<Datum> = match optional_text(a, 1) {
        _ if whole.is_empty() => Vec::new(),
        None => whole.chars().map(|c| value(&c.to_string())).collect(),
        Some("") => vec![value(whole)],
        Some(delimiter) => whole.split(delimiter).map(value).collect(),
    };
    Ok(array(parts))
}

/// 1-based; places before 1 count. With a pattern instead of a place: its first group, or all that it matches.
fn substring(a: &[Datum], context: &Context) -> Result {
    if let (Some(Datum::Text(_)), 2) = (a.get(1), a.len()) {
        return regexp::substring(a, context);
    }
    let (whole, from) = (text(a, 0), integer(a, 1)?);
    let end = if a.len() > 2 {
        let length = integer(a, 2)?;
        if length < 0 {
            return Err(RowError::new("22011", "a length can not be negative"));
        }
        from.saturating_add(length)
    } else {
        i64::MAX
    };
    let start = from.max(1);
    let skip = usize::try_from(start - 1).unwrap_or(usize::MAX);
    let take = usize::try_from(end.saturating_sub(start).max(0)).unwrap_or(usize::MAX);
    Ok(text_of(whole.chars().skip(skip).take(take)))
}

fn to_hex(a: &[Datum], _: &Context) -> Result {
    Ok(Datum::text(match a.first() {
        Some(Datum::Int(v)) => format!("{v:x}"),
        _ => format!("{:x}", integer(a, 0)?),
    }))
}

fn translate(a: &[Datum], _: &Context) -> Result {
    let (from, to): (Vec<char>, Vec<char>) = (text(a, 1).chars().collect(), text(a, 2).chars().collect());
    Ok(text_of(text(a, 0).chars().filter_map(|c| match from.iter().position(|known| *known == c) {
        None => Some(c),
        Some(at) => to.get(at).copied(),
    })))
}
