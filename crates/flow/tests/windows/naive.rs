//! Window functions by their definition: every row looks at every other one.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use millstream_flow::{
    AggregateFunction, Bound, Datum, Exclude, Frame, FrameUnit, Offset, OrderKey, Row, ScalarRef, WindowCall,
    WindowFunction, key,
};

use super::support::{col, constant};

/// A window over columns.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub partition: Vec<usize>,
    pub order: Vec<By>,
    pub calls: Vec<Call>,
}

#[derive(Clone, Debug)]
pub(crate) struct By {
    pub column: usize,
    pub descending: bool,
    pub nulls_first: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub function: WindowFunction,
    pub arguments: Vec<Argument>,
    pub filter: Option<usize>,
    pub ignore_nulls: bool,
    pub frame: Frame,
}

#[derive(Clone, Debug)]
pub(crate) enum Argument {
    Column(usize),
    Constant(Datum),
}

impl Spec {
    pub(crate) fn partition(&self) -> Vec<ScalarRef> {
        self.partition.iter().map(|at| col(*at)).collect()
    }

    pub(crate) fn order(&self) -> Vec<OrderKey> {
        let key = |by: &By| OrderKey { value: col(by.column), descending: by.descending, nulls_first: by.nulls_first };
        self.order.iter().map(key).collect()
    }

    pub(crate) fn calls(&self) -> Vec<WindowCall> {
        let call = |call: &Call| WindowCall {
            function: call.function,
            arguments: call
                .arguments
                .iter()
                .map(|argument| match argument {
                    Argument::Column(at) => col(*at),
                    Argument::Constant(value) => constant(value.clone()),
                })
                .collect(),
            filter: call.filter.map(col),
            ignore_nulls: call.ignore_nulls,
            frame: call.frame.clone(),
        };
        self.calls.iter().map(call).collect()
    }

    /// The rows with their calls' values.
    pub(crate) fn evaluate(&self, rows: &[Row]) -> Vec<Row> {
        let mut sorted = rows.to_vec();
        sorted.sort_by(|a, b| self.compare(a, b).then_with(|| key::compare_all(&a.key, &b.key)));
        let mut partitions: BTreeMap<Vec<u8>, Vec<Row>> = BTreeMap::new();
        for row in sorted {
            let key = key::of_all(self.partition.iter().map(|at| row.value(*at)));
            partitions.entry(key).or_default().push(row);
        }
        let mut out = Vec::new();
        for rows in partitions.values() {
            let groups = self.groups(rows);
            for (at, row) in rows.iter().enumerate() {
                let view = View { spec: self, rows, groups: &groups, at };
                let values = self.calls.iter().map(|call| view.value(call));
                out.push(Row::new(row.key.clone(), row.values.iter().cloned().chain(values).collect::<Vec<_>>()));
            }
        }
        out
    }

    /// The numbers of the groups of peers.
    fn groups(&self, rows: &[Row]) -> Vec<i64> {
        let mut groups = vec![0];
        for pair in rows.windows(2) {
            groups.push(groups[groups.len() - 1] + i64::from(self.compare(&pair[0], &pair[1]).is_ne()));
        }
        groups
    }

    fn compare(&self, a: &Row, b: &Row) -> Ordering {
        for by in &self.order {
            let (a, b) = (a.value(by.column), b.value(by.column));
            let order = match (a.is_null(), b.is_null()) {
                (true, true) => Ordering::Equal,
                (true, false) if by.nulls_first => Ordering::Less,
                (true, false) => Ordering::Greater,
                (false, true) if by.nulls_first => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) if by.descending => key::compare(b, a),
                (false, false) => key::compare(a, b),
            };
            if order.is_ne() {
                return order;
            }
        }
        Ordering::Equal
    }
}

/// A row of a sorted partition.
struct View<'a> {
    spec: &'a Spec,
    rows: &'a [Row],
    groups: &'a [i64],
    at: usize,
}

