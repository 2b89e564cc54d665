//! Arguments of functions, whose classes were checked before.

use millstream_flow::{Datum, Interval, RowError};

use crate::expr::{cast, number};

/// The text at a place; what was checked is one.
pub(super) fn text(arguments: &[Datum], at: usize) -> &str {
    optional_text(arguments, at).unwrap_or("")
}

pub(super) fn optional_text(arguments: &[Datum], at: usize) -> Option<&str> {
    match arguments.get(at) {
        Some(Datum::Text(text)) => Some(text),
        _ => None,
    }
}

fn wrong(arguments: &[Datum], at: usize, wanted: &str) -> RowError {
    let found = arguments.get(at).map_or_else(|| "nothing".to_owned(), cast::name);
    RowError::new("42804", format!("argument {} must be {wanted}, not {found}", at + 1))
}

pub(super) fn integer(arguments: &[Datum], at: usize) -> Result<i64, RowError> {
    arguments.get(at).and_then(number::to_i64).ok_or_else(|| wrong(arguments, at, "a whole number"))
}

pub(super) fn double(arguments: &[Datum], at: usize) -> Result<f64, RowError> {
    arguments.get(at).and_then(number::to_f64).ok_or_else(|| wrong(arguments, at, "a number"))
}

pub(super) fn interval(arguments: &[Datum], at: usize) -> Result<Interval, RowError> {
    match arguments.get(at) {
        Some(Datum::Interval(interval)) => Ok(*interval),
        _ => Err(wrong(arguments, at, "an interval")),
    }
}

pub(super) fn elements(arguments: &[Datum], at: usize) -> Result<&[Datum], RowError> {
    match arguments.get(at) {
        Some(Datum::Array(values)) => Ok(values),
        _ => Err(wrong(arguments, at, "an array")),
    }
}

/// The value at a place; NULL where there is none.
pub(super) fn value(arguments: &[Datum], at: usize) -> &Datum {
    arguments.get(at).unwrap_or(&Datum::Null)
}

pub(super) fn array(values: Vec<Datum>) -> Datum {
    Datum::Array(values.into())
}
