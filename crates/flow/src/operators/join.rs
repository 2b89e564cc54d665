//! Pairs of rows with equal keys, and what becomes of rows without a match (SQL-9.8).
//!
//! State: the rows of both sides by their join key (`join/bucket.rs`); rows of a side that is watched for matches have the
//! count of theirs. A step takes, key by key, the left changes against the right rows as they were, and then the right changes
//! against the left rows as they are now; what both bring about and undo again is netted by the circuit.
//!
//! A pair whose residual condition fails is no match, and a failure under the key of the pair (SQL-19.6).

mod bucket;
mod entry;
mod keys;
mod single;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::bucket::{Bucket, Buckets};
use self::entry::{Entry, Matches};
use self::keys::JoinKey;
use crate::codec::Reader;
use crate::operator::{Failure, Operator, Step};
use crate::{Change, Datum, Delta, JoinKind, Result, Row, ScalarRef};

pub(super) struct Join {
    kind: JoinKind,
    left: Side,
    right: Side,
    residual: Option<ScalarRef>,
}

/// One of the two inputs.
struct Side {
    keys: Vec<ScalarRef>,
    /// Columns and key components of its rows.
    width: (usize, usize),
    /// Whether its rows count their matches.
    is_counted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Left,
    Right,
}

/// A change of one side that may have matches.
struct Driver<'a> {
    change: &'a Change,
    /// Whether rows with the same join key may still have another key.
    is_coarse: bool,
}

/// The changes of both sides under one join key.
type Group<'a> = (Vec<Driver<'a>>, Vec<Driver<'a>>);

/// What two rows are to each other.
enum Pairing {
    Match(Row),
    Unknown,
    Nothing,
}

impl Join {
    pub(super) fn new(
        kind: JoinKind,
        sides: [(Vec<ScalarRef>, (usize, usize)); 2],
        residual: Option<ScalarRef>,
    ) -> Self {
        let [(left_keys, left_width), (right_keys, right_width)] = sides;
        let counts_left =
            matches!(kind, JoinKind::Left | JoinKind::Full | JoinKind::Semi | JoinKind::Anti | JoinKind::Mark);
        let counts_right = matches!(kind, JoinKind::Right | JoinKind::Full);
        let left = Side { keys: left_keys, width: left_width, is_counted: counts_left };
        let right = Side { keys: right_keys, width: right_width, is_counted: counts_right };
        Self { kind, left, right, residual }
    }

    fn side(&self, which: Which) -> &Side {
        match which {
            Which::Left => &self.left,
            Which::Right => &self.right,
        }
    }

    /// Whether pairs are rows of the answer.
    fn shows_pairs(&self) -> bool {
        matches!(self.kind, JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full)
    }

    /// What a row of a side shows by itself, given its matches.
    fn alone(&self, which: Which, row: &Row, matches: Matches) -> Option<Row> {
        match (which, self.kind) {
            (Which::Left, JoinKind::Left | JoinKind::Full) if matches.sure == 0 => {
                Some(pair(row, &nulls(self.right.width)))
            }
            (Which::Left, JoinKind::Single) if matches.sure == 0 => Some(with(row, &nulls(self.right.width).values)),
            (Which::Right, JoinKind::Right | JoinKind::Full) if matches.sure == 0 => {
                Some(pair(&nulls(self.left.width), row))
            }
            (Which::Left, JoinKind::Semi) if matches.sure > 0 => Some(row.clone()),
            (Which::Left, JoinKind::Anti) if matches.sure == 0 => Some(row.clone()),
            (Which::Left, JoinKind::Mark) => Some(with(row, &[matches.mark()])),
            _ => None,
        }
    }

