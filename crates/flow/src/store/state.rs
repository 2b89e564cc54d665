//! What one node sees of a store.

use std::ops::Bound;

use fjall::Slice;

use super::{Entries, Store};
use crate::Result;

/// The number that no node has, of what belongs to the circuit as a whole.
pub(super) const META: u16 = u16::MAX;

/// The number that no node has, of what the circuit's owner keeps.
pub(super) const NOTES: u16 = META - 1;

/// How many bytes of a key tell the node.
pub(super) const NODE_BYTES: usize = 2;

/// The state of one node: keys and values of its own choosing, ordered by the bytes of the keys.
pub(crate) struct State<'a> {
    store: &'a mut Store,
    node: [u8; NODE_BYTES],
}

/// A key of a node's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateKey(pub(super) Slice);

impl std::ops::Deref for StateKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.get(NODE_BYTES..).unwrap_or_default()
    }
}

impl<'a> State<'a> {
    pub(super) fn new(store: &'a mut Store, node: u16) -> Self {
        Self { store, node: node.to_be_bytes() }
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        [self.node.as_slice(), key].concat()
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Slice>> {
        let whole = self.whole(key);
        let value = self.store.get(&whole);
        self.store.scratch.set(whole);
        value
    }

    /// Sets the value of a key.
    pub(crate) fn put(&mut self, key: &[u8], value: impl Into<Slice>) -> Result<()> {
        self.set(key, Some(value.into()))
    }

    /// Sets the value of a key that is not there: nothing has to be read.
    pub(crate) fn put_new(&mut self, key: &[u8], value: impl Into<Slice>) -> Result<()> {
        self.replace(key, None, Some(value.into()))
    }

    /// Sets the value of a key, or removes it, where the bytes of the value that it has are known, or that it has none:
    /// nothing has to be read.
    pub(crate) fn replace(&mut self, key: &[u8], old: Option<usize>, value: Option<Slice>) -> Result<()> {
        let whole = self.whole(key);
        let done = self.store.replace(&whole, old, value);
        self.store.scratch.set(whole);
        done
    }

    /// Removes a key.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Result<()> {
        self.set(key, None)
    }

    fn set(&mut self, key: &[u8], value: Option<Slice>) -> Result<()> {
        let whole = self.whole(key);
        let done = self.store.set(&whole, value);
        self.store.scratch.set(whole);
        done
    }

    /// A key with the node's number in front, in the buffer that all keys share.
    fn whole(&self, key: &[u8]) -> Vec<u8> {
        let mut whole = self.store.scratch.take();
        whole.clear();
        whole.extend_from_slice(&self.node);
        whole.extend_from_slice(key);
        whole
    }

    /// The keys of a range and their values, in order; `.rev()` for the other way.
    pub(crate) fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Entries<'_> {
        let from = match from {
            Bound::Included(key) => Bound::Included(self.key(key)),
            Bound::Excluded(key) => Bound::Excluded(self.key(key)),
            Bound::Unbounded => Bound::Included(self.node.to_vec()),
        };
        let to = match to {
            Bound::Included(key) => Bound::Included(self.key(key)),
            Bound::Excluded(key) => Bound::Excluded(self.key(key)),
            Bound::Unbounded => after(&self.node).map_or(Bound::Unbounded, Bound::Excluded),
        };
        let (from, to) = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
        if is_empty(from, to) {
            return Entries::new(None, None, None);
        }
        let below = self.store.below.as_ref().map(|below| below.disk.range(from, to));
        let leaving = self.store.leaving.as_deref().map(|rows| rows.range::<[u8], _>((from, to)));
        Entries::new(Some(self.store.rows.range::<[u8], _>((from, to))), leaving, below)
    }

    /// All keys that begin so, and their values, in order.
    pub(crate) fn prefix(&self, prefix: &[u8]) -> Entries<'_> {
        let end = after(prefix);
        self.range(Bound::Included(prefix), end.as_deref().map_or(Bound::Unbounded, Bound::Excluded))
    }
}

/// The least key that does not begin with `prefix` and is greater; `None`: there is none.
pub(crate) fn after(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut end = prefix.get(..=last)?.to_vec();
    if let Some(byte) = end.last_mut() {
        *byte += 1;
    }
    Some(end)
}

/// Ordered maps panic on reversed bounds; for us they are simply empty.
fn is_empty(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => from >= to,
    }
}
