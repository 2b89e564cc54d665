//! Window functions over a relation (SQL-8). See [`crate::Node::Window`].
//!
//! State: what the calls read of each row, by partition and place, with blocks that sum them up ([`rows`]); and each row with
//! the values that were put out for it. A change is made in the former; then the rows that it can reach ([`reach`]) are
//! computed anew, and those that differ are put out again. So a change costs what its frames need, and not its partition.

mod base;
mod calls;
mod distance;
mod frame;
mod part;
mod reach;
mod rows;
mod value;

use std::collections::BTreeMap;
use std::ops::Bound;

pub(super) use self::base::Base;
pub(super) use self::calls::{Call, Calls, Inputs};
pub(super) use self::distance::{back, earlier, far_back};
use self::frame::Span;
pub(super) use self::frame::{Current, group_before};
pub(super) use self::part::Part;
use self::reach::{Kind, Touched};
use self::rows::{Edit, just_after, update};
pub(super) use self::rows::{Partition, entry_bytes, level_key};
pub(super) use self::value::{Evaluation, Values, integer};
use super::order;
use crate::codec::{self, Reader};
use crate::operator::{Operator, Step};
use crate::store::{State, after};
use crate::{Datum, Error, OrderKey, Result, Row, RowError, ScalarRef, WindowCall};

/// First byte of the state's keys: partition and place to the row and its values. Lesser ones are levels.
const SHOWN: u8 = 0x80;
/// How far `LAG` and `LEAD` have ever looked.
const STEPS: u8 = 0x81;
/// Rows that are read at once when many are computed anew.
const BATCH_ROWS: usize = 64;

pub(super) struct Window {
    partition: Vec<ScalarRef>,
    order: Vec<OrderKey>,
    calls: Calls,
}

/// A row and where it stands.
struct Placed {
    row: Row,
    partition: Vec<u8>,
    place: Vec<u8>,
    /// How long the part of the place is that peers share.
    order: usize,
    /// The order's one value, if it is one.
    key: Datum,
    inputs: Inputs,
}

/// A row that goes from a place, and one that comes there.
type Pair = [Option<Placed>; 2];

/// A row that has come.
struct Fresh {
    placed: Placed,
    /// If another one with the same key was in its place: what was put out for that, and what the calls read of it.
    before: Option<(Vec<Datum>, Inputs)>,
}

impl Window {
    pub(super) fn new(partition: Vec<ScalarRef>, order: Vec<OrderKey>, calls: Vec<WindowCall>) -> Self {
        Self { partition, order, calls: Calls::new(calls) }
    }

    fn by(&self) -> Option<&OrderKey> {
        if let [by] = self.order.as_slice() { Some(by) } else { None }
    }

    fn place(&self, row: &Row) -> Result<Placed, RowError> {
        let mut partition = Vec::with_capacity(16);
        order::append_values(&self.partition, row, &mut partition)?;
        let mut place = Vec::with_capacity(32);
        let key = match self.by() {
            Some(by) => {
                let key = by.value.eval(row)?;
                order::append_key(by, &key, &mut place);
                key
            }
            None => {
                order::append(&self.order, row, &mut place)?;
                Datum::Null
            }
        };
        let order = place.len();
        order::append_row_key(row, &mut place);
        Ok(Placed { row: row.clone(), partition, place, order, key, inputs: self.calls.inputs(row)? })
    }

    /// Makes the changes of one partition.
    fn partition(&self, step: &mut Step<'_>, key: &[u8], changes: BTreeMap<Vec<u8>, Pair>) -> Result<()> {
        let mut touched = Vec::with_capacity(changes.len());
        let mut fresh = Vec::with_capacity(changes.len());
        for [going, coming] in changes.into_values() {
            let gone = match going {
                Some(old) => self.hide(step, &old)?.map(|values| (old, values)),
                None => None,
            };
            match (gone, coming) {
                (Some((old, values)), Some(new)) => {
                    if new.inputs != old.inputs || new.key != old.key {
                        self.replace(&mut step.state, &old, &new)?;
                        touched.push(touch(&new, Kind::Reads(old.inputs.clone())));
                    }
                    fresh.push(Fresh { placed: new, before: values.ok().map(|values| (values, old.inputs)) });
                }
                (Some((old, _)), None) => {
                    self.remove(&mut step.state, &old)?;
                    touched.push(touch(&old, Kind::Shifts));
                }
                (None, Some(new)) => {
                    self.insert(&mut step.state, &new)?;
                    touched.push(touch(&new, Kind::Shifts));
                    fresh.push(Fresh { placed: new, before: None });
                }
                (None, None) => {}
            }
        }
        let steps_max = self.steps_max(&mut step.state, &fresh)?;
        let others = fresh.iter().any(|fresh| fresh.before.is_some())
            || match (Partition { state: &step.state, calls: &self.calls, key, base: None }).total()? {
                Some(rows) => rows > u64::try_from(fresh.len()).unwrap_or_default(),
                None => step.state.prefix(&level_key(SHOWN, key, &[])).next().is_some(),
            };
        let reached = if others {
            self.find_alone(&step.state, key, &mut touched)?;
            let partition = Partition { state: &step.state, calls: &self.calls, key, base: None };
            reach::reach(partition, self.by(), &touched, &steps_max)?
        } else {
            vec![Vec::new(); self.calls.len()]
        };
        self.revise(step, key, &reached, &reach::last_order(&touched))?;
        self.show(step, key, &reached, fresh)
    }

