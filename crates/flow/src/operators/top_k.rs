//! The first rows of each partition: `LIMIT`, `OFFSET`, `DISTINCT ON`, `WITH TIES`. See [`crate::Node::TopK`].
//!
//! State: every row by partition, order and key, and for each partition where its kept rows begin and end. So a change looks
//! at itself and at the rows that it moves over an end.

use std::ops::Bound;

use super::order;
use crate::codec::{self, Reader};
use crate::operator::{Operator, Step};
use crate::store::{State, after};
use crate::{Error, OrderKey, Result, Row, RowError, ScalarRef};

/// First bytes of the state's keys: partition, order, row key to a row; …
const ROWS: u8 = 0;
/// … partition to its ends.
const ENDS: u8 = 1;

pub(super) struct TopK {
    pub(super) partition: Vec<ScalarRef>,
    pub(super) order: Vec<OrderKey>,
    pub(super) offset: u64,
    pub(super) limit: Option<u64>,
    pub(super) with_ties: bool,
}

/// Where a row stands.
struct Place {
    /// The key of its row in the state.
    key: Vec<u8>,
    /// How long the part for the partition is, …
    partition: usize,
    /// … and that for partition and order.
    order: usize,
}

/// What is kept of a partition: rows from `first` on, `offset` rows stand before it.
#[derive(Clone, Default)]
struct Ends {
    rows: u64,
    /// The first row that is kept.
    first: Option<Vec<u8>>,
    /// The last row within the limit, if there are that many.
    last: Option<Vec<u8>>,
    /// How long the part of `last` for partition and order is.
    last_order: usize,
}

impl TopK {
    fn place(&self, row: &Row) -> Result<Place, RowError> {
        let mut key = vec![ROWS];
        order::append_values(&self.partition, row, &mut key)?;
        let partition = key.len();
        order::append(&self.order, row, &mut key)?;
        let order = key.len();
        order::append_row_key(row, &mut key);
        Ok(Place { key, partition, order })
    }

    /// The bounds of the kept rows: from, and up to (exclusive); `None`: no row is kept.
    fn kept(&self, ends: &Ends, partition: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let from = ends.first.clone()?;
        let to = match &ends.last {
            None => after(partition),
            Some(last) if self.with_ties => after(last.get(..ends.last_order)?),
            Some(last) => Some([last.as_slice(), &[0]].concat()),
        };
        Some((from, to?))
    }

    /// The ends after a row has come to (or gone from) `at`.
    fn moved(&self, state: &State<'_>, mut ends: Ends, at: &Place, comes: bool) -> Result<Ends> {
        let partition = at.key.get(..at.partition).unwrap_or_default();
        let before = |key: &[u8]| neighbour(state, partition, key, true);
        let behind = |key: &[u8]| neighbour(state, partition, key, false);
        if self.limit == Some(0) {
            return Ok(ends);
        }
        let end_of_all = after(partition).unwrap_or_default();
        if comes {
            ends.rows += 1;
            ends.first = match ends.first.take() {
                None if ends.rows > self.offset => before(&end_of_all)?,
                Some(first) if at.key < first => before(&first)?,
                first => first,
            };
            ends.last = match ends.last.take() {
                Some(last) if at.key < last => before(&last)?,
                None if self.limit.is_some_and(|limit| ends.rows == self.offset.saturating_add(limit)) => {
                    before(&end_of_all)?
                }
                last => last,
            };
        } else {
            ends.rows = ends.rows.saturating_sub(1);
            ends.first = match ends.first.take() {
                Some(first) if at.key <= first => behind(&first)?,
                first => first,
            };
            ends.last = match ends.last.take() {
                Some(last) if at.key <= last => behind(&last)?,
                last => last,
            };
        }
        Ok(ends)
    }

