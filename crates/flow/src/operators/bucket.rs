//! Groups of changes by a bucket of time, each put out once, when its bucket is over (SQL-13.9). See
//! [`crate::Node::Bucket`].
//!
//! State: the groups of open buckets, by the bucket's end and the group's key, and the arguments of calls that need all their
//! rows, in the call's order.

use std::ops::Bound;
use std::sync::Arc;

use super::watermark::{Time, Watermark, too_late};
use super::window::Part;
use super::{eval_all, is_true, order};
use crate::aggregate::{Fold, check, compare_alike, compare_all_alike};
use crate::codec::{self, Reader};
use crate::operator::{Operator, Step};
use crate::store::State;
use crate::{AggregateCall, AggregateFunction, Datum, Error, Lateness, Result, Row, RowError, ScalarRef};

/// First bytes of the state's keys: end and group's key to the group; …
const GROUPS: u8 = 0;
/// … the same, call, and place to the arguments of a row; …
const ROWS: u8 = 1;
/// … how far the rows' own time is.
const WATERMARK: u8 = 2;

pub(super) struct Bucket {
    pub(super) group: Vec<ScalarRef>,
    pub(super) end: ScalarRef,
    pub(super) calls: Vec<AggregateCall>,
    pub(super) lateness: Option<Lateness>,
    pub(super) time: ScalarRef,
}

/// A row, read.
struct Read {
    group: Vec<Datum>,
    end: i64,
    time: Option<Time>,
    /// For each call; nothing where its filter is not true.
    inputs: Vec<Option<Input>>,
}

/// A call's arguments of a row, and the row's place in the call's order.
type Input = (Vec<Datum>, Vec<u8>);

impl Bucket {
    fn read(&self, row: &Row) -> Result<Read, RowError> {
        let time_of =
            |value: Datum| Time::of(&value)?.ok_or_else(|| RowError::new("22004", "the time of a bucket is NULL"));
        let group = eval_all(&self.group, row)?;
        let end = time_of(self.end.eval(row)?)?.at;
        let time = if self.lateness.is_some() { Some(time_of(self.time.eval(row)?)?) } else { None };
        let inputs = self.calls.iter().map(|call| read_call(call, row)).collect::<Result<_, _>>()?;
        Ok(Read { group, end, time, inputs })
    }

    /// What blocks would sum up, for the calls that need no more than that.
    fn empty_parts(&self) -> Vec<Option<Part>> {
        self.calls.iter().map(|call| if is_listed(call) { None } else { Part::new(call.function) }).collect()
    }

    fn add(&self, step: &mut Step<'_>, read: Read) -> Result<()> {
        let mut key = vec![GROUPS];
        key.extend_from_slice(&(read.end ^ i64::MIN).to_be_bytes());
        read.group.iter().for_each(|value| crate::key::append(value, &mut key));
        let (mut group, mut parts) = match step.state.get(&key)? {
            Some(bytes) => self.read_group(&bytes)?,
            None => (read.group.clone(), self.empty_parts()),
        };
        for (shown, value) in group.iter_mut().zip(read.group) {
            if compare_alike(&value, shown).is_lt() {
                *shown = value;
            }
        }
        for (at, ((part, input), call)) in parts.iter_mut().zip(&read.inputs).zip(&self.calls).enumerate() {
            match (part, input) {
                (Some(part), Some((arguments, _))) => part.add(arguments),
                (None, Some((arguments, place))) => {
                    let key = [row_prefix(&key, at).as_slice(), place].concat();
                    let mut bytes = Vec::with_capacity(16);
                    codec::write_data(arguments, &mut bytes);
                    let stored = if call.distinct { step.state.get(&key)? } else { None };
                    let is_shown = match stored {
                        Some(stored) => compare_all_alike(arguments, &Reader::new(&stored).data()?).is_lt(),
                        None => true,
                    };
                    if is_shown {
                        step.state.put(&key, bytes)?;
                    }
                }
                (_, None) => {}
            }
        }
        let mut bytes = Vec::with_capacity(32);
        codec::write_data(&group, &mut bytes);
        parts.iter().flatten().for_each(|part| part.write(&mut bytes));
        step.state.put(&key, bytes)
    }

    fn read_group(&self, bytes: &[u8]) -> Result<(Vec<Datum>, Vec<Option<Part>>)> {
        let mut reader = Reader::new(bytes);
        let group = reader.data()?.to_vec();
        let mut parts = self.empty_parts();
        for part in parts.iter_mut().flatten() {
            part.read(&mut reader)?;
        }
        Ok((group, parts))
    }

