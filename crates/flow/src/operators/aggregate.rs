//! One row a group (SQL-7, SQL-9.5).
//!
//! State: for each group a row with the count of its rows, the grouping values, and what small aggregates need; aggregates
//! that look at values in an order have an entry a value (or a row) behind it. A step reads and writes each group once.

mod batch;
mod call;
mod group;

use std::borrow::Cow;

use self::batch::{Batch, Contribution};
use self::call::Call;
use self::group::Group;
use crate::operator::{Failure, Operator, Step};
use crate::store::State;
use crate::{AggregateCall, Datum, Result, Row, RowError, ScalarRef, key};

pub(super) struct Aggregate {
    group: Vec<ScalarRef>,
    sets: Vec<Set>,
    calls: Vec<Call>,
}

/// One of the `GROUPING SETS`.
struct Set {
    /// For each grouping expression whether it counts.
    kept: Vec<bool>,
    /// What tells its rows from those of other sets, where there are several.
    bits: Option<Datum>,
    /// Whether its one group is there without rows, too.
    is_always: bool,
}

impl Aggregate {
    pub(super) fn new(group: Vec<ScalarRef>, sets: Option<Vec<Vec<usize>>>, calls: Vec<AggregateCall>) -> Self {
        let all = |kept: Vec<bool>| Set { is_always: kept.is_empty(), kept, bits: None };
        let sets = match sets {
            None => vec![all(vec![true; group.len()])],
            Some(sets) => {
                let mut sets: Vec<Set> = sets.iter().map(|set| Set::new(set, group.len())).collect();
                // The same set twice would be the same rows under the same keys.
                sets.sort_by(|a, b| a.kept.cmp(&b.kept));
                sets.dedup_by(|a, b| a.kept == b.kept);
                sets
            }
        };
        Self { group, sets, calls: calls.into_iter().map(Call::new).collect() }
    }

    /// Brings one group up to date.
    fn update(&self, set: &Set, id: &[u8], batch: &Batch, rows: &[&Contribution], step: &mut Step<'_>) -> Result<()> {
        let stored = Group::load(id, &self.calls, &step.state)?;
        let is_new = stored.is_none();
        let old = match &stored {
            Some(group) => self.output(set, id, group, &step.state)?,
            None => None,
        };
        let mut group = stored.unwrap_or_else(|| Group::new(&self.calls));
        for row in rows {
            group.shown.change(&set.values(batch.group(row)), row.weight);
            group.count += row.weight;
            for (at, (call, taken)) in self.calls.iter().zip(batch.taken(row)).enumerate() {
                if let Some(taken) = taken {
                    group.apply(at, call, &batch.given(row, taken), id, &mut step.state)?;
                }
            }
        }
        group.settle(id, &self.calls, &step.state)?;
        let new = self.output(set, id, &group, &step.state)?;
        if group.count == 0 && !set.is_always {
            if !is_new {
                Group::remove(id, &mut step.state)?;
            }
        } else {
            group.save(id, &mut step.state)?;
        }
        if old != new {
            emit(old, -1, step);
            emit(new, 1, step);
        }
        Ok(())
    }

    /// The row that a group is, if it is one.
    fn output(&self, set: &Set, id: &[u8], group: &Group, state: &State<'_>) -> Result<Option<Shown>> {
        if group.count <= 0 && !set.is_always {
            return Ok(None);
        }
        let mut key = match group.shown.first() {
            Some(values) => values.to_vec(),
            None => vec![Datum::Null; self.group.len()],
        };
        key.extend(set.bits.clone());
        let mut values = key.clone();
        for (at, call) in self.calls.iter().enumerate() {
            match group.value(at, call, id, state)? {
                Ok(value) => values.push(value),
                Err(error) => return Ok(Some(Shown { row: Row::new(key, vec![]), error: Some(error) })),
            }
        }
        Ok(Some(Shown { row: Row::new(key, values), error: None }))
    }
}

/// A group's row, or what is wrong with it.
#[derive(PartialEq, Eq)]
struct Shown {
    row: Row,
    error: Option<RowError>,
}

fn emit(shown: Option<Shown>, weight: i64, step: &mut Step<'_>) {
    match shown {
        Some(Shown { row, error: None }) => step.emit(row, weight),
        Some(Shown { row, error: Some(error) }) => step.failed.push(Failure { key: row.key, error, weight }),
        None => {}
    }
}

impl Set {
    fn new(places: &[usize], width: usize) -> Self {
        let kept: Vec<bool> = (0..width).map(|at| places.contains(&at)).collect();
        let bits = kept.iter().fold(0_i64, |bits, kept| (bits << 1) | i64::from(!kept));
        let bits = i32::try_from(bits).map_or(Datum::Long(bits), Datum::Int);
        Self { is_always: places.is_empty(), kept, bits: Some(bits) }
    }

    /// The grouping values of this set.
    fn values<'a>(&self, group: &'a [Datum]) -> Cow<'a, [Datum]> {
        if self.kept.iter().all(|kept| *kept) {
            return Cow::Borrowed(group);
        }
        group.iter().zip(&self.kept).map(|(value, kept)| if *kept { value.clone() } else { Datum::Null }).collect()
    }

    /// Appends what tells a group from all others of the operator.
    fn append_id(&self, group: &[Datum], out: &mut Vec<u8>) {
        for (value, kept) in group.iter().zip(&self.kept) {
            key::append(if *kept { value } else { &Datum::Null }, out);
        }
        if let Some(bits) = &self.bits {
            key::append(bits, out);
        }
    }
}

impl Operator for Aggregate {
    fn step(&mut self, step: &mut Step<'_>) -> Result<()> {
        let mut batch = Batch::default();
        let mut contributions = Vec::with_capacity(step.input(0).len());
        for change in step.input(0) {
            let contribution = batch.add(change, &self.group, &self.calls);
            contributions.extend(step.or_fail(contribution, &change.row, change.weight));
        }
        // What belongs to which group: its id among the bytes of all ids, and the row, if there is one.
        let mut ids = Vec::with_capacity(contributions.len() * 12);
        let mut places = Vec::with_capacity(contributions.len() * self.sets.len());
        for set in &self.sets {
            for contribution in &contributions {
                let start = ids.len();
                set.append_id(batch.group(contribution), &mut ids);
                places.push((start..ids.len(), set, Some(contribution)));
            }
            if set.is_always && step.first {
                let start = ids.len();
                set.append_id(&vec![Datum::Null; self.group.len()], &mut ids);
                places.push((start..ids.len(), set, None));
            }
        }
        let id_of = |place: &std::ops::Range<usize>| ids.get(place.clone()).unwrap_or_default();
        places.sort_by(|(a, ..), (b, ..)| id_of(a).cmp(id_of(b)));
        let mut rows = Vec::new();
        for group in places.chunk_by(|(a, ..), (b, ..)| id_of(a) == id_of(b)) {
            rows.clear();
            rows.extend(group.iter().filter_map(|(_, _, contribution)| *contribution));
            if let Some((place, set, _)) = group.first() {
                self.update(set, id_of(place), &batch, &rows, step)?;
            }
        }
        Ok(())
    }

    fn is_net(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