    /// Takes back what was put out for a row; `None`: nothing, the row was not there.
    fn hide(&self, step: &mut Step<'_>, old: &Placed) -> Result<Option<Values>> {
        let key = level_key(SHOWN, &old.partition, &old.place);
        let Some(bytes) = step.state.get(&key)? else { return Ok(None) };
        step.state.remove(&key)?;
        let (row, values) = read_shown(&bytes)?;
        put_out(step, &row, &values, -1);
        Ok(Some(values))
    }

    fn insert(&self, state: &mut State<'_>, new: &Placed) -> Result<()> {
        let mut heads = 0;
        if self.calls.has_heads {
            let partition = Partition { state, calls: &self.calls, key: &new.partition, base: None };
            let order = new.place.get(..new.order).unwrap_or_default();
            let peer_before = partition.has_peer_before(&new.place, order)?;
            heads = i64::from(!peer_before);
            let behind = partition.nth_after(&new.place, 1)?.filter(|row| row.place().starts_with(order));
            if let (false, Some(behind)) = (peer_before, behind) {
                let place = behind.place().to_vec();
                let edit = Edit { place: &place, rows: 0, heads: -1, add: None, remove: None };
                update(state, &self.calls, &new.partition, &edit)?;
            }
        }
        let bytes = entry_bytes(new.order, &new.key, &new.inputs, &self.calls);
        state.put(&level_key(0, &new.partition, &new.place), bytes)?;
        let edit = Edit { place: &new.place, rows: 1, heads, add: Some(&new.inputs), remove: None };
        update(state, &self.calls, &new.partition, &edit)
    }

    fn remove(&self, state: &mut State<'_>, old: &Placed) -> Result<()> {
        state.remove(&level_key(0, &old.partition, &old.place))?;
        let (mut heads, mut next) = (0, None);
        if self.calls.has_heads {
            let partition = Partition { state, calls: &self.calls, key: &old.partition, base: None };
            let order = old.place.get(..old.order).unwrap_or_default();
            if !partition.has_peer_before(&old.place, order)? {
                heads = -1;
                next = partition.nth_after(&old.place, 1)?.filter(|row| row.place().starts_with(order));
            }
        }
        let next = next.map(|row| row.place().to_vec());
        let edit = Edit { place: &old.place, rows: -1, heads, add: None, remove: Some(&old.inputs) };
        update(state, &self.calls, &old.partition, &edit)?;
        if let Some(place) = next {
            let edit = Edit { place: &place, rows: 0, heads: 1, add: None, remove: None };
            update(state, &self.calls, &old.partition, &edit)?;
        }
        Ok(())
    }

    fn replace(&self, state: &mut State<'_>, old: &Placed, new: &Placed) -> Result<()> {
        let bytes = entry_bytes(new.order, &new.key, &new.inputs, &self.calls);
        state.put(&level_key(0, &new.partition, &new.place), bytes)?;
        let edit = Edit { place: &new.place, rows: 0, heads: 0, add: Some(&new.inputs), remove: Some(&old.inputs) };
        update(state, &self.calls, &new.partition, &edit)
    }

    /// Finds out which of the touched rows have no peers among those that stay.
    fn find_alone(&self, state: &State<'_>, key: &[u8], touched: &mut [Touched]) -> Result<()> {
        if !self.calls.has_heads {
            return Ok(());
        }
        for touched in touched {
            let order = touched.place.get(..touched.order).unwrap_or_default();
            touched.is_alone = state.prefix(&level_key(SHOWN, key, order)).next().transpose()?.is_none();
        }
        Ok(())
    }

