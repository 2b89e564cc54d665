//! Functions that plans are made of.

use millstream_flow::{Datum, RowError};

use crate::expr::{Context, Function, Takes};

static FIRST_PRESENT: Function = Function {
    name: "!FIRST_PRESENT",
    arguments: (1, usize::MAX),
    takes: &[Takes::Any],
    volatile: false,
    nulls: true,
    result: None,
    eval: first_present,
};

static STORED: Function = Function {
    name: "!STORED",
    arguments: (1, 1),
    takes: &[Takes::Any],
    volatile: false,
    nulls: true,
    result: None,
    eval: stored,
};

static LOST: Function = Function {
    name: "!LOST",
    arguments: (0, usize::MAX),
    takes: &[Takes::Any],
    volatile: false,
    nulls: true,
    result: None,
    eval: lost,
};

/// A function by its name in upper case.
pub(crate) fn builtin(name: &str) -> &'static Function {
    match name {
        "!FIRST_PRESENT" => &FIRST_PRESENT,
        "!STORED" => &STORED,
        other => crate::expr::function(other).unwrap_or(&LOST),
    }
}

/// The first argument that is there, though it may be null (SQL-3.8c).
fn first_present(arguments: &[Datum], _: &Context) -> Result<Datum, RowError> {
    Ok(arguments.iter().find(|value| !matches!(value, Datum::Missing)).cloned().unwrap_or(Datum::Missing))
}

/// The value, or NULL where there is none: what is computed is stored, if only as null.
fn stored(arguments: &[Datum], _: &Context) -> Result<Datum, RowError> {
    Ok(match arguments.first() {
        None | Some(Datum::Missing) => Datum::Null,
        Some(value) => value.clone(),
    })
}

fn lost(_: &[Datum], _: &Context) -> Result<Datum, RowError> {
    Err(RowError::new("XX000", "internal error: a function of the planner is lost"))
}
