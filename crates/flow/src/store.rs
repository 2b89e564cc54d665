//! Where operators keep their state: ordered bytes, committed together with the position in the sources.
//!
//! On disk, what has changed since the last commit is held in memory and lies over what is in the files; a commit is one
//! atomic batch. So a crash goes back to the last commit, position included, and opening reads next to nothing. A commit can
//! be written while the circuit goes on: what is on its way then lies between the two. In memory there is nothing below.

mod cache;
mod disk;
mod entries;
mod sealed;
mod state;
mod usage;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fjall::Slice;

pub use self::disk::{StoreOptions, Stores};
pub(crate) use self::entries::Entries;
pub use self::sealed::{Committed, Sealed};
pub(crate) use self::state::{State, StateKey, after};
pub use self::usage::NodeStats;

use self::cache::{Cache, ENTRY_BYTES};
use self::disk::Disk;
use self::sealed::{POSITION, Rows};
use self::state::{META, NODE_BYTES, NOTES};
use self::usage::Usage;
use crate::{Error, Result};

/// The state of one circuit.
#[derive(Default)]
pub struct Store {
    /// What has changed since the last commit (`None`: a key was removed); in memory, all there is.
    rows: Rows,
    /// About what they take.
    rows_bytes: usize,
    /// What is on its way to the files.
    leaving: Option<Arc<Rows>>,
    below: Option<Below>,
    usage: Usage,
    position: Option<Vec<u8>>,
    /// Where keys are put together.
    scratch: Cell<Vec<u8>>,
    /// Set from elsewhere when nobody waits for the answer any more.
    interrupt: Option<Arc<AtomicBool>>,
}

/// What the last commit has left.
struct Below {
    disk: Disk,
    cache: Cache,
    options: StoreOptions,
}

/// Goes up when operators keep something else than before: state of another layout is made anew.
const LAYOUT: u8 = 2;

const FINGERPRINT: &[u8] = b"fingerprint";
const USAGE: &[u8] = b"usage";

impl Store {
    /// State that lives as long as this value.
    #[must_use]
    pub fn memory() -> Self {
        Self::default()
    }

    /// The same, whose circuit ends with [`Error::Interrupted`] soon after `interrupt` is set.
    #[must_use]
    pub fn memory_until(interrupt: Arc<AtomicBool>) -> Self {
        Self { interrupt: Some(interrupt), ..Self::default() }
    }

    fn on_disk(disk: Disk, options: StoreOptions) -> Result<Self> {
        let cache = Cache::new(options.cache_bytes);
        let mut store = Self { below: Some(Below { disk, cache, options }), ..Self::default() };
        store.position = store.meta().get(POSITION)?.map(|bytes| bytes.to_vec());
        let usage = store.meta().get(USAGE)?;
        if let Some(bytes) = usage {
            store.usage = Usage::read(&bytes)?;
        }
        Ok(store)
    }

    /// Whether the circuit may use it: it is new, or was written by a circuit with the same fingerprint.
    pub(crate) fn check(&mut self) -> Result<()> {
        let Some(below) = &self.below else { return Ok(()) };
        let fingerprint = [&[LAYOUT], below.options.fingerprint.as_slice()].concat();
        match self.meta().get(FINGERPRINT)? {
            Some(found) if *found != *fingerprint => Err(Error::OtherCircuit),
            Some(_) => Ok(()),
            None => self.meta().put(FINGERPRINT, fingerprint),
        }
    }