    /// The most rows that `LAG` and `LEAD` have ever looked away, by call.
    fn steps_max(&self, state: &mut State<'_>, fresh: &[Fresh]) -> Result<Vec<u64>> {
        let mut steps = vec![1; self.calls.len()];
        if !self.calls.look_away() {
            return Ok(steps);
        }
        let stored = state.get(&[STEPS])?;
        if let Some(bytes) = &stored {
            let mut reader = Reader::new(bytes);
            for steps in &mut steps {
                *steps = reader.u64()?;
            }
        }
        let before = steps.clone();
        for fresh in fresh {
            for ((steps, call), input) in steps.iter_mut().zip(&self.calls.calls).zip(&fresh.placed.inputs) {
                *steps = (*steps).max(call.steps(input.as_ref()).unwrap_or(1));
            }
        }
        if steps != before {
            let mut bytes = Vec::new();
            steps.iter().for_each(|steps| codec::write_u64(*steps, &mut bytes));
            state.put(&[STEPS], bytes)?;
        }
        Ok(steps)
    }

    /// Computes the rows that were there before and are in reach.
    fn revise(&self, step: &mut Step<'_>, key: &[u8], reached: &[Vec<Span>], last_touched: &[u8]) -> Result<()> {
        let mut evaluation = Evaluation::new(self.by(), &self.calls);
        let mut done = vec![false; reached.len()];
        let mut at = Vec::new();
        while let Some(from) = next_in_reach(reached, &done, &at) {
            let from = level_key(SHOWN, key, &from);
            let to = after(&level_key(SHOWN, key, &[]));
            let bound = to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let batch = step.state.range(Bound::Included(&from), bound).take(BATCH_ROWS);
            let batch: Vec<_> = batch.collect::<Result<_>>()?;
            if batch.is_empty() {
                break;
            }
            for (shown, bytes) in batch {
                let place = shown.get(1 + key.len()..).unwrap_or_default();
                let wanted: Vec<bool> =
                    reached.iter().zip(&done).map(|(spans, done)| !done && is_in_reach(spans, place)).collect();
                if !wanted.contains(&true) {
                    at = place.to_vec();
                    break;
                }
                at = just_after(place);
                let (row, old) = read_shown(&bytes)?;
                let new = self.values(&step.state, &mut evaluation, key, place, &wanted, &old)?;
                self.settle(&step.state, key, place, (&old, &new), &wanted, (&mut done, last_touched))?;
                if new != old {
                    put_out(step, &row, &old, -1);
                    put_out(step, &row, &new, 1);
                    step.state.put(&shown, shown_bytes(&row, &new))?;
                }
            }
        }
        Ok(())
    }

    /// Computes a row anew: only what is wanted, if its other values are known.
    fn values(
        &self,
        state: &State<'_>,
        evaluation: &mut Evaluation<'_>,
        key: &[u8],
        place: &[u8],
        wanted: &[bool],
        old: &Values,
    ) -> Result<Values> {
        let partition = Partition { state, calls: &self.calls, key, base: None };
        let entry = partition.at(place)?.ok_or(Error::Bug("a row of a window is gone"))?;
        let (range_key, inputs) = entry.read(&self.calls)?;
        let current = Current { place, order: entry.order()?, key: &range_key };
        let everything = vec![true; self.calls.len()];
        match old {
            Ok(old) => evaluation.values(partition, current, &inputs, wanted, old),
            Err(_) => evaluation.values(partition, current, &inputs, &everything, &[]),
        }
    }

    /// Notes the calls of which no later row can give something else.
    fn settle(
        &self,
        state: &State<'_>,
        key: &[u8],
        place: &[u8],
        (old, new): (&Values, &Values),
        wanted: &[bool],
        (done, last_touched): (&mut [bool], &[u8]),
    ) -> Result<()> {
        let (Ok(old), Ok(new)) = (old, new) else { return Ok(()) };
        let partition = Partition { state, calls: &self.calls, key, base: None };
        let entry = partition.at(place)?.ok_or(Error::Bug("a row of a window is gone"))?;
        let order = entry.order()?;
        for (at, done) in done.iter_mut().enumerate() {
            let is_same = wanted.get(at) == Some(&true) && old.get(at) == new.get(at);
            *done |= is_same && reach::settles(&self.calls, at, order, last_touched);
        }
        Ok(())
    }

