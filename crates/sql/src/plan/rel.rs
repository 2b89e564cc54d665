//! The logical plan: relations over columns that have a number each, wherever they come from.
//!
//! While a query is resolved, [`Expr::Column`] holds such a number; `lower` turns it into a place in a row.

use millstream_flow::{AggregateFunction, Frame, JoinKind, SetOperation, WindowFunction};

use crate::Expr;
use crate::plan::binder::Sorting;

/// A column's number, unique within a plan.
pub(crate) type ColumnId = usize;

/// A relation.
#[derive(Clone, Debug)]
pub(crate) enum Rel {
    /// A collection, or its changes, by its place among the plan's scans.
    Scan(usize),
    /// Exactly one row without columns.
    One,
    /// Rows of expressions. Key: the number of the row, from 1.
    Values { rows: Vec<Vec<Expr>>, columns: Vec<ColumnId> },
    /// The rows for which all conditions are true.
    Filter { input: Box<Rel>, conditions: Vec<Expr> },
    /// Rows while a condition on them and the clock holds; `clock` is a column that only these expressions have.
    Temporal { input: Box<Rel>, condition: Expr, instants: Vec<Expr>, clock: ColumnId },
    /// The input's columns and more.
    Map { input: Box<Rel>, columns: Vec<(ColumnId, Expr)> },
    /// Another key.
    Rekey { input: Box<Rel>, key: Vec<Expr> },
    /// The rows that a function makes of each row.
    FlatMap { input: Box<Rel>, function: &'static str, arguments: Vec<Expr>, columns: Vec<ColumnId>, outer: bool },
    /// Pairs. In a plan over changes `time` says how the join is made.
    Join(Box<Join>),
    /// Groups.
    Aggregate {
        input: Box<Rel>,
        group: Vec<(ColumnId, Expr)>,
        sets: Option<(Vec<Vec<usize>>, ColumnId)>,
        calls: Vec<(ColumnId, Aggregate)>,
        /// Over changes.
        bucket: Option<Bucket>,
    },
    /// Window functions over one window.
    Window {
        input: Box<Rel>,
        partition: Vec<Expr>,
        order: Vec<Sorting>,
        calls: Vec<(ColumnId, Window)>,
        /// Over changes: the change's time, and the lateness if the order is by something else.
        running: Option<Running>,
    },
    /// The first rows of each partition.
    TopK {
        input: Box<Rel>,
        partition: Vec<Expr>,
        order: Vec<Sorting>,
        offset: u64,
        limit: Option<u64>,
        with_ties: bool,
    },
    /// All rows of the branches, whose columns stand for the plan's by position.
    UnionAll { branches: Vec<(Rel, Vec<ColumnId>, Expr)>, columns: Vec<ColumnId> },
    /// Rows by their columns.
    SetOperation {
        operation: SetOperation,
        all: bool,
        left: Box<(Rel, Vec<ColumnId>)>,
        right: Box<(Rel, Vec<ColumnId>)>,
        columns: Vec<ColumnId>,
    },
    /// `WITH RECURSIVE`: the rows of the base, and round by round those of the step, in which [`Rel::Working`] stands for
    /// the rows of the round before.
    Recursive {
        base: Box<(Rel, Vec<ColumnId>)>,
        step: Box<(Rel, Vec<ColumnId>)>,
        distinct: bool,
        columns: Vec<ColumnId>,
    },
    /// The rows of the round before, inside of the step of a recursive query.
    Working(Vec<ColumnId>),
}

/// A join.
#[derive(Clone, Debug)]
pub(crate) struct Join {
    pub(crate) left: Rel,
    pub(crate) right: Rel,
    pub(crate) kind: JoinKind,
    /// Pairs that must be equal: over the left side, over the right side.
    pub(crate) keys: Vec<(Expr, Expr)>,
    /// What else must hold.
    pub(crate) residual: Vec<Expr>,
    /// The column of [`JoinKind::Mark`].
    pub(crate) mark: Option<ColumnId>,
    /// Which of the sides are changes.
    pub(crate) over: Over,
}

/// What a join is between.
#[derive(Clone, Debug)]
pub(crate) enum Over {
    /// Two relations.
    Relations,
    /// Changes on the left, a relation on the right.
    Lookup,
    /// Two sequences of changes.
    Changes(Box<Band>),
}

/// When two changes are near each other.
#[derive(Clone, Debug)]
pub(crate) struct Band {
    pub(crate) left_time: Expr,
    pub(crate) right_time: Expr,
    /// `left - right` is at least this many milliseconds, and whether exactly this is near.
    pub(crate) from: (i64, bool),
    /// … and at most this.
    pub(crate) to: (i64, bool),
    /// Whether the times are the change's.
    pub(crate) by_watermark: bool,
}

/// Groups of changes by a bucket of time.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    /// The instant at which a row's bucket is over.
    pub(crate) end: Expr,
    /// The row's time.
    pub(crate) time: Expr,
    /// Whether that is the change's time.
    pub(crate) by_watermark: bool,
}

