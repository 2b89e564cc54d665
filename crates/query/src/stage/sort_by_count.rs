//! `$sortByCount`: groups by a value and puts the largest groups first.
//!
//! Shape:  `{ $sortByCount: <expression> }`
//! Result: `{ _id: <value>, count: <number> }` for each value.
//! Errors: 40147, 40148 if the argument is a constant.
//! Source: MongoDB manual 8.0, "$sortByCount (aggregation)".

use std::sync::Arc;

use millstream_value::{DocBuf, Element, Value};

use super::group::Group;
use super::{Parsing, Row, Stage};
use crate::sort::Sort;
use crate::{Error, Result};

pub(super) const SORT_BY_COUNT: Row = Row::new("$sortByCount", parse);

fn parse(spec: Element<'_>, parsing: &mut Parsing<'_>) -> Result<()> {
    match spec.value() {
        Value::Document(bytes) => {
            let doc = millstream_value::Doc::new(&bytes);
            if !doc.elements().next().is_some_and(|e| e.key().starts_with('$')) {
                let message =
                    "the sortByCount field must be defined as a $-prefixed path or an expression inside an object";
                return Err(Error::location(40147, message));
            }
        }
        Value::String(path) if path.starts_with('$') => {}
        _ => {
            let message = "the sortByCount field must be specified as a string or as an object";
            return Err(Error::location(40148, message));
        }
    }
    let mut group = DocBuf::new();
    group.push_as("_id", spec).nest("count", |count| {
        count.push("$sum", 1);
    });
    let group = Group::parse(group.as_doc(), parsing.scope)?;
    parsing.stream(group);
    let mut order = DocBuf::new();
    order.push("count", -1);
    let order = Sort::parse(order.as_doc(), parsing.scope)?;
    parsing.push(Stage::Sort(Arc::new(order)));
    Ok(())
}
