//! Arrays: parts of them, what is in them, arrays made from numbers and documents.
//!
//! Absent: a null or missing array gives null, but where an operator says otherwise.
//! Source: MongoDB manual 8.0, "Array Expression Operators".

use std::borrow::Cow;

use millstream_value::{ArrayBuf, Doc, DocBuf, Value, equal_by};

use super::limit;
use super::operator::{Args, Operator, shown};
use super::string::{index_argument, integer, size_value};
use crate::{Error, Result};

pub(super) static ARRAY_ELEM_AT: Operator = Operator::exactly("$arrayElemAt", 2, array_elem_at);
pub(super) static CONCAT_ARRAYS: Operator = Operator::any("$concatArrays", concat_arrays);
pub(super) static FIRST: Operator = Operator::exactly("$first", 1, |args| end(args, false));
pub(super) static IN: Operator = Operator::exactly("$in", 2, contains);
pub(super) static INDEX_OF_ARRAY: Operator = Operator::list("$indexOfArray", 2, 4, index_of_array);
pub(super) static IS_ARRAY: Operator =
    Operator::exactly("$isArray", 1, |args| Ok(Some(args.get(0).is_some_and(|v| v.as_array().is_some()).into())));
pub(super) static LAST: Operator = Operator::exactly("$last", 1, |args| end(args, true));
pub(super) static RANGE: Operator = Operator::list("$range", 2, 3, range);
pub(super) static REVERSE_ARRAY: Operator = Operator::exactly("$reverseArray", 1, reverse_array);
pub(super) static SIZE: Operator = Operator::exactly("$size", 1, size);
pub(super) static SLICE: Operator = Operator::list("$slice", 2, 3, slice);

/// The elements of an array; they borrow where it does. `None` if it is no array.
pub(super) fn items<'v>(array: &Value<'v>) -> Option<Vec<Value<'v>>> {
    match array {
        Value::Array(Cow::Borrowed(bytes)) => Some(Doc::new(bytes).values().collect()),
        Value::Array(Cow::Owned(bytes)) => Some(Doc::new(bytes).values().map(Value::into_owned).collect()),
        _ => None,
    }
}

/// One element of an array, from the end where `at` is negative.
fn element<'v>(array: &Value<'v>, at: i64) -> Option<Value<'v>> {
    let pick = |doc: Doc<'_>| {
        if at >= 0 { usize::try_from(at).ok() } else { doc.len().checked_sub(usize::try_from(at.unsigned_abs()).ok()?) }
    };
    match array {
        Value::Array(Cow::Borrowed(bytes)) => Doc::new(bytes).values().nth(pick(Doc::new(bytes))?),
        Value::Array(Cow::Owned(bytes)) => Doc::new(bytes).values().nth(pick(Doc::new(bytes))?).map(Value::into_owned),
        _ => None,
    }
}

fn array_elem_at<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    if args.nullish(0) || args.nullish(1) {
        return Ok(Some(Value::Null));
    }
    let (Some(array @ Value::Array(_)), index) = (args.get(0), args.get(1)) else {
        return Err(Error::location(
            28689,
            format!("{}'s first argument must be an array, but is {}", args.name, args.type_name(0)),
        ));
    };
    let Some(index) = index.filter(|index| index.is_number()) else {
        return Err(Error::location(
            28690,
            format!("{}'s second argument must be a numeric value, but is {}", args.name, args.type_name(1)),
        ));
    };
    let Some(at) = integer(index) else {
        return Err(Error::location(
            28691,
            format!(
                "{}'s second argument must be representable as a 32-bit integer: {}",
                args.name,
                shown(Some(index))
            ),
        ));
    };
    Ok(element(array, at))
}

fn end<'v>(args: &Args<'_, 'v>, last: bool) -> Result<Option<Value<'v>>> {
    match args.get(0) {
        Some(array @ Value::Array(_)) => Ok(element(array, if last { -1 } else { 0 })),
        _ if args.nullish(0) => Ok(Some(Value::Null)),
        _ => Err(Error::location(
            28689,
            format!("{}'s argument must be an array, but is {}", args.name, args.type_name(0)),
        )),
    }
}

fn concat_arrays<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let mut joined = ArrayBuf::new();
    for at in 0..args.len() {
        match args.get(at) {
            Some(Value::Array(bytes)) => {
                limit::size(joined.size().saturating_add(bytes.len()))?;
                for element in Doc::new(bytes).elements() {
                    joined.push_element(element);
                }
            }
            _ if args.nullish(at) => return Ok(Some(Value::Null)),
            _ => return args.fail(28664, format_args!("only supports arrays, not {}", args.type_name(at))),
        }
    }
    Ok(Some(joined.into()))
}

