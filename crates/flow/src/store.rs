//! Where operators keep their state: ordered bytes, committed together with the position in the sources.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::Result;

/// The state of one circuit.
#[derive(Default)]
pub struct Store {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Store {
    /// State that lives as long as this value.
    #[must_use]
    pub fn memory() -> Self {
        Self::default()
    }

    /// The state of one node.
    pub(crate) fn state(&mut self, node: u32) -> State<'_> {
        State { store: self, node }
    }
}

/// The state of one node: keys and values of its own choosing, ordered by the bytes of the keys.
pub(crate) struct State<'a> {
    store: &'a mut Store,
    node: u32,
}

impl State<'_> {
    fn key(&self, key: &[u8]) -> Vec<u8> {
        [self.node.to_be_bytes().as_slice(), key].concat()
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.store.rows.get(&self.key(key)).cloned())
    }

    /// Sets the value of a key.
    pub(crate) fn put(&mut self, key: &[u8], value: Vec<u8>) -> Result<()> {
        let key = self.key(key);
        self.store.rows.insert(key, value);
        Ok(())
    }

    /// Removes a key.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Result<()> {
        let key = self.key(key);
        self.store.rows.remove(&key);
        Ok(())
    }

    /// The keys of a range and their values, in order; `.rev()` for the other way.
    pub(crate) fn range(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = Result<(Vec<u8>, Vec<u8>)>> + '_ {
        let from = match from {
            Bound::Included(key) => Bound::Included(self.key(key)),
            Bound::Excluded(key) => Bound::Excluded(self.key(key)),
            Bound::Unbounded => Bound::Included(self.key(&[])),
        };
        let to = match to {
            Bound::Included(key) => Bound::Included(self.key(key)),
            Bound::Excluded(key) => Bound::Excluded(self.key(key)),
            Bound::Unbounded => Bound::Excluded((self.node + 1).to_be_bytes().to_vec()),
        };
        self.store
            .rows
            .range((from, to))
            .map(|(key, value)| Ok((key.get(4..).unwrap_or_default().to_vec(), value.clone())))
    }
}
