//! What a write may do inside the commit loop.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ops::Bound,
    sync::Arc,
};

use crate::{
    ClusterTime, Error, KEY_BYTES_MAX, Result, Slice, Snapshot, Space, clock,
    heads::Heads,
    log::block::{self, Builder},
    space::PerSpace,
};

/// An entry of more bytes is written where it will lie: copying it once more would cost more than a block of its own.
const LARGE_ENTRY: usize = 64 << 10;

/// A group of more bytes is not shown before it is durable.
const AHEAD_BYTES_MAX: usize = 64 << 10;

/// A change to the store, run by the commit loop.
pub trait Write: Send {
    /// Stages the change. Reads see all earlier writes, those of the same group too.
    ///
    /// # Errors
    /// Any error discards everything that this write has staged, and is handed to
    /// [`Write::finish`]. [`Error::Refused`] is there for writes that keep their reason themselves.
    fn apply(&mut self, commit: &mut Commit<'_>) -> Result<()>;

    /// Acknowledges: the change is durable and can be read, or the error says why not. Runs on the
    /// commit thread, or in `submit` if the write could not be queued: it must be quick.
    fn finish(self: Box<Self>, outcome: Result<()>);
}

/// The state that a write reads and changes: all earlier writes, and what it has staged itself.
pub struct Commit<'a> {
    group: &'a mut Group,
    /// None in a draft, where a look costs less than knowing.
    heads: Option<&'a mut Heads>,
    base: &'a Arc<Snapshot>,
}

/// A point in one write to which it can be rolled back.
#[derive(Clone, Copy, Debug)]
pub struct Savepoint {
    undo: usize,
    blocks: usize,
    /// Entries of the last of these blocks.
    entries: usize,
    images: usize,
    prefixes: usize,
    last: ClusterTime,
    appended: ClusterTime,
    bytes: usize,
    faulty: bool,
}

impl<'a> Commit<'a> {
    pub(crate) fn new(group: &'a mut Group, heads: Option<&'a mut Heads>, base: &'a Arc<Snapshot>) -> Self {
        Self { group, heads, base }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// `Io` or `Corrupt` if the disk fails.
    pub fn get(&self, space: Space, key: &[u8]) -> Result<Option<Slice>> {
        match self.group.rows.at(space).get(key) {
            Some(staged) => Ok(staged.clone()),
            None => self.base.get(space, key),
        }
    }

    /// Whether certainly no row with the first four bytes of this key was changed since `state`, neither before nor in this
    /// group. False says nothing.
    #[must_use]
    pub fn is_untouched_since(&self, state: &Snapshot, space: Space, key: &[u8]) -> bool {
        let prefix = key.get(..4).unwrap_or(key);
        let mut staged = self.group.rows.at(space).range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
        state.is_untouched(space, key) && staged.next().is_none_or(|(first, _)| !first.starts_with(prefix))
    }

    /// Whether there is a record with this key. Quick for a key behind all others of its collection.
    ///
    /// # Errors
    /// As [`Commit::get`].
    pub fn has_record(&mut self, key: &[u8]) -> Result<bool> {
        if let Some(heads) = &mut self.heads {
            let rows = self.group.rows.at(Space::Records);
            let staged = |low: Bound<&[u8]>, high: Bound<&[u8]>| {
                rows.range::<[u8], _>((low, high)).next_back().map(|(key, _)| key.to_vec())
            };
            if heads.is_behind_all(key, self.base, staged)? {
                return Ok(false);
            }
        }
        Ok(self.get(Space::Records, key)?.is_some())
    }

    /// Whether any key starts with `prefix`.
    ///
    /// # Errors
    /// As [`Commit::get`].
    pub fn any_with_prefix(&self, space: Space, prefix: &[u8]) -> Result<bool> {
        let first = self.range_first(space, Bound::Included(prefix), Bound::Unbounded)?;
        Ok(first.is_some_and(|(key, _)| key.starts_with(prefix)))
    }

    /// The first row between two bounds.
    ///
    /// # Errors
    /// As [`Commit::get`].
    pub fn range_first(&self, space: Space, low: Bound<&[u8]>, high: Bound<&[u8]>) -> Result<Option<(Slice, Slice)>> {
        let rows = self.group.rows.at(space);
        let staged = first_staged(rows, low, high);
        for stored in self.base.range(space, low, high) {
            let (key, value) = stored?;
            if let Some((first, staged_value)) = staged
                && *first <= key
            {
                return Ok(Some((first.clone(), staged_value.clone())));
            }
            if !rows.contains_key(&key) {
                return Ok(Some((key, value)));
            }
        }
        Ok(staged.map(|(key, value)| (key.clone(), value.clone())))
    }

    /// Stores a value. A key longer than [`KEY_BYTES_MAX`] fails the write when it ends.
    pub fn put(&mut self, space: Space, key: impl Into<Slice>, value: impl Into<Slice>) {
        let key = key.into();
        if let Some(heads) = self.heads.as_deref_mut().filter(|_| space == Space::Records) {
            heads.note(&key);
        }
        self.group.stage(space, key, Some(value.into()));
    }

    /// Stages rows that are in their order; no value stands for one that is to go.
    pub fn put_all(&mut self, space: Space, rows: BTreeMap<Slice, Option<Slice>>) {
        if let Some(heads) = self.heads.as_deref_mut().filter(|_| space == Space::Records) {
            heads.note_all(rows.iter().filter(|(_, value)| value.is_some()).map(|(key, _)| key));
        }
        self.group.stage_all(space, rows);
    }

    /// Removes a key, whether or not it is there.
    pub fn delete(&mut self, space: Space, key: impl Into<Slice>) {
        self.group.stage(space, key.into(), None);
    }

    /// Removes, in time, everything whose key starts with these four bytes (big-endian). Costs one
    /// row now; the keys go in the background, also across restarts. Until then they can still be
    /// read, so the number must never be used again.
    pub fn delete_prefix(&mut self, space: Space, prefix: u32) {
        if let Some(heads) = &mut self.heads {
            heads.forget(prefix);
        }
        self.group.prefixes.push((space, prefix));
    }

    /// The next cluster time: after all others, also those before a restart.
    pub fn tick(&mut self) -> ClusterTime {
        self.group.last = clock::after(self.group.last, self.group.wall_ms);
        self.group.last
    }

    /// Unix milliseconds, the same for all writes of a group. Never goes back while the store is
    /// open.
    #[must_use]
    pub fn wall_ms(&self) -> u64 {
        self.group.wall_ms
    }

    /// Appends a BSON document to the log. One entry per tick, in their order: anything else fails
    /// the write when it ends.
    pub fn append(&mut self, time: ClusterTime, entry: impl AsRef<[u8]>) {
        self.group.append(time, entry.as_ref());
    }

    /// The same for an entry of about so many bytes, which `write` puts behind what is in the buffer that it gets.
    pub fn append_with(&mut self, time: ClusterTime, bytes: usize, write: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        if bytes < LARGE_ENTRY {
            return self.group.append(time, &write(Vec::with_capacity(bytes)));
        }
        self.group.append_block(time, write(Builder::room(bytes)));
    }

    /// Has this write be the last of its group, so that the state right behind it is published.
    pub fn end_group(&mut self) {
        self.group.is_over = true;
    }

    /// Keeps how a document was before the change at `time`; `index` tells the changes of one entry
    /// apart. It lives as long as the entry, or as long as [`crate::Store::set_image_life`] says.
    pub fn keep_image(&mut self, time: ClusterTime, index: u32, before: impl Into<Slice>) {
        let before = before.into();
        self.group.bytes += before.len();
        self.group.images.push((time, index, before));
    }

    /// Bytes of all that is staged: in a draft by this change, in the commit loop by all writes of the group.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.group.bytes
    }

