//! `$pop`: removes the first or last element of an array.
//!
//! Shape:  `{ $pop: { <path>: 1 (last) | -1 (first), ... } }`
//! Absent: nothing happens.
//! Errors: `FailedToParse` for another operand, `TypeMismatch` if the field is not an array.
//! Source: MongoDB manual 8.0, "$pop".

use millstream_value::{ArrayBuf, Element, Value};

use super::super::tree::shown;
use super::{Change, Modifier};
use crate::expression::Scope;
use crate::{Error, Result};

pub(super) const POP: Modifier = Modifier { name: "$pop", parse };

fn parse(operand: Element<'_>, _: &Scope) -> Result<Change> {
    let value = operand.value();
    if !value.is_number() {
        let shown = shown(operand.key(), &value);
        return Err(Error::failed_to_parse(format!("Expected a number in: {}", shown.trim_matches(['{', '}']))));
    }
    let first = match value.as_integer() {
        Some(1) => false,
        Some(-1) => true,
        Some(other) => return Err(Error::failed_to_parse(format!("$pop expects 1 or -1, found: {other}"))),
        None => {
            let shown = shown(operand.key(), &value);
            let message = format!("Expected an integer: {}", shown.trim_matches(['{', '}']));
            return Err(Error::failed_to_parse(message));
        }
    };
    Ok(Box::new(move |target| {
        let Some(current) = target.get_viable()? else {
            return Ok(());
        };
        let Some(array) = current.as_array() else {
            return Err(Error::type_mismatch(format!(
                "Path '{}' contains an element of non-array type '{}'",
                target.path(),
                current.type_name()
            )));
        };
        let length = array.len();
        if length == 0 {
            return Ok(());
        }
        let mut rest = ArrayBuf::new();
        for element in array.elements().skip(usize::from(first)).take(length - 1) {
            rest.push_element(element);
        }
        let rest = Value::from(rest);
        target.set(&rest)
    }))
}
