//! Multi-document transactions (CS-2.8): writes kept apart on a snapshot, committed together.
//!
//! A transaction reads one state of the database and what it has written itself. What it changes it holds until its end:
//! other transactions that want to change the same get a conflict, writes outside of transactions wait. When it is
//! committed, its rows and its entry of the log enter the commit loop as one operation, which looks once more whether
//! anything that it changes was changed since the state that it read: the first to commit wins. So there are no lost
//! updates, no dirty and no skewed reads; two transactions that read what the other writes can both commit (write skew).

mod commit;
mod ends;
mod limits;
mod locks;
mod newest;
mod registry;
mod turn;
mod work;

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_storage::Draft;
use millstream_value::{DocBuf, Namespace};

use crate::catalog::Catalog;
use crate::shared::State;
use crate::write::{Applied, Scene, Sink, Statement, Targets, needs_search, search};
use crate::{Action, Error, IndexesCreated, Outcome, Result, ddl};

pub use limits::{TransactionCounts, TransactionLimits};
pub(crate) use locks::Locks;
pub use locks::{Ended, Ending, Held, NextTurn};
use newest::Timed;
pub(crate) use registry::Transactions;
pub use registry::{Committing, TransactionId};
pub use turn::{Attempt, Tried, Turn};
pub(crate) use work::Work;

/// How often a transaction that can move to a newer state does so for one statement.
const MOVES_MAX: usize = 100;

/// An open transaction.
pub(crate) struct Transaction {
    draft: Draft,
    /// Of the state that it reads, with what it has created.
    catalog: Catalog,
    work: Work,
    /// What it read so far would not be the same in another state.
    pinned: bool,
    images_always: bool,
    /// What its readers see; made when it is asked for.
    seen: Option<Arc<State>>,
    /// The collections that it has read or written.
    uses: BTreeSet<Namespace>,
    /// The transaction whose end makes durable what this one has gone over to.
    leader: Option<Arc<Ending>>,
    /// The cursors that it has opened: they end with it.
    cursors: Vec<i64>,
}

impl Transaction {
    fn new(state: &State, work: Work, pinned: bool, images_always: bool) -> Self {
        Self {
            draft: Draft::new(Arc::clone(&state.snapshot)),
            catalog: state.catalog.clone(),
            work,
            pinned,
            images_always,
            seen: None,
            uses: BTreeSet::new(),
            leader: None,
            cursors: Vec::new(),
        }
    }

    /// What it sees, its own writes included. From now on it stays with the state that it reads.
    fn state(&mut self) -> Arc<State> {
        self.pinned = true;
        self.current()
    }

    fn current(&mut self) -> Arc<State> {
        let (draft, catalog) = (&self.draft, &self.catalog);
        let make = || Arc::new(State { snapshot: draft.view(), catalog: catalog.clone() });
        Arc::clone(self.seen.get_or_insert_with(make))
    }

    /// Runs one statement, as a whole or not at all.
    ///
    /// # Errors
    /// `Held` and `Moved`: somebody else is changing, or has changed, what the statement changes.
    fn run(&mut self, statement: &Statement, now_ms: u64) -> Result<Outcome> {
        let Ok(action) = &statement.action else { return Err(statement_error(statement)) };
        let mut searched = needs_search(statement);
        for _ in 0..2 {
            let targets = match searched {
                true => search(&self.current(), statement)?.map(|(found, _)| found),
                false => None,
            };
            let by_search = targets.is_some();
            let targets = targets.map_or(Targets::ById, Targets::Found);
            let applied =
                self.change(now_ms, |scene| scene.run(&statement.namespace, statement.id, action, &targets))?;
            match applied {
                Applied::Done(outcome) => {
                    // What was found by searching, and what was not found, may be another document in another state.
                    let unchanged = matches!(action, Action::Update(_)) && outcome.upserted.is_none();
                    self.pinned |= by_search || outcome.n == 0 || (unchanged && outcome.modified < outcome.n);
                    return Ok(outcome);
                }
                Applied::Stale => searched = true,
            }
        }
        Err(Error::Conflict)
    }

