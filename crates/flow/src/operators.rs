//! The operators, one file each.

mod aggregate;
mod alike;
mod band;
mod bucket;
mod filter;
mod flat_map;
mod join;
mod lookup;
mod order;
mod project;
mod rekey;
mod running_window;
mod set_operation;
mod temporal;
mod top_k;
mod union_all;
mod values;
mod window;

use crate::operator::Operator;
use crate::{Datum, Node, NodeId, Row, RowError, ScalarRef, SourceId};

/// What a node becomes.
pub(crate) enum Built {
    /// Nothing: its rows come from outside.
    Source(SourceId),
    /// An operator and where its inputs come from.
    Operator(Box<dyn Operator>, Vec<NodeId>),
}

/// Makes the operator of a node.
pub(crate) fn build(node: Node) -> Built {
    match node {
        Node::Aggregate { input, group, sets, calls } => {
            operator(aggregate::Aggregate::new(group, sets, calls), vec![input])
        }
        Node::Band { left, right, .. } => operator(band::Band::new(node), vec![left, right]),
        Node::Bucket { input, .. } => operator(bucket::Bucket::new(node), vec![input]),
        Node::Filter { input, predicate } => operator(filter::Filter { predicate }, vec![input]),
        Node::FlatMap { input, function, outer } => operator(flat_map::FlatMap { function, outer }, vec![input]),
        Node::Join { left, right, kind, left_keys, right_keys, residual, left_width, right_width } => {
            let sides = [(left_keys, left_width), (right_keys, right_width)];
            operator(join::Join::new(kind, sides, residual), vec![left, right])
        }
        Node::Lookup { left, right, .. } => operator(lookup::Lookup::new(node), vec![left, right]),
        Node::Project { input, columns } => operator(project::Project { columns }, vec![input]),
        Node::Rekey { input, key } => operator(rekey::Rekey { key }, vec![input]),
        Node::RunningWindow { input, .. } => operator(running_window::RunningWindow::new(node), vec![input]),
        Node::SetOperation { operation, all, left, right } => {
            operator(set_operation::SetOperator::new(operation, all), vec![left, right])
        }
        Node::Source { source } => Built::Source(source),
        Node::Temporal { input, .. } => operator(temporal::Temporal::new(node), vec![input]),
        Node::TopK { input, .. } => operator(top_k::TopK::new(node), vec![input]),
        Node::UnionAll { inputs } => {
            let (inputs, keys) = inputs.into_iter().unzip();
            operator(union_all::UnionAll { keys }, inputs)
        }
        Node::Values(rows) => operator(values::Values { rows }, vec![]),
        Node::Window { input, .. } => operator(window::Window::new(node), vec![input]),
    }
}

fn operator(operator: impl Operator + 'static, inputs: Vec<NodeId>) -> Built {
    Built::Operator(Box::new(operator), inputs)
}

/// The values of several expressions over one row.
pub(crate) fn eval_all(expressions: &[ScalarRef], row: &Row) -> Result<Vec<Datum>, RowError> {
    expressions.iter().map(|expression| expression.eval(row)).collect()
}

/// Whether a condition is true; NULL is not.
pub(crate) fn is_true(condition: &ScalarRef, row: &Row) -> Result<bool, RowError> {
    match condition.eval(row)? {
        Datum::Bool(value) => Ok(value),
        Datum::Missing | Datum::Null => Ok(false),
        _ => Err(RowError::new("42804", "a condition must be a boolean")),
    }
}
