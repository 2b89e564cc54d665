//! Pairs of changes whose times are near each other (SQL-13.7, SQL-13.8). See [`crate::Node::Band`].
//!
//! A row waits for the rows of the other side for as long as one that is near may still come: until its band has closed. So
//! the state is the rows whose bands are open, each in two places: by the keys that are compared and its time, to be found
//! by rows of the other side, and by the instant of its close.
//!
//! In a step what the clock closes comes first, then the left rows in order, then the right rows; rows of both sides in one
//! step come of one commit that is read twice.

use std::ops::Bound;

use super::lookup::{compared, pair};
use super::watermark::{Time, Watermark, too_late};
use super::{is_true, order};
use crate::codec::{self, Reader};
use crate::operator::{Operator, Step};
use crate::store::{State, StateKey};
use crate::{Datum, Error, JoinKind, Lateness, Result, Row, ScalarRef};

/// First bytes of the state's keys: side, compared keys, time, row key to the row and its close; …
const ROWS: u8 = 0;
/// … close, row key, side to the key of a row that will be put out then, padded; …
const PRESERVED: u8 = 2;
/// … the same of a row that will only be dropped; …
const DROPPED: u8 = 3;
/// … how far the sides' own times are.
const WATERMARKS: u8 = 4;

pub(super) struct Band {
    pub(super) kind: JoinKind,
    pub(super) sides: [Side; 2],
    pub(super) residual: Option<ScalarRef>,
    pub(super) lateness: Option<Lateness>,
    pub(super) near: Near,
}

/// A pair is near if `left - right` is between two ends.
#[derive(Clone, Copy)]
pub(super) struct Near {
    pub(super) from: i64,
    pub(super) from_inclusive: bool,
    pub(super) to: i64,
    pub(super) to_inclusive: bool,
}

pub(super) struct Side {
    pub(super) keys: Vec<ScalarRef>,
    pub(super) time: ScalarRef,
    /// Columns and key components.
    pub(super) width: (usize, usize),
}

const LEFT: usize = 0;
const RIGHT: usize = 1;

/// The times that are near a row's.
struct Span {
    /// The first one.
    from: i64,
    /// The last one.
    to: i64,
    /// The last instant of the band as it is written, by which rows that close together are ordered.
    last: i64,
}

impl Band {
    fn side(&self, side: usize) -> Result<&Side> {
        self.sides.get(side).ok_or(Error::Bug("a band has two sides"))
    }

    fn preserves(&self, side: usize) -> bool {
        match self.kind {
            JoinKind::Full => true,
            JoinKind::Left => side == LEFT,
            JoinKind::Right => side == RIGHT,
            JoinKind::Inner | JoinKind::Semi | JoinKind::Anti | JoinKind::Mark | JoinKind::Single => false,
        }
    }

    /// The times of the other side that are near `at`. Times are whole numbers, so an open end is a closed one beside it.
    fn span(&self, side: usize, at: i64) -> Span {
        let Near { from, from_inclusive, to, to_inclusive } = self.near;
        let least = if from_inclusive { from } else { from.saturating_add(1) };
        let most = if to_inclusive { to } else { to.saturating_sub(1) };
        if side == LEFT {
            Span { from: at.saturating_sub(most), to: at.saturating_sub(least), last: at.saturating_sub(from) }
        } else {
            Span { from: at.saturating_add(least), to: at.saturating_add(most), last: at.saturating_add(to) }
        }
    }

    /// A row with nothing on the other side.
    fn padded(&self, side: usize, row: &Row) -> Result<Row> {
        let (values, keys) = self.side(1 - side)?.width;
        let nulls = Row::new(vec![Datum::Null; keys], vec![Datum::Null; values]);
        Ok(if side == LEFT { pair(row, &nulls) } else { pair(&nulls, row) })
    }

