//! `$unset`: removes a field.
//!
//! Shape:  `{ $unset: { <path>: <anything>, ... } }`
//! Absent: nothing happens, also where the path could not exist.
//! Result: an array element becomes null, so that the others keep their places.
//! Source: MongoDB manual 8.0, "$unset".

use millstream_value::Element;

use super::{Change, Modifier};
use crate::Result;
use crate::expression::Scope;

pub(super) const UNSET: Modifier = Modifier { name: "$unset", parse };

fn parse(_: Element<'_>, _: &Scope) -> Result<Change> {
    Ok(Box::new(|target| target.unset()))
}
