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
mod recursive;
mod rekey;
mod running_window;
mod set_operation;
mod temporal;
mod top_k;
mod union_all;
mod values;
mod watermark;
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
        Node::Band {
            left,
            right,
            kind,
            left_keys,
            right_keys,
            residual,
            left_time,
            right_time,
            from_ms: from,
            from_inclusive,
            to_ms: to,
            to_inclusive,
            lateness,
            left_width,
            right_width,
        } => {
            let sides = [
                band::Side { keys: left_keys, time: left_time, width: left_width },
                band::Side { keys: right_keys, time: right_time, width: right_width },
            ];
            let near = band::Near { from, from_inclusive, to, to_inclusive };
            operator(band::Band { kind, sides, residual, lateness, near }, vec![left, right])
        }
        Node::Bucket { input, group, end, calls, lateness, time } => {
            operator(bucket::Bucket { group, end, calls, lateness, time }, vec![input])
        }
        Node::Filter { input, predicate } => operator(filter::Filter { predicate }, vec![input]),
        Node::FlatMap { input, function, outer } => operator(flat_map::FlatMap { function, outer }, vec![input]),
        Node::Join { left, right, kind, left_keys, right_keys, residual, left_width, right_width } => {
            let sides = [(left_keys, left_width), (right_keys, right_width)];
            operator(join::Join::new(kind, sides, residual), vec![left, right])
        }
        Node::Lookup { left, right, kind, left_keys, right_keys, residual, right_width } => {
            operator(lookup::Lookup { kind, left_keys, right_keys, residual, right_width }, vec![left, right])
        }
        Node::Project { input, columns } => operator(project::Project { columns }, vec![input]),
        Node::Recursive { base, inputs, nodes, output, distinct } => {
            let (sources, inputs): (Vec<_>, Vec<_>) = inputs.into_iter().unzip();
            let inputs = [vec![base], inputs].concat();
            operator(recursive::Recursive { circuit: Some((nodes, output)), sources, distinct }, inputs)
        }
        Node::Rekey { input, key } => operator(rekey::Rekey { key }, vec![input]),
        Node::RunningWindow { input, partition, order, time, calls } => {
            operator(running_window::RunningWindow::new(partition, order, time, calls), vec![input])
        }
        Node::SetOperation { operation, all, left, right } => {
            operator(set_operation::SetOperator::new(operation, all), vec![left, right])
        }
        Node::Source { source } => Built::Source(source),
        Node::Temporal { input, condition, instants } => {
            operator(temporal::Temporal { condition, instants }, vec![input])
        }
        Node::TopK { input, partition, order, offset, limit, with_ties } => {
            operator(top_k::TopK { partition, order, offset, limit, with_ties }, vec![input])
        }
        Node::UnionAll { inputs } => {
            let (inputs, keys) = inputs.into_iter().unzip();
            operator(union_all::UnionAll { keys }, inputs)
        }
        Node::Values(rows) => operator(values::Values { rows }, vec![]),
        Node::Window { input, partition, order, calls } => {
            operator(window::Window::new(partition, order, calls), vec![input])
        }
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