    /// The state that will be durable if the group ends here; none if it is so large that a copy would hold up the loop.
    #[must_use]
    pub fn ahead(&self) -> Option<Snapshot> {
        if self.group.bytes > AHEAD_BYTES_MAX {
            return None;
        }
        self.base.note_next(&self.group.rows);
        Some(Arc::new(self.base.without_log()).under(Arc::new(self.group.rows.clone())))
    }

    /// Marks this point of the write.
    #[must_use]
    pub fn savepoint(&self) -> Savepoint {
        self.group.savepoint()
    }

    /// Undoes everything since `point`, which was taken in this write: rows, log entries, images,
    /// ticks.
    pub fn rollback_to(&mut self, point: Savepoint) {
        self.group.rollback_to(point);
    }
}

/// How to undo what was staged.
pub(crate) enum Undo {
    /// A row: what was staged under its key before.
    Row(Space, Slice, Option<Option<Slice>>),
    /// All rows of a space, in which nothing was staged before.
    All(Space),
}

/// What a group of writes has staged.
pub(crate) struct Group {
    /// No value: deleted.
    pub(crate) rows: PerSpace<BTreeMap<Slice, Option<Slice>>>,
    pub(crate) blocks: Vec<Builder>,
    pub(crate) images: Vec<(ClusterTime, u32, Slice)>,
    pub(crate) prefixes: Vec<(Space, u32)>,
    /// The last tick.
    pub(crate) last: ClusterTime,
    /// The last entry.
    pub(crate) appended: ClusterTime,
    pub(crate) wall_ms: u64,
    pub(crate) bytes: usize,
    /// How to undo the rows of the current write, newest last.
    pub(crate) undo: Vec<Undo>,
    /// Why the current write cannot be committed.
    fault: Option<Error>,
    /// No further write joins it.
    pub(crate) is_over: bool,
}

