//! One statement of a transaction at a time.

use std::sync::Arc;

use millstream_query::Collation;
use millstream_value::{Code, DocBuf, Namespace};

use super::locks::{Ending, Held};
use super::{MOVES_MAX, Transaction, TransactionId};
use crate::write::{WriteCommand, WriteReply};
use crate::{Db, Error, IndexesCreated, Outcome, Reader, Result};

/// A transaction in the hands of one command. If the command fails, the transaction is aborted when this is dropped.
pub struct Turn {
    db: Db,
    id: TransactionId,
    transaction: Option<Box<Transaction>>,
    failed: bool,
}

/// A write command on its way through a transaction.
pub struct Attempt {
    command: WriteCommand,
    outcomes: Vec<Outcome>,
}

/// How far a change came.
pub enum Tried<T> {
    /// It is done.
    Done(T),
    /// Another transaction holds what it changes, and this one has not read anything yet that would keep it from waiting
    /// for the other's end. Wait, not for long, and try again; or [`Turn::conflict`].
    Held(Held),
    /// Call [`Turn::reserve`], which waits for the disk, and try again.
    NeedsNumbers,
}

impl Attempt {
    /// A command of which nothing is done.
    #[must_use]
    pub fn new(command: WriteCommand) -> Self {
        Self { command, outcomes: Vec::new() }
    }
}

impl Turn {
    pub(super) fn new(db: Db, id: TransactionId, transaction: Box<Transaction>) -> Self {
        Self { db, id, transaction: Some(transaction), failed: false }
    }

    /// The command failed: the transaction is over.
    pub fn fail(&mut self) {
        self.failed = true;
    }

    /// The transaction.
    #[must_use]
    pub fn id(&self) -> TransactionId {
        self.id
    }

    /// The command reads or writes a collection: from now on nobody changes what it is until the transaction ends.
    ///
    /// # Errors
    /// None while the turn lasts.
    pub fn uses(&mut self, namespace: &Namespace) -> Result<()> {
        let transaction = self.transaction()?;
        if !transaction.uses.contains(namespace) {
            transaction.uses.insert(namespace.clone());
            self.db.note_use(self.id, namespace);
        }
        Ok(())
    }

    /// The command has opened a cursor, which ends with the transaction.
    ///
    /// # Errors
    /// None while the turn lasts.
    pub fn opened(&mut self, cursor: i64) -> Result<()> {
        self.transaction()?.cursors.push(cursor);
        Ok(())
    }

    /// What the transaction sees, its own writes included.
    ///
    /// # Errors
    /// None while the turn lasts.
    pub fn reader(&mut self) -> Result<Reader> {
        let state = self.transaction()?.state();
        Ok(self.db.reader(state))
    }

    /// The collation that commands on a collection use unless they name one; none: the simple one.
    #[must_use]
    pub fn default_collation(&self, namespace: &Namespace) -> Option<Collation> {
        self.transaction.as_deref()?.catalog.get(namespace)?.collation.clone()
    }

    /// Runs a write command's statements, or goes on with them.
    ///
    /// # Errors
    /// [`Error::Conflict`]; `TransactionTooLarge`. The error of a statement is in the reply, and the transaction over.
    pub fn write(&mut self, attempt: &mut Attempt) -> Result<Tried<WriteReply>> {
        let now_ms = self.db.now_ms();
        attempt.outcomes.reserve(attempt.command.statements.len().saturating_sub(attempt.outcomes.len()));
        while let Some(statement) = attempt.command.statements.get(attempt.outcomes.len()) {
            self.uses(&statement.namespace)?;
            match self.attempt(|transaction| transaction.run(statement, now_ms))? {
                Ok(Tried::Done(outcome)) => attempt.outcomes.push(outcome),
                Ok(Tried::Held(held)) => return Ok(Tried::Held(held)),
                Ok(Tried::NeedsNumbers) => return Ok(Tried::NeedsNumbers),
                Err(error) => {
                    self.failed = true;
                    attempt.outcomes.push(Outcome { error: Some(error), ..Outcome::default() });
                    break;
                }
            }
        }
        let outcomes = std::mem::take(&mut attempt.outcomes);
        Ok(Tried::Done(WriteReply { outcomes, time: self.db.committed() }))
    }

