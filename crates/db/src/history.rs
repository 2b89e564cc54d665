//! States of the near past, for reads at one time (`readConcern: {level: "snapshot", atClusterTime}`).
//!
//! A state is kept every quarter of a second while there are writes, and before and after each change of what exists. Any
//! time in between is made from the state before it and the log. What states hold on disk is what was overwritten
//! within the window, and scans have to step over that; so where a lot is overwritten, the window is shorter until
//! somebody reads at one time, and the whole one from then on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use millstream_query::update::delta::apply_delta;
use millstream_storage::{Commit, Draft, LogEntry, Space};
use millstream_value::{ClusterTime, Code, Doc, Namespace, Value};
use parking_lot::Mutex;

use crate::catalog::{Catalog, Collection};
use crate::shared::State;
use crate::view::SYSTEM_VIEWS;
use crate::{Db, Error, Reader, Result};

/// Between two states that are kept.
const APART_MS: u64 = 250;
/// So many old documents are kept for nobody in particular: a scan steps over all of them in a few milliseconds.
const OVERWRITTEN_MAX: u64 = 20_000;
/// What is kept of the window in any case.
const ALWAYS_MS: u64 = 2_000;
/// So long after the last read at one time, at least, the whole window is kept.
const USED_MS: u64 = 600_000;
/// Log entries that are read at once.
const CHUNK_BYTES: usize = 1 << 20;
/// States between the kept ones that were made lately: who reads at one time does so several times.
const MADE_MAX: usize = 8;

/// The kept states, oldest first.
pub(crate) struct History {
    window_ms: u64,
    /// When somebody last read at one time, in unix milliseconds; 0: never.
    used_ms: AtomicU64,
    states: Mutex<States>,
    made: Mutex<VecDeque<(ClusterTime, Arc<State>)>>,
}

#[derive(Default)]
struct States {
    /// Each with how many documents had been overwritten before it.
    kept: VecDeque<(u64, Arc<State>)>,
    overwritten: u64,
}

impl State {
    /// Its place in the log.
    pub(crate) fn time(&self) -> ClusterTime {
        self.snapshot.window().newest
    }

    fn wall_ms(&self) -> u64 {
        self.snapshot.window().newest_wall_ms
    }
}

impl History {
    pub(crate) fn new(window_ms: u64) -> Self {
        Self { window_ms, used_ms: AtomicU64::new(0), states: Mutex::default(), made: Mutex::default() }
    }

    /// A state gives way to the next one, by these changes.
    pub(crate) fn note(&self, old: &Arc<State>, new: &Arc<State>, changes: &[LogEntry]) {
        if self.window_ms == 0 || old.time() == new.time() {
            return;
        }
        let states = &mut *self.states.lock();
        let (kept, before) = (&mut states.kept, states.overwritten);
        states.overwritten += changes.iter().map(|entry| overwritten(Doc::new(&entry.bytes))).sum::<u64>();
        let last = kept.back().map(|(_, last)| last);
        let apart = last.is_none_or(|last| old.wall_ms() >= last.wall_ms().saturating_add(APART_MS));
        let other = !old.catalog.is_same(&new.catalog);
        if (apart || other) && last.is_none_or(|last| last.time() < old.time()) {
            kept.push_back((before, Arc::clone(old)));
        }
        if other {
            kept.push_back((states.overwritten, Arc::clone(new)));
        }
        // The last one before the window is where its oldest times are made from.
        let used = new.wall_ms() <= self.used_ms.load(Ordering::Acquire).saturating_add(USED_MS.max(self.window_ms));
        let much = |before: u64| !used && states.overwritten.saturating_sub(before) > OVERWRITTEN_MAX;
        let (oldest, always) = (new.wall_ms().saturating_sub(self.window_ms), new.wall_ms().saturating_sub(ALWAYS_MS));
        while let (Some((before, _)), Some((_, second))) = (kept.front(), kept.get(1))
            && (second.wall_ms() < oldest || (much(*before) && second.wall_ms() < always))
        {
            kept.pop_front();
        }
        // What was made of states holds them too.
        let oldest = self.oldest(new.wall_ms());
        self.made.lock().retain(|(time, _)| *time >= oldest);
    }

    /// Somebody reads at one time, and will again: from now on the whole window is kept.
    pub(crate) fn used(&self, now_ms: u64) {
        self.used_ms.fetch_max(now_ms, Ordering::AcqRel);
    }

    /// The first time of the window, at a moment of the clock.
    pub(crate) fn oldest(&self, now_ms: u64) -> ClusterTime {
        let seconds = now_ms.saturating_sub(self.window_ms) / 1000;
        ClusterTime::new(u32::try_from(seconds).unwrap_or(u32::MAX), 0)
    }

    /// How many states are kept.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.states.lock().kept.len()
    }

    pub(crate) fn clear(&self) {
        self.states.lock().kept.clear();
        self.made.lock().clear();
    }

    fn at_or_before(&self, time: ClusterTime) -> Option<Arc<State>> {
        let kept = &self.states.lock().kept;
        let after = kept.partition_point(|(_, state)| state.time() <= time);
        kept.get(after.checked_sub(1)?).map(|(_, state)| Arc::clone(state))
    }
}

impl Reader {
    /// The newest cluster time of what it sees.
    #[must_use]
    pub fn time(&self) -> ClusterTime {
        self.state().time()
    }
}

impl Db {
    /// The database as it is now, for who will come back to this very time with [`Db::at`].
    #[must_use]
    pub fn at_present(&self) -> Reader {
        self.history().used(self.now_ms());
        self.now()
    }

