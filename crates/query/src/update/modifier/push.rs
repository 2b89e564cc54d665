//! `$push`: adds elements to an array.
//!
//! Shape:  `{ $push: { <path>: <value> | { $each: [ ... ], $position, $slice, $sort }, ... } }`
//! Absent: the field is created as an array.
//! Result: `$position` counts from the end if negative; `$sort` then orders the whole array; `$slice` then keeps the
//!         first n or, negative, the last n.
//! Errors: `BadValue` if the field is not an array or a modifier is not what it should be.
//! Source: MongoDB manual 8.0, "$push".

use millstream_value::{ArrayBuf, Doc, Element, Value};

use super::super::target::Target;
use super::each::Order;
use super::{Change, Modifier};
use crate::expression::Scope;
use crate::{Error, Result};

pub(super) const PUSH: Modifier = Modifier { name: "$push", parse };

struct Push {
    values: Vec<Value<'static>>,
    position: Option<i64>,
    slice: Option<i64>,
    order: Option<Order>,
}

fn parse(operand: Element<'_>, scope: &Scope) -> Result<Change> {
    let push = match operand.as_doc().filter(|doc| doc.has("$each")) {
        Some(options) => with_options(options, scope)?,
        None => Push { values: vec![operand.value().into_owned()], position: None, slice: None, order: None },
    };
    Ok(Box::new(move |target| change(target, &push)))
}

fn with_options(options: Doc<'_>, scope: &Scope) -> Result<Push> {
    let mut push = Push { values: Vec::new(), position: None, slice: None, order: None };
    for option in options.elements() {
        match option.key() {
            "$each" => {
                let values = option.as_array().ok_or_else(|| {
                    let type_name = option.value().type_name();
                    let message =
                        format!("The argument to $each in $push must be an array but it was of type: {type_name}");
                    Error::bad_value(message)
                })?;
                push.values = values.values().map(Value::into_owned).collect();
            }
            "$position" => push.position = Some(integer(option)?),
            "$slice" => push.slice = Some(integer(option)?),
            "$sort" => push.order = Some(Order::parse(&option.value(), scope)?),
            other => {
                return Err(Error::bad_value(format!("Unrecognized clause in $push: {other}")));
            }
        }
    }
    Ok(push)
}

fn integer(option: Element<'_>) -> Result<i64> {
    let value = option.value();
    value.as_integer().ok_or_else(|| {
        Error::bad_value(format!(
            "The value for {} must be an integer value but was given type: {}",
            option.key(),
            value.type_name()
        ))
    })
}

fn change(target: &mut Target<'_, '_>, push: &Push) -> Result<()> {
    let current = target.get();
    let old: Vec<Value<'_>> = match &current {
        None => Vec::new(),
        Some(Value::Array(bytes)) => Doc::new(bytes).values().collect(),
        Some(other) => {
            return Err(Error::bad_value(format!(
                "The field '{}' must be an array but is of type {} in document {}",
                target.path(),
                other.type_name(),
                target.id()
            )));
        }
    };
    let at = position(push.position, old.len());
    let (length, at_end) = (old.len(), at == old.len());
    let mut all = old;
    all.splice(at..at, push.values.iter().map(Value::borrowed));
    if let Some(order) = &push.order {
        order.sort(&mut all);
    }
    let trimmed = slice(&mut all, push.slice);
    if length > 0 && at_end && push.order.is_none() && !trimmed {
        return target.append(&push.values);
    }
    let whole = Value::from(all.into_iter().collect::<ArrayBuf>());
    target.set(&whole)
}

fn position(position: Option<i64>, length: usize) -> usize {
    match position {
        None => length,
        Some(index) => match usize::try_from(index) {
            Ok(index) => index.min(length),
            Err(_) => length.saturating_sub(distance(index)),
        },
    }
}

/// Keeps the first or last elements; whether any went.
fn slice(all: &mut Vec<Value<'_>>, keep: Option<i64>) -> bool {
    let Some(keep) = keep else {
        return false;
    };
    let before = all.len();
    match usize::try_from(keep) {
        Ok(count) => all.truncate(count),
        Err(_) => {
            all.drain(..before.saturating_sub(distance(keep)));
        }
    }
    all.len() < before
}

fn distance(number: i64) -> usize {
    usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX)
}
