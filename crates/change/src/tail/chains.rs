//! Large transactions: chains of entries whose operations all show at the last one (CS-2.8.4).
//!
//! A chain may be much larger than anything else that is kept in memory, and all who watch may look at it at once. So
//! nobody has it as a whole: watchers go through it entry by entry, and those who need the same entry share it. What a
//! chain consists of is remembered, so that its beginning need not be sought again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use millstream_storage::{ClusterTime, Store};
use parking_lot::Mutex;

use super::Allowance;
use crate::entry::{Commit, Entry, PARTS_MAX, WeakEntry};
use crate::{Error, Result};

/// Of so many chains it is remembered what they consist of.
const KNOWN_MAX: usize = 64;
/// For how long, in the seconds of the log, an entry that was read from disk is kept for others. The log goes on at least
/// every ten seconds, so that nothing is kept for long where nothing happens.
const KEPT_SECONDS: u32 = 10;

/// What a large transaction consists of.
pub(crate) struct Chain {
    /// Of the entry that commits it.
    time: ClusterTime,
    wall_ms: i64,
    /// Its entries, and how many operations are in those before.
    parts: Vec<(ClusterTime, u32)>,
}

#[derive(Default)]
pub(super) struct Chains {
    known: Mutex<VecDeque<Arc<Chain>>>,
    loaded: Mutex<Loaded>,
}

/// Entries of chains that are not in the tail.
#[derive(Default)]
struct Loaded {
    by_time: HashMap<ClusterTime, WeakEntry>,
    /// Those that stay although nobody has them, and since which second.
    kept: Vec<(Entry, u32)>,
    kept_bytes: usize,
}

impl Chain {
    /// Found from its last entry on.
    fn of(last: &Entry, read: impl Fn(ClusterTime) -> Result<Entry>) -> Result<Self> {
        // The last one first, each with what is in it; one entry at a time, since all may be too much.
        let mut parts = vec![(last.time(), size(last)?)];
        let mut first = last.clone();
        while let Some(previous) = first.previous() {
            if first.time() <= previous || parts.len() >= PARTS_MAX {
                return Err(Error::Damaged { time: previous, what: "a transaction that runs in circles" });
            }
            first = read(previous)?;
            if !first.is_partial() {
                return Err(Error::Damaged { time: previous, what: "a transaction that goes on after its end" });
            }
            parts.push((previous, size(&first)?));
        }
        parts.reverse();
        let mut before: u32 = 0;
        for (_, count) in &mut parts {
            (*count, before) = (before, before.saturating_add(*count));
        }
        Ok(Self { time: last.time(), wall_ms: last.wall_ms(), parts })
    }

    /// When it was committed.
    pub(crate) fn time(&self) -> ClusterTime {
        self.time
    }

    /// The time of one of its entries.
    pub(crate) fn time_of(&self, part: usize) -> Option<ClusterTime> {
        self.parts.get(part).map(|part| part.0)
    }

    /// The entry that holds an operation.
    pub(crate) fn part_of(&self, index: u32) -> usize {
        self.parts.partition_point(|part| part.1 <= index).saturating_sub(1)
    }

    /// One of its entries, which then shows its operations as they were committed.
    pub(crate) fn part(&self, part: usize, read: impl FnOnce(ClusterTime) -> Result<Entry>) -> Result<Entry> {
        let lost = Error::HistoryLost { wanted: self.time };
        let &(time, before) = self.parts.get(part).ok_or(lost)?;
        let entry = read(time)?;
        entry.set_commit(Commit { time: self.time, wall_ms: self.wall_ms, before });
        Ok(entry)
    }
}

impl Chains {
    /// Remembers the chain that `last` commits, if all of it is among `entries`, and returns its entries; none if not.
    pub(super) fn note(&self, last: &Entry, entries: &[Entry]) -> Vec<Entry> {
        let find = |time: ClusterTime| {
            let at = entries.binary_search_by_key(&time, Entry::time).ok().and_then(|at| entries.get(at));
            at.cloned().ok_or(Error::HistoryLost { wanted: time })
        };
        let Ok(chain) = Chain::of(last, find) else { return Vec::new() };
        let parts = (0..chain.parts.len()).map_while(|at| chain.part(at, find).ok()).collect();
        self.remember(chain);
        parts
    }

    /// The chain that `last` commits.
    pub(super) fn find(&self, last: &Entry, read: impl Fn(ClusterTime) -> Result<Entry>) -> Result<Arc<Chain>> {
        if let Some(known) = self.known.lock().iter().find(|chain| chain.time == last.time()) {
            return Ok(Arc::clone(known));
        }
        Ok(self.remember(Chain::of(last, read)?))
    }