    /// The database as it was at a time that is not in the future.
    ///
    /// # Errors
    /// `SnapshotTooOld` before the window, `SnapshotUnavailable` in the middle of a change of what exists.
    pub fn at(&self, time: ClusterTime) -> Result<Reader> {
        self.history().used(self.now_ms());
        let now = self.state();
        if time >= now.time() {
            return Ok(self.reader(now));
        }
        let history = self.history();
        if let Some((_, made)) = history.made.lock().iter().find(|(at, _)| *at == time) {
            return Ok(self.reader(Arc::clone(made)));
        }
        let before = history.at_or_before(time).ok_or_else(|| too_old(time))?;
        // Before its first entry there was no database.
        if before.time() == ClusterTime::ZERO && time < self.window().oldest {
            return Err(too_old(time));
        }
        if before.time() == time {
            return Ok(self.reader(before));
        }
        let made = Arc::new(self.replay(&before, time)?);
        let mut last = history.made.lock();
        last.push_back((time, Arc::clone(&made)));
        if last.len() > MADE_MAX {
            last.pop_front();
        }
        Ok(self.reader(made))
    }

    /// A state, and what the log says has happened since, up to a time.
    fn replay(&self, from: &State, to: ClusterTime) -> Result<State> {
        let mut draft = Draft::new(Arc::clone(&from.snapshot));
        let mut next = from.time().next();
        // Of a large transaction, until its last entry.
        let mut parts: Vec<Bytes> = Vec::new();
        while next <= to {
            let batch = match self.store().read_log(next, CHUNK_BYTES) {
                Err(millstream_storage::Error::HistoryLost { .. }) => return Err(too_old(to)),
                other => other?,
            };
            if batch.entries.is_empty() {
                break;
            }
            next = batch.next;
            for entry in batch.entries.into_iter().take_while(|entry| entry.time <= to) {
                if Doc::new(&entry.bytes).doc("o").is_some_and(|o| o.has("partialTxn")) {
                    parts.push(entry.bytes);
                    continue;
                }
                draft.stage(0, |commit| {
                    for entry in parts.drain(..).chain([entry.bytes]) {
                        redo(commit, &from.catalog, Doc::new(&entry))?;
                    }
                    Ok::<_, Error>(())
                })?;
            }
        }
        Ok(State { snapshot: draft.view(), catalog: from.catalog.clone() })
    }
}

/// Does again what an entry, or one of the operations in it, says.
fn redo(commit: &mut Commit<'_>, catalog: &Catalog, entry: Doc<'_>) -> Result<()> {
    let o = entry.doc("o").unwrap_or(Doc::empty());
    let key = entry.doc("o2").unwrap_or(o);
    match entry.str("op") {
        Some("n") => Ok(()),
        Some("c") => {
            let Some(list) = o.element("applyOps").and_then(|list| list.as_array()) else { return Err(changing()) };
            list.elements().filter_map(|one| one.as_doc()).try_for_each(|one| redo(commit, catalog, one))
        }
        Some(op @ ("i" | "u" | "d")) => {
            let namespace = Namespace::parse(entry.str("ns").unwrap_or_default());
            // What a view is belongs to the catalog.
            let collection = catalog.get(&namespace).filter(|_| namespace.coll != SYSTEM_VIEWS);
            let collection = collection.filter(|c| uuid(entry) == Some(c.uuid)).ok_or_else(changing)?;
            let id_key = collection.id_key(&key.get("_id").unwrap_or(Value::Null));
            let before = commit.get(Space::Records, &collection.record_key(&id_key))?;
            let after = match op {
                "d" => None,
                "u" if o.has("$v") => {
                    let diff = o.doc("diff").unwrap_or(Doc::empty());
                    before.as_ref().map(|before| Bytes::from(apply_delta(Doc::new(before), diff).into_bytes()))
                }
                _ => Some(Bytes::copy_from_slice(o.as_bytes())),
            };
            replace(commit, collection, &id_key, before.as_ref(), after)
        }
        _ => Err(changing()),
    }
}

/// How many documents an entry of the log has overwritten or removed.
fn overwritten(entry: Doc<'_>) -> u64 {
    match entry.str("op") {
        Some("u" | "d") => 1,
        Some("c") => {
            let operations = entry.doc("o").and_then(|o| o.element("applyOps")?.as_array());
            let operations = operations.into_iter().flat_map(|list| list.elements());
            operations.filter_map(|one| one.as_doc()).map(overwritten).sum()
        }
        _ => 0,
    }
}

fn replace(
    commit: &mut Commit<'_>,
    collection: &Collection,
    id_key: &[u8],
    before: Option<&Bytes>,
    after: Option<Bytes>,
) -> Result<()> {
    for index in &collection.indexes {
        if let Some(before) = before {
            for key in index.keys(Doc::new(before))?.keys {
                commit.delete(Space::Indexes, index.row_key(&key, id_key));
            }
        }
        if let Some(after) = &after {
            for key in index.keys(Doc::new(after))?.keys {
                commit.put(Space::Indexes, index.row_key(&key, id_key), id_key.to_vec());
            }
        }
    }
    let key = collection.record_key(id_key);
    match after {
        Some(after) => commit.put(Space::Records, key, after),
        None => commit.delete(Space::Records, key),
    }
    Ok(())
}

fn uuid(entry: Doc<'_>) -> Option<[u8; 16]> {
    match entry.get("ui")? {
        Value::Binary(_, uuid) => uuid.as_ref().try_into().ok(),
        _ => None,
    }
}

/// The error of a read at a time before the window.
pub(crate) fn too_old(time: ClusterTime) -> Error {
    let message = format!("Read timestamp {time} is older than the oldest available timestamp");
    Error::invalid(Code::SnapshotTooOld, message)
}

fn changing() -> Error {
    let message =
        "Unable to read from a snapshot due to pending collection catalog changes; please retry the operation";
    Error::invalid(Code::SnapshotUnavailable, message)
}
