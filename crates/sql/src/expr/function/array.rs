//! Functions of arrays (SQL-6.7).

use millstream_flow::{Datum, RowError, key};

use super::arguments::{array, elements, integer, optional_text, value};
use super::{Context, Function, Takes};
use crate::Type;
use crate::expr::print;

type Result = std::result::Result<Datum, RowError>;

const ARRAY: Option<Type> = Some(Type::Array(None));
const INTEGER: Option<Type> = Some(Type::Integer);
const A: &[Takes] = &[Takes::Array, Takes::Any];

// tidy: sorted by name
pub(super) static ARRAYS: &[Function] = &[
    Function::new("ARRAY_APPEND", (2, 2), A, ARRAY, |a, _| chained(value(a, 0), std::slice::from_ref(value(a, 1))))
        .nulls(),
    Function::new("ARRAY_CAT", (2, 2), &[Takes::Array], ARRAY, array_cat).nulls(),
    Function::new("ARRAY_LENGTH", (2, 2), &[Takes::Array, Takes::Integer], INTEGER, array_length),
    // Subscripts count from 0 (SQL-3.5).
    Function::new("ARRAY_LOWER", (2, 2), &[Takes::Array, Takes::Integer], INTEGER, |a, _| {
        Ok(if elements(a, 0)?.is_empty() || integer(a, 1)? != 1 { Datum::Null } else { Datum::Int(0) })
    }),
    Function::new("ARRAY_POSITION", (2, 2), A, INTEGER, array_position).nulls(),
    Function::new("ARRAY_PREPEND", (2, 2), &[Takes::Any, Takes::Array], ARRAY, array_prepend).nulls(),
    Function::new("ARRAY_REMOVE", (2, 2), A, ARRAY, array_remove).nulls(),
    Function::new("ARRAY_REPLACE", (3, 3), A, ARRAY, array_replace).nulls(),
    Function::new("ARRAY_TO_STRING", (2, 3), &[Takes::Array, Takes::Text], Some(Type::Text(None)), array_to_string)
        .nulls(),
    Function::new("ARRAY_UPPER", (2, 2), &[Takes::Array, Takes::Integer], INTEGER, |a, _| {
        let last = elements(a, 0)?.len().checked_sub(1).filter(|_| matches!(integer(a, 1), Ok(1)));
        Ok(last.map_or(Datum::Null, count))
    }),
    Function::new("CARDINALITY", (1, 1), &[Takes::Array], INTEGER, |a, _| Ok(count(elements(a, 0)?.len()))),
];

fn count(number: usize) -> Datum {
    i32::try_from(number).map_or(Datum::Long(i64::MAX), Datum::Int)
}

/// The elements; NULL has none.
fn or_none(value: &Datum) -> &[Datum] {
    match value {
        Datum::Array(values) => values,
        _ => &[],
    }
}

fn chained(first: &Datum, rest: &[Datum]) -> Result {
    Ok(array(or_none(first).iter().chain(rest).cloned().collect()))
}

fn array_cat(a: &[Datum], _: &Context) -> Result {
    if a.iter().all(Datum::is_null) {
        return Ok(Datum::Null);
    }
    chained(value(a, 0), or_none(value(a, 1)))
}

fn array_prepend(a: &[Datum], _: &Context) -> Result {
    Ok(array(std::iter::once(value(a, 0)).chain(or_none(value(a, 1))).cloned().collect()))
}

/// Of an empty array NULL. Only the first dimension has one length.
fn array_length(a: &[Datum], _: &Context) -> Result {
    let values = elements(a, 0)?;
    if integer(a, 1)? != 1 || values.is_empty() { Ok(Datum::Null) } else { Ok(count(values.len())) }
}

/// From 0.
fn array_position(a: &[Datum], _: &Context) -> Result {
    let at = or_none(value(a, 0)).iter().position(|element| key::equal(element, value(a, 1)));
    Ok(at.map_or(Datum::Null, count))
}

fn array_remove(a: &[Datum], _: &Context) -> Result {
    let Datum::Array(values) = value(a, 0) else { return Ok(Datum::Null) };
    Ok(array(values.iter().filter(|element| !key::equal(element, value(a, 1))).cloned().collect()))
}

fn array_replace(a: &[Datum], _: &Context) -> Result {
    let Datum::Array(values) = value(a, 0) else { return Ok(Datum::Null) };
    let replaced =
        |element: &Datum| if key::equal(element, value(a, 1)) { value(a, 2).clone() } else { element.clone() };
    Ok(array(values.iter().map(replaced).collect()))
}

/// NULLs are left out, or written as the third argument; arrays within are written out too.
fn array_to_string(a: &[Datum], context: &Context) -> Result {
    let (Datum::Array(values), Some(separator)) = (value(a, 0), optional_text(a, 1)) else { return Ok(Datum::Null) };
    let mut parts = Vec::new();
    let mut rest: Vec<&Datum> = values.iter().rev().collect();
    while let Some(next) = rest.pop() {
        match next {
            Datum::Array(inner) => rest.extend(inner.iter().rev()),
            next if next.is_null() => parts.extend(optional_text(a, 2).map(str::to_owned)),
            next => parts.push(print::text(next, &context.time_zone)),
        }
    }
    Ok(Datum::text(parts.join(separator)))
}
