//! The end of a transaction in the commit loop: one look for conflicts, then all of it at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_change::entry::{self, Part, Place};
use millstream_storage::{Commit, Space, Write};
use millstream_value::ClusterTime;

use super::newest::Timed;
use super::{Transaction, TransactionId};
use crate::catalog::Catalog;
use crate::pending::Promise;
use crate::shared::{LoopCatalog, State};
use crate::write::{committed_row, logged};
use crate::{Db, Error, Result, Retry, ddl, size};

/// A transaction that is being committed.
pub(super) struct Job {
    pub(super) db: Db,
    pub(super) id: TransactionId,
    pub(super) transaction: Box<Transaction>,
    pub(super) catalog: Arc<LoopCatalog>,
    /// Of its last entry.
    pub(super) time: ClusterTime,
    pub(super) refusal: Option<Error>,
    pub(super) promise: Promise<Result<ClusterTime>>,
}

impl Write for Job {
    fn apply(&mut self, commit: &mut Commit<'_>) -> millstream_storage::Result<()> {
        let shared = Arc::clone(&self.catalog);
        let mut pending = shared.lock();
        let mut catalog = pending.clone();
        match self.run(commit, &mut catalog) {
            Ok(()) => {
                ddl::end_group_if_changed(commit, &pending, &catalog);
                *pending = catalog.clone();
                drop(pending);
                self.let_go(commit, catalog);
                Ok(())
            }
            Err(Error::Storage(error)) => Err(Arc::try_unwrap(error).unwrap_or(millstream_storage::Error::Failed)),
            Err(error) => {
                self.refusal = Some(error);
                Err(millstream_storage::Error::Refused)
            }
        }
    }

    fn finish(self: Box<Self>, outcome: millstream_storage::Result<()>) {
        let Self { db, id, transaction, time, refusal, promise, .. } = *self;
        transaction.work.settle_ahead(time);
        let outcome = match (outcome, refusal) {
            (Ok(()), _) => Ok(time),
            (Err(_), Some(refusal)) => Err(refusal),
            (Err(error), None) => Err(error.into()),
        };
        db.settle(id, transaction, outcome.as_ref().ok().copied());
        promise.give(outcome);
    }
}

impl Job {
    fn run(&mut self, commit: &mut Commit<'_>, catalog: &mut Catalog) -> Result<()> {
        let Transaction { work, catalog: own, .. } = &*self.transaction;
        let mut unique = BTreeSet::new();
        for namespace in &work.created {
            let ours = own.get(namespace).ok_or(Error::Conflict)?;
            catalog.check_free(namespace).map_err(|_| Error::Conflict)?;
            catalog.put(ours.copy(), commit);
            size::begin(commit, ours.number);
        }
        for namespace in work.written.difference(&work.created) {
            let ours = own.get(namespace).ok_or(Error::Conflict)?;
            // Whatever was changed about the collection since, an index that was added above all, does not know of the
            // transaction's rows.
            let theirs = catalog.get(namespace).ok_or(Error::Conflict)?;
            if !Arc::ptr_eq(ours, theirs) {
                return Err(Error::Conflict);
            }
            unique.extend(ours.indexes.iter().filter(|index| index.unique).map(|index| index.number.to_be_bytes()));
        }
        if work.checks {
            self.check(commit, &unique)?;
        }
        let Transaction { draft, work, .. } = &mut *self.transaction;
        for space in [Space::Records, Space::Indexes] {
            commit.put_all(space, draft.take(space));
        }
        for (collection, by) in &work.grown {
            size::change(commit, *collection, *by)?;
        }
        for (namespace, number) in &work.spread {
            let Some(collection) = catalog.get(namespace) else { continue };
            for index in collection.indexes.iter().filter(|index| index.number == *number) {
                ddl::note_multikey(commit, collection, index);
            }
        }
        self.log(commit);
        Ok(())
    }

    /// Looks whether what the transaction changes is still as it was in the state that it has read; in indexes only where
    /// they are unique.
    fn check(&self, commit: &Commit<'_>, unique: &BTreeSet<[u8; 4]>) -> Result<()> {
        let draft = &self.transaction.draft;
        for space in [Space::Records, Space::Indexes] {
            // Rows of one collection, or of one index, are neighbours.
            let mut safe: Option<[u8; 4]> = None;
            for (key, _) in draft.rows(space) {
                if safe.is_some_and(|safe| key.starts_with(&safe)) {
                    continue;
                }
                let unguarded =
                    space == Space::Indexes && key.first_chunk().is_none_or(|index| !unique.contains(index));
                if unguarded || commit.is_untouched_since(draft.base(), space, key) {
                    safe = key.first_chunk().copied();
                } else if commit.get(space, key)? != draft.base().get(space, key)? {
                    return Err(Error::Conflict);
                }
            }
        }
        Ok(())
    }

    /// Lets those go on who wait for what the transaction holds: the disk need not have it first.
    fn let_go(&mut self, commit: &Commit<'_>, catalog: Catalog) {
        let work = &mut self.transaction.work;
        if !work.is_wanted() {
            return;
        }
        if let Some(snapshot) = commit.ahead() {
            let state = Arc::new(State { snapshot: Arc::new(snapshot), catalog });
            let leader = Some(Arc::clone(&work.ending));
            work.let_go(Timed { state, time: self.time, leader });
        }
    }

    /// Writes the entry, or the chain of them, the images beside it, and what the session is to remember.
    fn log(&mut self, commit: &mut Commit<'_>) {
        let work = &self.transaction.work;
        let TransactionId { session, number } = self.id;
        let transaction = entry::Transaction { lsid: logged(Retry { session, number }).lsid, number };
        let operations_max = usize::try_from(self.db.entry_operations_max()).unwrap_or(usize::MAX);
        let parts = entry::split(&work.operations, operations_max);
        let count = i64::try_from(work.operations.len()).unwrap_or(i64::MAX);
        let mut images = work.images.iter().peekable();
        let mut previous = ClusterTime::ZERO;
        for (at, part) in parts.iter().enumerate() {
            let place = match (parts.len(), at + 1 == parts.len()) {
                (1, _) => Place::Whole,
                (_, false) => Place::More,
                (_, true) => Place::Last { count },
            };
            let time = commit.tick();
            let operations = work.operations.get(part.clone()).unwrap_or_default();
            let part_of = Part { previous, place };
            let (wall_ms, bytes) = (commit.wall_ms(), entry::apply_ops_bytes(&transaction, operations));
            commit.append_with(time, bytes, |buffer| {
                entry::apply_ops(buffer, time, wall_ms, &transaction, operations, part_of)
            });
            while let Some((position, before)) = images.next_if(|(position, _)| *position < part.end) {
                let index = u32::try_from(position.saturating_sub(part.start)).unwrap_or(u32::MAX);
                commit.keep_image(time, index, before.clone());
            }
            previous = time;
        }
        self.time = previous;
        let row = committed_row(number, commit.wall_ms(), previous);
        commit.put(Space::Sessions, session.to_vec(), row);
    }
}
