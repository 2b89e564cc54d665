//! Parts of strings and where they are: `$substr`, `$substrBytes`, `$substrCP`, `$indexOfBytes`, `$indexOfCP`.
//!
//! Absent: `$substr…` read null as the empty string; `$indexOf…` give null for a null text.
//! Result: `$indexOf…` give -1 where nothing is found.
//! Source: MongoDB manual 8.0, "String Expression Operators".

use millstream_value::Value;

use super::operator::{Args, Operator, shown};
use super::string::{index_argument, integer, size_value};
use super::text;
use crate::{Error, Result};

pub(super) static INDEX_OF_BYTES: Operator = Operator::list("$indexOfBytes", 2, 4, |args| {
    index_of(args, 40091, 40092, |text| text.len(), |_, at| Some(at), |_, at| at)
});
pub(super) static INDEX_OF_CP: Operator = Operator::list("$indexOfCP", 2, 4, |args| {
    index_of(
        args,
        40093,
        40094,
        |text| text.chars().count(),
        |text, at| text.char_indices().map(|(byte, _)| byte).chain([text.len()]).nth(at),
        |text, byte| text.get(..byte).map_or(0, |before| before.chars().count()),
    )
});
pub(super) static SUBSTR: Operator = Operator::exactly("$substr", 3, substr_bytes);
pub(super) static SUBSTR_BYTES: Operator = Operator::exactly("$substrBytes", 3, substr_bytes);
pub(super) static SUBSTR_CP: Operator = Operator::exactly("$substrCP", 3, substr_cp);

fn substr_bytes<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let text = text::coerce(args.get(0))?;
    let number = |at: usize, code: i32, what: &str| {
        args.get(at).and_then(Value::as_f64).and_then(millstream_value::number::truncated_i64).ok_or_else(|| {
            Error::location(
                code,
                format!("$substrBytes:  {what} must be a numeric type (is BSON type {})", args.type_name(at)),
            )
        })
    };
    let (start, count) = (number(1, 16034, "starting index")?, number(2, 16035, "length")?);
    let Ok(start) = usize::try_from(start) else {
        return Err(Error::location(
            50752,
            format!("$substrBytes:  starting index must be non-negative (got: {start})"),
        ));
    };
    if start >= text.len() {
        return Ok(Some("".into()));
    }
    // A negative length means the rest.
    let end = usize::try_from(count).map_or(text.len(), |count| start.saturating_add(count).min(text.len()));
    if !text.is_char_boundary(start) {
        return Err(Error::location(
            28656,
            "$substrBytes:  Invalid range, starting index is a UTF-8 continuation byte.",
        ));
    }
    match text.get(start..end) {
        Some(part) => Ok(Some(part.to_owned().into())),
        None => Err(Error::location(
            28657,
            "$substrBytes:  Invalid range, ending index is in the middle of a UTF-8 character.",
        )),
    }
}

fn substr_cp<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let text = text::coerce(args.get(0))?;
    let index = |at: usize, what: &str, codes: [i32; 3]| -> Result<usize> {
        let [type_code, integral_code, negative_code] = codes;
        let value = args.get(at).filter(|value| value.is_number()).ok_or_else(|| {
            Error::location(
                type_code,
                format!("$substrCP: {what} must be a numeric type (is BSON type {})", args.type_name(at)),
            )
        })?;
        let index = integer(value).ok_or_else(|| {
            Error::location(
                integral_code,
                format!("$substrCP: {what} cannot be represented as a 32-bit integral value: {}", shown(Some(value))),
            )
        })?;
        usize::try_from(index)
            .map_err(|_| Error::location(negative_code, format!("$substrCP: {what} must be a nonnegative integer.")))
    };
    let start = index(1, "starting index", [34450, 34451, 34455])?;
    let count = index(2, "length", [34452, 34453, 34454])?;
    Ok(Some(text.chars().skip(start).take(count).collect::<String>().into()))
}

/// `[text, part, start, end]`; `len`, `to_byte` and `from_byte` count in the operator's own unit.
fn index_of<'v>(
    args: &Args<'_, 'v>,
    text_code: i32,
    part_code: i32,
    len: fn(&str) -> usize,
    to_byte: fn(&str, usize) -> Option<usize>,
    from_byte: fn(&str, usize) -> usize,
) -> Result<Option<Value<'v>>> {
    if args.nullish(0) {
        return Ok(Some(Value::Null));
    }
    let Some(text) = args.get(0).and_then(Value::as_str) else {
        return args
            .fail(text_code, format_args!("requires a string as the first argument, found: {}", args.type_name(0)));
    };
    let Some(part) = args.get(1).and_then(Value::as_str) else {
        return args
            .fail(part_code, format_args!("requires a string as the second argument, found: {}", args.type_name(1)));
    };
    let start = if args.len() > 2 { index_argument(args, 2, "starting")? } else { 0 };
    let end = if args.len() > 3 { index_argument(args, 3, "ending")? } else { usize::MAX };
    let end = end.min(len(text));
    let none = Ok(Some(Value::Int32(-1)));
    if start > end {
        return none;
    }
    let (Some(from), Some(to)) = (to_byte(text, start), to_byte(text, end)) else { return none };
    // Bytes may be counted from the middle of a character, but nothing is found there.
    let inward = |mut at: usize, step: fn(usize) -> usize| {
        while !text.is_char_boundary(at) {
            at = step(at);
        }
        at
    };
    let (inner, outer) = (inward(from, |at| at + 1), inward(to, |at| at - 1));
    let found = if part.is_empty() {
        Some(from)
    } else {
        text.get(inner..outer).and_then(|w| w.find(part)).map(|at| at + inner)
    };
    match found {
        Some(at) => Ok(Some(size_value(from_byte(text, at)))),
        None => none,
    }
}
