//! `$addToSet`: appends values that an array does not hold yet.
//!
//! Shape:  `{ $addToSet: { <path>: <value> | { $each: [ <value>, ... ] }, ... } }`
//! Absent: the field is created as an array.
//! Result: equality is the database's: 3 is held already where 3.0 is.
//! Errors: `BadValue` if the field is not an array, `TypeMismatch` if `$each` is not one.
//! Source: MongoDB manual 8.0, "$addToSet".

use std::collections::HashSet;

use millstream_value::{ArrayBuf, Element, Value, key};

use super::super::target::Target;
use super::{Change, Modifier};
use crate::expression::Scope;
use crate::{Collation, Error, Result, collation};

pub(super) const ADD_TO_SET: Modifier = Modifier { name: "$addToSet", parse };

fn parse(operand: Element<'_>, scope: &Scope) -> Result<Change> {
    let collation = scope.collation.clone();
    let values = wanted(operand, collation.as_ref())?;
    Ok(Box::new(move |target| change(target, &values, collation.as_ref())))
}

/// The values to add, each once.
fn wanted(operand: Element<'_>, collation: Option<&Collation>) -> Result<Vec<Value<'static>>> {
    let first = operand.as_doc().and_then(|doc| doc.elements().next());
    let Some(each) = first.filter(|e| e.key() == "$each") else {
        return Ok(vec![operand.value().into_owned()]);
    };
    let Some(values) = each.as_array() else {
        let type_name = each.value().type_name();
        let message = format!("The argument to $each in $addToSet must be an array but it was of type {type_name}");
        return Err(Error::type_mismatch(message));
    };
    if let Some(other) = operand.as_doc().and_then(|doc| doc.elements().nth(1)) {
        let message = format!("Found unexpected fields after $each in $addToSet: {}", other.key());
        return Err(Error::bad_value(message));
    }
    let (mut seen, order) = (HashSet::new(), collation::order(collation));
    Ok(values.values().filter(|value| seen.insert(key::of_by(value, order))).map(Value::into_owned).collect())
}

fn change(target: &mut Target<'_, '_>, values: &[Value<'static>], collation: Option<&Collation>) -> Result<()> {
    let Some(current) = target.get() else {
        let fresh = Value::from(values.iter().map(Value::borrowed).collect::<ArrayBuf>());
        return target.set(&fresh);
    };
    let Some(array) = current.as_array() else {
        return Err(Error::bad_value(format!(
            "Cannot apply $addToSet to non-array field. Field named '{}' has non-array type {}",
            target.name(),
            current.type_name()
        )));
    };
    let order = collation::order(collation);
    let held: HashSet<Vec<u8>> = array.values().map(|value| key::of_by(&value, order)).collect();
    let fresh: Vec<Value<'_>> =
        values.iter().filter(|value| !held.contains(&key::of_by(value, order))).map(Value::borrowed).collect();
    if fresh.is_empty() {
        return Ok(());
    }
    if held.is_empty() {
        let whole = Value::from(fresh.iter().map(Value::borrowed).collect::<ArrayBuf>());
        return target.set(&whole);
    }
    target.append(&fresh)
}
