//! One row a group (SQL-7, SQL-9.5).
//!
//! State: for each group a row with the count of its rows, the grouping values, and what small aggregates need; aggregates
//! that look at values in an order have an entry a value (or a row) behind it. A step reads and writes each group once.

mod call;
mod group;

use std::collections::BTreeMap;

use self::call::{Call, Taken};
use self::group::Group;
use super::eval_all;
use crate::operator::{Failure, Operator, Step};
use crate::store::State;
use crate::{AggregateCall, Change, Datum, Result, Row, RowError, ScalarRef, key};

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

/// What one row brings to its groups.
struct Contribution<'a> {
    row: &'a Row,
    weight: i64,
    group: Vec<Datum>,
    taken: Vec<Option<Taken>>,
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

    fn contribution<'a>(&self, change: &'a Change) -> Result<Contribution<'a>, RowError> {
        let row = &change.row;
        let group = eval_all(&self.group, row)?;
        let taken = self.calls.iter().map(|call| call.take(row)).collect::<Result<_, _>>()?;
        Ok(Contribution { row, weight: change.weight, group, taken })
    }

    /// Brings one group up to date.
    fn update(&self, set: &Set, id: &[u8], contributions: &[&Contribution<'_>], step: &mut Step<'_>) -> Result<()> {
        let stored = Group::load(id, &self.calls, &step.state)?;
        let is_new = stored.is_none();
        let old = match &stored {
            Some(group) => self.output(set, id, group, &step.state)?,
            None => None,
        };
        let mut group = stored.unwrap_or_else(|| Group::new(&self.calls));
        for contribution in contributions {
            group.shown.change(set.values(&contribution.group), contribution.weight);
            group.count += contribution.weight;
            for (at, (call, taken)) in self.calls.iter().zip(&contribution.taken).enumerate() {
                if let Some(taken) = taken {
                    group.apply(at, call, taken, contribution, id, &mut step.state)?;
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
        let none = set.values(&vec![Datum::Null; self.group.len()]);
        let mut key = group.shown.first().map_or(none, <[Datum]>::to_vec);
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
    fn values(&self, group: &[Datum]) -> Vec<Datum> {
        group.iter().zip(&self.kept).map(|(value, kept)| if *kept { value.clone() } else { Datum::Null }).collect()
    }

    /// What tells a group from all others of the operator.
    fn id(&self, group: &[Datum]) -> Vec<u8> {
        let mut id = Vec::with_capacity(24);
        for (value, kept) in group.iter().zip(&self.kept) {
            key::append(if *kept { value } else { &Datum::Null }, &mut id);
        }
        if let Some(bits) = &self.bits {
            key::append(bits, &mut id);
        }
        id
    }
}

impl Operator for Aggregate {
    fn step(&mut self, step: &mut Step<'_>) -> Result<()> {
        let mut contributions = Vec::with_capacity(step.input(0).len());
        for change in step.input(0) {
            let contribution = self.contribution(change);
            contributions.extend(step.or_fail(contribution, &change.row, change.weight));
        }
        let mut groups: BTreeMap<Vec<u8>, (&Set, Vec<&Contribution<'_>>)> = BTreeMap::new();
        for set in &self.sets {
            for contribution in &contributions {
                let (_, rows) = groups.entry(set.id(&contribution.group)).or_insert_with(|| (set, Vec::new()));
                rows.push(contribution);
            }
            if set.is_always && step.first {
                groups.entry(set.id(&vec![Datum::Null; self.group.len()])).or_insert_with(|| (set, Vec::new()));
            }
        }
        for (id, (set, contributions)) in &groups {
            self.update(set, id, contributions, step)?;
        }
        Ok(())
    }

    fn is_net(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
