//! A stored range with staged rows in front of it.

use std::{cmp::Ordering, collections::VecDeque};

use super::Range;
use crate::{Result, Slice};

/// Both in key order, from both ends.
pub(super) struct Merged {
    /// No value: the row is not there any more.
    staged: VecDeque<(Slice, Option<Slice>)>,
    stored: Range,
    /// Stored rows that were taken and not given yet.
    first: Option<(Slice, Slice)>,
    last: Option<(Slice, Slice)>,
}

impl Merged {
    pub(super) fn new(staged: VecDeque<(Slice, Option<Slice>)>, stored: Range) -> Self {
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
            let Some((key, _)) = self.staged.front() else { return self.first.take().map(Ok) };
            let order = self.first.as_ref().map_or(Ordering::Less, |(stored, _)| key.cmp(stored));
            if order.is_gt() {
                return self.first.take().map(Ok);
            }
            if order.is_eq() {
                self.first = None;
            }
            if let Some((key, Some(value))) = self.staged.pop_front() {
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
            let Some((key, _)) = self.staged.back() else { return self.last.take().map(Ok) };
            let order = self.last.as_ref().map_or(Ordering::Greater, |(stored, _)| key.cmp(stored));
            if order.is_lt() {
                return self.last.take().map(Ok);
            }
            if order.is_eq() {
                self.last = None;
            }
            if let Some((key, Some(value))) = self.staged.pop_back() {
                return Some(Ok((key, value)));
            }
        }
    }
}
