//! Where operators keep their state: ordered bytes, committed together with the position in the sources.

use std::collections::BTreeMap;
use std::ops::Bound;

use fjall::Slice;

use crate::{Error, Result};

/// The state of one circuit.
#[derive(Default)]
pub struct Store {
    rows: BTreeMap<Slice, Slice>,
}

impl Store {
    /// State that lives as long as this value.
    #[must_use]
    pub fn memory() -> Self {
        Self::default()
    }

    /// The state of one node.
    pub(crate) fn state(&mut self, node: usize) -> Result<State<'_>> {
        let node = u16::try_from(node).ok().filter(|node| *node < NOTES).ok_or(Error::Bug("too many operators"))?;
        Ok(State { store: self, node: node.to_be_bytes() })
    }

    /// What the circuit's owner keeps.
    pub(crate) fn notes(&mut self) -> State<'_> {
        State { store: self, node: NOTES.to_be_bytes() }
    }

    /// What belongs to the circuit as a whole.
    pub(crate) fn meta(&mut self) -> State<'_> {
        State { store: self, node: META.to_be_bytes() }
    }
}

/// The number that no node has, of what belongs to the circuit as a whole.
const META: u16 = u16::MAX;

/// The number that no node has, of what the circuit's owner keeps.
const NOTES: u16 = META - 1;

/// How many bytes of a key tell the node.
const NODE_BYTES: usize = 2;

/// The state of one node: keys and values of its own choosing, ordered by the bytes of the keys.
pub(crate) struct State<'a> {
    store: &'a mut Store,
    node: [u8; NODE_BYTES],
}

/// A key of a node's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateKey(Slice);

impl std::ops::Deref for StateKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.get(NODE_BYTES..).unwrap_or_default()
    }
}

/// Keys and their values, in order, from both ends.
pub(crate) struct Entries<'a>(Option<std::collections::btree_map::Range<'a, Slice, Slice>>);

fn entry((key, value): (&Slice, &Slice)) -> Result<(StateKey, Slice)> {
    Ok((StateKey(key.clone()), value.clone()))
}

impl Iterator for Entries<'_> {
    type Item = Result<(StateKey, Slice)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.as_mut()?.next().map(entry)
    }
}

impl DoubleEndedIterator for Entries<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.as_mut()?.next_back().map(entry)
    }
}

impl State<'_> {
    fn key(&self, key: &[u8]) -> Vec<u8> {
        [self.node.as_slice(), key].concat()
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Slice>> {
        Ok(self.store.rows.get(self.key(key).as_slice()).cloned())
    }

    /// Sets the value of a key.
    pub(crate) fn put(&mut self, key: &[u8], value: impl Into<Slice>) -> Result<()> {
        let key = self.key(key);
        self.store.rows.insert(key.into(), value.into());
        Ok(())
    }

    /// Removes a key.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Result<()> {
        let key = self.key(key);
        self.store.rows.remove(key.as_slice());
        Ok(())
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
            Bound::Unbounded => Bound::Excluded(u16::from_be_bytes(self.node).saturating_add(1).to_be_bytes().to_vec()),
        };
        let bounds = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
        Entries((!is_empty(bounds.0, bounds.1)).then(|| self.store.rows.range::<[u8], _>(bounds)))
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