fn contains<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let Some(array) = args.get(1).and_then(Value::as_array) else {
        return args.fail(40081, format_args!("requires an array as a second argument, found: {}", args.type_name(1)));
    };
    let found = args.get(0).is_some_and(|wanted| array.values().any(|item| equal_by(&item, wanted, args.order())));
    Ok(Some(found.into()))
}

fn index_of_array<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    if args.nullish(0) {
        return Ok(Some(Value::Null));
    }
    let Some(array) = args.get(0).and_then(Value::as_array) else {
        return args.fail(40090, format_args!("requires an array as a first argument, found: {}", args.type_name(0)));
    };
    let start = if args.len() > 2 { index_argument(args, 2, "starting")? } else { 0 };
    let end = if args.len() > 3 { index_argument(args, 3, "ending")? } else { usize::MAX };
    let found = args.get(1).and_then(|wanted| {
        let mut places = array.values().enumerate().take(end).skip(start);
        places.find(|(_, item)| equal_by(item, wanted, args.order())).map(|(at, _)| at)
    });
    Ok(Some(found.map_or(Value::Int32(-1), size_value)))
}

fn range<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let bound = |at: usize, what: &str, code: i32| -> Result<i64> {
        let Some(value) = args.get(at).filter(|value| value.is_number()) else {
            return args.fail(
                code,
                format_args!("requires a numeric {what} value, found value of type:{}", args.type_name(at)),
            );
        };
        integer(value).ok_or_else(|| {
            Error::location(
                code + 1,
                format!(
                    "$range requires a {what} value that can be represented as a 32-bit integer, found value: {}",
                    shown(Some(value))
                ),
            )
        })
    };
    let (start, end) = (bound(0, "starting", 34443)?, bound(1, "ending", 34445)?);
    let step = if args.len() > 2 { bound(2, "step", 34447)? } else { 1 };
    if step == 0 {
        return args.fail(34449, "requires a non-zero step value");
    }
    // An element takes at least its type, a digit, a terminator and four bytes.
    let count = usize::try_from(((end - start) / step).max(0)).unwrap_or(usize::MAX);
    limit::size(count.saturating_mul(7))?;
    let (mut numbers, mut current) = (ArrayBuf::new(), start);
    while if step > 0 { current < end } else { current > end } {
        limit::push(&mut numbers, i32::try_from(current).map_or(Value::Int64(current), Value::Int32))?;
        current += step;
    }
    Ok(Some(numbers.into()))
}

fn reverse_array<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    match args.get(0) {
        Some(array @ Value::Array(_)) => {
            let items = items(array).unwrap_or_default();
            limit::array(items.into_iter().rev().map(Some)).map(Some)
        }
        _ if args.nullish(0) => Ok(Some(Value::Null)),
        _ => Err(Error::location(
            34435,
            format!("The argument to $reverseArray must be an array, but was of type: {}", args.type_name(0)),
        )),
    }
}

fn size<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    match args.get(0).and_then(Value::as_array) {
        Some(array) => Ok(Some(size_value(array.len()))),
        None => Err(Error::location(
            17124,
            format!("The argument to $size must be an array, but was of type: {}", args.type_name(0)),
        )),
    }
}

/// `[array, count]` or `[array, start, count]`; a negative start or lone count is from the end.
fn slice<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    if (0..args.len()).any(|at| args.nullish(at)) {
        return Ok(Some(Value::Null));
    }
    let Some(array) = args.get(0).and_then(Value::as_array) else {
        return Err(Error::location(
            28724,
            format!("First argument to $slice must be an array, but is of type: {}", args.type_name(0)),
        ));
    };
    let number = |at: usize, which: &str, code: i32| {
        let Some(value) = args.get(at).filter(|value| value.is_number()) else {
            return Err(Error::location(
                code,
                format!("{which} argument to $slice must be numeric, but is of type: {}", args.type_name(at)),
            ));
        };
        integer(value).ok_or_else(|| {
            Error::location(
                code + 1,
                format!("{which} argument to $slice can't be represented as a 32-bit integer: {}", shown(Some(value))),
            )
        })
    };
    let length = i64::try_from(array.len()).unwrap_or(i64::MAX);
    let from_end = |at: i64| if at < 0 { (length + at).max(0) } else { at.min(length) };
    let first = number(1, "Second", 28725)?;
    let (start, count) = if args.len() == 2 {
        if first < 0 { (from_end(first), length) } else { (0, first) }
    } else {
        let count = number(2, "Third", 28727)?;
        if count <= 0 {
            return Err(Error::location(28729, format!("Third argument to $slice must be positive: {count}")));
        }
        (from_end(first), count)
    };
    let whole = |value: i64| usize::try_from(value).unwrap_or(0);
    let mut part = ArrayBuf::new();
    for element in array.elements().skip(whole(start)).take(whole(count)) {
        part.push_element(element);
    }
    Ok(Some(part.into()))
}

