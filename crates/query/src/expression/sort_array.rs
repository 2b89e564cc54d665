//! `$sortArray`.
//!
//! Shape:  `{input: <array>, sortBy: 1 | -1 | {<path>: 1 | -1, …}}`
//! Absent: null gives null.
//! Result: the elements in order; equal ones stay as they were. An order by paths takes what is no document as empty.
//! Source: MongoDB manual 8.0, "$sortArray".

use millstream_value::{Doc, Value, compare_by};

use super::array::items;
use super::compile::Compiler;
use super::limit;
use super::node::{Env, Node};
use super::operator::{Operator, is_nullish, type_name};
use crate::sort::Sort;
use crate::{Error, Result, collation};

pub(super) static SORT_ARRAY: Operator = Operator::own("$sortArray", parse);

/// What an array is sorted by.
#[derive(Clone, Debug)]
pub(super) struct SortArray {
    input: Node,
    by: By,
}

#[derive(Clone, Debug)]
enum By {
    /// The values themselves; `true` if the largest comes first.
    Values(bool),
    /// Fields of documents.
    Fields(Sort),
}

fn parse(_: &'static str, value: &Value<'_>, compiler: &mut Compiler<'_>) -> Result<Node> {
    let Some(doc) = value.as_doc() else {
        return Err(Error::location(
            2_942_500,
            format!("$sortArray requires an object as an argument, found: {}", value.type_name()),
        ));
    };
    if let Some(other) = doc.elements().find(|e| !matches!(e.key(), "input" | "sortBy")) {
        return Err(Error::location(2_942_501, format!("$sortArray found an unknown argument: {}", other.key())));
    }
    let input =
        doc.get("input").ok_or_else(|| Error::location(2_942_502, "$sortArray requires 'input' to be specified"))?;
    let by =
        doc.get("sortBy").ok_or_else(|| Error::location(2_942_503, "$sortArray requires 'sortBy' to be specified"))?;
    let by = match &by {
        Value::Document(order) => {
            if order.len() <= Doc::empty().as_bytes().len() {
                return Err(Error::location(15976, "$sortArray must have at least one sort key"));
            }
            By::Fields(Sort::parse(Doc::new(order), compiler.scope())?)
        }
        number => match number.as_integer() {
            Some(1) => By::Values(false),
            Some(-1) => By::Values(true),
            _ => {
                return Err(Error::location(2_942_507, "The $sort element value must be either 1 or -1"));
            }
        },
    };
    Ok(Node::SortArray(Box::new(SortArray { input: compiler.node(&input)?, by })))
}

impl SortArray {
    /// Sorts.
    pub(super) fn eval<'v>(&'v self, env: &mut Env<'v>) -> Result<Option<Value<'v>>> {
        let input = self.input.eval(env)?;
        if is_nullish(input.as_ref()) {
            return Ok(Some(Value::Null));
        }
        let Some(mut values) = input.as_ref().and_then(items) else {
            return Err(Error::location(
                2_942_504,
                format!(
                    "The input argument to $sortArray must be an array, but was of type: {}",
                    type_name(input.as_ref())
                ),
            ));
        };
        let order = collation::order(env.collation);
        match &self.by {
            By::Values(false) => values.sort_by(|a, b| compare_by(a, b, order)),
            By::Values(true) => values.sort_by(|a, b| compare_by(b, a, order)),
            By::Fields(sort) => {
                let key = |value: &Value<'_>| match value.as_doc() {
                    Some(doc) => sort.key(doc),
                    None => sort.key(Doc::empty()),
                };
                let mut keyed =
                    values.into_iter().map(|value| Ok((key(&value)?, value))).collect::<Result<Vec<_>>>()?;
                keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
                values = keyed.into_iter().map(|(_, value)| value).collect();
            }
        }
        limit::array(values.into_iter().map(Some)).map(Some)
    }
}