    /// Creates a collection.
    ///
    /// # Errors
    /// As [`Db::create`]; [`Error::Conflict`].
    pub fn create(&mut self, namespace: &Namespace, options: &DocBuf) -> Result<Tried<()>> {
        let now_ms = self.db.now_ms();
        self.uses(namespace)?;
        self.attempt(|transaction| transaction.create(namespace, options, now_ms))?
    }

    /// Creates indexes on a collection that is missing or was created in this transaction.
    ///
    /// # Errors
    /// As [`Db::create_indexes`]; [`Error::Conflict`]; `OperationNotSupportedInTransaction`.
    pub fn create_indexes(&mut self, namespace: &Namespace, specs: &[DocBuf]) -> Result<Tried<IndexesCreated>> {
        let now_ms = self.db.now_ms();
        self.uses(namespace)?;
        self.attempt(|transaction| transaction.create_indexes(namespace, specs, now_ms))?
    }

    /// Gets numbers for what the transaction creates. Waits for the disk.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn reserve(&mut self) -> Result<()> {
        let numbers = self.db.reserve_numbers()?;
        self.transaction()?.work.give_numbers(numbers);
        Ok(())
    }

    /// The end of a transaction to wait for before the client hears of what was done: that makes durable what this one has
    /// gone on from. Then [`Turn::is_durable`].
    #[must_use]
    pub fn leader(&mut self) -> Option<Arc<Ending>> {
        self.transaction.as_deref_mut()?.leader.take()
    }

    /// Whether what the transaction has gone on from is durable.
    ///
    /// # Errors
    /// None while the turn lasts.
    pub fn is_durable(&mut self) -> Result<bool> {
        let time = self.transaction()?.work.base_time();
        Ok(time <= self.db.state().time())
    }

    /// The error of who does not wait any longer.
    #[must_use]
    pub fn conflict(&mut self) -> Error {
        self.failed = true;
        Error::Conflict
    }

    /// Tries a change, in newer states too as long as the transaction can move to them. The outer error is that of the
    /// whole command.
    fn attempt<T>(&mut self, mut change: impl FnMut(&mut Transaction) -> Result<T>) -> Result<Result<Tried<T>>> {
        for _ in 0..MOVES_MAX {
            let transaction = self.transaction()?;
            let tried = change(transaction).and_then(|done| transaction.work.check_size(0).map(|()| done));
            match tried {
                Ok(done) => return Ok(Ok(Tried::Done(done))),
                Err(Error::NeedsNumbers) => return Ok(Ok(Tried::NeedsNumbers)),
                Err(Error::Held(ending)) if !transaction.pinned => {
                    let held = transaction.work.refused(ending).ok_or(Error::Conflict)?;
                    return Ok(Ok(Tried::Held(held)));
                }
                Err(Error::Moved) => {
                    let newest = self.db.transactions().newest.get();
                    if !self.transaction()?.move_to(&newest)? {
                        return Err(self.conflict());
                    }
                }
                Err(Error::Held(_) | Error::Conflict) => return Err(self.conflict()),
                Err(error @ Error::Invalid { code: Code::TransactionTooLarge, .. }) => {
                    self.failed = true;
                    return Err(error);
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        Err(self.conflict())
    }

    fn transaction(&mut self) -> Result<&mut Transaction> {
        self.transaction.as_deref_mut().ok_or(Error::Conflict)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            // A command that panics has stopped anywhere.
            let failed = self.failed || std::thread::panicking();
            self.db.give_back(self.id, transaction, failed);
        }
    }
}