/// A window over changes.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) time: Expr,
    /// By a column of its own: that, and how late rows may be.
    pub(crate) late: Option<(Expr, i64)>,
}

/// An aggregate.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Aggregate {
    pub(crate) function: AggregateFunction,
    pub(crate) arguments: Vec<Expr>,
    pub(crate) distinct: bool,
    pub(crate) order: Vec<Sorting>,
    pub(crate) filter: Option<Expr>,
}

/// A window function.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Window {
    pub(crate) function: WindowFunction,
    pub(crate) arguments: Vec<Expr>,
    pub(crate) filter: Option<Expr>,
    pub(crate) ignore_nulls: bool,
    pub(crate) frame: Frame,
}

impl Rel {
    /// The relation with a filter over it, merged with one that is there.
    pub(crate) fn filtered(self, conditions: Vec<Expr>) -> Self {
        match self {
            _ if conditions.is_empty() => self,
            Self::Filter { input, conditions: mut all } => {
                all.extend(conditions);
                Self::Filter { input, conditions: all }
            }
            other => Self::Filter { input: Box::new(other), conditions },
        }
    }

    /// The relation with more columns.
    pub(crate) fn mapped(self, columns: Vec<(ColumnId, Expr)>) -> Self {
        if columns.is_empty() { self } else { Self::Map { input: Box::new(self), columns } }
    }

    /// The relation below whose rows these are, with the keys that they have there: some may be gone, and columns added.
    pub(crate) fn keyed_by(&self) -> &Self {
        match self {
            Self::Filter { input, .. }
            | Self::Map { input, .. }
            | Self::Temporal { input, .. }
            | Self::TopK { input, .. }
            | Self::Window { input, .. } => input.keyed_by(),
            Self::Join(join)
                if matches!(join.kind, JoinKind::Semi | JoinKind::Anti | JoinKind::Mark | JoinKind::Single) =>
            {
                join.left.keyed_by()
            }
            other => other,
        }
    }

    /// Every relation that this one is made of, directly.
    pub(crate) fn inputs(&self) -> Vec<&Rel> {
        match self {
            Self::Scan(_) | Self::One | Self::Values { .. } | Self::Working(_) => Vec::new(),
            Self::Filter { input, .. }
            | Self::Temporal { input, .. }
            | Self::Map { input, .. }
            | Self::Rekey { input, .. }
            | Self::FlatMap { input, .. }
            | Self::Aggregate { input, .. }
            | Self::Window { input, .. }
            | Self::TopK { input, .. } => vec![input],
            Self::Join(join) => vec![&join.left, &join.right],
            Self::UnionAll { branches, .. } => branches.iter().map(|(rel, ..)| rel).collect(),
            Self::SetOperation { left, right, .. } => vec![&left.0, &right.0],
            Self::Recursive { base, step, .. } => vec![&base.0, &step.0],
        }
    }

    /// As [`Rel::inputs`].
    pub(crate) fn inputs_mut(&mut self) -> Vec<&mut Rel> {
        match self {
            Self::Scan(_) | Self::One | Self::Values { .. } | Self::Working(_) => Vec::new(),
            Self::Filter { input, .. }
            | Self::Temporal { input, .. }
            | Self::Map { input, .. }
            | Self::Rekey { input, .. }
            | Self::FlatMap { input, .. }
            | Self::Aggregate { input, .. }
            | Self::Window { input, .. }
            | Self::TopK { input, .. } => vec![input],
            Self::Join(join) => vec![&mut join.left, &mut join.right],
            Self::UnionAll { branches, .. } => branches.iter_mut().map(|(rel, ..)| rel).collect(),
            Self::SetOperation { left, right, .. } => vec![&mut left.0, &mut right.0],
            Self::Recursive { base, step, .. } => vec![&mut base.0, &mut step.0],
        }
    }

    /// How many relations it is made of, itself included.
    pub(crate) fn size(&self) -> usize {
        1 + self.inputs().into_iter().map(Self::size).sum::<usize>()
    }
}