    /// Puts out and drops everything whose band has closed: no row of time `open_from` or later is near it.
    fn close(&self, step: &mut Step<'_>, open_from: i64) -> Result<()> {
        let mut closed = Vec::new();
        for kind in [PRESERVED, DROPPED] {
            let end = close_key(kind, open_from, &[]);
            for entry in step.state.range(Bound::Included(&[kind]), Bound::Excluded(&end)) {
                closed.push(entry?);
            }
        }
        let mut shown = Vec::new();
        for (close, row_key) in closed {
            step.state.remove(&close)?;
            if close.first() == Some(&PRESERVED) {
                let bytes = step.state.get(&row_key)?.ok_or(Error::Bug("a row that waits in a band is gone"))?;
                let waiting = Waiting::read(&bytes)?;
                let mut order = Vec::new();
                order::append_row_key(&waiting.row, &mut order);
                shown.push((waiting.last, order, side_of(&row_key), waiting.row));
            }
            step.state.remove(&row_key)?;
        }
        shown.sort_by(|a, b| (a.0, &a.1, a.2).cmp(&(b.0, &b.1, b.2)));
        for (_, _, side, row) in shown {
            let padded = self.padded(side, &row)?;
            step.emit(padded, 1);
        }
        Ok(())
    }

    /// One row of a side.
    fn row(&self, step: &mut Step<'_>, side: usize, row: &Row, marks: &mut [Watermark; 2]) -> Result<()> {
        let this = self.side(side)?;
        let time = this.time.eval(row).and_then(|time| Time::of(&time));
        let keys = compared(&this.keys, row);
        let Some((time, keys)) = step.or_fail(time.and_then(|time| Ok((time, keys?))), row, 1) else { return Ok(()) };
        let Some(time) = time else {
            // Nothing is near NULL, so its band is empty and closed.
            if self.preserves(side) {
                let padded = self.padded(side, row)?;
                step.emit(padded, 1);
            }
            return Ok(());
        };
        let mut open_from = Some(step.clock_ms);
        if let Some(lateness) = self.lateness {
            let mark = marks.get_mut(side).ok_or(Error::Bug("a band has two sides"))?;
            if !mark.row(lateness, step.clock_ms, time) {
                step.fail(row, too_late(), 1);
                return Ok(());
            }
            open_from = lowest(marks);
            if let Some(open_from) = open_from {
                self.close(step, open_from)?;
            }
        }
        let span = self.span(side, time.at);
        let matched = match &keys {
            Some(keys) => self.matches(step, side, row, keys, &span)?,
            None => false,
        };
        // Is nothing near it to come?
        if open_from.is_some_and(|open_from| span.to < open_from) || span.to < span.from {
            if !matched && self.preserves(side) {
                let padded = self.padded(side, row)?;
                step.emit(padded, 1);
            }
            return Ok(());
        }
        let mut key = row_key(side, keys.as_deref(), time.at);
        order::append_row_key(row, &mut key);
        let waiting = Waiting { matched, close: span.to, last: span.last, row: row.clone() };
        waiting.put(step, &key, self.preserves(side))
    }

    /// Puts out the pairs that a row makes with those that wait on the other side.
    fn matches(&self, step: &mut Step<'_>, side: usize, row: &Row, keys: &[u8], span: &Span) -> Result<bool> {
        let other = 1 - side;
        let from = row_key(other, Some(keys), span.from);
        let to = [row_key(other, Some(keys), span.to), vec![u8::MAX]].concat();
        let found = step.state.range(Bound::Included(&from), Bound::Excluded(&to));
        let found: Vec<(StateKey, _)> = found.collect::<Result<_>>()?;
        let mut matched = false;
        for (key, bytes) in found {
            let waiting = Waiting::read(&bytes)?;
            let both = if side == LEFT { pair(row, &waiting.row) } else { pair(&waiting.row, row) };
            let fits = self.residual.as_ref().map_or(Ok(true), |residual| is_true(residual, &both));
            if step.or_fail(fits, row, 1) != Some(true) {
                continue;
            }
            matched = true;
            step.emit(both, 1);
            if !waiting.matched && self.preserves(other) {
                step.state.remove(&close_key(PRESERVED, waiting.close, &key))?;
                Waiting { matched: true, ..waiting }.put(step, &key, true)?;
            }
        }
        Ok(matched)
    }

