//! What a transaction has done so far, beside the rows of its draft.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use millstream_storage::{Slice, Snapshot, Space};
use millstream_value::{ClusterTime, Code, Namespace};

use super::locks::{Ending, Held, Locks, Taken};
use super::newest::{Newest, Timed};
use crate::shared::State;
use crate::{Error, Result, Size};

/// Operations in their order, rows that are held, and what has to be noted at the end.
pub(crate) struct Work {
    /// As they will lie in `applyOps`.
    pub(super) operations: Vec<Bytes>,
    /// How documents were before an operation, by its position.
    pub(super) images: Vec<(usize, Bytes)>,
    /// By how much collections have grown, by their numbers.
    pub(super) grown: BTreeMap<u32, Size>,
    /// Indexes that have got several keys of one document.
    pub(super) spread: BTreeSet<(Namespace, u32)>,
    /// Collections that were written to, those created here too.
    pub(super) written: BTreeSet<Namespace>,
    /// Collections that were created here.
    pub(super) created: BTreeSet<Namespace>,
    /// Of the operations and images.
    pub(super) bytes: usize,
    /// Of the draft's rows, without those of the statement that runs.
    pub(super) drafted: usize,
    bytes_max: usize,
    /// What the statement that runs has noted of collections and indexes.
    noted: Vec<Noted>,
    /// Each row once, in the order in which they were taken.
    held: Vec<(Space, Slice)>,
    /// So many of them were taken before the statement that runs.
    held_before: usize,
    /// Taken, and changed by somebody since the state that is read: it stays taken, so that nobody else gets it while the
    /// transaction goes over to a newer state and tries again.
    kept: Option<(Space, Slice)>,
    /// Wanted, and held by another.
    refused: Option<(Space, Slice)>,
    /// Numbers for what the transaction creates.
    numbers: VecDeque<u32>,
    locks: Arc<Locks>,
    newest: Arc<Newest>,
    pub(super) ending: Arc<Ending>,
    /// The state that the transaction reads.
    base: Arc<Snapshot>,
    /// The place of that state in the log.
    base_time: ClusterTime,
    /// Off in tests that must see what goes wrong then.
    pub(super) checks: bool,
}

/// A point to which a statement can be undone.
pub(super) struct Mark {
    operations: usize,
    images: usize,
    bytes: usize,
}

/// Something that was not known before.
enum Noted {
    Spread(Namespace, u32),
    Written(Namespace),
    Created(Namespace),
}

impl Work {
    pub(super) fn new(state: &State, locks: Arc<Locks>, newest: Arc<Newest>, bytes_max: usize, checks: bool) -> Self {
        Self {
            operations: Vec::new(),
            images: Vec::new(),
            grown: BTreeMap::new(),
            spread: BTreeSet::new(),
            written: BTreeSet::new(),
            created: BTreeSet::new(),
            bytes: 0,
            drafted: 0,
            bytes_max,
            noted: Vec::new(),
            held: Vec::new(),
            held_before: 0,
            kept: None,
            refused: None,
            numbers: VecDeque::new(),
            locks,
            newest,
            ending: Arc::default(),
            base: Arc::clone(&state.snapshot),
            base_time: state.time(),
            checks,
        }
    }

    /// Takes a row for the rest of the transaction.
    pub(crate) fn claim(&mut self, space: Space, key: &Slice) -> Result<()> {
        if !self.checks {
            return Ok(());
        }
        let row = (space, key.clone());
        if self.kept.take_if(|kept| *kept == row).is_none() {
            match self.locks.take(space, key, &self.ending) {
                Ok(Taken::Now) => {}
                Ok(Taken::Before) => return Ok(()),
                Err(other) => {
                    self.refused = Some(row);
                    return Err(Error::Held(other));
                }
            }
        }
        // Only now, so that nobody changes it between the look and the taking. What is on its way through the commit
        // loop at this moment is found when the transaction is committed.
        let moved = self.has_moved(space, key);
        if matches!(moved, Ok(false)) {
            self.held.push(row);
            return Ok(());
        }
        let before = self.kept.replace(row);
        self.locks.release(before.iter());
        moved.and(Err(Error::Moved))
    }

    /// Whether somebody has changed a row since the state that the transaction reads.
    fn has_moved(&self, space: Space, key: &[u8]) -> Result<bool> {
        if self.base.is_untouched(space, key) {
            return Ok(false);
        }
        let Timed { state, time, .. } = self.newest.get();
        let newer = time >= self.base_time && !Arc::ptr_eq(&state.snapshot, &self.base);
        Ok(newer && state.snapshot.get(space, key)? != self.base.get(space, key)?)
    }

    /// The row that another transaction holds, as a place to wait at.
    pub(super) fn refused(&mut self, ending: Arc<Ending>) -> Option<Held> {
        Some(Held::new(&self.locks, self.refused.take()?, ending))
    }

