//! The rows of one partition in their order, and the blocks that sum them up.
//!
//! A row's *place* is its order's key and then its own, so places compare as the rows stand. Level 0 of the state holds the
//! rows by place: what the calls read of each. Above it, level by level, entries sum up runs of the level below: how many
//! rows, how many groups of peers, and the aggregates of them. An entry stands at the place where its run begins, the first
//! one of a level at the empty place. So what a frame holds is summed up by looking at a few entries of each level.

use std::ops::Bound;

use fjall::Slice;

use super::base::Base;
use super::calls::{Calls, Inputs};
use super::part::Part;
use crate::codec::{self, Reader};
use crate::store::{Entries, State, StateKey, after};
use crate::{Datum, Error, Result};

/// The most entries that an entry sums up; then it is split into halves.
const WIDTH_MAX: u64 = 32;
/// Steps up to which walking from row to row is as good as counting.
const STEPS_MAX: u64 = 32;

/// One partition, to be read.
#[derive(Clone, Copy)]
pub(in crate::operators) struct Partition<'a, 's> {
    pub(in crate::operators) state: &'a State<'s>,
    pub(in crate::operators) calls: &'a Calls,
    pub(in crate::operators) key: &'a [u8],
    /// The rows before all those of level 0.
    pub(in crate::operators) base: Option<&'a Base>,
}

/// A row of level 0.
pub(in crate::operators) struct Entry {
    key: StateKey,
    /// Where the place begins in the key.
    start: usize,
    bytes: Slice,
}

/// What is known of a run of rows.
#[derive(Clone, Debug)]
struct Summary {
    /// Entries of the level below.
    children: u64,
    rows: u64,
    /// Rows that are the first of their peers.
    heads: i64,
    /// One for each call that needs it.
    parts: Vec<Option<Part>>,
}

/// A part of a range of rows.
pub(in crate::operators) enum Piece<'p> {
    Row(&'p Entry),
    /// What the calls make of several rows.
    Block(&'p [Option<Part>]),
}

/// The key of an entry of a level.
pub(in crate::operators) fn level_key(level: u8, partition: &[u8], place: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + partition.len() + place.len());
    key.push(level);
    key.extend_from_slice(partition);
    key.extend_from_slice(place);
    key
}

impl Entry {
    pub(in crate::operators) fn place(&self) -> &[u8] {
        self.key.get(self.start..).unwrap_or_default()
    }

    /// The part of the place that peers share.
    pub(in crate::operators) fn order(&self) -> Result<&[u8]> {
        let length = Reader::new(&self.bytes).u64()?;
        usize::try_from(length)
            .ok()
            .and_then(|length| self.place().get(..length))
            .ok_or(Error::Damaged("the order of a row"))
    }

    /// What the row's `RANGE` frames go from, and what the calls read of it.
    pub(in crate::operators) fn read(&self, calls: &Calls) -> Result<(Datum, Inputs)> {
        let mut reader = Reader::new(&self.bytes);
        reader.u64()?;
        let key = if calls.has_distance { reader.datum()? } else { Datum::Null };
        Ok((key, calls.read_inputs(&mut reader)?))
    }

    pub(in crate::operators) fn inputs(&self, calls: &Calls) -> Result<Inputs> {
        Ok(self.read(calls)?.1)
    }
}

/// The bytes of a row of level 0.
pub(in crate::operators) fn entry_bytes(order: usize, key: &Datum, inputs: &Inputs, calls: &Calls) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32);
    codec::write_len(order, &mut bytes);
    if calls.has_distance {
        codec::write_datum(key, &mut bytes);
    }
    calls.write_inputs(inputs, &mut bytes);
    bytes
}

