//! What has changed since the last commit laid over what the last commit has left: in order, from both ends.

use std::cmp::Ordering;
use std::collections::btree_map;

use fjall::Slice;

use super::state::StateKey;
use crate::{Error, Result};

/// Keys and their values, in order, from both ends.
pub(crate) struct Entries<'a> {
    changed: Option<Ends<Changed<'a>>>,
    below: Option<Ends<Below>>,
}

type Changed<'a> = btree_map::Range<'a, Slice, Option<Slice>>;

/// The rows of the files; after an error there are none.
pub(super) struct Below(Option<fjall::Iter>);

/// An iterator that shows what comes next, at both ends.
struct Ends<I: Iterator> {
    iter: I,
    front: Option<I::Item>,
    back: Option<I::Item>,
}

impl<'a> Entries<'a> {
    pub(super) fn new(changed: Option<Changed<'a>>, below: Option<fjall::Iter>) -> Self {
        Self { changed: changed.map(Ends::new), below: below.map(|iter| Ends::new(Below(Some(iter)))) }
    }

    /// The next entry from one end; a removed key hides the one below.
    fn next_from(&mut self, from: End) -> Option<Result<(StateKey, Slice)>> {
        loop {
            let changed = self.changed.as_mut().and_then(|ends| ends.peek(from)).map(|(key, _)| *key);
            let below = self.below.as_mut().and_then(|ends| ends.peek(from));
            let order = match (changed, below) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(changed), Some(Ok((below, _)))) => match from {
                    End::Front => changed.cmp(below),
                    End::Back => below.cmp(changed),
                },
                (Some(_), Some(Err(_))) => Ordering::Greater,
            };
            if order.is_gt() {
                let entry = self.below.as_mut()?.take(from)?;
                return Some(entry.map(|(key, value)| (StateKey(key), value)));
            }
            if order.is_eq() {
                self.below.as_mut()?.take(from);
            }
            if let (key, Some(value)) = self.changed.as_mut()?.take(from)? {
                return Some(Ok((StateKey(key.clone()), value.clone())));
            }
        }
    }
}

#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

impl Iterator for Entries<'_> {
    type Item = Result<(StateKey, Slice)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_from(End::Front)
    }
}

impl DoubleEndedIterator for Entries<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.next_from(End::Back)
    }
}

impl<I: DoubleEndedIterator> Ends<I> {
    fn new(iter: I) -> Self {
        Self { iter, front: None, back: None }
    }

    fn peek(&mut self, from: End) -> Option<&I::Item> {
        match from {
            End::Front => {
                if self.front.is_none() {
                    self.front = self.iter.next().or_else(|| self.back.take());
                }
                self.front.as_ref()
            }
            End::Back => {
                if self.back.is_none() {
                    self.back = self.iter.next_back().or_else(|| self.front.take());
                }
                self.back.as_ref()
            }
        }
    }

    /// Takes what [`Ends::peek`] shows.
    fn take(&mut self, from: End) -> Option<I::Item> {
        match from {
            End::Front => self.front.take(),
            End::Back => self.back.take(),
        }
    }
}

impl Below {
    fn entry(&mut self, guard: Option<fjall::Guard>) -> Option<Result<(Slice, Slice)>> {
        let entry = guard?.into_inner().map_err(Error::from);
        if entry.is_err() {
            self.0 = None;
        }
        Some(entry)
    }
}

impl Iterator for Below {
    type Item = Result<(Slice, Slice)>;

    fn next(&mut self) -> Option<Self::Item> {
        let guard = self.0.as_mut()?.next();
        self.entry(guard)
    }
}

impl DoubleEndedIterator for Below {
    fn next_back(&mut self) -> Option<Self::Item> {
        let guard = self.0.as_mut()?.next_back();
        self.entry(guard)
    }
}
