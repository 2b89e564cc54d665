//! What has changed since the last commit laid over what the last commit has left: in order, from both ends.

use std::collections::btree_map;

use fjall::Slice;

use super::state::StateKey;
use crate::{Error, Result};

/// What may lie over the files: what is on its way to them, and what has changed since.
const LAYERS: usize = 3;

/// Keys and their values, in order, from both ends.
pub(crate) struct Entries<'a> {
    /// The upper ones first.
    layers: [Option<Ends<Layer<'a>>>; LAYERS],
}

type Changed<'a> = btree_map::Range<'a, Slice, Option<Slice>>;

/// A key and its value; `None`: the key was removed.
type Entry = Result<(Slice, Option<Slice>)>;

enum Layer<'a> {
    Changed(Changed<'a>),
    /// The rows of the files; after an error there are none.
    Files(Option<fjall::Iter>),
}

/// An iterator that shows what comes next, at both ends.
struct Ends<I: Iterator> {
    iter: I,
    front: Option<I::Item>,
    back: Option<I::Item>,
}

impl<'a> Entries<'a> {
    /// What has changed lies over what is on its way to the files, and that over what is in them.
    pub(super) fn new(changed: Option<Changed<'a>>, leaving: Option<Changed<'a>>, files: Option<fjall::Iter>) -> Self {
        let over = |changed: Option<Changed<'a>>| changed.map(|range| Ends::new(Layer::Changed(range)));
        Self { layers: [over(changed), over(leaving), files.map(|iter| Ends::new(Layer::Files(Some(iter))))] }
    }

    /// The next entry from one end; a key of an upper layer hides the same one of those below.
    fn next_from(&mut self, from: End) -> Option<Result<(StateKey, Slice)>> {
        loop {
            let next = self.layer(from)?;
            let (key, value) = match self.layers.get_mut(next)?.as_mut()?.take(from)? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error)),
            };
            for below in self.layers.iter_mut().skip(next + 1).flatten() {
                if below.peek(from).is_some_and(|entry| entry.as_ref().is_ok_and(|(other, _)| *other == key)) {
                    below.take(from);
                }
            }
            if let Some(value) = value {
                return Some(Ok((StateKey(key), value)));
            }
        }
    }

    /// The layer that has the next key: of the same one the upper. An error comes at once.
    fn layer(&mut self, from: End) -> Option<usize> {
        let mut first: Option<(usize, &Slice)> = None;
        for (number, layer) in self.layers.iter_mut().enumerate() {
            match layer.as_mut().and_then(|ends| ends.peek(from)) {
                Some(Ok((key, _))) => {
                    let is_next = first.is_none_or(|(_, other)| match from {
                        End::Front => key < other,
                        End::Back => key > other,
                    });
                    if is_next {
                        first = Some((number, key));
                    }
                }
                Some(Err(_)) => return Some(number),
                None => {}
            }
        }
        first.map(|(number, _)| number)
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

impl Layer<'_> {
    fn entry(&mut self, from: End) -> Option<Entry> {
        let files = match self {
            Self::Changed(range) => {
                let (key, value) = match from {
                    End::Front => range.next(),
                    End::Back => range.next_back(),
                }?;
                return Some(Ok((key.clone(), value.clone())));
            }
            Self::Files(files) => files,
        };
        let guard = match from {
            End::Front => files.as_mut()?.next(),
            End::Back => files.as_mut()?.next_back(),
        }?;
        let entry = guard.into_inner().map(|(key, value)| (key, Some(value))).map_err(Error::from);
        if entry.is_err() {
            *files = None;
        }
        Some(entry)
    }
}

impl Iterator for Layer<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        self.entry(End::Front)
    }
}

impl DoubleEndedIterator for Layer<'_> {
    fn next_back(&mut self) -> Option<Entry> {
        self.entry(End::Back)
    }
}
