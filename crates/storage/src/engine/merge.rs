//! A stored range with staged rows in front of it.

use std::{cmp::Ordering, collections::VecDeque, ops::Bound, sync::Arc};

use super::{Range, is_empty_range};
use crate::{Result, Slice, Space, draft::Staged};

/// Staged rows that are taken at once, at first and at most.
const FEW: usize = 8;
const MANY: usize = 512;

/// A staged row; no value: the row is not there any more.
type Row = (Slice, Option<Slice>);

/// Staged rows between two bounds, in key order and from both ends. A few are taken at a time: whoever wants the first one
/// of a hundred thousand does not pay for the others.
pub(super) struct Few {
    rows: Arc<Staged>,
    space: Space,
    /// Where those are that were not taken yet; nothing if there are none.
    left: Option<(Bound<Slice>, Bound<Slice>)>,
    /// Taken from the beginning, and from the end.
    front: VecDeque<Row>,
    back: VecDeque<Row>,
    count: usize,
}

impl Few {
    pub(super) fn new(rows: Arc<Staged>, space: Space, low: Bound<&[u8]>, high: Bound<&[u8]>) -> Self {
        let left = Some((low.map(Slice::copy_from_slice), high.map(Slice::copy_from_slice)));
        Self { rows, space, left, front: VecDeque::new(), back: VecDeque::new(), count: FEW }
    }

    pub(super) fn first(&mut self) -> Option<&Row> {
        if self.front.is_empty()
            && let Some((low, high)) = self.left.take_if(|(low, high)| !is_empty_range(bytes(low), bytes(high)))
        {
            let rows = self.rows.at(self.space).range::<[u8], _>((bytes(&low), bytes(&high)));
            self.front.extend(rows.take(self.count).map(|(key, value)| (key.clone(), value.clone())));
            if let Some((key, _)) = self.front.back().filter(|_| self.front.len() == self.count) {
                self.left = Some((Bound::Excluded(key.clone()), high));
            }
            self.count = MANY.min(self.count * 2);
        }
        self.front.front().or_else(|| self.back.front())
    }

    fn last(&mut self) -> Option<&Row> {
        if self.back.is_empty()
            && let Some((low, high)) = self.left.take_if(|(low, high)| !is_empty_range(bytes(low), bytes(high)))
        {
            let rows = self.rows.at(self.space).range::<[u8], _>((bytes(&low), bytes(&high)));
            for (key, value) in rows.rev().take(self.count) {
                self.back.push_front((key.clone(), value.clone()));
            }
            if let Some((key, _)) = self.back.front().filter(|_| self.back.len() == self.count) {
                self.left = Some((low, Bound::Excluded(key.clone())));
            }
            self.count = MANY.min(self.count * 2);
        }
        self.back.back().or_else(|| self.front.back())
    }

    fn pop_first(&mut self) -> Option<Row> {
        self.front.pop_front().or_else(|| self.back.pop_front())
    }

    fn pop_last(&mut self) -> Option<Row> {
        self.back.pop_back().or_else(|| self.front.pop_back())
    }
}

fn bytes(bound: &Bound<Slice>) -> Bound<&[u8]> {
    bound.as_ref().map(AsRef::as_ref)
}

/// Both in key order, from both ends.
pub(super) struct Merged {
    staged: Few,
    stored: Range,
    /// Stored rows that were taken and not given yet.
    first: Option<(Slice, Slice)>,
    last: Option<(Slice, Slice)>,
}

impl Merged {
    pub(super) fn new(staged: Few, stored: Range) -> Self {
        Self { staged, stored, first: None, last: None }
    }

    pub(super) fn next(&mut self) -> Option<Result<(Slice, Slice)>> {
        loop {
            if self.first.is_none() {
                match self.stored.next() {
                    Some(Ok(row)) => self.first = Some(row),
                    Some(Err(error)) => return Some(Err(error)),
                    None => self.first = self.last.take(),
                }
            }
            let Some((key, _)) = self.staged.first() else { return self.first.take().map(Ok) };
            let order = self.first.as_ref().map_or(Ordering::Less, |(stored, _)| key.cmp(stored));
            if order.is_gt() {
                return self.first.take().map(Ok);
            }
            if order.is_eq() {
                self.first = None;
            }
            if let Some((key, Some(value))) = self.staged.pop_first() {
                return Some(Ok((key, value)));
            }
        }
    }

    pub(super) fn next_back(&mut self) -> Option<Result<(Slice, Slice)>> {
        loop {
            if self.last.is_none() {
                match self.stored.next_back() {
                    Some(Ok(row)) => self.last = Some(row),
                    Some(Err(error)) => return Some(Err(error)),
                    None => self.last = self.first.take(),
                }
            }
            let Some((key, _)) = self.staged.last() else { return self.last.take().map(Ok) };
            let order = self.last.as_ref().map_or(Ordering::Greater, |(stored, _)| key.cmp(stored));
            if order.is_lt() {
                return self.last.take().map(Ok);
            }
            if order.is_eq() {
                self.last = None;
            }
            if let Some((key, Some(value))) = self.staged.pop_last() {
                return Some(Ok((key, value)));
            }
        }
    }
}