    /// Computes the rows that have come.
    fn show(&self, step: &mut Step<'_>, key: &[u8], reached: &[Vec<Span>], fresh: Vec<Fresh>) -> Result<()> {
        let mut evaluation = Evaluation::new(self.by(), &self.calls);
        for Fresh { placed, before } in fresh {
            let (old, wanted) = match before {
                None => (Vec::new(), vec![true; self.calls.len()]),
                Some((values, inputs)) => {
                    let differs = |at: usize| inputs.get(at) != placed.inputs.get(at);
                    let wanted = reached.iter().enumerate();
                    let wanted = wanted.map(|(at, spans)| differs(at) || is_in_reach(spans, &placed.place));
                    (values, wanted.collect())
                }
            };
            let partition = Partition { state: &step.state, calls: &self.calls, key, base: None };
            let order = placed.place.get(..placed.order).unwrap_or_default();
            let current = Current { place: &placed.place, order, key: &placed.key };
            let values = evaluation.values(partition, current, &placed.inputs, &wanted, &old)?;
            put_out(step, &placed.row, &values, 1);
            step.state.put(&level_key(SHOWN, key, &placed.place), shown_bytes(&placed.row, &values))?;
        }
        Ok(())
    }
}

impl Operator for Window {
    fn step(&mut self, step: &mut Step<'_>) -> Result<()> {
        let mut partitions: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Pair>> = BTreeMap::new();
        for change in step.input(0) {
            let Some(placed) = step.or_fail(self.place(&change.row), &change.row, change.weight) else { continue };
            let rows = partitions.entry(placed.partition.clone()).or_default();
            let [going, coming] = rows.entry(placed.place.clone()).or_default();
            *(if change.weight < 0 { going } else { coming }) = Some(placed);
        }
        for (key, changes) in partitions {
            self.partition(step, &key, changes)?;
        }
        Ok(())
    }
}

fn touch(placed: &Placed, kind: Kind) -> Touched {
    Touched {
        place: placed.place.clone(),
        order: placed.order,
        key: placed.key.clone(),
        kind,
        inputs: placed.inputs.clone(),
        is_alone: true,
    }
}

/// Where the next row can be that some call reaches.
fn next_in_reach(reached: &[Vec<Span>], done: &[bool], at: &[u8]) -> Option<Vec<u8>> {
    let spans = reached.iter().zip(done).filter(|(_, done)| !**done);
    let next = spans.filter_map(|(spans, _)| {
        let first = spans.partition_point(|span| span.to.as_deref().is_some_and(|to| to <= at));
        Some(spans.get(first)?.from.as_slice().max(at))
    });
    next.min().map(<[u8]>::to_vec)
}

fn is_in_reach(spans: &[Span], place: &[u8]) -> bool {
    let first = spans.partition_point(|span| span.to.as_deref().is_some_and(|to| to <= place));
    spans.get(first).is_some_and(|span| span.from.as_slice() <= place)
}

/// Puts out a row with its values, or leaves it out if one of them is an error.
fn put_out(step: &mut Step<'_>, row: &Row, values: &Values, weight: i64) {
    match values {
        Ok(values) => {
            let values = row.values.iter().chain(values).cloned().collect();
            step.emit(Row { key: row.key.clone(), values }, weight);
        }
        Err(error) => step.fail(row, error.clone(), weight),
    }
}

fn shown_bytes(row: &Row, values: &Values) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    codec::write_row(row, &mut bytes);
    match values {
        Ok(values) => {
            bytes.push(0);
            codec::write_data(values, &mut bytes);
        }
        Err(error) => {
            bytes.push(1);
            codec::write_bytes(error.state.0.as_bytes(), &mut bytes);
            codec::write_bytes(error.message.as_bytes(), &mut bytes);
        }
    }
    bytes
}

fn read_shown(bytes: &[u8]) -> Result<(Row, Values)> {
    let mut reader = Reader::new(bytes);
    let row = reader.row()?;
    if reader.byte()? == 0 {
        return Ok((row, Ok(reader.data()?.to_vec())));
    }
    let state = reader.bytes()?;
    let state = STATES.iter().find(|known| known.as_bytes() == state).copied().unwrap_or("XX000");
    let message = String::from_utf8_lossy(reader.bytes()?).into_owned();
    Ok((row, Err(RowError::new(state, message))))
}

/// The classes of errors that a call can end with.
const STATES: &[&str] = &["22003", "22014", "22016", "42804", "54000"];