impl View<'_> {
    fn argument(&self, call: &Call, at: usize, row: usize) -> Option<Datum> {
        Some(match call.arguments.get(at)? {
            Argument::Column(column) => self.rows[row].value(*column).clone(),
            Argument::Constant(value) => value.clone(),
        })
    }

    fn value(&self, call: &Call) -> Datum {
        let long = |n: usize| Datum::Long(i64::try_from(n).unwrap());
        let before = self.groups.iter().filter(|group| **group < self.groups[self.at]).count();
        let peers = self.groups.iter().filter(|group| **group == self.groups[self.at]).count();
        let total = self.rows.len();
        let whole = |value: Datum| match value {
            Datum::Int(n) => Some(i64::from(n)),
            Datum::Long(n) => Some(n),
            _ => None,
        };
        match call.function {
            WindowFunction::RowNumber => long(self.at + 1),
            WindowFunction::Rank => long(before + 1),
            WindowFunction::DenseRank => Datum::Long(self.groups[self.at] + 1),
            WindowFunction::PercentRank if total == 1 => Datum::Double(0.0),
            WindowFunction::PercentRank => Datum::Double(before as f64 / (total - 1) as f64),
            WindowFunction::CumeDist => Datum::Double((before + peers) as f64 / total as f64),
            WindowFunction::Ntile => {
                let tiles = whole(self.argument(call, 0, 0).unwrap()).unwrap() as usize;
                // Dealt out one by one, the first ones first.
                let sizes = (0..tiles).map(|tile| total / tiles + usize::from(tile < total % tiles));
                let mut left = self.at;
                let mut tile = 1;
                for size in sizes {
                    if left < size {
                        break;
                    }
                    left -= size;
                    tile += 1;
                }
                Datum::Int(tile)
            }
            WindowFunction::Lag | WindowFunction::Lead => {
                let n = match self.argument(call, 1, self.at) {
                    None => 1,
                    Some(n) if n.is_null() => return Datum::Null,
                    Some(n) => whole(n).unwrap(),
                };
                let n = if call.function == WindowFunction::Lag { -n } else { n };
                let found = if n == 0 {
                    Some(self.at)
                } else {
                    let others: Vec<usize> =
                        if n < 0 { (0..self.at).rev().collect() } else { (self.at + 1..total).collect() };
                    let is_counted =
                        |row: &usize| !call.ignore_nulls || !self.argument(call, 0, *row).unwrap().is_null();
                    others.into_iter().filter(is_counted).nth(n.unsigned_abs() as usize - 1)
                };
                match found {
                    Some(row) => self.argument(call, 0, row).unwrap(),
                    None => self.argument(call, 2, self.at).unwrap_or(Datum::Null),
                }
            }
            WindowFunction::FirstValue | WindowFunction::LastValue | WindowFunction::NthValue => {
                let mut values: Vec<Datum> = self.frame(call).map(|row| self.argument(call, 0, row).unwrap()).collect();
                if call.ignore_nulls {
                    values.retain(|value| !value.is_null());
                }
                let n = match call.function {
                    WindowFunction::FirstValue => 0,
                    WindowFunction::LastValue => values.len().wrapping_sub(1),
                    _ => whole(self.argument(call, 1, self.at).unwrap()).unwrap() as usize - 1,
                };
                values.get(n).cloned().unwrap_or(Datum::Null)
            }
            WindowFunction::Aggregate(function) => {
                let passes = |row: &usize| call.filter.is_none_or(|at| *self.rows[*row].value(at) == Datum::Bool(true));
                let rows: Vec<usize> = self.frame(call).filter(passes).collect();
                aggregate(function, &rows, |row| self.argument(call, 0, row))
            }
        }
    }

    fn frame(&self, call: &Call) -> impl Iterator<Item = usize> {
        let frame = &call.frame;
        (0..self.rows.len()).filter(move |other| {
            let is_peer = self.groups[*other] == self.groups[self.at];
            let is_left_out = match frame.exclude {
                Exclude::NoOthers => false,
                Exclude::CurrentRow => *other == self.at,
                Exclude::Group => is_peer,
                Exclude::Ties => is_peer && *other != self.at,
            };
            !is_left_out
                && self.is_within(frame, &frame.start, true, *other)
                && self.is_within(frame, &frame.end, false, *other)
        })
    }

    /// Whether a row is not before the frame's start, or not behind its end.
    fn is_within(&self, frame: &Frame, bound: &Bound, is_start: bool, other: usize) -> bool {
        let steps = match frame.unit {
            FrameUnit::Rows => other as i64 - self.at as i64,
            FrameUnit::Groups | FrameUnit::Range => self.groups[other] - self.groups[self.at],
        };
        let (sign, offset) = match bound {
            Bound::UnboundedPreceding => return is_start,
            Bound::UnboundedFollowing => return !is_start,
            Bound::CurrentRow => return if is_start { steps >= 0 } else { steps <= 0 },
            Bound::Preceding(offset) => (-1, offset),
            Bound::Following(offset) => (1, offset),
        };
        match offset {
            Offset::Count(n) => {
                let n = sign * i64::try_from(*n).unwrap();
                if is_start { steps >= n } else { steps <= n }
            }
            distance => {
                let by = &self.spec.order[0];
                let (mine, its) = (self.rows[self.at].value(by.column), self.rows[other].value(by.column));
                let distance = match distance {
                    Offset::Number(distance) => number(distance).unwrap(),
                    Offset::Interval(interval) => interval.micros as f64 / 1000.0,
                    Offset::Count(_) => unreachable!(),
                };
                let is_time = matches!(offset, Offset::Interval(_));
                let value = |value: &Datum| if is_time { instant(value) } else { number(value) };
                match (value(mine), value(its)) {
                    (None, _) => {
                        if is_start {
                            steps >= 0
                        } else {
                            steps <= 0
                        }
                    }
                    (Some(_), None) => {
                        if is_start {
                            steps > 0
                        } else {
                            steps < 0
                        }
                    }
                    (Some(mine), Some(its)) => {
                        let ahead = if by.descending { mine - its } else { its - mine };
                        if is_start { ahead >= sign as f64 * distance } else { ahead <= sign as f64 * distance }
                    }
                }
            }
        }
    }
}

