//! From relations to the nodes of a circuit: columns get places, expressions become code.

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_flow::{
    AggregateCall, JoinKind, LateOrder, Lateness, Node, NodeId, OrderKey, Row, ScalarRef, SetOperation, WindowCall,
};

use crate::error::Result;
use crate::expr::Context;
use crate::plan::Plan;
use crate::plan::binder::{Scan, Sorting};
use crate::plan::rel::{Aggregate, ColumnId, Join, Over, Rel};
use crate::plan::sure::Conditions;
use crate::{Expr, SqlError};

/// Builds the nodes of one circuit.
pub(crate) struct Lowering<'p> {
    pub(crate) scans: &'p [Scan],
    pub(crate) context: &'p Arc<Context>,
    pub(crate) lateness: Lateness,
    pub(crate) nodes: Vec<Node>,
    /// Of each node the operator that it is part of, by its place in [`Plan::operators`].
    pub(crate) owners: Vec<usize>,
    /// The operator that is being made, and how many were begun.
    pub(crate) operator: (usize, usize),
    /// Inside of a recursive query source 0 is the rows of the round before, and scans come behind it.
    pub(crate) rounds: bool,
}

impl Plan {
    /// The rows of a plan that is nothing but `VALUES`, which needs no circuit.
    ///
    /// # Errors
    /// What is wrong with a value.
    pub fn values(&self, context: &Arc<Context>) -> Result<Option<Vec<Row>>> {
        match &self.rel {
            Rel::Values { rows, columns } if *columns == self.output && self.order.is_empty() => {
                values(rows, context).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// The rows of `VALUES`, numbered. No column can be in them.
fn values(rows: &[Vec<Expr>], context: &Arc<Context>) -> Result<Vec<Row>> {
    let mut out = Vec::with_capacity(rows.len());
    for (number, row) in (1_i64..).zip(rows) {
        let values: std::result::Result<Vec<_>, _> = row.iter().map(|value| value.constant(context)).collect();
        out.push(Row::new(vec![millstream_flow::Datum::Long(number)], values?));
    }
    Ok(out)
}

/// A node, and which column stands where in its rows.
struct Lowered {
    node: NodeId,
    columns: Vec<ColumnId>,
}

impl<'p> Lowering<'p> {
    pub(crate) fn new(scans: &'p [Scan], context: &'p Arc<Context>, lateness: Lateness) -> Self {
        Self { scans, context, lateness, nodes: Vec::new(), owners: Vec::new(), operator: (0, 0), rounds: false }
    }
}

impl Lowering<'_> {
    /// The node whose rows have these columns.
    pub(crate) fn output(&mut self, rel: &Rel, columns: &[ColumnId]) -> Result<NodeId> {
        let lowered = self.rel(rel, columns)?;
        self.exactly(lowered, columns)
    }

    fn push(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.owners.push(self.operator.0);
        self.nodes.len() - 1
    }

    fn source(&mut self, scan: usize) -> NodeId {
        self.push(Node::Source { source: scan + usize::from(self.rounds) })
    }

    /// The node with exactly these columns.
    fn exactly(&mut self, lowered: Lowered, columns: &[ColumnId]) -> Result<NodeId> {
        if lowered.columns == columns {
            return Ok(lowered.node);
        }
        let exprs = columns.iter().map(|id| Expr::Column(*id)).collect::<Vec<_>>();
        let columns = self.scalars(&exprs, &lowered.columns)?;
        Ok(self.push(Node::Project { input: lowered.node, columns }))
    }

    /// The node without columns that nobody needs: what is kept as state should be small.
    fn narrow(&mut self, lowered: Lowered, needed: &[ColumnId]) -> Result<Lowered> {
        if lowered.columns.iter().all(|id| needed.contains(id)) {
            return Ok(lowered);
        }
        let columns: Vec<_> = lowered.columns.iter().copied().filter(|id| needed.contains(id)).collect();
        let node = self.exactly(lowered, &columns)?;
        Ok(Lowered { node, columns })
    }

    fn scalar(&self, expr: &Expr, columns: &[ColumnId]) -> Result<ScalarRef> {
        let mut expr = expr.clone();
        let mut lost = None;
        expr.rewrite(&mut |part| match part {
            Expr::Column(id) => match columns.iter().position(|column| column == id) {
                Some(at) => Some(Expr::Column(at)),
                None => {
                    lost = Some(*id);
                    None
                }
            },
            _ => None,
        });
        match lost {
            Some(id) => Err(SqlError::new("XX000", format!("internal error: column {id} has no place"))),
            None => Ok(expr.compile(self.context)),
        }
    }

    fn scalars(&self, exprs: &[Expr], columns: &[ColumnId]) -> Result<Vec<ScalarRef>> {
        exprs.iter().map(|expr| self.scalar(expr, columns)).collect()
    }

    fn order(&self, order: &[Sorting], columns: &[ColumnId]) -> Result<Vec<OrderKey>> {
        let key = |key: &Sorting| {
            let value = self.scalar(&key.value, columns)?;
            Ok(OrderKey { value, descending: key.descending, nulls_first: key.nulls_first })
        };
        order.iter().map(key).collect()
    }

    fn all(&self, conditions: &[Expr], columns: &[ColumnId]) -> Result<Option<ScalarRef>> {
        if conditions.is_empty() {
            return Ok(None);
        }
        self.scalar(&Expr::all_of(conditions.to_vec()), columns).map(Some)
    }

    /// The conditions of a filter, those first that cannot fail.
    fn filter(&self, conditions: &[Expr], columns: &[ColumnId]) -> Result<Option<ScalarRef>> {
        if conditions.is_empty() {
            return Ok(None);
        }
        self.scalar(&Conditions::of(conditions.to_vec()).into_one(), columns).map(Some)
    }

    fn aggregate(&self, call: &Aggregate, columns: &[ColumnId]) -> Result<AggregateCall> {
        Ok(AggregateCall {
            function: call.function,
            arguments: self.scalars(&call.arguments, columns)?,
            distinct: call.distinct,
            order: self.order(&call.order, columns)?,
            filter: call.filter.as_ref().map(|filter| self.scalar(filter, columns)).transpose()?,
        })
    }

    /// The node of a relation; `needed` are the columns that are used above it.
    fn rel(&mut self, rel: &Rel, needed: &[ColumnId]) -> Result<Lowered> {
        let (around, begun) = self.operator;
        self.operator = (begun, begun + 1);
        let lowered = self.inner(rel, needed)?;
        // Not all inputs become nodes.
        self.operator = (around, begun + rel.size());
        Ok(lowered)
    }

    fn inner(&mut self, rel: &Rel, needed: &[ColumnId]) -> Result<Lowered> {
        let mut below: Vec<ColumnId> = needed.to_vec();
        for expr in rel.expressions() {
            below.extend(expr.columns());
        }
        below.sort_unstable();
        below.dedup();
        // FROM has many items, one join in another: what is on the stack for each should be little.
        match rel {
            Rel::Join(join) => self.join(join, &below),
            other => self.node(other, needed, below),
        }
    }

    fn node(&mut self, rel: &Rel, needed: &[ColumnId], below: Vec<ColumnId>) -> Result<Lowered> {
        Ok(match rel {
            Rel::Scan(scan) => {
                let columns = self.scans.get(*scan).map(|scan| scan.columns.iter().map(|(_, id)| *id).collect());
                let node = self.source(*scan);
                Lowered { node, columns: columns.unwrap_or_default() }
            }
            Rel::One => Lowered { node: self.push(Node::Values(vec![Row::new(vec![], vec![])])), columns: Vec::new() },
            Rel::Values { rows, columns } => {
                let rows = values(rows, self.context)?;
                Lowered { node: self.push(Node::Values(rows)), columns: columns.clone() }
            }
            Rel::Filter { input, conditions } => {
                let input = self.rel(input, &below)?;
                match self.filter(conditions, &input.columns)? {
                    None => input,
                    Some(predicate) => Lowered {
                        node: self.push(Node::Filter { input: input.node, predicate }),
                        columns: input.columns,
                    },
                }
            }
            Rel::Temporal { input, condition, instants, clock } => {
                let input = self.rel(input, &below)?;
                let input = self.narrow(input, &below)?;
                let with_clock = [input.columns.clone(), vec![*clock]].concat();
                let condition = self.scalar(condition, &with_clock)?;
                let instants = self.scalars(instants, &with_clock)?;
                let node = self.push(Node::Temporal { input: input.node, condition, instants });
                Lowered { node, columns: input.columns }
            }
            Rel::Map { input, columns } => {
                // A column may stand for one of its input under the same number: a count that is zero where there is none.
                let mut used: Vec<ColumnId> =
                    needed.iter().copied().filter(|id| !columns.iter().any(|(c, _)| c == id)).collect();
                for (_, expr) in columns {
                    used.extend(expr.columns());
                }
                let input = self.rel(input, &used)?;
                let kept: Vec<_> = input
                    .columns
                    .iter()
                    .copied()
                    .filter(|id| needed.contains(id) && !columns.iter().any(|(c, _)| c == id))
                    .collect();
                let made: Vec<_> = columns.iter().filter(|(id, _)| needed.contains(id)).collect();
                let exprs: Vec<Expr> =
                    kept.iter().map(|id| Expr::Column(*id)).chain(made.iter().map(|(_, expr)| expr.clone())).collect();
                let scalars = self.scalars(&exprs, &input.columns)?;
                let node = self.push(Node::Project { input: input.node, columns: scalars });
                Lowered { node, columns: kept.into_iter().chain(made.iter().map(|(id, _)| *id)).collect() }
            }
            Rel::Rekey { input, key } => {
                let input = self.rel(input, &below)?;
                let key = self.scalars(key, &input.columns)?;
                Lowered { node: self.push(Node::Rekey { input: input.node, key }), columns: input.columns }
            }
            Rel::FlatMap { input, function, arguments, columns, outer } => {
                let input = self.rel(input, &below)?;
                let mut places = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    let mut argument = argument.clone();
                    argument.rewrite(&mut |part| match part {
                        Expr::Column(id) => input.columns.iter().position(|column| column == id).map(Expr::Column),
                        _ => None,
                    });
                    places.push(argument);
                }
                let Some(table) = crate::expr::table_function(function) else {
                    return Err(SqlError::new("XX000", "internal error: a function in FROM is lost"));
                };
                let ordinality = columns.len() > table.columns(places.len()).len();
                let function = table.compile(&places, ordinality, self.context);
                let node = self.push(Node::FlatMap { input: input.node, function, outer: *outer });
                Lowered { node, columns: [input.columns, columns.clone()].concat() }
            }
            Rel::Join(join) => self.join(join, &below)?,
            Rel::Aggregate { input, group, sets, calls, bucket } => {
                let mut used = Vec::new();
                for expr in rel.expressions() {
                    used.extend(expr.columns());
                }
                let input = self.rel(input, &used)?;
                let exprs: Vec<_> = group.iter().map(|(_, expr)| expr.clone()).collect();
                let keys = self.scalars(&exprs, &input.columns)?;
                let wanted: Vec<_> = calls.iter().filter(|(id, _)| needed.contains(id)).collect();
                let made =
                    wanted.iter().map(|(_, call)| self.aggregate(call, &input.columns)).collect::<Result<Vec<_>>>()?;
                let bits = sets.iter().map(|(_, bits)| *bits);
                let columns =
                    group.iter().map(|(id, _)| *id).chain(bits).chain(wanted.iter().map(|(id, _)| *id)).collect();
                let node = match bucket {
                    None => Node::Aggregate {
                        input: input.node,
                        group: keys,
                        sets: sets.as_ref().map(|(sets, _)| sets.clone()),
                        calls: made,
                    },
                    Some(bucket) => Node::Bucket {
                        input: input.node,
                        group: keys,
                        end: self.scalar(&bucket.end, &input.columns)?,
                        calls: made,
                        lateness: (!bucket.by_watermark).then_some(self.lateness),
                        time: self.scalar(&bucket.time, &input.columns)?,
                    },
                };
                Lowered { node: self.push(node), columns }
            }
            Rel::Window { input, partition, order, calls, running } => {
                let input = self.rel(input, &below)?;
                let input = self.narrow(input, &below)?;
                let partition = self.scalars(partition, &input.columns)?;
                let mut made = Vec::with_capacity(calls.len());
                for (_, call) in calls {
                    made.push(WindowCall {
                        function: call.function,
                        arguments: self.scalars(&call.arguments, &input.columns)?,
                        filter: call.filter.as_ref().map(|filter| self.scalar(filter, &input.columns)).transpose()?,
                        ignore_nulls: call.ignore_nulls,
                        frame: call.frame.clone(),
                    });
                }
                let node = match running {
                    None => Node::Window {
                        input: input.node,
                        partition,
                        order: self.order(order, &input.columns)?,
                        calls: made,
                    },
                    Some(running) => {
                        let late = running.late.as_ref().map(|(key, lateness)| -> Result<_> {
                            Ok(LateOrder { key: self.scalar(key, &input.columns)?, lateness: *lateness })
                        });
                        Node::RunningWindow {
                            input: input.node,
                            partition,
                            order: late.transpose()?,
                            time: self.scalar(&running.time, &input.columns)?,
                            calls: made,
                        }
                    }
                };
                let columns = input.columns.into_iter().chain(calls.iter().map(|(id, _)| *id)).collect();
                Lowered { node: self.push(node), columns }
            }
            Rel::TopK { input, partition, order, offset, limit, with_ties } => {
                let input = self.rel(input, &below)?;
                let input = self.narrow(input, &below)?;
                let node = Node::TopK {
                    input: input.node,
                    partition: self.scalars(partition, &input.columns)?,
                    order: self.order(order, &input.columns)?,
                    offset: *offset,
                    limit: *limit,
                    with_ties: *with_ties,
                };
                Lowered { node: self.push(node), columns: input.columns }
            }
            Rel::UnionAll { branches, columns } => {
                let mut inputs = Vec::with_capacity(branches.len());
                for (rel, ids, key) in branches {
                    let node = self.output(rel, ids)?;
                    inputs.push((node, self.scalar(key, ids)?));
                }
                Lowered { node: self.push(Node::UnionAll { inputs }), columns: columns.clone() }
            }
            Rel::Recursive { base, step, distinct, columns } => {
                let base = self.output(&base.0, &base.1)?;
                let (scans, context, lateness) = (self.scans, self.context, self.lateness);
                let mut inner = Lowering { rounds: true, ..Lowering::new(scans, context, lateness) };
                let output = inner.output(&step.0, &step.1)?;
                let used = inner.nodes.iter().filter_map(|node| match node {
                    Node::Source { source } => source.checked_sub(1),
                    _ => None,
                });
                let used: BTreeSet<usize> = used.collect();
                let inputs = used.into_iter().map(|scan| (scan + 1, self.source(scan))).collect();
                let nodes = inner.nodes;
                let node = self.push(Node::Recursive { base, inputs, nodes, output, distinct: *distinct });
                Lowered { node, columns: columns.clone() }
            }
            Rel::Working(columns) => Lowered { node: self.push(Node::Source { source: 0 }), columns: columns.clone() },
            Rel::SetOperation { operation, all, left, right, columns } => {
                let left = self.output(&left.0, &left.1)?;
                let right = if *operation == SetOperation::Distinct { left } else { self.output(&right.0, &right.1)? };
                let node = self.push(Node::SetOperation { operation: *operation, all: *all, left, right });
                Lowered { node, columns: columns.clone() }
            }
        })
    }

    fn join(&mut self, join: &Join, below: &[ColumnId]) -> Result<Lowered> {
        let left = self.rel(&join.left, below)?;
        let left = self.narrow(left, below)?;
        let right = self.rel(&join.right, below)?;
        let right = self.narrow(right, below)?;
        let both = [left.columns.clone(), right.columns.clone()].concat();
        let (left_exprs, right_exprs): (Vec<_>, Vec<_>) = join.keys.iter().cloned().unzip();
        let left_keys = self.scalars(&left_exprs, &left.columns)?;
        let right_keys = self.scalars(&right_exprs, &right.columns)?;
        let residual = self.all(&join.residual, &both)?;
        let left_width = (left.columns.len(), key_width(&join.left));
        let right_width = (right.columns.len(), key_width(&join.right));
        let node = match &join.over {
            Over::Relations => Node::Join {
                left: left.node,
                right: right.node,
                kind: join.kind,
                left_keys,
                right_keys,
                residual,
                left_width,
                right_width,
            },
            Over::Lookup => Node::Lookup {
                left: left.node,
                right: right.node,
                kind: join.kind,
                left_keys,
                right_keys,
                residual,
                right_width,
            },
            Over::Changes(band) => Node::Band {
                left: left.node,
                right: right.node,
                kind: join.kind,
                left_keys,
                right_keys,
                residual,
                left_time: self.scalar(&band.left_time, &left.columns)?,
                right_time: self.scalar(&band.right_time, &right.columns)?,
                from_ms: band.from.0,
                from_inclusive: band.from.1,
                to_ms: band.to.0,
                to_inclusive: band.to.1,
                lateness: (!band.by_watermark).then_some(self.lateness),
                left_width,
                right_width,
            },
        };
        let node = self.push(node);
        let columns = match join.kind {
            JoinKind::Semi | JoinKind::Anti => left.columns,
            JoinKind::Mark => left.columns.into_iter().chain(join.mark).collect(),
            _ => both,
        };
        Ok(Lowered { node, columns })
    }
}

/// How many components the key of a relation's rows has.
pub(crate) fn key_width(rel: &Rel) -> usize {
    match rel {
        Rel::Recursive { .. } | Rel::Scan(_) | Rel::Values { .. } | Rel::Working(_) => 1,
        Rel::One => 0,
        Rel::Filter { input, .. }
        | Rel::Temporal { input, .. }
        | Rel::Map { input, .. }
        | Rel::Window { input, .. }
        | Rel::TopK { input, .. } => key_width(input),
        Rel::Rekey { key, .. } => key.len(),
        Rel::FlatMap { input, .. } => key_width(input) + 1,
        Rel::Join(join) => match join.kind {
            JoinKind::Semi | JoinKind::Anti | JoinKind::Mark | JoinKind::Single => key_width(&join.left),
            JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => {
                key_width(&join.left) + key_width(&join.right)
            }
        },
        Rel::Aggregate { group, sets, .. } => group.len() + usize::from(sets.is_some()),
        Rel::UnionAll { .. } => 2,
        Rel::SetOperation { all, columns, .. } => columns.len() + usize::from(*all),
    }
}
