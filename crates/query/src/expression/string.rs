//! Strings: `$concat`, `$toUpper`, `$toLower`, `$strcasecmp`, lengths, `$split`, `$trim`, `$replaceOne` and their kin.
//!
//! Lengths and positions of `…Bytes` count UTF-8 bytes, those of `…CP` code points. Case changes ASCII letters only.
//! Absent: null, but for the operators that read null as the empty string (`$toUpper`, `$toLower`, `$strcasecmp`).
//! Source: MongoDB manual 8.0, "String Expression Operators".

use std::borrow::Cow;
use std::cmp::Ordering;

use millstream_value::{ArrayBuf, Value};

use super::operator::{Args, Name, Operator, optional, required, shown};
use super::{limit, text};
use crate::{Error, Result};

pub(super) static CONCAT: Operator = Operator::any("$concat", concat);
pub(super) static LTRIM: Operator = trimming("$ltrim");
pub(super) static REPLACE_ALL: Operator = replacing("$replaceAll");
pub(super) static REPLACE_ONE: Operator = replacing("$replaceOne");
pub(super) static RTRIM: Operator = trimming("$rtrim");
pub(super) static SPLIT: Operator = Operator::exactly("$split", 2, split);
pub(super) static STRCASECMP: Operator = Operator::exactly("$strcasecmp", 2, strcasecmp);
pub(super) static STR_LEN_BYTES: Operator = Operator::exactly("$strLenBytes", 1, |args| length(args, 34473, str::len));
pub(super) static STR_LEN_CP: Operator =
    Operator::exactly("$strLenCP", 1, |args| length(args, 34471, |text| text.chars().count()));
pub(super) static TO_LOWER: Operator =
    Operator::exactly("$toLower", 1, |args| Ok(Some(text::coerce(args.get(0))?.to_ascii_lowercase().into())));
pub(super) static TO_UPPER: Operator =
    Operator::exactly("$toUpper", 1, |args| Ok(Some(text::coerce(args.get(0))?.to_ascii_uppercase().into())));
pub(super) static TRIM: Operator = trimming("$trim");

fn concat<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let mut joined = String::new();
    for at in 0..args.len() {
        match args.get(at) {
            Some(Value::String(part)) => {
                limit::size(joined.len().saturating_add(part.len()))?;
                joined.push_str(part);
            }
            _ if args.nullish(at) => return Ok(Some(Value::Null)),
            _ => return args.fail(16702, format_args!("only supports strings, not {}", args.type_name(at))),
        }
    }
    Ok(Some(joined.into()))
}

fn length<'v>(args: &Args<'_, 'v>, code: i32, count: fn(&str) -> usize) -> Result<Option<Value<'v>>> {
    match args.get(0).and_then(Value::as_str) {
        Some(text) => Ok(Some(size_value(count(text)))),
        None => args.fail(code, format_args!("requires a string argument, found: {}", args.type_name(0))),
    }
}

/// A count as `int`, or as `long` where it does not fit.
pub(super) fn size_value(size: usize) -> Value<'static> {
    i32::try_from(size).map_or_else(|_| Value::Int64(i64::try_from(size).unwrap_or(i64::MAX)), Value::Int32)
}

fn strcasecmp<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let left = text::coerce(args.get(0))?.to_ascii_uppercase();
    let right = text::coerce(args.get(1))?.to_ascii_uppercase();
    Ok(Some(Value::Int32(match left.cmp(&right) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    })))
}

fn split<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    if args.nullish(0) || args.nullish(1) {
        return Ok(Some(Value::Null));
    }
    let wants = "requires an expression that evaluates to a string as a";
    let Some(text) = args.get(0).and_then(Value::as_str) else {
        return args.fail(40085, format_args!("{wants} first argument, found: {}", args.type_name(0)));
    };
    let Some(separator) = args.get(1).and_then(Value::as_str) else {
        return args.fail(40086, format_args!("{wants} second argument, found: {}", args.type_name(1)));
    };
    if separator.is_empty() {
        return args.fail(40087, "requires a non-empty separator");
    }
    let mut parts = ArrayBuf::new();
    for part in text.split(separator) {
        limit::push(&mut parts, part.into())?;
    }
    Ok(Some(parts.into()))
}