    /// Creates a collection that must not exist.
    fn create(&mut self, namespace: &Namespace, options: &DocBuf, now_ms: u64) -> Result<()> {
        self.change(now_ms, |scene| {
            scene.catalog.check_free(namespace)?;
            scene.sink.claim(millstream_storage::Space::Catalog, &crate::catalog::row_key(namespace).into())?;
            ddl::create_in_loop(scene.commit, scene.catalog, &mut scene.sink, namespace, options.clone()).map(drop)
        })
    }

    fn create_indexes(&mut self, namespace: &Namespace, specs: &[DocBuf], now_ms: u64) -> Result<IndexesCreated> {
        self.change(now_ms, |scene| {
            if scene.catalog.get(namespace).is_none() {
                scene.sink.claim(millstream_storage::Space::Catalog, &crate::catalog::row_key(namespace).into())?;
            }
            let Sink::Draft(work) = &mut scene.sink else { return Err(Error::Conflict) };
            ddl::create_indexes_in_draft(scene.commit, scene.catalog, work, namespace, specs)
        })
    }

    /// Makes one change in the draft; an error leaves everything as it was.
    fn change<T>(&mut self, now_ms: u64, change: impl FnOnce(&mut Scene<'_, '_>) -> Result<T>) -> Result<T> {
        // Whoever still reads what was there keeps it; the draft need not be copied for nobody.
        self.seen = None;
        let mark = self.work.mark();
        let mut catalog = self.catalog.clone();
        let (work, images_always) = (&mut self.work, self.images_always);
        let mut grown = None;
        let changed = self.draft.stage(now_ms, |commit| {
            let (catalog, sink) = (&mut catalog, Sink::Draft(work));
            let mut scene = Scene { commit, catalog, images_always, sink, grown: None, spread: Vec::new() };
            let changed = change(&mut scene)?;
            grown = scene.grown;
            Ok::<_, Error>(changed)
        });
        self.work.drafted = self.draft.bytes();
        match changed {
            Ok(done) => {
                self.catalog = catalog;
                if let Some((collection, by)) = grown {
                    let sum = self.work.grown.entry(collection).or_default();
                    *sum = sum.plus(by);
                }
                let draft = &self.draft;
                // What was looked at and not changed is nobody's.
                self.pinned |= self.work.settle(|space, key| draft.has_changed(space, key));
                Ok(done)
            }
            Err(error) => {
                self.work.undo(mark);
                Err(error)
            }
        }
    }

    /// Goes over to a newer state, which changes nothing of what the transaction has seen: it has read only what it
    /// holds. Says whether that was possible.
    fn move_to(&mut self, newest: &Timed) -> Result<bool> {
        let state = &newest.state;
        if self.pinned || !self.work.is_same_in(&state.snapshot)? {
            return Ok(false);
        }
        let mut catalog = state.catalog.clone();
        for namespace in &self.work.written {
            let (ours, theirs) = (self.catalog.get(namespace), state.catalog.get(namespace));
            let same = match (ours, theirs) {
                (Some(_), None) => self.work.created.contains(namespace),
                (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
                _ => false,
            };
            if !same {
                return Ok(false);
            }
        }
        for namespace in &self.work.created {
            if let Some(ours) = self.catalog.get(namespace) {
                catalog.add(Arc::clone(ours));
            }
        }
        self.catalog = catalog;
        self.draft.rebase(Arc::clone(&state.snapshot));
        self.work.rebase(newest);
        self.leader.clone_from(&newest.leader);
        self.seen = None;
        Ok(true)
    }
}

fn statement_error(statement: &Statement) -> Error {
    match &statement.action {
        Err(error) => error.clone(),
        Ok(_) => Error::Conflict,
    }
}