impl Group {
    pub(crate) fn new(last: ClusterTime, appended: ClusterTime, wall_ms: u64) -> Self {
        Self {
            rows: PerSpace::default(),
            blocks: Vec::new(),
            images: Vec::new(),
            prefixes: Vec::new(),
            last,
            appended,
            wall_ms,
            bytes: 0,
            undo: Vec::new(),
            fault: None,
            is_over: false,
        }
    }

    /// Begins a write: what came before can no longer be undone.
    pub(crate) fn begin(&mut self) -> Savepoint {
        self.undo.clear();
        self.fault = None;
        self.savepoint()
    }

    /// Ends a write: keeps what it staged, or undoes it.
    pub(crate) fn end(&mut self, start: Savepoint, outcome: Result<()>) -> Result<()> {
        let outcome = outcome.and_then(|()| self.fault.take().map_or(Ok(()), Err));
        if outcome.is_err() {
            self.rollback_to(start);
        }
        outcome
    }

    fn stage(&mut self, space: Space, key: Slice, value: Option<Slice>) {
        if key.len() > KEY_BYTES_MAX {
            let bytes = key.len();
            self.fault.get_or_insert(Error::KeyTooLong { bytes });
            return;
        }
        self.bytes += key.len() + value.as_ref().map_or(0, Slice::len);
        let previous = match self.rows.at_mut(space).entry(key.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(value);
                None
            }
            Entry::Occupied(mut occupied) => Some(occupied.insert(value)),
        };
        self.undo.push(Undo::Row(space, key, previous));
    }

    fn stage_all(&mut self, space: Space, rows: BTreeMap<Slice, Option<Slice>>) {
        let fit = |key: &Slice| key.len() <= KEY_BYTES_MAX;
        if !self.rows.at(space).is_empty() || !rows.keys().all(fit) {
            return rows.into_iter().for_each(|(key, value)| self.stage(space, key, value));
        }
        self.bytes += rows.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Slice::len)).sum::<usize>();
        *self.rows.at_mut(space) = rows;
        self.undo.push(Undo::All(space));
    }

    fn append(&mut self, time: ClusterTime, entry: &[u8]) {
        if !self.accepts(time, entry) {
            return;
        }
        match self.blocks.last_mut().filter(|block| block.has_room(entry.len())) {
            Some(block) => block.push(time, entry),
            None => {
                let mut block = Builder::new(entry.len());
                block.push(time, entry);
                self.blocks.push(block);
            }
        }
    }

    /// Appends an entry that was written into the room of a block.
    fn append_block(&mut self, time: ClusterTime, buffer: Vec<u8>) {
        if self.accepts(time, Builder::entry_in(&buffer)) {
            self.blocks.push(Builder::with(time, buffer));
        }
    }

    /// Whether an entry may come now. Counts it, or notes what is wrong.
    fn accepts(&mut self, time: ClusterTime, entry: &[u8]) -> bool {
        if time <= self.appended || time > self.last || !block::is_delimited(entry) {
            let text = format!("a log entry of {} bytes at {time} after {}", entry.len(), self.appended);
            self.fault.get_or_insert(Error::Bug(text));
            return false;
        }
        self.appended = time;
        self.bytes += entry.len();
        true
    }

    fn savepoint(&self) -> Savepoint {
        Savepoint {
            undo: self.undo.len(),
            blocks: self.blocks.len(),
            entries: self.blocks.last().map_or(0, Builder::len),
            images: self.images.len(),
            prefixes: self.prefixes.len(),
            last: self.last,
            appended: self.appended,
            bytes: self.bytes,
            faulty: self.fault.is_some(),
        }
    }

    fn rollback_to(&mut self, point: Savepoint) {
        while self.undo.len() > point.undo {
            match self.undo.pop() {
                Some(Undo::Row(space, key, Some(previous))) => drop(self.rows.at_mut(space).insert(key, previous)),
                Some(Undo::Row(space, key, None)) => drop(self.rows.at_mut(space).remove(&key)),
                Some(Undo::All(space)) => self.rows.at_mut(space).clear(),
                None => break,
            }
        }
        self.blocks.truncate(point.blocks);
        if let Some(block) = self.blocks.last_mut() {
            block.truncate(point.entries);
        }
        self.images.truncate(point.images);
        self.prefixes.truncate(point.prefixes);
        self.last = point.last;
        self.appended = point.appended;
        self.bytes = point.bytes;
        if !point.faulty {
            self.fault = None;
        }
    }
}

/// The first staged row between two bounds that is not a deletion.
fn first_staged<'a>(
    rows: &'a BTreeMap<Slice, Option<Slice>>,
    low: Bound<&[u8]>,
    high: Bound<&[u8]>,
) -> Option<(&'a Slice, &'a Slice)> {
    if rows.is_empty() || crate::engine::is_empty_range(low, high) {
        return None;
    }
    let mut staged = rows.range::<[u8], _>((low, high));
    staged.find_map(|(key, value)| Some((key, value.as_ref()?)))
}
