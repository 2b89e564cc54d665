//! `$max`: writes a value that is greater than the field's.
//!
//! Shape:  `{ $max: { <path>: <value>, ... } }`
//! Absent: the field is created, holding the operand.
//! Result: values of all types compare in the database's order; an equal one changes nothing.
//! Source: MongoDB manual 8.0, "$max".

use std::cmp::Ordering;

use millstream_value::Element;

use super::{Change, Modifier, min};
use crate::Result;
use crate::expression::Scope;

pub(super) const MAX: Modifier = Modifier { name: "$max", parse };

fn parse(operand: Element<'_>, scope: &Scope) -> Result<Change> {
    Ok(min::replace_if(operand, Ordering::Greater, scope))
}
