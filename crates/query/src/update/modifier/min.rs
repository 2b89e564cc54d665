//! `$min`: writes a value that is smaller than the field's.
//!
//! Shape:  `{ $min: { <path>: <value>, ... } }`
//! Absent: the field is created, holding the operand.
//! Result: values of all types compare in the database's order; an equal one changes nothing.
//! Source: MongoDB manual 8.0, "$min".

use std::cmp::Ordering;

use millstream_value::{Element, compare_by};

use super::{Change, Modifier};
use crate::expression::Scope;
use crate::{Result, collation};

pub(super) const MIN: Modifier = Modifier { name: "$min", parse };

fn parse(operand: Element<'_>, scope: &Scope) -> Result<Change> {
    Ok(replace_if(operand, Ordering::Less, scope))
}

/// Writes the operand where it compares to the field's value as `wanted`.
pub(super) fn replace_if(operand: Element<'_>, wanted: Ordering, scope: &Scope) -> Change {
    let (value, collation) = (operand.value().into_owned(), scope.collation.clone());
    Box::new(move |target| {
        let order = collation::order(collation.as_ref());
        let wins = target.get().is_none_or(|current| compare_by(&value, &current, order) == wanted);
        if wins { target.set(&value) } else { Ok(()) }
    })
}
