//! `$sort` inside `$push`: an order of array elements, by themselves or by their fields.

use std::cmp::Ordering;

use millstream_value::{Doc, Value, compare_by};

use crate::expression::Scope;
use crate::{Collation, Error, Result, collation};

/// How `$push` orders the array.
pub(super) struct Order {
    by: By,
    collation: Option<Collation>,
}

enum By {
    /// By the elements themselves.
    Whole { descending: bool },
    /// By fields of the elements; an element that is not a document has none of them.
    Fields(Vec<(Vec<String>, bool)>),
}

impl Order {
    /// Reads `1`, `-1` or `{ <path>: 1 | -1, ... }`.
    pub(super) fn parse(spec: &Value<'_>, scope: &Scope) -> Result<Self> {
        Ok(Self { by: By::parse(spec)?, collation: scope.collation.clone() })
    }

    /// Sorts, keeping the order of equals.
    pub(super) fn sort(&self, values: &mut [Value<'_>]) {
        values.sort_by(|a, b| self.compare(a, b));
    }

    fn compare(&self, a: &Value<'_>, b: &Value<'_>) -> Ordering {
        let compare = |a: &Value<'_>, b: &Value<'_>| compare_by(a, b, collation::order(self.collation.as_ref()));
        match &self.by {
            By::Whole { descending } => directed(compare(a, b), *descending),
            By::Fields(fields) => fields
                .iter()
                .map(|(path, descending)| directed(compare(&field(a, path), &field(b, path)), *descending))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal),
        }
    }
}

impl By {
    fn parse(spec: &Value<'_>) -> Result<Self> {
        if let Some(fields) = spec.as_doc() {
            if fields.is_empty() {
                return Err(Error::bad_value("The $sort pattern is empty when it should be a set of fields."));
            }
            let fields = fields.elements().map(|e| Ok((path(e.key())?, direction(&e.value())?)));
            return Ok(Self::Fields(fields.collect::<Result<_>>()?));
        }
        Ok(Self::Whole { descending: direction(spec)? })
    }
}

fn direction(value: &Value<'_>) -> Result<bool> {
    match value.as_integer() {
        Some(1) => Ok(false),
        Some(-1) => Ok(true),
        _ => Err(Error::bad_value("The $sort element value must be either 1 or -1")),
    }
}

fn path(text: &str) -> Result<Vec<String>> {
    if text.is_empty() {
        return Err(Error::bad_value("The $sort field cannot be empty"));
    }
    let names: Vec<String> = text.split('.').map(str::to_owned).collect();
    if names.iter().any(String::is_empty) {
        return Err(Error::bad_value(format!("The $sort field is a dotted field but has an empty part: {text}")));
    }
    Ok(names)
}

fn directed(order: Ordering, descending: bool) -> Ordering {
    if descending { order.reverse() } else { order }
}

/// The value at a path of fields and indexes; null where there is none.
fn field<'v>(value: &'v Value<'_>, path: &[String]) -> Value<'v> {
    let Some((first, rest)) = path.split_first() else {
        return value.borrowed();
    };
    let mut current = value.as_doc().and_then(|doc| doc.get(first));
    for name in rest {
        current = match current {
            Some(
                Value::Document(std::borrow::Cow::Borrowed(bytes)) | Value::Array(std::borrow::Cow::Borrowed(bytes)),
            ) => Doc::new(bytes).get(name),
            _ => None,
        };
    }
    current.unwrap_or(Value::Null)
}
