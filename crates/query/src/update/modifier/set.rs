//! `$set`: writes a value.
//!
//! Shape:  `{ $set: { <path>: <value>, ... } }`
//! Absent: the field and what leads to it are created.
//! Errors: `PathNotViable` if a value on the way is neither a document nor an array with that index.
//! Source: MongoDB manual 8.0, "$set".

use millstream_value::Element;

use super::{Change, Modifier};
use crate::Result;
use crate::expression::Scope;

pub(super) const SET: Modifier = Modifier { name: "$set", parse };

pub(super) fn parse(operand: Element<'_>, _: &Scope) -> Result<Change> {
    let value = operand.value().into_owned();
    Ok(Box::new(move |target| target.set(&value)))
}
