//! `$pull`: removes the elements of an array that equal a value or satisfy a condition.
//!
//! Shape:  `{ $pull: { <path>: <value> | <condition>, ... } }`
//! Absent: nothing happens.
//! Result: a document without operators is a query on the elements that are documents; operators are a condition on
//!         the element itself; a regular expression matches strings; anything else must be equal.
//! Errors: `BadValue` if the field is not an array.
//! Source: MongoDB manual 8.0, "$pull".

use millstream_value::{ArrayBuf, Element, Value, equal_by};

use super::super::target::Target;
use super::{Change, Modifier};
use crate::expression::Scope;
use crate::predicate::Predicate;
use crate::{Error, Result, collation};

pub(super) const PULL: Modifier = Modifier { name: "$pull", parse };

fn parse(operand: Element<'_>, scope: &Scope) -> Result<Change> {
    let value = operand.value();
    let condition_on_self = match value.as_doc() {
        Some(condition) => condition.elements().next().is_some_and(|e| {
            e.key().starts_with('$') && !matches!(e.key(), "$and" | "$or" | "$nor" | "$expr" | "$comment")
        }),
        None => matches!(value, Value::Regex(..)),
    };
    if condition_on_self {
        let predicate = Predicate::parse_condition(&value, scope)?;
        return Ok(Box::new(move |target| remove(target, |element| predicate.matches_element(element))));
    }
    if let Some(filter) = value.as_doc() {
        let predicate = Predicate::parse(filter, scope)?;
        return Ok(Box::new(move |target| remove(target, |element| predicate.matches_element(element))));
    }
    let (value, collation) = (value.into_owned(), scope.collation.clone());
    Ok(Box::new(move |target| {
        let order = collation::order(collation.as_ref());
        remove(target, |element| Ok(equal_by(&element.value(), &value, order)))
    }))
}

/// Removes the elements that `goes` says yes to.
pub(super) fn remove(target: &mut Target<'_, '_>, goes: impl Fn(Element<'_>) -> Result<bool>) -> Result<()> {
    let Some(current) = target.get_viable()? else {
        return Ok(());
    };
    let Some(array) = current.as_array() else {
        return Err(Error::bad_value("Cannot apply $pull to a non-array value"));
    };
    let mut rest = ArrayBuf::new();
    let mut removed = false;
    for element in array.elements() {
        if goes(element)? {
            removed = true;
        } else {
            rest.push_element(element);
        }
    }
    let rest = Value::from(rest);
    if removed { target.set(&rest) } else { Ok(()) }
}
