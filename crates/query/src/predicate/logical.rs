//! `$and $nor $or $not` and the operators on whole documents: `$comment $expr $sampleRate $alwaysTrue $alwaysFalse`.
//!
//! Shape:  `{ $or: [ <filter>, ... ] }`, `{ <path>: { $not: <operators or regex> } }`, `{ $expr: <expression> }`,
//!         `{ $sampleRate: <0 to 1> }`
//! Errors: `BadValue` for anything but a nonempty array of documents; those of the expression, also when evaluated.
//! Source: MongoDB manual 8.0, "Logical Query Operators", "$expr", "$sampleRate".

use millstream_value::{Element, Value};

use super::node::{Check, Node};
use super::operators::{Clause, Context, Operator, TopOperator};
use super::parse::{conditions, nested_filter};
use super::pattern::Pattern;
use crate::expression::Expression;
use crate::{Error, Result};

pub(super) const ALWAYS_FALSE: TopOperator =
    TopOperator { name: "$alwaysFalse", parse: |argument, _| constant(argument, false) };
pub(super) const ALWAYS_TRUE: TopOperator =
    TopOperator { name: "$alwaysTrue", parse: |argument, _| constant(argument, true) };
pub(super) const AND: TopOperator =
    TopOperator { name: "$and", parse: |argument, context| Ok(Node::all(filters(argument, context)?)) };
pub(super) const COMMENT: TopOperator = TopOperator { name: "$comment", parse: |_, _| Ok(Node::Always(true)) };
pub(super) const EXPR: TopOperator = TopOperator { name: "$expr", parse: expr };
pub(super) const NOR: TopOperator =
    TopOperator { name: "$nor", parse: |argument, context| Ok(any_of(filters(argument, context)?).negated()) };
pub(super) const OR: TopOperator =
    TopOperator { name: "$or", parse: |argument, context| Ok(any_of(filters(argument, context)?)) };
pub(super) const SAMPLE_RATE: TopOperator = TopOperator { name: "$sampleRate", parse: sample_rate };

pub(super) const NOT: Operator = Operator { name: "$not", parse: not };

fn filters(argument: Element<'_>, context: Context<'_>) -> Result<Vec<Node>> {
    let name = argument.key();
    let array = argument.as_array().ok_or_else(|| Error::bad_value(format!("{name} must be an array")))?;
    if array.is_empty() {
        return Err(Error::bad_value("$and/$or/$nor must be a nonempty array"));
    }
    array
        .elements()
        .map(|element| match element.as_doc() {
            Some(filter) => nested_filter(filter, context),
            None => Err(Error::bad_value("$or/$and/$nor entries need to be full objects")),
        })
        .collect()
}

fn any_of(mut parts: Vec<Node>) -> Node {
    parts.retain(|part| !matches!(part, Node::Always(false)));
    if parts.iter().any(|part| matches!(part, Node::Always(true))) {
        return Node::Always(true);
    }
    match parts.len() {
        0 => Node::Always(false),
        1 => parts.pop().unwrap_or(Node::Always(false)),
        _ => Node::Or(parts),
    }
}

fn not(clause: &Clause<'_>) -> Result<Node> {
    if let Value::Regex(pattern, options) = clause.argument.value() {
        let check = Check::Regex(Pattern::new(&pattern, &options)?);
        return Ok(Node::Field { path: clause.path.clone(), check }.negated());
    }
    let operators = clause.argument.as_doc().ok_or_else(|| Error::bad_value("$not needs a regex or a document"))?;
    if operators.is_empty() {
        return Err(Error::bad_value("$not cannot be empty"));
    }
    Ok(conditions(clause.path, operators, clause.context)?.negated())
}

fn expr(argument: Element<'_>, context: Context<'_>) -> Result<Node> {
    if context.nested {
        return Err(Error::bad_value("$expr can only be applied to the top-level document"));
    }
    Ok(Node::Expression(Box::new(Expression::parse(&argument.value(), context.scope)?)))
}

fn sample_rate(argument: Element<'_>, context: Context<'_>) -> Result<Node> {
    if context.nested {
        return Err(Error::bad_value("$sampleRate can only be applied to the top-level document"));
    }
    let rate =
        argument.value().as_f64().ok_or_else(|| Error::bad_value("argument to $sampleRate must be a numeric type"))?;
    if !(0.0..=1.0).contains(&rate) {
        return Err(Error::bad_value("numeric argument to $sampleRate must be in [0, 1]"));
    }
    Ok(if rate >= 1.0 {
        Node::Always(true)
    } else if rate <= 0.0 {
        Node::Always(false)
    } else {
        Node::Sample { rate, seed: context.scope.now_ms }
    })
}

fn constant(argument: Element<'_>, value: bool) -> Result<Node> {
    if argument.value().as_integer() == Some(1) {
        return Ok(Node::Always(value));
    }
    Err(Error::failed_to_parse(format!("{} must be an integer value of 1", argument.key())))
}
