//! Random circuits.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::AggregateFunction as Function;
use crate::testing::{ascending, at_most, column, column_or_fail, descending};
use crate::{AggregateCall, Datum, JoinKind, Node, NodeId, Row, RowError, ScalarRef, SetOperation, TableFunction};

/// How many sources there are.
pub(super) const SOURCES: usize = 2;
/// How many columns their rows have.
pub(super) const WIDTH: usize = 3;

/// A node and the shape of its rows.
#[derive(Clone, Copy)]
struct Shape {
    node: NodeId,
    columns: usize,
    key: usize,
    /// Whether no part of a key is NULL. If one may be, a full join could pad two rows to one key.
    is_solid: bool,
}

struct Plan {
    random: StdRng,
    nodes: Vec<Node>,
    shapes: Vec<Shape>,
}

/// The circuit of a seed; always the same.
pub(super) fn plan(seed: u64) -> (Vec<Node>, NodeId) {
    let mut plan = Plan { random: StdRng::seed_from_u64(seed), nodes: Vec::new(), shapes: Vec::new() };
    for source in 0..SOURCES {
        plan.add(Node::Source { source }, WIDTH, 1);
        plan.solid(true);
    }
    for _ in 0..plan.random.random_range(1..5) {
        plan.grow();
    }
    (plan.nodes, plan.shapes.last().unwrap().node)
}

impl Plan {
    fn add(&mut self, node: Node, columns: usize, key: usize) {
        self.shapes.push(Shape { node: self.nodes.len(), columns, key, is_solid: false });
        self.nodes.push(node);
    }

    /// The node that was added last has keys without NULLs.
    fn solid(&mut self, is_solid: bool) {
        self.shapes.last_mut().unwrap().is_solid = is_solid;
    }

