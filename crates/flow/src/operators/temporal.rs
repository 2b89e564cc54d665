//! Rows while a condition on them and the clock holds (SQL-11.2, SQL-11.3). See [`crate::Node::Temporal`].
//!
//! Between its instants the truth of a row does not change, and nothing but the row and the clock decides it. So the next
//! instant at which it does change is known at once, only rows that have one are kept, and what a row without one is can be
//! found out again when it goes.

use std::ops::Bound;

use super::{is_true, order};
use crate::codec::{self, Reader};
use crate::operator::{Operator, Step};
use crate::store::State;
use crate::{Datum, Error, Result, Row, RowError, ScalarRef};

/// First bytes of the state's keys: row key to the next instant and the row; …
const ROWS: u8 = 0;
/// … the next instant and row key to nothing.
const INSTANTS: u8 = 1;

pub(super) struct Temporal {
    pub(super) condition: ScalarRef,
    pub(super) instants: Vec<ScalarRef>,
}

type Truth = Result<bool, RowError>;

impl Temporal {
    fn truth(&self, row: &Row, clock_ms: i64) -> Truth {
        is_true(&self.condition, &at(row, clock_ms))
    }

    /// What the row is at the clock, and when it will be something else.
    fn outlook(&self, row: &Row, clock_ms: i64) -> (Truth, Option<i64>) {
        let mut instants = Vec::with_capacity(self.instants.len());
        let asked = at(row, clock_ms);
        for instant in &self.instants {
            match instant.eval(&asked) {
                Ok(Datum::Instant(ms)) if ms > clock_ms => instants.push(ms),
                Ok(Datum::Instant(_) | Datum::Missing | Datum::Null) => {}
                Ok(_) => return (Err(RowError::new("42804", "the clock can only be compared with a time")), None),
                Err(error) => return (Err(error), None),
            }
        }
        instants.sort_unstable();
        let truth = self.truth(row, clock_ms);
        let next = instants.into_iter().find(|ms| self.truth(row, *ms) != truth);
        (truth, next)
    }

    /// Takes a row out of the state, if it is there, and tells what it was.
    fn forget(&self, state: &mut State<'_>, row: &Row, clock_ms: i64) -> Result<Truth> {
        let key = row_key(row);
        if let Some(bytes) = state.get(&key)? {
            let next_ms = Reader::new(&bytes).i64()?;
            state.remove(&key)?;
            state.remove(&instant_key(next_ms, &key))?;
        }
        Ok(self.outlook(row, clock_ms).0)
    }

    /// Puts a row into the state, if it will ever change.
    fn keep(&self, state: &mut State<'_>, row: &Row, next_ms: Option<i64>) -> Result<()> {
        let Some(next_ms) = next_ms else { return Ok(()) };
        let key = row_key(row);
        let mut bytes = Vec::new();
        codec::write_i64(next_ms, &mut bytes);
        codec::write_row(row, &mut bytes);
        state.put(&instant_key(next_ms, &key), Vec::new())?;
        state.put(&key, bytes)
    }

    /// Turns the rows over whose instant has come.
    fn advance(&self, step: &mut Step<'_>) -> Result<()> {
        let end = instant_key(step.clock_ms, &[u8::MAX]);
        let due = step.state.range(Bound::Included(&[INSTANTS]), Bound::Excluded(&end));
        let due: Vec<_> = due.map(|entry| Ok(entry?.0)).collect::<Result<_>>()?;
        for instant in due {
            let key = instant.get(INSTANT_BYTES..).unwrap_or_default();
            let bytes = step.state.get(key)?.ok_or(Error::Bug("a row that waits for an instant is gone"))?;
            let mut reader = Reader::new(&bytes);
            let next_ms = reader.i64()?;
            let row = reader.row()?;
            // What it was since the last instant: what it was just before this one.
            show(step, &row, self.truth(&row, next_ms - 1), -1);
            step.state.remove(&instant)?;
            step.state.remove(key)?;
            let (truth, next) = self.outlook(&row, step.clock_ms);
            show(step, &row, truth, 1);
            self.keep(&mut step.state, &row, next)?;
        }
        Ok(())
    }
}

impl Operator for Temporal {
    fn step(&mut self, step: &mut Step<'_>) -> Result<()> {
        self.advance(step)?;
        let clock_ms = step.clock_ms;
        for change in step.input(0) {
            if change.weight < 0 {
                let was = self.forget(&mut step.state, &change.row, clock_ms)?;
                show(step, &change.row, was, -1);
            } else {
                let (truth, next) = self.outlook(&change.row, clock_ms);
                show(step, &change.row, truth, 1);
                self.keep(&mut step.state, &change.row, next)?;
            }
        }
        Ok(())
    }

    fn due(&self, state: &State<'_>) -> Result<Option<i64>> {
        let Some(first) = state.prefix(&[INSTANTS]).next() else { return Ok(None) };
        let (key, _) = first?;
        let bytes = key.get(1..9).and_then(|bytes| bytes.try_into().ok()).ok_or(Error::Damaged("an instant"))?;
        Ok(Some(i64::from_be_bytes(bytes) ^ i64::MIN))
    }
}

/// Puts a row out, or leaves it out, as it is.
fn show(step: &mut Step<'_>, row: &Row, truth: Truth, weight: i64) {
    match truth {
        Ok(true) => step.emit(row.clone(), weight),
        Ok(false) => {}
        Err(error) => step.fail(row, error, weight),
    }
}

/// The row with the clock as its last column.
fn at(row: &Row, clock_ms: i64) -> Row {
    let values = row.values.iter().cloned().chain([Datum::Instant(clock_ms)]).collect();
    Row { key: row.key.clone(), values }
}

fn row_key(row: &Row) -> Vec<u8> {
    let mut key = vec![ROWS];
    order::append_row_key(row, &mut key);
    key
}

/// Where the row's key begins in the key of its instant.
const INSTANT_BYTES: usize = 9;

fn instant_key(ms: i64, row_key: &[u8]) -> Vec<u8> {
    let mut key = vec![INSTANTS];
    key.extend_from_slice(&(ms ^ i64::MIN).to_be_bytes());
    key.extend_from_slice(row_key);
    key
}
