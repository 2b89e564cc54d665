//! What a circuit is made of: a description, as data. What each operator does with a difference is in its own file.
//!
//! Nodes stand in the order in which they are computed: a node's inputs are before it. Two families share the list:
//! *relational* operators over sets that change, and operators over *changes* (SQL-13), whose inputs and outputs are
//! sequences of rows that are never taken back. Filters, projections, `FlatMap` and `UnionAll` serve both.

use std::sync::Arc;

use crate::{Datum, Interval, Row, Scalar, TableFunction};

/// A node by its place in the list.
pub type NodeId = usize;
/// An input of the circuit.
pub type SourceId = usize;
/// An expression that several nodes may share.
pub type ScalarRef = Arc<dyn Scalar>;

/// One operator and where its input comes from.
pub enum Node {
    /// Rows that come from outside, as differences.
    Source {
        /// Which one.
        source: SourceId,
    },
    /// Rows that are always there.
    Values(Vec<Row>),
    /// The rows for which the predicate is true. Errors leave a row out.
    Filter {
        /// Its input.
        input: NodeId,
        /// A condition: true, false or NULL.
        predicate: ScalarRef,
    },
    /// Other columns, the same key.
    Project {
        /// Its input.
        input: NodeId,
        /// One expression a column.
        columns: Vec<ScalarRef>,
    },
    /// Another key, the same columns. The new keys must be unique too.
    Rekey {
        /// Its input.
        input: NodeId,
        /// One expression a component.
        key: Vec<ScalarRef>,
    },
    /// Appends the columns of a function's rows, and their component to the key.
    FlatMap {
        /// Its input.
        input: NodeId,
        /// The function.
        function: Arc<dyn TableFunction>,
        /// Whether a row without any stays, padded with nulls (`LEFT JOIN UNNEST(…) ON TRUE`).
        outer: bool,
    },
    /// Pairs of rows. Columns and key are the left side's, then the right side's (for `Semi`, `Anti`, `Mark`, `Single` see
    /// [`JoinKind`]).
    Join {
        /// The left side.
        left: NodeId,
        /// The right side.
        right: NodeId,
        /// What happens to rows without a match.
        kind: JoinKind,
        /// Expressions over left rows that must equal those over right rows. NULL matches nothing. May be empty.
        left_keys: Vec<ScalarRef>,
        /// As many over right rows.
        right_keys: Vec<ScalarRef>,
        /// What else must hold, over the pair: the left columns, then the right columns.
        residual: Option<ScalarRef>,
        /// Columns and key components of a left row, for padding.
        left_width: (usize, usize),
        /// Columns and key components of a right row, for padding.
        right_width: (usize, usize),
    },
    /// One row a group. Columns: the grouping values, the grouping bits if there are sets, then one per call. Key: the
    /// grouping values (and the bits, if there are sets).
    Aggregate {
        /// Its input.
        input: NodeId,
        /// The grouping expressions. Empty: exactly one row, always, with the empty key.
        group: Vec<ScalarRef>,
        /// `GROUPING SETS`: for each set the places in `group` that it keeps; the others are NULL, and their bits are set
        /// (the first expression's bit is the highest).
        sets: Option<Vec<Vec<usize>>>,
        /// The aggregates.
        calls: Vec<AggregateCall>,
    },
    /// Appends one column per call.
    Window {
        /// Its input.
        input: NodeId,
        /// `PARTITION BY`.
        partition: Vec<ScalarRef>,
        /// `ORDER BY`; ties by row key.
        order: Vec<OrderKey>,
        /// The functions over this one window.
        calls: Vec<WindowCall>,
    },
    /// The first rows of each partition (`LIMIT`, `DISTINCT ON`). Columns and key stay.
    TopK {
        /// Its input.
        input: NodeId,
        /// Partitions, each with its own first rows. Empty: one.
        partition: Vec<ScalarRef>,
        /// The order; ties by row key.
        order: Vec<OrderKey>,
        /// Rows to leave out first.
        offset: u64,
        /// Rows to keep; `None`: all.
        limit: Option<u64>,
        /// `WITH TIES`: peers of the last row stay too.
        with_ties: bool,
    },
    /// All rows of the inputs. Key: `[Int(branch from 1), key]`, where `key` is the expression over the branch's row.
    UnionAll {
        /// The branches, each with the one datum that stands for its row's key.
        inputs: Vec<(NodeId, ScalarRef)>,
    },
    /// Rows by all their columns. Key: the columns; with `all` and a number from 1.
    SetOperation {
        /// Which one.
        operation: SetOperation,
        /// Whether rows count as often as they occur.
        all: bool,
        /// The left side.
        left: NodeId,
        /// The right side (for [`SetOperation::Distinct`] the same as the left, and ignored).
        right: NodeId,
    },
    /// The rows of `base`, and of a circuit over the rows that it has brought in the round before, until there are no new
    /// ones. Key: the number of the row, from 1. Only in a circuit that takes one step.
    Recursive {
        /// Where it begins.
        base: NodeId,
        /// What else the inner circuit reads: its source, and the node.
        inputs: Vec<(SourceId, NodeId)>,
        /// The inner circuit; its source 0 is what the round before has brought.
        nodes: Vec<Node>,
        /// Its answer.
        output: NodeId,
        /// Whether a row that was there already is no new one (`UNION`).
        distinct: bool,
    },
    /// Rows while a condition on them and the clock holds (SQL-11.2). See [`crate::Scalar`]: `condition` and `instants` are
    /// evaluated over the row with the clock (`Datum::Instant`) appended as a last column.
    Temporal {
        /// Its input.
        input: NodeId,
        /// The condition.
        condition: ScalarRef,
        /// Instants at which its truth may change for this row; NULL: never. Each is independent of the clock.
        instants: Vec<ScalarRef>,
    },