static TRIM_NAMES: &[Name] = &[required("input", 50695), optional("chars")];

const fn trimming(name: &'static str) -> Operator {
    Operator::named(name, TRIM_NAMES, 50694, 50696, trim)
}

/// What is trimmed where `chars` is absent.
const WHITESPACE: &str = "\0 \t\n\u{b}\u{c}\r\u{a0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}\u{2007}\u{2008}\u{2009}\u{200a}";

fn trim<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    if args.nullish(0) {
        return Ok(Some(Value::Null));
    }
    let got = |at| format!("got {} (of type {}) instead.", shown(args.get(at)), args.type_name(at));
    let Some(input) = args.get(0).and_then(Value::as_str) else {
        return args.fail(50699, format_args!("requires its input to be a string, {}", got(0)));
    };
    let chars = if !args.given(1) {
        WHITESPACE
    } else if args.nullish(1) {
        return Ok(Some(Value::Null));
    } else {
        match args.get(1).and_then(Value::as_str) {
            Some(chars) => chars,
            None => return args.fail(50700, format_args!("requires 'chars' to be a string, {}", got(1))),
        }
    };
    let cut = |c: char| chars.contains(c);
    let trimmed = match args.name {
        "$ltrim" => input.trim_start_matches(cut),
        "$rtrim" => input.trim_end_matches(cut),
        _ => input.trim_matches(cut),
    };
    Ok(Some(trimmed.to_owned().into()))
}

static REPLACE_NAMES: &[Name] = &[required("input", 51749), required("find", 51748), required("replacement", 51747)];

const fn replacing(name: &'static str) -> Operator {
    Operator::named(name, REPLACE_NAMES, 51750, 51751, replace).unfolded()
}

fn replace<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    for (at, (name, code)) in [("input", 51746), ("find", 51745), ("replacement", 51744)].into_iter().enumerate() {
        if !args.nullish(at) && args.get(at).and_then(Value::as_str).is_none() {
            return args.fail(code, format_args!("requires that '{name}' be a string, found: {}", shown(args.get(at))));
        }
    }
    let (Some(Value::String(input)), Some(Value::String(find)), Some(Value::String(replacement))) =
        (args.get(0), args.get(1), args.get(2))
    else {
        return Ok(Some(Value::Null));
    };
    if args.name == "$replaceOne" {
        limit::size(input.len().saturating_add(replacement.len()))?;
        return Ok(Some(input.replacen(find.as_ref(), replacement, 1).into()));
    }
    let count = input.matches(find.as_ref()).count();
    limit::size(input.len().saturating_add(count.saturating_mul(replacement.len())))?;
    Ok(Some(Value::String(Cow::Owned(input.replace(find.as_ref(), replacement)))))
}

/// An integer of 32 bits, also from a double or decimal that is one.
pub(super) fn integer(value: &Value<'_>) -> Option<i64> {
    value.as_integer().filter(|v| i32::try_from(*v).is_ok())
}

/// `end` and `start` arguments of the `$indexOf…` family.
pub(super) fn index_argument(args: &Args<'_, '_>, at: usize, what: &str) -> Result<usize> {
    let value = args.get(at);
    let Some(index) = value.and_then(integer) else {
        return args.fail(
            40096,
            format_args!(
                "requires an integral {what} index, found a value of type: {}, with value: \"{}\"",
                args.type_name(at),
                shown(value)
            ),
        );
    };
    usize::try_from(index).map_err(|_| {
        Error::location(40097, format!("{} requires a nonnegative {what} index, found: {index}", args.name))
    })
}
