//! `$min`: writes a value that is smaller than the field's.
//!
//! Shape:  `{ $min: { <path>: <value>, ... } }`
//! Absent: the field is created, holding the operand.
//! Result: values of all types compare in the database's order; an equal one changes nothing.
//! Source: MongoDB manual 8.0, "$min".

use std::cmp::Ordering;

use millstream_value::{Element, compare};

use super::{Change, Modifier};
use crate::Result;
use crate::expression::Scope;

pub(super) const MIN: Modifier = Modifier { name: "$min", parse };

fn parse(operand: Element<'_>, _: &Scope) -> Result<Change> {
    Ok(replace_if(operand, Ordering::Less))
}

/// Writes the operand where it compares to the field's value as `wanted`.
pub(super) fn replace_if(operand: Element<'_>, wanted: Ordering) -> Change {
    let value = operand.value().into_owned();
    Box::new(move |target| {
        let wins = target.get().is_none_or(|current| compare(&value, &current) == wanted);
        if wins { target.set(&value) } else { Ok(()) }
    })
}
