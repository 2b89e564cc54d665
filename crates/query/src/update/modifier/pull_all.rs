//! `$pullAll`: removes the elements of an array that equal one of some values.
//!
//! Shape:  `{ $pullAll: { <path>: [ <value>, ... ], ... } }`
//! Absent: nothing happens.
//! Errors: `BadValue` if the operand or the field is not an array.
//! Source: MongoDB manual 8.0, "$pullAll".

use std::collections::HashSet;

use millstream_value::{Element, key};

use super::{Change, Modifier, pull};
use crate::expression::Scope;
use crate::{Error, Result, collation};

pub(super) const PULL_ALL: Modifier = Modifier { name: "$pullAll", parse };

fn parse(operand: Element<'_>, scope: &Scope) -> Result<Change> {
    let Some(values) = operand.as_array() else {
        let type_name = operand.value().type_name();
        return Err(Error::bad_value(format!("$pullAll requires an array argument but was given a {type_name}")));
    };
    // Equal values have equal keys.
    let collation = scope.collation.clone();
    let order = collation::order(collation.as_ref());
    let keys: HashSet<Vec<u8>> = values.values().map(|value| key::of_by(&value, order)).collect();
    Ok(Box::new(move |target| {
        let order = collation::order(collation.as_ref());
        pull::remove(target, |element| Ok(keys.contains(&key::of_by(&element.value(), order))))
    }))
}