    /// Whether all that is held is as it was in another state too. A write that was on its way through the commit loop when
    /// a row was taken may have changed it.
    pub(super) fn is_same_in(&self, state: &Snapshot) -> Result<bool> {
        for (space, key) in self.held.iter().filter(|(space, key)| !self.base.is_untouched(*space, key)) {
            if state.get(*space, key)? != self.base.get(*space, key)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The transaction reads another state from now on.
    pub(super) fn rebase(&mut self, base: &Timed) {
        self.base = Arc::clone(&base.state.snapshot);
        self.base_time = base.time;
    }

    pub(super) fn base_time(&self) -> ClusterTime {
        self.base_time
    }

    /// Whether other transactions wait for what this one holds.
    pub(super) fn is_wanted(&self) -> bool {
        self.locks.are_wanted(self.held.iter())
    }

    /// Nothing can come between any more: others may go on from `ahead`, the state with all that was done here.
    pub(super) fn let_go(&mut self, ahead: Timed) {
        self.newest.lead(ahead);
        self.locks.release(self.held.iter().chain(&self.kept));
        self.held.clear();
        self.held_before = 0;
        self.kept = None;
    }

    /// What was let go is durable, or lost.
    pub(super) fn settle_ahead(&self, time: ClusterTime) {
        self.newest.settle(time);
    }

    /// Notes an operation.
    pub(crate) fn note(&mut self, operation: Bytes, before: Option<Bytes>) {
        self.bytes += operation.len() + before.as_ref().map_or(0, Bytes::len);
        if let Some(before) = before {
            self.images.push((self.operations.len(), before));
        }
        self.operations.push(operation);
    }

    /// Fails when the transaction takes more than it may; `staged` is what the statement that runs has changed. To be
    /// called at each document: one statement may be about all there are.
    ///
    /// # Errors
    /// `TransactionTooLarge`.
    pub(crate) fn check_size(&self, staged: usize) -> Result<()> {
        if self.bytes + self.drafted + staged <= self.bytes_max {
            return Ok(());
        }
        let message = format!("Total size of all transaction operations must be less than {} bytes", self.bytes_max);
        Err(Error::invalid(Code::TransactionTooLarge, message))
    }

    /// Notes that a collection is written to.
    pub(crate) fn writes_to(&mut self, namespace: &Namespace) {
        if !self.written.contains(namespace) {
            self.written.insert(namespace.clone());
            self.noted.push(Noted::Written(namespace.clone()));
        }
    }

    /// Notes that a collection was created.
    pub(crate) fn creates(&mut self, namespace: &Namespace) {
        if self.created.insert(namespace.clone()) {
            self.noted.push(Noted::Created(namespace.clone()));
        }
    }

    /// Whether a collection was created in this transaction.
    pub(crate) fn has_created(&self, namespace: &Namespace) -> bool {
        self.created.contains(namespace)
    }

    /// Notes that an index has several keys of one document.
    pub(crate) fn spreads(&mut self, namespace: &Namespace, index: u32) {
        if self.spread.insert((namespace.clone(), index)) {
            self.noted.push(Noted::Spread(namespace.clone(), index));
        }
    }

    pub(crate) fn next_number(&mut self) -> Result<u32> {
        self.numbers.pop_front().ok_or(Error::NeedsNumbers)
    }

    pub(super) fn give_numbers(&mut self, numbers: impl Iterator<Item = u32>) {
        self.numbers.extend(numbers);
    }

    pub(super) fn mark(&mut self) -> Mark {
        self.noted.clear();
        self.held_before = self.held.len();
        Mark { operations: self.operations.len(), images: self.images.len(), bytes: self.bytes }
    }

    /// Undoes a statement, and gives back what it had taken.
    pub(super) fn undo(&mut self, mark: Mark) {
        self.operations.truncate(mark.operations);
        self.images.truncate(mark.images);
        self.bytes = mark.bytes;
        for noted in self.noted.drain(..) {
            match noted {
                Noted::Spread(namespace, index) => self.spread.remove(&(namespace, index)),
                Noted::Written(namespace) => self.written.remove(&namespace),
                Noted::Created(namespace) => self.created.remove(&namespace),
            };
        }
        let taken = self.held.drain(self.held_before.min(self.held.len())..);
        self.locks.release(taken.as_slice().iter());
    }

    /// Gives back what the last statement took and did not change. Says whether there was any.
    pub(super) fn settle(&mut self, changed: impl Fn(Space, &[u8]) -> bool) -> bool {
        // In the newer state the statement had no use for it.
        if let Some(kept) = self.kept.take() {
            self.locks.release(std::iter::once(&kept));
        }
        let taken = self.held_before.min(self.held.len())..;
        let unchanged: Vec<_> = self.held.extract_if(taken, |(space, key)| !changed(*space, key)).collect();
        if !unchanged.is_empty() {
            self.locks.release(unchanged.iter());
        }
        !unchanged.is_empty()
    }
}

/// The transaction is over, in whatever way: everything is given back.
impl Drop for Work {
    fn drop(&mut self) {
        self.locks.release(self.held.iter().chain(&self.kept));
        self.ending.come();
    }
}