    fn below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end.max(1))
    }

    /// A column that rarely fails.
    fn scalar(&mut self, of: Shape) -> ScalarRef {
        let at = self.below(of.columns);
        if self.random.random_range(0..3) == 0 { column_or_fail(at) } else { column(at) }
    }

    fn scalars(&mut self, of: Shape, most: usize) -> Vec<ScalarRef> {
        (0..self.below(most + 1)).map(|_| self.scalar(of)).collect()
    }

    /// A condition over two columns of rows with so many.
    fn condition(&mut self, columns: usize) -> ScalarRef {
        let (a, b) = (self.below(columns), self.below(columns));
        at_most(a, b)
    }

    /// The newest node most of the time.
    fn input(&mut self) -> Shape {
        let last = *self.shapes.last().unwrap();
        if self.random.random_range(0..4) > 0 {
            return last;
        }
        self.any()
    }

    fn any(&mut self) -> Shape {
        let at = self.below(self.shapes.len());
        self.shapes[at]
    }

    fn grow(&mut self) {
        let input = self.input();
        match self.random.random_range(0..10) {
            0 => {
                let predicate = self.condition(input.columns);
                self.add(Node::Filter { input: input.node, predicate }, input.columns, input.key);
                self.solid(input.is_solid);
            }
            1 => {
                let columns: Vec<ScalarRef> = (0..2).map(|_| self.scalar(input)).collect();
                self.add(Node::Project { input: input.node, columns }, 2, input.key);
                self.solid(input.is_solid);
            }
            2 => {
                let at = self.below(input.columns);
                let outer = self.random.random();
                let node = Node::FlatMap { input: input.node, function: Arc::new(Repeat(at)), outer };
                self.add(node, input.columns + 1, input.key + 1);
            }
            3 => {
                let other = self.any();
                let width = input.columns.min(other.columns);
                let columns = |plan: &mut Self, of: Shape| {
                    let columns = (0..width).map(column).collect();
                    plan.add(Node::Project { input: of.node, columns }, width, of.key);
                    plan.shapes.last().unwrap().node
                };
                let (left, right) = (columns(self, input), columns(self, other));
                self.add(Node::UnionAll { inputs: vec![(left, whole_key()), (right, whole_key())] }, width, 2);
            }
            4 | 5 => self.join(input),
            6 => self.set_operation(input),
            _ => self.aggregate(input),
        }
    }

    fn join(&mut self, left: Shape) {
        let right = self.any();
        let kinds = [
            JoinKind::Inner,
            JoinKind::Left,
            JoinKind::Right,
            JoinKind::Full,
            JoinKind::Semi,
            JoinKind::Anti,
            JoinKind::Mark,
            JoinKind::Single,
        ];
        let kind = match kinds[self.below(kinds.len())] {
            JoinKind::Full if !left.is_solid || !right.is_solid => JoinKind::Inner,
            kind => kind,
        };
        let keys = self.below(3);
        let (left_keys, right_keys) = (0..keys).map(|_| (self.scalar(left), self.scalar(right))).unzip();
        let residual = match self.random.random_range(0..3) {
            0 => Some(self.condition(left.columns + right.columns)),
            1 if keys == 0 => Some(column_is_true(left.columns + self.below(right.columns))),
            _ => None,
        };
        let (columns, key) = match kind {
            JoinKind::Semi | JoinKind::Anti => (left.columns, left.key),
            JoinKind::Mark => (left.columns + 1, left.key),
            JoinKind::Single => (left.columns + right.columns, left.key),
            _ => (left.columns + right.columns, left.key + right.key),
        };
        let node = Node::Join {
            left: left.node,
            right: right.node,
            kind,
            left_keys,
            right_keys,
            residual,
            left_width: (left.columns, left.key),
            right_width: (right.columns, right.key),
        };
        self.add(node, columns, key);
        self.solid(match kind {
            JoinKind::Inner => left.is_solid && right.is_solid,
            JoinKind::Left | JoinKind::Right | JoinKind::Full => false,
            _ => left.is_solid,
        });
    }

    fn set_operation(&mut self, left: Shape) {
        let same: Vec<Shape> = self.shapes.iter().copied().filter(|other| other.columns == left.columns).collect();
        let right = same[self.below(same.len())];
        let operations = [SetOperation::Distinct, SetOperation::Union, SetOperation::Intersect, SetOperation::Except];
        let operation = operations[self.below(4)];
        let all = operation != SetOperation::Distinct && self.random.random();
        let key = left.columns + usize::from(all);
        self.add(Node::SetOperation { operation, all, left: left.node, right: right.node }, left.columns, key);
    }

    fn aggregate(&mut self, input: Shape) {
        let group = self.scalars(input, 2);
        let sets = (self.random.random_range(0..4) == 0).then(|| {
            let count = self.random.random_range(1..4);
            (0..count).map(|_| (0..group.len()).filter(|_| self.random.random()).collect()).collect()
        });
        let calls: Vec<AggregateCall> = (0..self.random.random_range(1..4)).map(|_| self.call(input)).collect();
        let key = group.len() + usize::from(sets.is_some());
        let columns = key + calls.len();
        self.add(Node::Aggregate { input: input.node, group, sets, calls }, columns, key);
        if key == 0 {
            // Beside a row without a key, an outer join could not tell a row from its absence.
            let input = self.nodes.len() - 1;
            let one: ScalarRef = Arc::new(|_: &Row| Ok(Datum::Int(1)));
            self.add(Node::Rekey { input, key: vec![one] }, columns, 1);
            self.solid(true);
        }
    }

    fn call(&mut self, input: Shape) -> AggregateCall {
        let functions = [
            Function::AnyValue,
            Function::ArrayAgg,
            Function::Avg,
            Function::Count,
            Function::Max,
            Function::Min,
            Function::Mode,
            Function::PercentileCont,
            Function::PercentileDisc,
            Function::StddevSamp,
            Function::StringAgg,
            Function::Sum,
            Function::VarPop,
        ];
        let function = functions[self.below(functions.len())];
        let is_ordered_set = matches!(function, Function::Mode | Function::PercentileCont | Function::PercentileDisc);
        let half: ScalarRef = Arc::new(|_: &Row| Ok(Datum::Double(0.5)));
        let argument = self.scalar(input);
        let distinct = !is_ordered_set && self.random.random_range(0..3) == 0;
        // With DISTINCT, the order is by the argument.
        let by = if distinct { Arc::clone(&argument) } else { self.scalar(input) };
        let is_descending = self.random.random();
        let order = if is_descending { descending(by) } else { ascending(by) };
        let is_ordered = is_ordered_set || self.random.random();
        AggregateCall {
            function,
            arguments: match function {
                Function::Mode => vec![],
                Function::PercentileCont | Function::PercentileDisc => vec![half],
                Function::Count if self.random.random() && !distinct => vec![],
                Function::StringAgg => vec![Arc::clone(&argument), argument],
                _ => vec![argument],
            },
            distinct,
            order: if is_ordered { vec![order] } else { vec![] },
            filter: (self.random.random_range(0..4) == 0).then(|| self.condition(input.columns)),
        }
    }
}

/// What stands for a row's key.
fn whole_key() -> ScalarRef {
    Arc::new(|row: &Row| Ok(Datum::Array(row.key.clone())))
}

/// True where the column is a number above zero, an error where it is a text.
fn column_is_true(at: usize) -> ScalarRef {
    Arc::new(move |row: &Row| match row.value(at) {
        Datum::Text(_) => Err(RowError::new("42804", "a text")),
        Datum::Missing | Datum::Null => Ok(Datum::Null),
        value => Ok(Datum::Bool(crate::key::compare(value, &Datum::Int(0)).is_gt())),
    })
}

/// As many rows as a column says.
struct Repeat(usize);

impl TableFunction for Repeat {
    fn rows(&self, row: &Row) -> Result<Vec<(Datum, Vec<Datum>)>, RowError> {
        match row.value(self.0) {
            Datum::Int(count) => {
                Ok((1..=(*count).min(5)).map(|at| (Datum::Int(at), vec![Datum::Int(at * 10)])).collect())
            }
            Datum::Text(_) => Err(RowError::new("42804", "a text")),
            _ => Ok(vec![]),
        }
    }

    fn width(&self) -> usize {
        1
    }
}