impl<'a, 's> Partition<'a, 's> {
    fn entries(&self, level: u8, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Entries<'a> {
        let key = |place: &[u8]| level_key(level, self.key, place);
        let from = match from {
            Bound::Included(place) => Bound::Included(key(place)),
            Bound::Excluded(place) => Bound::Excluded(key(place)),
            Bound::Unbounded => Bound::Included(key(&[])),
        };
        let to = match to {
            Bound::Included(place) => Bound::Included(key(place)),
            Bound::Excluded(place) => Bound::Excluded(key(place)),
            Bound::Unbounded => after(&key(&[])).map_or(Bound::Unbounded, Bound::Excluded),
        };
        self.state.range(from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice))
    }

    /// The rows of a range, in order.
    pub(in crate::operators) fn rows(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = Result<Entry>> + use<'a> {
        let start = 1 + self.key.len();
        self.entries(0, from, to).map(move |entry| entry.map(|(key, bytes)| Entry { key, start, bytes }))
    }

    /// The rows from one place up to another one, or to the end.
    pub(in crate::operators) fn between(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = Result<Entry>> + use<'a> {
        self.rows(Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded))
    }

    /// The row at a place.
    pub(in crate::operators) fn at(&self, place: &[u8]) -> Result<Option<Entry>> {
        self.rows(Bound::Included(place), Bound::Included(place)).next().transpose()
    }

    /// The row before a place.
    pub(in crate::operators) fn before(&self, place: &[u8]) -> Result<Option<Entry>> {
        self.between(&[], Some(place)).next_back().transpose()
    }

    /// The `n`th row before a place.
    pub(in crate::operators) fn nth_before(&self, place: &[u8], n: u64) -> Result<Option<Entry>> {
        if n <= STEPS_MAX || !self.calls.is_indexed {
            let steps = usize::try_from(n.saturating_sub(1)).unwrap_or(usize::MAX);
            return self.between(&[], Some(place)).nth_back(steps).transpose();
        }
        match self.count(&[], Some(place))?.checked_sub(n) {
            Some(at) => self.select(at),
            None => Ok(None),
        }
    }

    /// The `n`th row behind a place.
    pub(in crate::operators) fn nth_after(&self, place: &[u8], n: u64) -> Result<Option<Entry>> {
        if n <= STEPS_MAX || !self.calls.is_indexed {
            let steps = usize::try_from(n.saturating_sub(1)).unwrap_or(usize::MAX);
            return self.rows(Bound::Excluded(place), Bound::Unbounded).nth(steps).transpose();
        }
        self.select(self.count(&[], Some(&just_after(place)))?.saturating_add(n - 1))
    }

    /// The row with so many before it.
    fn select(&self, mut at: u64) -> Result<Option<Entry>> {
        let mut level = self.top()?;
        let (mut from, mut to) = (Vec::new(), None::<Vec<u8>>);
        while level > 0 {
            let start = 1 + self.key.len();
            let mut found = None;
            let bound = to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            for entry in self.entries(level, Bound::Included(&from), bound) {
                let (key, bytes) = entry?;
                let place = key.get(start..).unwrap_or_default();
                if found.is_some() {
                    to = Some(place.to_vec());
                    break;
                }
                let rows = Summary::rows(&bytes)?;
                if at < rows { found = Some(place.to_vec()) } else { at -= rows }
            }
            let Some(found) = found else { return Ok(None) };
            from = found;
            level -= 1;
        }
        self.between(&from, to.as_deref()).nth(usize::try_from(at).unwrap_or(usize::MAX)).transpose()
    }

    /// How many rows a range has.
    pub(in crate::operators) fn count(&self, from: &[u8], to: Option<&[u8]>) -> Result<u64> {
        let mut rows = self.base.filter(|_| from.is_empty()).map_or(0, |base| base.rows);
        self.walk(from, to, &mut |piece| {
            rows += match piece {
                Walked::Row(_) => 1,
                Walked::Block(bytes) => Summary::rows(bytes)?,
            };
            Ok(())
        })?;
        Ok(rows)
    }

    /// How many groups of peers begin before a place.
    pub(in crate::operators) fn groups_before(&self, place: &[u8]) -> Result<u64> {
        let mut heads = 0;
        // The order of the row before the next one, where it is known.
        let mut last: Option<Vec<u8>> = Some(vec![u8::MAX]);
        self.walk(&[], Some(place), &mut |piece| {
            match piece {
                Walked::Block(bytes) => {
                    heads += Summary::read(bytes, self.calls)?.heads;
                    last = None;
                }
                Walked::Row(row) => {
                    let order = row.order()?;
                    heads += i64::from(match &last {
                        Some(last) => last != order,
                        None => !self.has_peer_before(row.place(), order)?,
                    });
                    last = Some(order.to_vec());
                }
            }
            Ok(())
        })?;
        let summed_up = self.base.map_or(0, |base| base.groups);
        Ok(summed_up + u64::try_from(heads).unwrap_or_default())
    }

    /// Whether the row before a place is a peer of what has this order.
    pub(in crate::operators) fn has_peer_before(&self, place: &[u8], order: &[u8]) -> Result<bool> {
        Ok(self.before(place)?.is_some_and(|before| before.place().starts_with(order)))
    }

    /// Goes over a range: blocks that lie in it, and rows where no block does.
    pub(in crate::operators) fn fold(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        each: &mut dyn FnMut(Piece<'_>) -> Result<()>,
    ) -> Result<()> {
        self.walk(from, to, &mut |piece| match piece {
            Walked::Row(row) => each(Piece::Row(row)),
            Walked::Block(bytes) => {
                let summary = Summary::read(bytes, self.calls)?;
                each(Piece::Block(&summary.parts))
            }
        })
    }

    fn walk(&self, from: &[u8], to: Option<&[u8]>, each: &mut dyn FnMut(Walked<'_>) -> Result<()>) -> Result<()> {
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let mut at = from.to_vec();
        let mut level = 0;
        let start = 1 + self.key.len();
        // Up, for as long as a greater block begins before the end.
        let top = if self.calls.is_indexed { self.top()? } else { 0 };
        let first = |level, at: &[u8]| {
            let bound = to.map_or(Bound::Unbounded, Bound::Excluded);
            // Above the top there is nothing, and at the top only what begins with the partition.
            let is_there = level < top || (level == top && at.is_empty());
            if is_there { self.entries(level, Bound::Included(at), bound).next() } else { None }
        };
        while let Some(next) = first(level + 1, &at) {
            let next = next?.0.get(start..).unwrap_or_default().to_vec();
            self.each_of(level, &at, Some(&next), each)?;
            at = next;
            level += 1;
        }
        // And down again: the last block may reach beyond the end.
        while level > 0 {
            let Some(to) = to else { return self.each_of(level, &at, None, each) };
            let mut blocks = self.entries(level, Bound::Included(&at), Bound::Excluded(to)).peekable();
            while let Some(block) = blocks.next() {
                let (key, bytes) = block?;
                if blocks.peek().is_some() {
                    each(Walked::Block(&bytes))?;
                } else {
                    at = key.get(start..).unwrap_or_default().to_vec();
                }
            }
            level -= 1;
        }
        self.each_of(0, &at, to, each)
    }

    fn each_of(
        &self,
        level: u8,
        from: &[u8],
        to: Option<&[u8]>,
        each: &mut dyn FnMut(Walked<'_>) -> Result<()>,
    ) -> Result<()> {
        if level == 0 {
            return self.between(from, to).try_for_each(|row| each(Walked::Row(&row?)));
        }
        let bound = to.map_or(Bound::Unbounded, Bound::Excluded);
        self.entries(level, Bound::Included(from), bound).try_for_each(|entry| each(Walked::Block(&entry?.1)))
    }

    /// Sums up a run of a level: entries from one place up to another one. Only the first `most` of them; then also where
    /// the rest begins.
    fn sum(&self, level: u8, from: &[u8], to: Option<&[u8]>, most: u64) -> Result<(Summary, Option<Vec<u8>>)> {
        let mut sum = Summary::empty(self.calls);
        let bound = to.map_or(Bound::Unbounded, Bound::Excluded);
        let start = 1 + self.key.len();
        let mut last: Option<Vec<u8>> = None;
        for entry in self.entries(level, Bound::Included(from), bound) {
            let (key, bytes) = entry?;
            if sum.children == most {
                return Ok((sum, Some(key.get(start..).unwrap_or_default().to_vec())));
            }
            sum.children += 1;
            if level > 0 {
                sum.merge(&Summary::read(&bytes, self.calls)?);
                continue;
            }
            let row = Entry { key, start, bytes };
            sum.rows += 1;
            if self.calls.has_heads {
                let order = row.order()?;
                let has_peer = match &last {
                    Some(last) => last == order,
                    None => self.has_peer_before(row.place(), order)?,
                };
                sum.heads += i64::from(!has_peer);
                last = Some(order.to_vec());
            }
            sum.add(&row.inputs(self.calls)?, self.calls);
        }
        Ok((sum, None))
    }

    /// The greatest level, which has one entry. Levels are found by the keys of their first entries.
    fn top(&self) -> Result<u8> {
        let mut level = 0;
        while self.state.get(&level_key(level + 1, self.key, &[]))?.is_some() {
            level += 1;
        }
        Ok(level)
    }

    /// How many rows there are, where blocks tell.
    pub(in crate::operators) fn total(&self) -> Result<Option<u64>> {
        if !self.calls.is_indexed {
            return Ok(None);
        }
        let top = self.state.get(&level_key(self.top()?.max(1), self.key, &[]))?;
        top.map_or(Ok(Some(0)), |bytes| Summary::rows(&bytes).map(Some))
    }

    /// The entry of a level that a place is in.
    fn entry_of(&self, level: u8, top: u8, place: &[u8]) -> Result<Option<(Vec<u8>, Slice)>> {
        if level >= top {
            return Ok(self.state.get(&level_key(level, self.key, &[]))?.map(|bytes| (Vec::new(), bytes)));
        }
        let found = self.entries(level, Bound::Unbounded, Bound::Included(place)).next_back().transpose()?;
        Ok(found.map(|(key, bytes)| (key.get(1 + self.key.len()..).unwrap_or_default().to_vec(), bytes)))
    }

    /// Where the entry behind a place begins.
    fn next_entry(&self, level: u8, place: &[u8]) -> Result<Option<Vec<u8>>> {
        let next = self.entries(level, Bound::Excluded(place), Bound::Unbounded).next().transpose()?;
        Ok(next.map(|(key, _)| key.get(1 + self.key.len()..).unwrap_or_default().to_vec()))
    }
}

enum Walked<'w> {
    Row(&'w Entry),
    Block(&'w [u8]),
}

/// The least place behind a row's.
pub(in crate::operators) fn just_after(place: &[u8]) -> Vec<u8> {
    [place, &[0]].concat()
}

/// One row that has come, gone, or is read differently now.
pub(in crate::operators) struct Edit<'a> {
    pub(in crate::operators) place: &'a [u8],
    /// One more row, or one less.
    pub(in crate::operators) rows: i64,
    pub(in crate::operators) heads: i64,
    pub(in crate::operators) add: Option<&'a Inputs>,
    pub(in crate::operators) remove: Option<&'a Inputs>,
}

/// Carries an edit of level 0 upwards.
pub(in crate::operators) fn update(state: &mut State<'_>, calls: &Calls, key: &[u8], edit: &Edit<'_>) -> Result<()> {
    if !calls.is_indexed {
        return Ok(());
    }
    // How many entries the level below has more, or less.
    let mut more = edit.rows;
    let top = Partition { state, calls, key, base: None }.top()?;
    for level in 1.. {
        let partition = Partition { state, calls, key, base: None };
        let (at, mut summary) = match partition.entry_of(level, top, edit.place)? {
            Some((at, bytes)) => (at, Summary::read(&bytes, calls)?),
            None if level == 1 => (Vec::new(), Summary::empty(calls)),
            None if more > 0 => {
                let (sum, _) = partition.sum(level - 1, &[], None, u64::MAX)?;
                return state.put(&level_key(level, key, &[]), sum.bytes());
            }
            None => break,
        };
        summary.children = summary.children.saturating_add_signed(more);
        summary.rows = summary.rows.saturating_add_signed(edit.rows);
        summary.heads += edit.heads;
        more = 0;
        if let Some(add) = edit.add {
            summary.add(add, calls);
        }
        if let Some(remove) = edit.remove
            && !summary.remove(remove, calls)
        {
            let next = partition.next_entry(level, &at)?;
            summary.parts = partition.sum(level - 1, &at, next.as_deref(), u64::MAX)?.0.parts;
        }
        let here = level_key(level, key, &at);
        if summary.rows == 0 && !at.is_empty() && state.get(&level_key(level + 1, key, &at))?.is_none() {
            // The first entries of its run begin where it does and stay for as long as it does.
            for level in 1..=level {
                state.remove(&level_key(level, key, &at))?;
            }
            more = -1;
        } else if summary.children > WIDTH_MAX {
            let next = partition.next_entry(level, &at)?;
            let (first, middle) = partition.sum(level - 1, &at, next.as_deref(), summary.children / 2)?;
            let middle = middle.ok_or(Error::Bug("a block has fewer entries than it counts"))?;
            let (second, _) = partition.sum(level - 1, &middle, next.as_deref(), u64::MAX)?;
            state.put(&here, first.bytes())?;
            state.put(&level_key(level, key, &middle), second.bytes())?;
            more = 1;
        } else {
            state.put(&here, summary.bytes())?;
        }
    }
    if edit.rows < 0 && (Partition { state, calls, key, base: None }).between(&[], None).next().is_none() {
        for level in 1.. {
            let here = level_key(level, key, &[]);
            if state.get(&here)?.is_none() {
                break;
            }
            state.remove(&here)?;
        }
    }
    Ok(())
}

impl Summary {
    fn empty(calls: &Calls) -> Self {
        Self { children: 0, rows: 0, heads: 0, parts: calls.empty_parts() }
    }

    fn add(&mut self, inputs: &Inputs, calls: &Calls) {
        calls.add(&mut self.parts, inputs);
    }

    /// Whether that could be done without looking at the rows that stay.
    fn remove(&mut self, inputs: &Inputs, calls: &Calls) -> bool {
        calls.remove(&mut self.parts, inputs)
    }

    fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.heads += other.heads;
        super::part::merge(&mut self.parts, &other.parts);
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16);
        codec::write_u64(self.rows, &mut out);
        codec::write_u64(self.children, &mut out);
        codec::write_i64(self.heads, &mut out);
        for part in self.parts.iter().flatten() {
            part.write(&mut out);
        }
        out
    }

    fn read(bytes: &[u8], calls: &Calls) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let rows = reader.u64()?;
        let children = reader.u64()?;
        let heads = reader.i64()?;
        let mut parts = calls.empty_parts();
        for part in parts.iter_mut().flatten() {
            part.read(&mut reader)?;
        }
        Ok(Self { children, rows, heads, parts })
    }

    fn rows(bytes: &[u8]) -> Result<u64> {
        Reader::new(bytes).u64()
    }
}