    /// The state of one node.
    pub(crate) fn state(&mut self, node: usize) -> Result<State<'_>> {
        let node = u16::try_from(node).ok().filter(|node| *node < NOTES).ok_or(Error::Bug("too many operators"))?;
        Ok(State::new(self, node))
    }

    /// What the circuit's owner keeps.
    pub(crate) fn notes(&mut self) -> State<'_> {
        State::new(self, NOTES)
    }

    /// What belongs to the circuit as a whole.
    pub(crate) fn meta(&mut self) -> State<'_> {
        State::new(self, META)
    }

    /// The position of the last commit.
    pub(crate) fn position(&self) -> Option<&[u8]> {
        self.position.as_deref()
    }

    /// How much each node keeps.
    pub(crate) fn stats(&self, nodes: usize) -> Vec<NodeStats> {
        (0..nodes).map(|node| u16::try_from(node).map_or_else(|_| NodeStats::default(), |n| self.usage.of(n))).collect()
    }

    /// How much its owner keeps beside the circuit.
    pub(crate) fn notes_stats(&self) -> NodeStats {
        self.usage.of(NOTES)
    }

    /// An error if there is more than may be.
    pub(crate) fn check_limit(&self) -> Result<()> {
        let limit_bytes = self.below.as_ref().map_or(u64::MAX, |below| below.options.limit_bytes);
        if self.usage.bytes() > limit_bytes { Err(Error::StateLimit { limit_bytes }) } else { Ok(()) }
    }

    /// Makes everything so far durable together with `position`.
    pub(crate) fn commit(&mut self, position: &[u8]) -> Result<()> {
        let committed = self.seal()?.write(position.to_vec())?;
        self.settle(committed);
        Ok(())
    }

    /// Takes all that has changed since the last commit, to be written while the circuit goes on. One at a time.
    pub(crate) fn seal(&mut self) -> Result<Sealed> {
        if self.leaving.is_some() {
            return Err(Error::Bug("a commit is on its way to the files already"));
        }
        let usage = self.usage.bytes_of_it();
        self.meta().put(USAGE, usage)?;
        let Some(Below { disk, .. }) = &self.below else { return Ok(Sealed { rows: Arc::default(), disk: None }) };
        let rows = Arc::new(std::mem::take(&mut self.rows));
        self.rows_bytes = 0;
        self.leaving = Some(Arc::clone(&rows));
        Ok(Sealed { rows, disk: Some(disk.clone()) })
    }

    /// What was sealed is in the files.
    pub(crate) fn settle(&mut self, committed: Committed) {
        self.position = Some(committed.position);
        let (Some(Below { cache, .. }), Some(rows)) = (&mut self.below, self.leaving.take()) else { return };
        for (key, value) in Arc::unwrap_or_clone(rows) {
            cache.put(key, value);
        }
    }

    /// About how much memory holds what has changed since the last commit.
    pub(crate) fn uncommitted_bytes(&self) -> usize {
        self.rows_bytes
    }

    /// An error once nobody waits any more. Everything that takes long asks for state again and again.
    fn check_interrupt(&self) -> Result<()> {
        let is_set = self.interrupt.as_ref().is_some_and(|interrupt| interrupt.load(Ordering::Relaxed));
        if is_set { Err(Error::Interrupted) } else { Ok(()) }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Slice>> {
        self.check_interrupt()?;
        match (self.rows.get(key), &self.below) {
            (Some(value), _) => Ok(value.clone()),
            (None, None) => Ok(None),
            (None, Some(below)) => below.get(self.leaving.as_deref(), key),
        }
    }

    fn set(&mut self, key: &[u8], value: Option<Slice>) -> Result<()> {
        let old = self.get(key)?.map(|old| old.len());
        self.replace(key, old, value)
    }

    /// Of a key whose value has so many bytes, or is not there.
    fn replace(&mut self, key: &[u8], old: Option<usize>, value: Option<Slice>) -> Result<()> {
        self.check_interrupt()?;
        let bytes = |value: usize| key.len() - NODE_BYTES + value;
        self.usage.change(node_of(key), old.map(bytes), value.as_ref().map(|value| bytes(value.len())));
        if self.below.is_none() {
            match value {
                Some(_) => drop(self.rows.insert(key.into(), value)),
                None => drop(self.rows.remove(key)),
            }
            return Ok(());
        }
        let grown = value.as_ref().map_or(0, |value| value.len());
        match self.rows.insert(key.into(), value) {
            Some(before) => {
                let shrunk = before.map_or(0, |value| value.len());
                self.rows_bytes = (self.rows_bytes + grown).saturating_sub(shrunk);
            }
            None => self.rows_bytes += key.len() + grown + ENTRY_BYTES,
        }
        Ok(())
    }
}

impl Below {
    /// The value of a key that has not changed since the last commit, or since what is `leaving`.
    fn get(&self, leaving: Option<&Rows>, key: &[u8]) -> Result<Option<Slice>> {
        match leaving.and_then(|rows| rows.get(key)) {
            Some(value) => Ok(value.clone()),
            None => self.cache.get_or(key, || self.disk.get(key)),
        }
    }
}

fn node_of(key: &[u8]) -> u16 {
    key.first_chunk().map_or(META, |bytes| u16::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests;