    /// Puts out the groups whose buckets are over at an instant.
    fn close(&self, step: &mut Step<'_>, at: i64) -> Result<()> {
        let mut end = vec![GROUPS];
        end.extend_from_slice(&(at ^ i64::MIN).to_be_bytes());
        // Every group's key begins with its bucket's end, and more follows where it is this one.
        let end = crate::store::after(&end);
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let over: Vec<_> = step.state.range(Bound::Included(&[GROUPS]), end).collect::<Result<_>>()?;
        for (key, bytes) in over {
            let (group, parts) = self.read_group(&bytes)?;
            let mut values = group.clone();
            let mut error = None;
            for (at, (part, call)) in parts.iter().zip(&self.calls).enumerate() {
                let value = match part {
                    Some(part) => part.value(),
                    None => listed(step, call, &row_prefix(&key, at))?,
                };
                match value {
                    Ok(value) => values.push(value),
                    Err(found) => error = error.or(Some(found)),
                }
            }
            step.state.remove(&key)?;
            let row = Row { key: group.into(), values: Arc::from(values) };
            match error {
                None => step.emit(row, 1),
                Some(error) => step.fail(&row, error, 1),
            }
        }
        Ok(())
    }

    fn watermark(state: &State<'_>) -> Result<Watermark> {
        state
            .get(&[WATERMARK])?
            .map_or_else(|| Ok(Watermark::default()), |bytes| Watermark::read(&mut Reader::new(&bytes)))
    }
}

impl Operator for Bucket {
    fn step(&mut self, step: &mut Step<'_>) -> Result<()> {
        let mut mark = Watermark::default();
        match self.lateness {
            None => self.close(step, step.clock_ms)?,
            Some(lateness) => {
                mark = Self::watermark(&step.state)?;
                mark.tick(lateness, step.clock_ms);
                if let Some(at) = mark.at() {
                    self.close(step, at)?;
                }
            }
        }
        for change in step.input(0) {
            let row = &change.row;
            let Some(read) = step.or_fail(self.read(row), row, 1) else { continue };
            if let (Some(lateness), Some(time)) = (self.lateness, read.time) {
                if !mark.row(lateness, step.clock_ms, time) {
                    step.fail(row, too_late(), 1);
                    continue;
                }
                if let Some(at) = mark.at() {
                    self.close(step, at)?;
                }
            }
            self.add(step, read)?;
        }
        if self.lateness.is_some() {
            let mut bytes = Vec::new();
            mark.write(&mut bytes);
            step.state.put(&[WATERMARK], bytes)?;
        }
        Ok(())
    }

    fn due(&self, state: &State<'_>) -> Result<Option<i64>> {
        let Some(first) = state.prefix(&[GROUPS]).next() else { return Ok(None) };
        let (key, _) = first?;
        let end = key.get(1..9).and_then(|bytes| bytes.try_into().ok()).ok_or(Error::Damaged("a bucket"))?;
        let end = i64::from_be_bytes(end) ^ i64::MIN;
        match self.lateness {
            None => Ok(Some(end)),
            Some(lateness) => Ok(Self::watermark(state)?.due(lateness, end)),
        }
    }
}

/// Whether a call needs all its rows.
fn is_listed(call: &AggregateCall) -> bool {
    let by_value =
        matches!(call.function, AggregateFunction::AnyValue | AggregateFunction::Max | AggregateFunction::Min);
    (call.distinct && !by_value) || Part::new(call.function).is_none()
}

fn read_call(call: &AggregateCall, row: &Row) -> Result<Option<Input>, RowError> {
    if let Some(filter) = &call.filter
        && !is_true(filter, row)?
    {
        return Ok(None);
    }
    let mut arguments = eval_all(&call.arguments, row)?;
    if is_ordered_set(call.function) {
        for by in &call.order {
            arguments.push(by.value.eval(row)?);
        }
    }
    check(call.function, &arguments)?;
    let mut place = Vec::new();
    if is_listed(call) {
        order::append(&call.order, row, &mut place)?;
        if call.distinct {
            arguments.iter().for_each(|argument| crate::key::append(argument, &mut place));
        } else {
            order::append_row_key(row, &mut place);
        }
    }
    Ok(Some((arguments, place)))
}

fn is_ordered_set(function: AggregateFunction) -> bool {
    matches!(function, AggregateFunction::Mode | AggregateFunction::PercentileCont | AggregateFunction::PercentileDisc)
}

/// Where the rows of a group's call begin.
fn row_prefix(group_key: &[u8], call: usize) -> Vec<u8> {
    let mut prefix = group_key.to_vec();
    if let Some(first) = prefix.first_mut() {
        *first = ROWS;
    }
    codec::write_len(call, &mut prefix);
    prefix
}

/// The value of a call that needs all its rows, which go.
fn listed(step: &mut Step<'_>, call: &AggregateCall, prefix: &[u8]) -> Result<Result<Datum, RowError>> {
    let rows: Vec<_> = step.state.prefix(prefix).collect::<Result<_>>()?;
    let mut fold = Fold::new(call.function);
    for (key, bytes) in rows {
        fold.push(&Reader::new(&bytes).data()?);
        step.state.remove(&key)?;
    }
    Ok(fold.finish())
}
