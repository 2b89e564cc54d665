//! `$mul`: multiplies a field by a number.
//!
//! Shape:  `{ $mul: { <path>: <number>, ... } }`
//! Absent: the field is created, holding a zero of the operand's type.
//! Result: the wider of the two types; an int that overflows becomes a long.
//! Errors: `TypeMismatch` if either side is not a number, `BadValue` if a long overflows.
//! Source: MongoDB manual 8.0, "$mul".

use millstream_value::{Element, Value};

use super::super::tree::shown;
use super::{Change, Modifier, inc, number};
use crate::expression::Scope;
use crate::{Error, Result};

pub(super) const MUL: Modifier = Modifier { name: "$mul", parse };

fn parse(operand: Element<'_>, _: &Scope) -> Result<Change> {
    let factor = operand.value().into_owned();
    let Some(zero) = number::multiply(&factor, &Value::Int32(0)) else {
        let operand = shown(operand.key(), &factor);
        return Err(Error::type_mismatch(format!("Cannot multiply with non-numeric argument: {operand}")));
    };
    Ok(Box::new(move |target| inc::change(target, "$mul", number::multiply, &factor, &zero)))
}
