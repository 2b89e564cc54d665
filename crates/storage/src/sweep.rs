//! Removes everything under dropped prefixes, a slice at a time, between groups.

use std::{
    collections::VecDeque,
    ops::Bound,
    time::{Duration, Instant},
};

use crate::{
    Result, Slice, Space,
    engine::{Engine, Table},
    meta,
    space::PerSpace,
};

/// Keys per slice: about a millisecond, which a write that arrives meanwhile has to wait.
const KEYS: usize = 1_000;
/// While writes keep coming, a slice is done this often.
const PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Sweeper {
    prefixes: VecDeque<(Space, u32)>,
    /// The last key removed of the first prefix.
    position: Option<Slice>,
    last: Option<Instant>,
}

impl Sweeper {
    pub(crate) fn new(prefixes: Vec<(Space, u32)>) -> Self {
        Self { prefixes: prefixes.into(), position: None, last: None }
    }

    pub(crate) fn add(&mut self, space: Space, prefix: u32) {
        self.prefixes.push_back((space, prefix));
    }

    pub(crate) fn is_done(&self) -> bool {
        self.prefixes.is_empty()
    }

    /// Whether a slice should be done although writes are waiting.
    pub(crate) fn is_due(&self) -> bool {
        !self.is_done() && self.last.is_none_or(|last| last.elapsed() >= PAUSE)
    }

    /// Forgets what is left until the store is opened again.
    pub(crate) fn stop(&mut self) {
        self.prefixes.clear();
    }

    /// Removes one slice. True when a prefix is finished.
    pub(crate) fn step(&mut self, engine: &mut Engine, tables: &PerSpace<Table>, meta: &Table) -> Result<bool> {
        let Some((space, prefix)) = self.prefixes.front().copied() else {
            return Ok(false);
        };
        let table = tables.at(space);
        let first = prefix.to_be_bytes();
        let end = prefix.checked_add(1).map(u32::to_be_bytes);
        let low = match &self.position {
            Some(key) => Bound::Excluded(&key[..]),
            None => Bound::Included(&first[..]),
        };
        let high = end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(&end[..]));

        let mut batch = engine.batch();
        let mut count = 0;
        let mut position = None;
        for row in engine.view().range(table, low, high).take(KEYS) {
            let (key, _) = row?;
            position = Some(key.clone());
            batch.delete(table, key);
            count += 1;
        }
        let finished = count < KEYS;
        if finished {
            batch.delete(meta, meta::sweep_key(space, prefix));
        }
        engine.commit(batch)?;
        engine.keep_small()?;
        if finished {
            self.prefixes.pop_front();
            position = None;
        }
        self.position = position;
        self.last = Some(Instant::now());
        Ok(finished)
    }
}
