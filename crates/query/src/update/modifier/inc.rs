//! `$inc`: adds a number to a field.
//!
//! Shape:  `{ $inc: { <path>: <number>, ... } }`
//! Absent: the field is created, holding the operand.
//! Result: the wider of the two types; an int that overflows becomes a long.
//! Errors: `TypeMismatch` if either side is not a number, `BadValue` if a long overflows.
//! Source: MongoDB manual 8.0, "$inc".

use millstream_value::{Element, Value};

use super::super::target::Target;
use super::super::tree::shown;
use super::{Change, Modifier, number};
use crate::expression::Scope;
use crate::{Error, Result};

pub(super) const INC: Modifier = Modifier { name: "$inc", parse };

fn parse(operand: Element<'_>, _: &Scope) -> Result<Change> {
    let step = operand.value().into_owned();
    if !step.is_number() {
        let operand = shown(operand.key(), &step);
        return Err(Error::type_mismatch(format!("Cannot increment with non-numeric argument: {operand}")));
    }
    Ok(Box::new(move |target| change(target, "$inc", number::add, &step, &step)))
}

/// Replaces the number that is there by `combine(it, operand)`, or writes `initial` where there is none.
pub(super) fn change(
    target: &mut Target<'_, '_>,
    name: &str,
    combine: fn(&Value<'_>, &Value<'_>) -> Option<Value<'static>>,
    operand: &Value<'_>,
    initial: &Value<'_>,
) -> Result<()> {
    let Some(current) = target.get() else {
        return target.set(initial);
    };
    if !current.is_number() {
        let (id, field, type_name) = (target.id(), target.name(), current.type_name());
        return Err(Error::type_mismatch(format!(
            "Cannot apply {name} to a value of non-numeric type. {id} has the field '{field}' of non-numeric type \
             {type_name}"
        )));
    }
    let Some(result) = combine(&current, operand) else {
        let (id, current) = (target.id(), millstream_value::shell::value(&current));
        return Err(Error::bad_value(format!(
            "Failed to apply {name} operations to current value ((NumberLong){current}) for document {id}"
        )));
    };
    target.set(&result)
}
