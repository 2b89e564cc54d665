//! The shapes of accumulators' arguments.

use millstream_value::{Doc, Value, shell};

use super::{Accumulator, Row};
use crate::expression::{Expression, Scope};
use crate::sort::Sort;
use crate::{Error, Result};

/// One expression.
pub(super) fn unary(row: &'static Row, argument: &Value<'_>, scope: &Scope) -> Result<Accumulator> {
    if argument.as_array().is_some() {
        return Err(Error::location(40237, format!("The {} accumulator is a unary operator", row.name)));
    }
    Ok(Accumulator {
        row,
        input: Expression::parse(argument, scope)?,
        count: None,
        sort: None,
        collation: scope.collation.clone(),
    })
}

/// An empty document.
pub(super) fn nothing(row: &'static Row, argument: &Value<'_>, scope: &Scope) -> Result<Accumulator> {
    if !argument.as_doc().is_some_and(Doc::is_empty) {
        return Err(Error::type_mismatch(format!("{} takes no arguments, i.e. {}:{{}}", row.name, row.name)));
    }
    Ok(Accumulator {
        row,
        input: Expression::literal(Value::Null),
        count: None,
        sort: None,
        collation: scope.collation.clone(),
    })
}

/// `{input: a, n: b}`.
pub(super) fn input_and_count(row: &'static Row, argument: &Value<'_>, scope: &Scope) -> Result<Accumulator> {
    let name = row.name;
    let doc = argument.as_doc().ok_or_else(|| {
        Error::location(5_787_801, format!("specification must be an object; found {name}: {}", shell::value(argument)))
    })?;
    if let Some(unknown) = doc.elements().find(|e| !matches!(e.key(), "input" | "n")) {
        return Err(Error::location(5_787_901, format!("Unknown argument for 'n' operator: {}", unknown.key())));
    }
    let count = doc.get("n").ok_or_else(|| Error::location(5_787_906, "Missing value for 'n'"))?;
    let input = doc.get("input").ok_or_else(|| Error::location(5_787_907, "Missing value for 'input'"))?;
    Ok(Accumulator {
        row,
        input: Expression::parse(&input, scope)?,
        count: Some(checked_count(&count, scope)?),
        sort: None,
        collation: scope.collation.clone(),
    })
}

/// `{sortBy: a, output: b}`.
pub(super) fn sorted(row: &'static Row, argument: &Value<'_>, scope: &Scope) -> Result<Accumulator> {
    sorted_with(row, argument, scope, false)
}

/// `{n: c, sortBy: a, output: b}`.
pub(super) fn sorted_count(row: &'static Row, argument: &Value<'_>, scope: &Scope) -> Result<Accumulator> {
    sorted_with(row, argument, scope, true)
}

fn sorted_with(row: &'static Row, argument: &Value<'_>, scope: &Scope, counted: bool) -> Result<Accumulator> {
    let name = row.name;
    let doc = argument.as_doc().ok_or_else(|| {
        Error::location(5_788_001, format!("specification must be an object; found {name}: {}", shell::value(argument)))
    })?;
    let known = |key: &str| matches!(key, "output" | "sortBy") || (counted && key == "n");
    if let Some(unknown) = doc.elements().find(|e| !known(e.key())) {
        return Err(Error::location(5_788_002, format!("Unknown argument to {name} '{}'", unknown.key())));
    }
    let count = match doc.get("n") {
        Some(count) => Some(checked_count(&count, scope)?),
        None if counted => return Err(Error::location(5_788_003, "Missing value for 'n'")),
        None => None,
    };
    let output = doc.get("output").ok_or_else(|| Error::location(5_788_004, "Missing value for 'output'"))?;
    let by = doc.get("sortBy").ok_or_else(|| Error::location(5_788_005, "Missing value for 'sortBy'"))?;
    let by = by.as_doc().ok_or_else(|| {
        Error::location(5_788_604, format!("expected 'sortBy' to already be an object in the arguments to {name}"))
    })?;
    let (input, sort) = (Expression::parse(&output, scope)?, Some(Sort::parse(by, scope)?));
    Ok(Accumulator { row, input, count, sort, collation: scope.collation.clone() })
}

/// A constant `n` is checked when it is compiled.
fn checked_count(value: &Value<'_>, scope: &Scope) -> Result<Expression> {
    let count = Expression::parse(value, scope)?;
    if let Some(constant) = count.constant() {
        super::positive(constant)?;
    }
    Ok(count)
}
