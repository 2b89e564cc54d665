//! Change queries: joins of changes with changes, and groups of changes (SQL-13.7 to SQL-13.9).

use millstream_flow::{Datum, Interval, JoinKind};

use crate::error::Result;
use crate::expr::{Arithmetic, Comparison};
use crate::plan::binder::{Binder, Origin};
use crate::plan::block::Block;
use crate::plan::clock::{plus, turned, unit_interval};
use crate::plan::rel::{Band, Bucket, Over, Rel};
use crate::plan::select::grows;
use crate::{Expr, SqlError, Type};

/// A bound on `left - right`: milliseconds, and whether it is included.
type End = Option<(i64, bool)>;

impl Binder<'_> {
    /// Joins changes with changes.
    pub(crate) fn join_changes(
        &mut self,
        left: Rel,
        right: Rel,
        kind: JoinKind,
        conditions: Vec<Expr>,
        left_origin: Origin,
        right_origin: Origin,
    ) -> Result<(Rel, Origin)> {
        let left_columns = self.columns_of(&left);
        let right_columns = self.columns_of(&right);
        let side = |expr: &Expr| {
            let columns = expr.columns();
            if columns.is_empty() {
                None
            } else if columns.iter().all(|id| left_columns.contains(id)) {
                Some(Side::Left)
            } else if columns.iter().all(|id| right_columns.contains(id)) {
                Some(Side::Right)
            } else {
                None
            }
        };
        let mut rest = Vec::new();
        let mut times: Option<(Expr, Expr)> = None;
        let (mut from, mut to): (End, End) = (None, None);
        for condition in conditions {
            let mut taken = true;
            for (op, a, b) in comparisons(&condition) {
                let ((a, a_offset), (b, b_offset)) = (without_offset(a), without_offset(b));
                let (op, left_time, right_time, difference) = match (side(a), side(b)) {
                    (Some(Side::Left), Some(Side::Right)) => (op, a, b, b_offset - a_offset),
                    (Some(Side::Right), Some(Side::Left)) => (turned(op), b, a, a_offset - b_offset),
                    _ => {
                        taken = false;
                        break;
                    }
                };
                let is_time =
                    |expr: &Expr| matches!(self.kind(expr), Some(Type::Timestamptz | Type::Timestamp | Type::Date));
                let timed = is_time(left_time) || is_time(right_time) || a_offset != 0 || b_offset != 0;
                let same = times.as_ref().is_none_or(|(l, r)| l == left_time && r == right_time);
                if !timed || !same {
                    taken = false;
                    break;
                }
                times = Some((left_time.clone(), right_time.clone()));
                match op {
                    Comparison::GreaterOrEqual => from = tighter(from, (difference, true), true),
                    Comparison::Greater => from = tighter(from, (difference, false), true),
                    Comparison::LessOrEqual => to = tighter(to, (difference, true), false),
                    Comparison::Less => to = tighter(to, (difference, false), false),
                    Comparison::Equal => {
                        from = tighter(from, (difference, true), true);
                        to = tighter(to, (difference, true), false);
                    }
                    _ => {
                        taken = false;
                        break;
                    }
                }
            }
            if !taken {
                rest.push(condition);
            }
        }
        let (times, from, to) = match (times, from, to) {
            (Some(times), Some(from), Some(to)) => (times, from, to),
            _ if self.settings.unbounded_state && kind == JoinKind::Inner => {
                // Everything is kept for ever: every pair is near.
                let times = (Expr::Column(left_origin.time), Expr::Column(right_origin.time));
                (times, (i64::MIN / 4, true), (i64::MAX / 4, true))
            }
            _ => {
                return Err(SqlError::new("MS004", "a join of changes with changes would keep every change for ever").hint(
                    "bound the time between them on both ends, such as a.at BETWEEN b.at - INTERVAL '1 minute' AND b.at + INTERVAL '1 minute'",
                ));
            }
        };
        let by_watermark = times.0 == Expr::Column(left_origin.time) && times.1 == Expr::Column(right_origin.time);
        let mut join = self.split(left, right, kind, rest)?;
        join.over = Over::Changes(Box::new(Band { left_time: times.0, right_time: times.1, from, to, by_watermark }));
        let both = vec![Expr::Column(left_origin.time), Expr::Column(right_origin.time)];
        let time = self.column(Some(Type::Timestamptz));
        let latest = Expr::Call(crate::plan::builtin("GREATEST"), both);
        Ok((Rel::Join(Box::new(join)).mapped(vec![(time, latest)]), Origin { time }))
    }

    /// The bucket among the grouping expressions, and its end as an expression over the groups.
    pub(crate) fn bucket(&self, block: &Block, origin: Origin) -> Result<(Bucket, Expr)> {
        for (id, expr) in &block.group {
            let Expr::Call(function, arguments) = expr else { continue };
            let (time, step) = match (function.name, arguments.as_slice()) {
                ("DATE_TRUNC", [Expr::Untyped(unit), time]) => (time, unit_interval(unit)?),
                ("DATE_TRUNC", [Expr::Constant(Datum::Text(unit)), time]) => (time, unit_interval(unit)?),
                ("DATE_BIN", [stride, time, _]) => match self.constant(&as_interval(stride))? {
                    Datum::Interval(stride) => (time, stride),
                    _ => continue,
                },
                _ => continue,
            };
            let bucket = Bucket {
                end: plus(expr.clone(), step),
                time: time.clone(),
                by_watermark: *time == Expr::Column(origin.time),
            };
            return Ok((bucket, plus(Expr::Column(*id), step)));
        }
        Err(grows("GROUP BY without a bucket of time"))
    }
}

enum Side {
    Left,
    Right,
}

/// The comparisons that a condition is, if it is nothing else.
fn comparisons(condition: &Expr) -> Vec<(Comparison, &Expr, &Expr)> {
    match condition {
        Expr::Compare(op, a, b) => vec![(*op, a, b)],
        Expr::Between { value, low, high, symmetric: false } => {
            vec![(Comparison::GreaterOrEqual, value, low), (Comparison::LessOrEqual, value, high)]
        }
        other => vec![(Comparison::Distinct, other, other)],
    }
}

/// The expression without a constant interval that is added to it, and that interval in milliseconds.
fn without_offset(expr: &Expr) -> (&Expr, i64) {
    if let Expr::Arithmetic(op @ (Arithmetic::Add | Arithmetic::Subtract), inner, offset) = expr
        && let Expr::Constant(Datum::Interval(interval)) = offset.as_ref()
        && interval.months == 0
    {
        let ms = milliseconds(*interval);
        return (inner, if *op == Arithmetic::Add { ms } else { -ms });
    }
    (expr, 0)
}

fn milliseconds(interval: Interval) -> i64 {
    i64::from(interval.days) * 86_400_000 + interval.micros / 1000
}

fn tighter(known: End, new: (i64, bool), lower: bool) -> End {
    let Some(known) = known else { return Some(new) };
    let new_is_tighter = match new.0.cmp(&known.0) {
        std::cmp::Ordering::Equal => !new.1,
        order => (order.is_gt()) == lower,
    };
    Some(if new_is_tighter { new } else { known })
}

/// An untyped literal as an interval.
fn as_interval(expr: &Expr) -> Expr {
    match expr {
        Expr::Untyped(_) => Expr::Cast { value: Box::new(expr.clone()), to: Type::Interval, attempt: false },
        other => other.clone(),
    }
}
