//! The greatest key of each collection, so that a new key behind it need not be looked for.
//!
//! Most new documents have an `_id` that is greater than all others. A lookup in the tree costs more than everything else
//! that the commit loop does for such a document; a comparison costs nothing. A head is a bound, never too low: deletions
//! and writes that are undone leave it where it is, and the worst that follows is a lookup.

use std::{collections::HashMap, ops::Bound};

use crate::{Result, Slice, Snapshot, Space};

/// The numbers of collections come first in keys, in this many bytes.
const PREFIX_BYTES: usize = 4;

/// Bounds of the keys of [`Space::Records`], by their first four bytes.
#[derive(Debug, Default)]
pub(crate) struct Heads(HashMap<[u8; PREFIX_BYTES], Vec<u8>>);

impl Heads {
    /// Whether the key is certainly not there, neither in `base` nor in `staged`.
    pub(crate) fn is_behind_all(
        &mut self,
        key: &[u8],
        base: &Snapshot,
        staged: impl FnOnce(Bound<&[u8]>, Bound<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<bool> {
        let Some(prefix) = key.first_chunk::<PREFIX_BYTES>() else {
            return Ok(false);
        };
        if let Some(head) = self.0.get(prefix) {
            return Ok(key > head.as_slice());
        }
        let number = u32::from_be_bytes(*prefix);
        let end = number.checked_add(1).map(u32::to_be_bytes);
        let (low, high) = (
            Bound::Included(prefix.as_slice()),
            end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(end.as_slice())),
        );
        let stored = base.range(Space::Records, low, high).next_back().transpose()?.map(|(key, _)| key.to_vec());
        let head = stored.max(staged(low, high)).unwrap_or_default();
        let behind = key > head.as_slice();
        self.0.insert(*prefix, head);
        Ok(behind)
    }

    /// Notes that a key was stored.
    pub(crate) fn note(&mut self, key: &[u8]) {
        let head = key.first_chunk::<PREFIX_BYTES>().and_then(|prefix| self.0.get_mut(prefix));
        if let Some(head) = head.filter(|head| key > head.as_slice()) {
            head.clear();
            head.extend_from_slice(key);
        }
    }

    /// Notes keys that were stored, in their order.
    pub(crate) fn note_all<'k>(&mut self, keys: impl Iterator<Item = &'k Slice>) {
        let mut keys = keys.peekable();
        while let Some(key) = keys.next() {
            // The last one of each collection.
            if keys.peek().is_none_or(|next| next.get(..PREFIX_BYTES) != key.get(..PREFIX_BYTES)) {
                self.note(key);
            }
        }
    }

    /// Forgets a collection that is gone.
    pub(crate) fn forget(&mut self, prefix: u32) {
        self.0.remove(&prefix.to_be_bytes());
    }
}
