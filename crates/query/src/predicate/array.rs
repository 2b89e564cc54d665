//! `$all $elemMatch $size`: conditions on arrays.
//!
//! Shape:  `{ <path>: { $all: [ <value, regex or {$elemMatch: ...}>, ... ] } }`,
//!         `{ <path>: { $elemMatch: <filter or operators> } }`, `{ <path>: { $size: <number> } }`
//! Absent: never passes.
//! Errors: `BadValue`.
//! Source: MongoDB manual 8.0, "Array Query Operators".

use millstream_value::{Doc, Value};

use super::node::{Check, Node};
use super::operators::{Clause, Context, Operator, find_top};
use super::parse::{conditions, equality, has_operators, nested_filter};
use super::pattern::Pattern;
use crate::path::Path;
use crate::{Error, Result};

pub(super) const ALL: Operator = Operator { name: "$all", parse: all };
pub(super) const ELEM_MATCH: Operator = Operator { name: "$elemMatch", parse: elem_match };
pub(super) const SIZE: Operator = Operator { name: "$size", parse: size };

fn all(clause: &Clause<'_>) -> Result<Node> {
    let array = clause.argument.as_array().ok_or_else(|| Error::bad_value("$all needs an array"))?;
    if array.is_empty() {
        return Ok(Node::Always(false));
    }
    let operator = |doc: Doc<'_>| doc.elements().next().map(|first| first.key().to_owned());
    let of_documents = array
        .elements()
        .next()
        .and_then(|first| first.as_doc())
        .is_some_and(|doc| operator(doc).as_deref() == Some("$elemMatch"));
    let mut parts = Vec::new();
    for element in array.elements() {
        if of_documents {
            let inner = element
                .as_doc()
                .and_then(|doc| doc.elements().next())
                .filter(|first| first.key() == "$elemMatch")
                .ok_or_else(|| Error::bad_value("$all/$elemMatch has to be consistent"))?;
            parts.push(elem_match(&Clause { argument: inner, ..*clause })?);
            continue;
        }
        if element.as_doc().is_some_and(has_operators) {
            return Err(Error::bad_value("no $ expressions in $all"));
        }
        parts.push(match element.value() {
            Value::Regex(pattern, options) => {
                Node::Field { path: clause.path.clone(), check: Check::Regex(Pattern::new(&pattern, &options)?) }
            }
            _ => equality(clause.path, element, clause.context)?,
        });
    }
    Ok(Node::all(parts))
}

fn elem_match(clause: &Clause<'_>) -> Result<Node> {
    let inner = clause.argument.as_doc().ok_or_else(|| Error::bad_value("$elemMatch needs an Object"))?;
    let context = Context { nested: true, ..clause.context };
    let check = if on_values(inner) {
        Check::AnyElement(Box::new(conditions(&Path::parse(""), inner, context)?))
    } else {
        Check::AnyDocument(Box::new(nested_filter(inner, context)?))
    };
    Ok(Node::Field { path: clause.path.clone(), check })
}

/// Operators on the elements themselves, rather than a filter on documents in the array.
fn on_values(inner: Doc<'_>) -> bool {
    has_operators(inner) && inner.elements().next().is_some_and(|first| find_top(first.key()).is_none())
}

fn size(clause: &Clause<'_>) -> Result<Node> {
    let value = clause.argument.value();
    if !value.is_number() {
        return Err(Error::bad_value("$size needs a number"));
    }
    let size = value.as_integer().ok_or_else(|| Error::bad_value("$size must be a whole number"))?;
    let size = usize::try_from(size).map_err(|_| Error::bad_value("$size may not be negative"))?;
    Ok(Node::Field { path: clause.path.clone(), check: Check::Size(size) })
}