    /// Over changes: appends one column per call, computed over the rows so far (SQL-13.4, SQL-13.5).
    RunningWindow {
        /// Its input.
        input: NodeId,
        /// `PARTITION BY`.
        partition: Vec<ScalarRef>,
        /// `ORDER BY`: `None` is the sequence itself.
        order: Option<LateOrder>,
        /// For `RANGE` frames over the sequence: the change's time, an `Instant`.
        time: ScalarRef,
        /// The functions over this one window.
        calls: Vec<WindowCall>,
    },
    /// Over changes: each change of the left side joined with the right side, a relation, as it is at that moment
    /// (SQL-13.6). Fields as in `Join`; `kind` is `Inner`, `Left`, `Semi`, `Anti`, `Mark` or `Single`.
    Lookup {
        /// The changes.
        left: NodeId,
        /// The relation.
        right: NodeId,
        /// What happens to a change without a match.
        kind: JoinKind,
        /// As in `Join`.
        left_keys: Vec<ScalarRef>,
        /// As in `Join`.
        right_keys: Vec<ScalarRef>,
        /// As in `Join`.
        residual: Option<ScalarRef>,
        /// As in `Join`.
        right_width: (usize, usize),
    },
    /// Over changes: pairs of changes whose times are near each other (SQL-13.7, SQL-13.8).
    Band {
        /// The left side.
        left: NodeId,
        /// The right side.
        right: NodeId,
        /// `Inner`, `Left`, `Right` or `Full`.
        kind: JoinKind,
        /// As in `Join`.
        left_keys: Vec<ScalarRef>,
        /// As in `Join`.
        right_keys: Vec<ScalarRef>,
        /// As in `Join`.
        residual: Option<ScalarRef>,
        /// The left side's time: an `Instant` or a number.
        left_time: ScalarRef,
        /// The right side's time.
        right_time: ScalarRef,
        /// A pair is near if `left - right` is at least this, in milliseconds…
        from_ms: i64,
        /// (and whether exactly this is near)
        from_inclusive: bool,
        /// …and at most this.
        to_ms: i64,
        /// (and whether exactly this is near)
        to_inclusive: bool,
        /// `None`: both times are the change's, and the watermark closes bands. Else how late a row may be (SQL-13.8).
        lateness: Option<Lateness>,
        /// As in `Join`.
        left_width: (usize, usize),
        /// As in `Join`.
        right_width: (usize, usize),
    },
    /// Over changes: groups by a bucket of time, each put out once, when it is over (SQL-13.9). Columns and key as in
    /// `Aggregate`.
    Bucket {
        /// Its input.
        input: NodeId,
        /// The grouping expressions.
        group: Vec<ScalarRef>,
        /// The instant at which a row's bucket is over, in milliseconds (exclusive).
        end: ScalarRef,
        /// The aggregates.
        calls: Vec<AggregateCall>,
        /// As in `Band`.
        lateness: Option<Lateness>,
        /// The row's time, where `lateness` is given.
        time: ScalarRef,
    },
}

/// How late rows may come by a time of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lateness {
    /// Milliseconds (or units of a number).
    pub lateness: i64,
    /// After this much change time without a change of a side it no longer holds the other one up, in milliseconds.
    pub idle_timeout_ms: i64,
}

/// The order of a window over changes by something else than the sequence: one key, ascending.
pub struct LateOrder {
    /// The key: a time or a number.
    pub key: ScalarRef,
    /// A row whose key is less than the partition's greatest minus this is too late: milliseconds, or units of a number.
    pub lateness: i64,
}

/// One key of an order.
pub struct OrderKey {
    /// The expression.
    pub value: ScalarRef,
    /// `DESC`.
    pub descending: bool,
    /// `NULLS FIRST`.
    pub nulls_first: bool,
}

/// What a join does with rows that have no match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// They are left out.
    Inner,
    /// Left ones stay, padded.
    Left,
    /// Right ones stay, padded.
    Right,
    /// Both stay, padded.
    Full,
    /// Left rows that have a match, once each, as they are.
    Semi,
    /// Left rows that have none, as they are.
    Anti,
    /// Every left row with one more column: true if a match satisfies the residual; else NULL if for some row with equal
    /// keys it is NULL; else false. The key is the left row's.
    Mark,
    /// Every left row, with the columns of its match or padded; the key is the left row's. Two matches: error 21000.
    Single,
}