    /// Sorts the changes of one side by join key. What can have no match is put out, if it shows by itself.
    fn sort<'a>(&self, which: Which, step: &mut Step<'a>, groups: &mut BTreeMap<Vec<u8>, Group<'a>>) {
        let side = self.side(which);
        for change in step.input(if which == Which::Left { 0 } else { 1 }) {
            let Change { row, weight } = change;
            match step.or_fail(JoinKey::of(&side.keys, row), row, *weight) {
                Some(Some(JoinKey { bytes, is_coarse })) => {
                    let (left, right) = groups.entry(bytes).or_default();
                    let drivers = if which == Which::Left { left } else { right };
                    drivers.push(Driver { change, is_coarse });
                }
                Some(None) => {
                    if let Some(shown) = self.alone(which, row, Matches::default()) {
                        step.emit(shown, *weight);
                    }
                }
                None => {}
            }
        }
    }

    /// Takes the changes of one side against the rows of the other one.
    fn pass(
        &self,
        which: Which,
        key: &[u8],
        drivers: &[Driver<'_>],
        buckets: &mut Buckets,
        step: &mut Step<'_>,
    ) -> Result<()> {
        let other = if which == Which::Left { Which::Right } else { Which::Left };
        let mut found = vec![Matches::default(); drivers.len()];
        let mut updates = Vec::new();
        match buckets.of(other) {
            Bucket::Few(entries) => {
                for entry in entries {
                    self.meet(which, drivers, &mut found, entry, step.out, step.failed);
                }
            }
            Bucket::Many(_) => {
                for stored in step.state.prefix(&bucket::rows(other, key)) {
                    let (place, bytes) = stored?;
                    let mut entry = Entry::read(&mut Reader::new(&bytes))?;
                    if self.meet(which, drivers, &mut found, &mut entry, step.out, step.failed) {
                        updates.push((place, entry.bytes()));
                    }
                }
            }
        }
        for (place, bytes) in updates {
            step.state.put(&place, bytes)?;
        }
        for (Driver { change: Change { row, weight }, .. }, found) in drivers.iter().zip(&found) {
            if let Some(shown) = self.alone(which, row, *found) {
                step.emit(shown, *weight);
            }
        }
        if !self.side(which).is_counted {
            found.fill(Matches::default());
        }
        buckets.of(which).change(which, key, drivers, &found, &mut step.state)
    }

    /// Takes the changes of one side against one row of the other one. Whether the row has other matches now.
    fn meet(
        &self,
        which: Which,
        drivers: &[Driver<'_>],
        found: &mut [Matches],
        entry: &mut Entry,
        out: &mut Delta,
        failed: &mut Vec<Failure>,
    ) -> bool {
        let other = if which == Which::Left { Which::Right } else { Which::Left };
        let before = entry.matches;
        for (Driver { change: Change { row, weight }, is_coarse }, found) in drivers.iter().zip(found) {
            let (left, right) = if which == Which::Left { (row, &entry.row) } else { (&entry.row, row) };
            match self.pairing(left, right, *is_coarse || entry.is_coarse, *weight, failed) {
                Pairing::Match(pair) => {
                    if self.shows_pairs() {
                        out.push(Change { row: pair, weight: *weight });
                    }
                    found.sure += 1;
                    entry.matches.sure += weight;
                }
                Pairing::Unknown => {
                    found.unknown += 1;
                    entry.matches.unknown += weight;
                }
                Pairing::Nothing => {}
            }
        }
        if !self.side(other).is_counted || entry.matches == before {
            entry.matches = before;
            return false;
        }
        let (old, new) = (self.alone(other, &entry.row, before), self.alone(other, &entry.row, entry.matches));
        if old != new {
            out.extend(old.map(|row| Change { row, weight: -1 }));
            out.extend(new.map(|row| Change { row, weight: 1 }));
        }
        true
    }

    /// What two rows with the same bytes of a join key are to each other.
    fn pairing(&self, left: &Row, right: &Row, coarse: bool, weight: i64, failed: &mut Vec<Failure>) -> Pairing {
        if coarse && !keys::are_equal(&self.left.keys, left, &self.right.keys, right) {
            return Pairing::Nothing;
        }
        let Some(residual) = &self.residual else {
            return Pairing::Match(if self.shows_pairs() { pair(left, right) } else { left.clone() });
        };
        let both = pair(left, right);
        let truth = match residual.eval(&both) {
            Ok(Datum::Bool(truth)) => Ok(Some(truth)),
            Ok(Datum::Missing | Datum::Null) => Ok(None),
            Ok(_) => Err(crate::RowError::new("42804", "a condition must be a boolean")),
            Err(error) => Err(error),
        };
        match truth {
            Ok(Some(true)) => Pairing::Match(both),
            Ok(Some(false)) => Pairing::Nothing,
            Ok(None) => Pairing::Unknown,
            Err(error) => {
                failed.push(Failure { key: both.key, error, weight });
                Pairing::Nothing
            }
        }
    }
}

impl Operator for Join {
    fn step(&mut self, step: &mut Step<'_>) -> Result<()> {
        let mut groups = BTreeMap::new();
        self.sort(Which::Left, step, &mut groups);
        self.sort(Which::Right, step, &mut groups);
        for (key, (left, right)) in &groups {
            let mut buckets = Buckets::load(key, &step.state)?;
            if self.kind == JoinKind::Single {
                self.single(key, left, right, &mut buckets, step)?;
            } else {
                if !left.is_empty() {
                    self.pass(Which::Left, key, left, &mut buckets, step)?;
                }
                if !right.is_empty() {
                    self.pass(Which::Right, key, right, &mut buckets, step)?;
                }
            }
            buckets.save(key, &mut step.state)?;
        }
        Ok(())
    }
}

/// Two rows as one.
fn pair(left: &Row, right: &Row) -> Row {
    let chain = |a: &[Datum], b: &[Datum]| -> Arc<[Datum]> { a.iter().chain(b).cloned().collect() };
    Row { key: chain(&left.key, &right.key), values: chain(&left.values, &right.values) }
}

/// A row with more columns.
fn with(row: &Row, columns: &[Datum]) -> Row {
    Row { key: row.key.clone(), values: row.values.iter().chain(columns).cloned().collect() }
}

/// What stands for a row that is not there.
fn nulls((columns, key): (usize, usize)) -> Row {
    Row::new(vec![Datum::Null; key], vec![Datum::Null; columns])
}

#[cfg(test)]
mod tests;