impl Rel {
    /// The expressions of this relation itself, without its inputs'.
    pub(crate) fn expressions(&self) -> Vec<&Expr> {
        fn sorted(order: &[Sorting]) -> impl Iterator<Item = &Expr> {
            order.iter().map(|key| &key.value)
        }
        match self {
            Self::Scan(_)
            | Self::One
            | Self::Recursive { .. }
            | Self::SetOperation { .. }
            | Self::UnionAll { .. }
            | Self::Working(_) => Vec::new(),
            Self::Values { rows, .. } => rows.iter().flatten().collect(),
            Self::Filter { conditions, .. } => conditions.iter().collect(),
            Self::Temporal { condition, instants, .. } => [condition].into_iter().chain(instants).collect(),
            Self::Map { columns, .. } => columns.iter().map(|(_, expr)| expr).collect(),
            Self::Rekey { key, .. } => key.iter().collect(),
            Self::FlatMap { arguments, .. } => arguments.iter().collect(),
            Self::Join(join) => {
                let keys = join.keys.iter().flat_map(|(a, b)| [a, b]);
                let mut all: Vec<_> = keys.chain(&join.residual).collect();
                if let Over::Changes(band) = &join.over {
                    all.extend([&band.left_time, &band.right_time]);
                }
                all
            }
            Self::Aggregate { group, calls, bucket, .. } => {
                let mut all: Vec<_> = group.iter().map(|(_, expr)| expr).collect();
                for (_, call) in calls {
                    all.extend(call.arguments.iter().chain(sorted(&call.order)).chain(&call.filter));
                }
                all.extend(bucket.iter().flat_map(|bucket| [&bucket.end, &bucket.time]));
                all
            }
            Self::Window { partition, order, calls, running, .. } => {
                let mut all: Vec<_> = partition.iter().chain(sorted(order)).collect();
                for (_, call) in calls {
                    all.extend(call.arguments.iter().chain(&call.filter));
                }
                if let Some(running) = running {
                    all.push(&running.time);
                    all.extend(running.late.iter().map(|(expr, _)| expr));
                }
                all
            }
            Self::TopK { partition, order, .. } => partition.iter().chain(sorted(order)).collect(),
        }
    }

    /// Changes every expression of this relation and of its inputs.
    pub(crate) fn rewrite(&mut self, replace: &mut dyn FnMut(&Expr) -> Option<Expr>) {
        match self {
            Self::Scan(_) | Self::One | Self::Working(_) => {}
            Self::Values { rows, .. } => rows.iter_mut().flatten().for_each(|expr| expr.rewrite(replace)),
            Self::Filter { input, conditions } => {
                conditions.iter_mut().for_each(|expr| expr.rewrite(replace));
                input.rewrite(replace);
            }
            Self::Temporal { input, condition, instants, .. } => {
                condition.rewrite(replace);
                instants.iter_mut().for_each(|expr| expr.rewrite(replace));
                input.rewrite(replace);
            }
            Self::Map { input, columns } => {
                columns.iter_mut().for_each(|(_, expr)| expr.rewrite(replace));
                input.rewrite(replace);
            }
            Self::Rekey { input, key } => {
                key.iter_mut().for_each(|expr| expr.rewrite(replace));
                input.rewrite(replace);
            }
            Self::FlatMap { input, arguments, .. } => {
                arguments.iter_mut().for_each(|expr| expr.rewrite(replace));
                input.rewrite(replace);
            }
            Self::Join(join) => {
                for (a, b) in &mut join.keys {
                    a.rewrite(replace);
                    b.rewrite(replace);
                }
                join.residual.iter_mut().for_each(|expr| expr.rewrite(replace));
                if let Over::Changes(band) = &mut join.over {
                    band.left_time.rewrite(replace);
                    band.right_time.rewrite(replace);
                }
                join.left.rewrite(replace);
                join.right.rewrite(replace);
            }
            Self::Aggregate { input, group, calls, bucket, .. } => {
                group.iter_mut().for_each(|(_, expr)| expr.rewrite(replace));
                for (_, call) in calls {
                    call.arguments.iter_mut().chain(&mut call.filter).for_each(|expr| expr.rewrite(replace));
                    call.order.iter_mut().for_each(|key| key.value.rewrite(replace));
                }
                if let Some(bucket) = bucket {
                    bucket.end.rewrite(replace);
                    bucket.time.rewrite(replace);
                }
                input.rewrite(replace);
            }
            Self::Window { input, partition, order, calls, running } => {
                partition.iter_mut().for_each(|expr| expr.rewrite(replace));
                order.iter_mut().for_each(|key| key.value.rewrite(replace));
                for (_, call) in calls {
                    call.arguments.iter_mut().chain(&mut call.filter).for_each(|expr| expr.rewrite(replace));
                }
                if let Some(running) = running {
                    running.time.rewrite(replace);
                    if let Some((late, _)) = &mut running.late {
                        late.rewrite(replace);
                    }
                }
                input.rewrite(replace);
            }
            Self::TopK { input, partition, order, .. } => {
                partition.iter_mut().for_each(|expr| expr.rewrite(replace));
                order.iter_mut().for_each(|key| key.value.rewrite(replace));
                input.rewrite(replace);
            }
            Self::UnionAll { branches, .. } => branches.iter_mut().for_each(|(rel, ..)| rel.rewrite(replace)),
            Self::SetOperation { left, right, .. } | Self::Recursive { base: left, step: right, .. } => {
                left.0.rewrite(replace);
                right.0.rewrite(replace);
            }
        }
    }
}