pub(super) static ARRAY_TO_OBJECT: Operator = Operator::exactly("$arrayToObject", 1, array_to_object);
pub(super) static OBJECT_TO_ARRAY: Operator = Operator::exactly("$objectToArray", 1, object_to_array);

fn object_to_array<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let Some(doc) = args.get(0).and_then(Value::as_doc) else {
        if args.nullish(0) {
            return Ok(Some(Value::Null));
        }
        return args.fail(40390, format_args!("requires a document input, found: {}", args.type_name(0)));
    };
    let mut pairs = ArrayBuf::new();
    for element in doc.elements() {
        let mut pair = DocBuf::new();
        pair.push("k", element.key()).push_as("v", element);
        limit::push(&mut pairs, pair.into())?;
    }
    Ok(Some(pairs.into()))
}

/// From `[{k: name, v: value}, …]` or `[[name, value], …]`; a name that comes again replaces the value.
fn array_to_object<'v>(args: &mut Args<'_, 'v>) -> Result<Option<Value<'v>>> {
    let Some(array) = args.get(0).and_then(Value::as_array) else {
        if args.nullish(0) {
            return Ok(Some(Value::Null));
        }
        return args.fail(40386, format_args!("requires an array input, found: {}", args.type_name(0)));
    };
    let mut merged = super::object::Merged::default();
    let mut objects = None;
    for item in array.values() {
        let (name, value) = match (&item, objects) {
            (Value::Document(bytes), None | Some(true)) => {
                objects = Some(true);
                pair_of_object(args, Doc::new(bytes))?
            }
            (Value::Array(bytes), None | Some(false)) => {
                objects = Some(false);
                pair_of_array(args, Doc::new(bytes))?
            }
            (other, None) => {
                return args.fail(
                    40398,
                    format_args!("unrecognised input type format for $arrayToObject: {}", other.type_name()),
                );
            }
            (other, Some(was_object)) => {
                let (code, was) = if was_object { (40391, "Object") } else { (40396, "Array") };
                return args.fail(
                    code,
                    format_args!(
                        "requires a consistent input format. Elements must all be arrays or all be objects. {was} was \
                         detected, now found: {}",
                        other.type_name()
                    ),
                );
            }
        };
        if name.contains('\0') {
            return args.fail(4_940_400, "Key field cannot contain an embedded null byte");
        }
        let mut field = DocBuf::new();
        field.push(&name, value);
        merged.add(field.as_doc());
    }
    Ok(Some(merged.finish().into()))
}

fn pair_of_object<'d>(args: &Args<'_, '_>, doc: Doc<'d>) -> Result<(String, Value<'d>)> {
    let count = doc.len();
    if count != 2 {
        return args.fail(
            40392,
            format_args!("requires an object keys of 'k' and 'v'. Found incorrect number of keys:{count}"),
        );
    }
    let (Some(name), Some(value)) = (doc.get("k"), doc.get("v")) else {
        return args.fail(
            40393,
            format_args!("requires an object with keys 'k' and 'v'. Missing either or both keys from: {doc:?}"),
        );
    };
    match name.as_str() {
        Some(name) => Ok((name.to_owned(), value)),
        None => args.fail(
            40394,
            format_args!(
                "requires an object with keys 'k' and 'v', where the value of 'k' must be of type string. Found type: \
                 {}",
                name.type_name()
            ),
        ),
    }
}

fn pair_of_array<'d>(args: &Args<'_, '_>, doc: Doc<'d>) -> Result<(String, Value<'d>)> {
    let mut values = doc.values();
    let (Some(name), Some(value), None) = (values.next(), values.next(), values.next()) else {
        return args.fail(40397, format_args!("requires an array of size 2 arrays,found array of size: {}", doc.len()));
    };
    match name.as_str() {
        Some(name) => Ok((name.to_owned(), value)),
        None => args.fail(
            40395,
            format_args!(
                "requires an array of key-value pairs, where the key must be of type string. Found key type: {}",
                name.type_name()
            ),
        ),
    }
}
