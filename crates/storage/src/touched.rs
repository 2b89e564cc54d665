//! When something was last changed under a prefix, so that whoever asks whether a row is still as it was in an older state
//! need not look it up in both.
//!
//! A transaction that writes thousands of rows asks this for each of them, and nearly always nobody else has written to
//! the collection meanwhile. The answer may be too cautious, never too bold: prefixes share slots, and a slot says
//! that there was a change before anybody can see it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::Space;

/// Numbers of collections and indexes follow each other: so many of them have a slot of their own.
const SLOTS: usize = 4_096;

/// For each slot the number of the last group that changed something in it.
pub(crate) struct Touched(Box<[AtomicU64]>);

impl Default for Touched {
    fn default() -> Self {
        Self((0..SLOTS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Touched {
    /// Notes that a group changes a row. Belongs to the commit thread, and comes before the change can be seen.
    pub(crate) fn note(&self, space: Space, key: &[u8], group: u64) {
        if let Some(slot) = self.0.get(position(space, key)) {
            slot.fetch_max(group, Ordering::AcqRel);
        }
    }

    /// The last group that may have changed a row.
    fn last(&self, space: Space, key: &[u8]) -> u64 {
        self.0.get(position(space, key)).map_or(u64::MAX, |slot| slot.load(Ordering::Acquire))
    }
}

/// Where rows with the first four bytes of this key are noted.
fn position(space: Space, key: &[u8]) -> usize {
    let prefix = key.iter().take(4).fold(0_usize, |prefix, byte| (prefix << 8) | usize::from(*byte));
    (prefix * Space::ALL.len() + usize::from(space.number())) % SLOTS
}

/// The place of a state among all groups of one store.
#[derive(Clone)]
pub(crate) struct Age {
    /// The last group that it holds.
    pub(crate) group: u64,
    pub(crate) touched: Arc<Touched>,
}

impl Age {
    /// Whether certainly nothing was changed since under the first four bytes of this key.
    pub(crate) fn is_untouched(&self, space: Space, key: &[u8]) -> bool {
        self.touched.last(space, key) <= self.group
    }
}