    fn watermarks(state: &State<'_>) -> Result<[Watermark; 2]> {
        let Some(bytes) = state.get(&[WATERMARKS])? else { return Ok(Default::default()) };
        let mut reader = Reader::new(&bytes);
        Ok([Watermark::read(&mut reader)?, Watermark::read(&mut reader)?])
    }
}

impl Operator for Band {
    fn step(&mut self, step: &mut Step<'_>) -> Result<()> {
        let mut marks = [Watermark::default(), Watermark::default()];
        let mut open_from = Some(step.clock_ms);
        if let Some(lateness) = self.lateness {
            marks = Self::watermarks(&step.state)?;
            for mark in &mut marks {
                mark.tick(lateness, step.clock_ms);
            }
            open_from = lowest(&marks);
        }
        if let Some(open_from) = open_from {
            self.close(step, open_from)?;
        }
        for side in [LEFT, RIGHT] {
            for change in step.input(side) {
                self.row(step, side, &change.row, &mut marks)?;
            }
        }
        if self.lateness.is_some() {
            let mut bytes = Vec::new();
            marks.iter().for_each(|mark| mark.write(&mut bytes));
            step.state.put(&[WATERMARKS], bytes)?;
        }
        Ok(())
    }

    fn due(&self, state: &State<'_>) -> Result<Option<i64>> {
        let Some(first) = state.prefix(&[PRESERVED]).next() else { return Ok(None) };
        let close = close_of(&first?.0)?.saturating_add(1);
        let Some(lateness) = self.lateness else { return Ok(Some(close)) };
        let marks = Self::watermarks(state)?;
        let due = marks.iter().map(|mark| mark.due(lateness, close)).collect::<Option<Vec<_>>>();
        Ok(due.and_then(|due| due.into_iter().max()))
    }
}

/// A row whose band is open.
struct Waiting {
    matched: bool,
    /// The last time that is near.
    close: i64,
    /// See [`Span`].
    last: i64,
    row: Row,
}

impl Waiting {
    fn put(&self, step: &mut Step<'_>, key: &[u8], preserved: bool) -> Result<()> {
        let mut bytes = vec![u8::from(self.matched)];
        codec::write_i64(self.close, &mut bytes);
        codec::write_i64(self.last, &mut bytes);
        codec::write_row(&self.row, &mut bytes);
        let kind = if preserved && !self.matched { PRESERVED } else { DROPPED };
        step.state.put(&close_key(kind, self.close, key), key)?;
        step.state.put(key, bytes)
    }

    fn read(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        Ok(Self { matched: reader.byte()? == 1, close: reader.i64()?, last: reader.i64()?, row: reader.row()? })
    }
}

fn lowest(marks: &[Watermark; 2]) -> Option<i64> {
    marks.iter().map(Watermark::at).min().flatten()
}

/// The key of a row without its own key. Rows whose compared keys have a NULL stand apart, where nobody looks.
fn row_key(side: usize, keys: Option<&[u8]>, time: i64) -> Vec<u8> {
    let mut key = vec![ROWS, u8::from(side == RIGHT), u8::from(keys.is_some())];
    key.extend_from_slice(keys.unwrap_or_default());
    key.extend_from_slice(&(time ^ i64::MIN).to_be_bytes());
    key
}

fn side_of(row_key: &[u8]) -> usize {
    if row_key.get(1) == Some(&1) { RIGHT } else { LEFT }
}

/// Ordered by the close; which row it is makes it unique.
fn close_key(kind: u8, close: i64, row_key: &[u8]) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(&(close ^ i64::MIN).to_be_bytes());
    key.extend_from_slice(row_key);
    key
}

fn close_of(key: &[u8]) -> Result<i64> {
    let bytes = key.get(1..9).and_then(|bytes| bytes.try_into().ok()).ok_or(Error::Damaged("a close"))?;
    Ok(i64::from_be_bytes(bytes) ^ i64::MIN)
}