/// `UNION`, `INTERSECT`, `EXCEPT`, and `DISTINCT` of the left side alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOperation {
    /// The left side's rows, once each.
    Distinct,
    /// Rows of either side.
    Union,
    /// Rows of both sides.
    Intersect,
    /// Rows of the left side that the right one has not.
    Except,
}

/// One aggregate (SQL-7).
pub struct AggregateCall {
    /// Which one.
    pub function: AggregateFunction,
    /// Its arguments; none: `COUNT(*)`. For ordered-set aggregates the sort expression is in `order`.
    pub arguments: Vec<ScalarRef>,
    /// `DISTINCT`.
    pub distinct: bool,
    /// `ORDER BY`, or `WITHIN GROUP (ORDER BY …)`. Ties, and where it is empty: row-key order.
    pub order: Vec<OrderKey>,
    /// `FILTER (WHERE …)`.
    pub filter: Option<ScalarRef>,
}

/// The aggregates of SQL-7.1, by their state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregateFunction {
    /// `ANY_VALUE`.
    AnyValue,
    /// `ARRAY_AGG`, `JSONB_AGG`.
    ArrayAgg,
    /// `AVG`.
    Avg,
    /// `BOOL_AND`, `EVERY`.
    BoolAnd,
    /// `BOOL_OR`.
    BoolOr,
    /// `CORR(y, x)`.
    Corr,
    /// `COUNT`.
    Count,
    /// `COVAR_POP(y, x)`.
    CovarPop,
    /// `COVAR_SAMP(y, x)`.
    CovarSamp,
    /// `JSONB_OBJECT_AGG(k, v)`.
    JsonbObjectAgg,
    /// `MAX`.
    Max,
    /// `MIN`.
    Min,
    /// `MODE() WITHIN GROUP (ORDER BY x)`.
    Mode,
    /// `PERCENTILE_CONT(f) WITHIN GROUP (ORDER BY x)`.
    PercentileCont,
    /// `PERCENTILE_DISC(f) WITHIN GROUP (ORDER BY x)`.
    PercentileDisc,
    /// `STDDEV_POP`.
    StddevPop,
    /// `STDDEV_SAMP`, `STDDEV`.
    StddevSamp,
    /// `STRING_AGG(x, separator)`.
    StringAgg,
    /// `SUM`.
    Sum,
    /// `VAR_POP`.
    VarPop,
    /// `VAR_SAMP`, `VARIANCE`.
    VarSamp,
}

/// One window function (SQL-8).
pub struct WindowCall {
    /// Which one.
    pub function: WindowFunction,
    /// Its arguments.
    pub arguments: Vec<ScalarRef>,
    /// `FILTER (WHERE …)`, for aggregates.
    pub filter: Option<ScalarRef>,
    /// `IGNORE NULLS`.
    pub ignore_nulls: bool,
    /// The frame; the ranking functions, `LAG` and `LEAD` ignore it.
    pub frame: Frame,
}

/// The functions of SQL-8.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowFunction {
    /// An aggregate over the frame.
    Aggregate(AggregateFunction),
    /// `CUME_DIST`.
    CumeDist,
    /// `DENSE_RANK`.
    DenseRank,
    /// `FIRST_VALUE`.
    FirstValue,
    /// `LAG(x[, n[, default]])`.
    Lag,
    /// `LAST_VALUE`.
    LastValue,
    /// `LEAD(x[, n[, default]])`.
    Lead,
    /// `NTH_VALUE(x, n)`.
    NthValue,
    /// `NTILE(n)`.
    Ntile,
    /// `PERCENT_RANK`.
    PercentRank,
    /// `RANK`.
    Rank,
    /// `ROW_NUMBER`.
    RowNumber,
}

/// The rows around the current one that a function sees (SQL-8.2).
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// What offsets count.
    pub unit: FrameUnit,
    /// Where it begins.
    pub start: Bound,
    /// Where it ends.
    pub end: Bound,
    /// What is left out.
    pub exclude: Exclude,
}

/// What a frame's offsets count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameUnit {
    /// Rows.
    Rows,
    /// Distance in the order's one key.
    Range,
    /// Groups of peers.
    Groups,
}

/// One end of a frame. Offsets are constants, checked: not NULL, not negative.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// From the partition's first row.
    UnboundedPreceding,
    /// So far before the current row: a number of rows or groups, a number or an interval for `Range`.
    Preceding(Offset),
    /// The current row (for `Range` and `Groups`: its peers).
    CurrentRow,
    /// So far after it.
    Following(Offset),
    /// To the partition's last row.
    UnboundedFollowing,
}

/// How far away a frame's end is.
#[derive(Clone, Debug, PartialEq)]
pub enum Offset {
    /// Rows, or groups.
    Count(u64),
    /// A distance between numbers.
    Number(Datum),
    /// A distance between times.
    Interval(Interval),
}

/// `EXCLUDE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclude {
    /// Nothing.
    NoOthers,
    /// The current row.
    CurrentRow,
    /// The current row and its peers.
    Group,
    /// Its peers, not itself.
    Ties,
}
