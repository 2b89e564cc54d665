//! Keys that were read or written lately, with their values; also keys that are known to be absent.
//!
//! Two generations: what is used goes to the young one; when that is half of what may be, it becomes the old one, and what
//! was old and not used since is dropped. So nothing has to be moved or counted on a hit.

use std::cell::RefCell;
use std::collections::HashMap;

use fjall::Slice;
use foldhash::fast::RandomState;

use crate::Result;

/// What an entry takes beside its key and value, about.
pub(super) const ENTRY_BYTES: usize = 64;

pub(super) struct Cache {
    most_bytes: usize,
    /// Reading moves entries, and reads share the store.
    generations: RefCell<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<Slice, Option<Slice>, RandomState>,
    old: HashMap<Slice, Option<Slice>, RandomState>,
    young_bytes: usize,
}

impl Cache {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { most_bytes, generations: RefCell::default() }
    }

    /// The value of a key, from here or else from there.
    pub(super) fn get_or(&self, key: &[u8], read: impl FnOnce() -> Result<Option<Slice>>) -> Result<Option<Slice>> {
        let mut generations = self.generations.borrow_mut();
        if let Some(value) = generations.young.get(key) {
            return Ok(value.clone());
        }
        let (key, value) = match generations.old.remove_entry(key) {
            Some(entry) => entry,
            None => (key.into(), read()?),
        };
        generations.put(key, value.clone(), self.most_bytes);
        Ok(value)
    }

    /// Notes the value of a key.
    pub(super) fn put(&mut self, key: Slice, value: Option<Slice>) {
        let generations = self.generations.get_mut();
        generations.old.remove(&key);
        generations.put(key, value, self.most_bytes);
    }
}

impl Generations {
    fn put(&mut self, key: Slice, value: Option<Slice>, most_bytes: usize) {
        self.young_bytes += key.len() + value.as_ref().map_or(0, |value| value.len()) + ENTRY_BYTES;
        self.young.insert(key, value);
        if self.young_bytes > most_bytes / 2 {
            // The next generation will be about as many.
            let next = HashMap::with_capacity_and_hasher(self.young.len(), RandomState::default());
            self.old = std::mem::replace(&mut self.young, next);
            self.young_bytes = 0;
        }
    }
}