fn number(value: &Datum) -> Option<f64> {
    match value {
        Datum::Int(v) => Some(f64::from(*v)),
        Datum::Long(v) => Some(*v as f64),
        Datum::Double(v) => Some(*v),
        _ => None,
    }
}

fn instant(value: &Datum) -> Option<f64> {
    if let Datum::Instant(ms) = value { Some(*ms as f64) } else { None }
}

fn aggregate(function: AggregateFunction, rows: &[usize], argument: impl Fn(usize) -> Option<Datum>) -> Datum {
    let all: Vec<Datum> = rows.iter().filter_map(|row| argument(*row)).collect();
    let values: Vec<&Datum> = all.iter().filter(|value| !value.is_null()).collect();
    let or_null = |value: Option<Datum>| value.unwrap_or(Datum::Null);
    match function {
        AggregateFunction::Count if all.is_empty() => Datum::Long(rows.len() as i64),
        AggregateFunction::Count => Datum::Long(values.len() as i64),
        AggregateFunction::Sum => {
            let sum = values.iter().filter_map(|value| number(value)).sum::<f64>();
            or_null((!values.is_empty()).then_some(Datum::Long(sum as i64)))
        }
        AggregateFunction::Min => or_null(values.into_iter().min_by(|a, b| key::compare(a, b)).cloned()),
        AggregateFunction::Max => or_null(values.into_iter().rev().max_by(|a, b| key::compare(a, b)).cloned()),
        AggregateFunction::BoolAnd => {
            or_null((!values.is_empty()).then(|| Datum::Bool(values.iter().all(|value| **value == Datum::Bool(true)))))
        }
        AggregateFunction::ArrayAgg => or_null((!all.is_empty()).then(|| Datum::Array(all.clone().into()))),
        other => unimplemented!("{other:?}"),
    }
}
