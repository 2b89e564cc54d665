//! `$bit`: and, or, xor of an integer field.
//!
//! Shape:  `{ $bit: { <path>: { and | or | xor: <int or long>, ... }, ... } }`
//! Absent: the field counts as an int 0 and is created.
//! Result: a long if either side is one.
//! Errors: `BadValue` for anything but integers.
//! Source: MongoDB manual 8.0, "$bit".

use millstream_value::{Element, Value};

use super::super::target::Target;
use super::super::tree::shown;
use super::{Change, Modifier};
use crate::expression::Scope;
use crate::{Error, Result};

pub(super) const BIT: Modifier = Modifier { name: "$bit", parse };

type Step = (fn(i64, i64) -> i64, Value<'static>);

fn parse(operand: Element<'_>, _: &Scope) -> Result<Change> {
    let Some(steps) = operand.as_doc() else {
        return Err(Error::bad_value(format!(
            "The $bit modifier is not compatible with a {}. You must pass in an embedded document: {{$bit: {{field: \
             {{and/or/xor: #}}}}",
            operand.value().type_name()
        )));
    };
    let steps = steps.elements().map(step).collect::<Result<Vec<Step>>>()?;
    if steps.is_empty() {
        let message = format!(
            "You must pass in at least one bitwise operation. The format is: {{$bit: {{field: {{and/or/xor: #}}}} \
             ({})",
            operand.key()
        );
        return Err(Error::bad_value(message));
    }
    Ok(Box::new(move |target| change(target, &steps)))
}

fn step(element: Element<'_>) -> Result<Step> {
    let value = element.value().into_owned();
    let operation: fn(i64, i64) -> i64 = match element.key() {
        "and" => |a, b| a & b,
        "or" => |a, b| a | b,
        "xor" => |a, b| a ^ b,
        other => {
            return Err(Error::bad_value(format!(
                "The $bit modifier only supports 'and', 'or', and 'xor', not '{other}' which is an unknown operator: \
                 {}",
                shown(other, &value)
            )));
        }
    };
    if !matches!(value, Value::Int32(_) | Value::Int64(_)) {
        return Err(Error::bad_value(format!(
            "The $bit modifier field must be an Integer(32/64 bit); a '{}' is not supported here: {}",
            value.type_name(),
            shown(element.key(), &value)
        )));
    }
    Ok((operation, value))
}

fn change(target: &mut Target<'_, '_>, steps: &[Step]) -> Result<()> {
    let mut current = target.get().map_or(Value::Int32(0), Value::into_owned);
    if !matches!(current, Value::Int32(_) | Value::Int64(_)) {
        return Err(Error::bad_value(format!(
            "Cannot apply $bit to a value of non-integral type.{} has the field {} of non-integer type {}",
            target.id(),
            target.name(),
            current.type_name()
        )));
    }
    for (operation, operand) in steps {
        let bits = operation(current.as_integer().unwrap_or_default(), operand.as_integer().unwrap_or_default());
        let narrow = matches!((&current, operand), (Value::Int32(_), Value::Int32(_)));
        current = match i32::try_from(bits) {
            Ok(bits) if narrow => Value::Int32(bits),
            _ => Value::Int64(bits),
        };
    }
    target.set(&current)
}