    /// Takes one row in or out.
    fn change(&self, step: &mut Step<'_>, row: &Row, place: &Place, comes: bool) -> Result<()> {
        let partition = place.key.get(..place.partition).unwrap_or_default();
        let ends_key = [&[ENDS], partition.get(1..).unwrap_or_default()].concat();
        let old = match step.state.get(&ends_key)? {
            Some(bytes) => Ends::read(&bytes)?,
            None => Ends::default(),
        };
        if comes {
            step.state.put(&place.key, codec::row_bytes(row))?;
        } else if step.state.get(&place.key)?.is_some() {
            step.state.remove(&place.key)?;
        } else {
            return Ok(());
        }
        let mut new = self.moved(&step.state, old.clone(), place, comes)?;
        new.last_order = match &new.last {
            Some(last) if old.last.as_ref() == Some(last) => old.last_order,
            Some(last) if *last == place.key => place.order,
            Some(last) => self.order_length(&step.state, last)?,
            None => 0,
        };
        let (before, now) = (self.kept(&old, partition), self.kept(&new, partition));
        let within = |range: &Option<(Vec<u8>, Vec<u8>)>| {
            range.as_ref().is_some_and(|(from, to)| *from <= place.key && place.key < *to)
        };
        if comes && within(&now) {
            step.emit(row.clone(), 1);
        } else if !comes && within(&before) {
            step.emit(row.clone(), -1);
        }
        // The others that moved over an end. The row itself, if it is there, is told above.
        for (range, weight) in difference(&before, &now)
            .into_iter()
            .map(|range| (range, -1))
            .chain(difference(&now, &before).into_iter().map(|range| (range, 1)))
        {
            for entry in step.state.range(Bound::Included(&range.0), Bound::Excluded(&range.1)) {
                let (key, bytes) = entry?;
                if *key != *place.key {
                    step.out.push(crate::Change { row: Reader::new(&bytes).row()?, weight });
                }
            }
        }
        if new.rows == 0 { step.state.remove(&ends_key) } else { step.state.put(&ends_key, new.bytes()) }
    }

    /// How long the part of a row's key for partition and order is.
    fn order_length(&self, state: &State<'_>, key: &[u8]) -> Result<usize> {
        if !self.with_ties {
            return Ok(0);
        }
        let bytes = state.get(key)?.ok_or(Error::Bug("the last row of a top is gone"))?;
        let place = self.place(&Reader::new(&bytes).row()?);
        Ok(place.map_err(|_| Error::Bug("a row's order fails the second time"))?.order)
    }
}

impl Operator for TopK {
    fn step(&mut self, step: &mut Step<'_>) -> Result<()> {
        for change in step.input(0) {
            if let Some(place) = step.or_fail(self.place(&change.row), &change.row, change.weight) {
                self.change(step, &change.row, &place, change.weight > 0)?;
            }
        }
        Ok(())
    }
}

impl Ends {
    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        codec::write_u64(self.rows, &mut out);
        // No key of a row is empty.
        codec::write_bytes(self.first.as_deref().unwrap_or_default(), &mut out);
        codec::write_bytes(self.last.as_deref().unwrap_or_default(), &mut out);
        codec::write_len(self.last_order, &mut out);
        out
    }

    fn read(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let rows = reader.u64()?;
        let mut key = || Ok::<_, Error>(Some(reader.bytes()?.to_vec()).filter(|key| !key.is_empty()));
        let (first, last) = (key()?, key()?);
        let last_order = usize::try_from(reader.u64()?).unwrap_or_default();
        Ok(Self { rows, first, last, last_order })
    }
}

/// The row of the partition next to a key.
fn neighbour(state: &State<'_>, partition: &[u8], key: &[u8], before: bool) -> Result<Option<Vec<u8>>> {
    let found = if before {
        state.range(Bound::Included(partition), Bound::Excluded(key)).next_back()
    } else {
        let end = after(partition);
        state.range(Bound::Excluded(key), end.as_deref().map_or(Bound::Unbounded, Bound::Excluded)).next()
    };
    Ok(found.transpose()?.map(|(key, _)| key.to_vec()))
}

type Range = (Vec<u8>, Vec<u8>);

/// What is in a range and not in another one: at most a part before it and one behind it.
fn difference(range: &Option<Range>, other: &Option<Range>) -> Vec<Range> {
    let Some((from, to)) = range else { return Vec::new() };
    let Some((other_from, other_to)) = other else { return vec![(from.clone(), to.clone())] };
    let before = (from.clone(), to.min(other_from).clone());
    let behind = (from.max(other_to).clone(), to.clone());
    [before, behind].into_iter().filter(|(from, to)| from < to).collect()
}