    fn remember(&self, chain: Chain) -> Arc<Chain> {
        let chain = Arc::new(chain);
        let mut known = self.known.lock();
        if known.len() >= KNOWN_MAX {
            known.pop_front();
        }
        known.push_back(Arc::clone(&chain));
        chain
    }

    /// An entry that is not in the tail.
    pub(super) fn load(
        &self,
        time: ClusterTime,
        store: &Store,
        now: ClusterTime,
        allowance: &Arc<Allowance>,
    ) -> Result<Entry> {
        // Held while the disk is read: whoever else wants it waits for this one, and then has it too.
        let mut loaded = self.loaded.lock();
        if let Some(entry) = loaded.by_time.get(&time).and_then(WeakEntry::upgrade) {
            return Ok(entry);
        }
        let lost = || Error::HistoryLost { wanted: time };
        let batch = store.read_log(time, 0).map_err(|error| match error {
            millstream_storage::Error::HistoryLost { .. } => lost(),
            error => error.into(),
        })?;
        let entry = batch.entries.into_iter().next().filter(|entry| entry.time == time).ok_or_else(lost)?;
        let entry = Entry::read(entry);
        loaded.add(&entry, now, allowance);
        Ok(entry)
    }

    /// Takes an entry that somebody has read.
    pub(super) fn offer(&self, entry: &Entry, now: ClusterTime, allowance: &Arc<Allowance>) {
        let mut loaded = self.loaded.lock();
        if loaded.by_time.get(&entry.time()).and_then(WeakEntry::upgrade).is_none() {
            loaded.add(entry, now, allowance);
        }
    }

    /// Lets go what was kept for long enough. Called by the commit loop: it does not wait for a disk.
    pub(super) fn let_go(&self, now: ClusterTime) {
        let Some(mut loaded) = self.loaded.try_lock() else { return };
        loaded.kept.retain(|(_, since)| now.seconds.saturating_sub(*since) < KEPT_SECONDS);
        loaded.kept_bytes = loaded.kept.iter().map(|(entry, _)| entry.weight()).sum();
    }
}

impl Loaded {
    fn add(&mut self, entry: &Entry, now: ClusterTime, allowance: &Arc<Allowance>) {
        self.by_time.retain(|_, entry| entry.upgrade().is_some());
        self.by_time.insert(entry.time(), entry.downgrade());
        let bytes = entry.weight();
        // The first ones stay and not the last: all come the same way, and would each find gone what comes next.
        if self.kept_bytes + bytes <= allowance.bytes_max() / 2 && bytes <= allowance.left() {
            self.kept_bytes += bytes;
            self.kept.push((entry.clone(), now.seconds));
        }
        entry.hold(allowance.take(bytes));
    }
}

/// How many operations are in an entry.
fn size(entry: &Entry) -> Result<u32> {
    Ok(u32::try_from(entry.operations()?.len()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;
    use crate::TailOptions;
    use crate::testing::{World, insert};

    /// What was read for one is there for the next, for some seconds of the log's time; then its memory is free again.
    #[test]
    fn entries_are_kept_for_others_for_a_while() {
        let options = TailOptions { bytes_max: 1, ..TailOptions::default() };
        let world = World::with(options, millstream_storage::Options::default());
        let operations = (0..4).map(|id| (insert("shop.orders", doc! {"_id": id}), None)).collect();
        let times = world.transact(1, operations, 1);
        let (tail, now) = (&world.tail, world.tail.end());
        let read = |at: usize| tail.part(times[at], &world.store).unwrap().bytes().as_ptr();
        let first = read(0);
        let all = tail.allowance().bytes_max();
        let left = tail.allowance().left();
        assert!(left < all);
        assert_eq!((read(0), tail.allowance().left()), (first, left));
        tail.chains.let_go(now);
        assert_eq!(tail.allowance().left(), left);
        tail.chains.let_go(ClusterTime::new(now.seconds + KEPT_SECONDS, 1));
        assert_eq!(tail.allowance().left(), all);
    }

    /// What does not fit is shared by those who have it at the same time, and kept for nobody.
    #[test]
    fn no_more_is_kept_than_there_is_memory_for() {
        let options = TailOptions { bytes_max: 1, watchers_bytes_max: 100 };
        let world = World::with(options, millstream_storage::Options::default());
        let operations = (0..2).map(|id| (insert("shop.orders", doc! {"_id": id}), None)).collect();
        let first = world.transact(1, operations, 1)[0];
        let read = || world.tail.part(first, &world.store).unwrap();
        let (one, other) = (read(), read());
        assert_eq!(one.bytes().as_ptr(), other.bytes().as_ptr());
        assert_eq!(world.tail.allowance().left(), 0);
        drop((one, other));
        assert_eq!(world.tail.allowance().left(), 100);
    }
}
