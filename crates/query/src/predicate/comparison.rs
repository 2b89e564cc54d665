//! `$eq $gt $gte $in $lt $lte $ne $nin`: comparisons with values.
//!
//! Shape:  `{ <path>: { $gt: <value> } }`, `{ <path>: { $in: [ <value or regex>, ... ] } }`
//! Absent: a missing field equals null. Undefined does not (since 8.0).
//! Result: only values of the operand's own type pass a range; NaN stands in no range but equals itself.
//! Errors: `BadValue` for a regex where none can be compared, for undefined, for operators inside `$in`.
//! Source: MongoDB manual 8.0, "Comparison Query Operators".

use millstream_value::{Value, kind};

use super::node::{Check, Node};
use super::operand::{Comparison, Operand, Operands};
use super::operators::{Clause, Operator};
use super::parse::{equality, has_operators};
use super::pattern::Pattern;
use crate::{Error, Result};

pub(super) const EQ: Operator =
    Operator { name: "$eq", parse: |clause| equality(clause.path, clause.argument, clause.context) };
pub(super) const GT: Operator = Operator { name: "$gt", parse: |clause| range(clause, Comparison::Greater) };
pub(super) const GTE: Operator = Operator { name: "$gte", parse: |clause| range(clause, Comparison::GreaterOrEqual) };
pub(super) const IN: Operator = Operator { name: "$in", parse: listed };
pub(super) const LT: Operator = Operator { name: "$lt", parse: |clause| range(clause, Comparison::Less) };
pub(super) const LTE: Operator = Operator { name: "$lte", parse: |clause| range(clause, Comparison::LessOrEqual) };
pub(super) const NE: Operator = Operator { name: "$ne", parse: not_equal };
pub(super) const NIN: Operator = Operator { name: "$nin", parse: |clause| Ok(listed(clause)?.negated()) };

fn range(clause: &Clause<'_>, comparison: Comparison) -> Result<Node> {
    match clause.argument.kind() {
        kind::UNDEFINED => Err(Error::bad_value("cannot compare to undefined")),
        kind::REGEX => Err(Error::bad_value(format!(
            "Can't have RegEx as arg to predicate over field '{}'.",
            clause.path.as_str()
        ))),
        _ => {
            let operand = Operand::new(clause.argument.value().into_owned(), clause.context.collation());
            Ok(Node::Field { path: clause.path.clone(), check: Check::Compare(comparison, operand) })
        }
    }
}

fn not_equal(clause: &Clause<'_>) -> Result<Node> {
    if clause.argument.kind() == kind::REGEX {
        return Err(Error::bad_value("Can't have regex as arg to $ne."));
    }
    Ok(equality(clause.path, clause.argument, clause.context)?.negated())
}

fn listed(clause: &Clause<'_>) -> Result<Node> {
    let array = clause
        .argument
        .as_array()
        .ok_or_else(|| Error::bad_value(format!("{} needs an array", clause.argument.key())))?;
    let (mut values, mut patterns) = (Vec::new(), Vec::new());
    for element in array.elements() {
        if element.as_doc().is_some_and(has_operators) {
            return Err(Error::bad_value(format!("cannot nest $ under {}", clause.argument.key())));
        }
        match element.value() {
            Value::Undefined => return Err(Error::bad_value("InMatchExpression equality cannot be undefined")),
            Value::Regex(pattern, options) => patterns.push(Pattern::new(&pattern, &options)?),
            value => values.push(value.into_owned()),
        }
    }
    if values.is_empty() && patterns.is_empty() {
        return Ok(Node::Always(false));
    }
    let collation = clause.context.collation();
    let check = match (values.len(), patterns.is_empty()) {
        (1, true) => Check::Compare(Comparison::Equal, Operand::new(values.pop().unwrap_or(Value::Null), collation)),
        _ => Check::In(Operands::new(values, patterns, collation)),
    };
    Ok(Node::Field { path: clause.path.clone(), check })
}
