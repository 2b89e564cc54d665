//! The transactions of all sessions: which is open, which is being committed, and how the last one ended.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::{Poll, Waker};

use arc_swap::ArcSwap;
use millstream_storage::Space;
use millstream_value::{ClusterTime, Code, Namespace};
use parking_lot::Mutex;

use super::commit::Job;
use super::limits::{ENTRY_OPERATIONS_MAX, TransactionLimits};
use super::locks::{Ending, Locks};
use super::newest::Newest;
use super::turn::Turn;
use super::{Transaction, Work};
use crate::pending::{Pending, pair};
use crate::shared::State;
use crate::write::read_row;
use crate::{Db, Error, Reader, Result};

/// A transaction's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId {
    /// The session's id.
    pub session: [u8; 16],
    /// `txnNumber`.
    pub number: i64,
}

/// What the commit of a transaction waits for.
pub enum Committing {
    /// Nothing: it is committed, or has written nothing.
    Done(ClusterTime),
    /// The disk.
    Waits(Pending<Result<ClusterTime>>),
}

pub(crate) struct Transactions {
    pub(crate) locks: Arc<Locks>,
    pub(super) newest: Arc<Newest>,
    pub(super) sessions: Mutex<HashMap<[u8; 16], Session>>,
    pub(super) limits: TransactionLimits,
    pub(super) life_ms: AtomicU64,
    /// How many operations one entry of the log holds.
    pub(super) entry_operations: AtomicU32,
    /// Those that begin from now on do not look for conflicts.
    pub(super) unchecked: AtomicBool,
    pub(super) open: AtomicUsize,
    /// None begins any more.
    pub(super) closed: AtomicBool,
    pub(super) started: AtomicU64,
    pub(super) committed: AtomicU64,
    pub(super) aborted: AtomicU64,
}

/// The last transaction of a session.
pub(super) struct Session {
    pub(super) number: i64,
    pub(super) stage: Stage,
    pub(super) started_ms: u64,
    /// Commands that wait for their turn.
    pub(super) waiting: Vec<Waker>,
    /// The collections that it has read or written.
    pub(super) uses: BTreeSet<Namespace>,
    pub(super) ending: Arc<Ending>,
}

pub(super) enum Stage {
    /// Between two statements.
    Open(Box<Transaction>),
    /// In the hands of a command.
    Busy,
    /// The same, and to be dropped when it comes back.
    Doomed,
    Committing,
    Committed(ClusterTime),
    Aborted,
}

impl Transactions {
    pub(crate) fn new(limits: TransactionLimits, published: Arc<ArcSwap<State>>) -> Self {
        Self {
            locks: Arc::default(),
            newest: Arc::new(Newest::new(published)),
            sessions: Mutex::default(),
            life_ms: AtomicU64::new(limits.life_ms),
            limits,
            entry_operations: AtomicU32::new(ENTRY_OPERATIONS_MAX),
            unchecked: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            started: AtomicU64::new(0),
            committed: AtomicU64::new(0),
            aborted: AtomicU64::new(0),
        }
    }

    /// A transaction that is over, in whatever way.
    fn ended(&self, transaction: Box<Transaction>) {
        self.open.fetch_sub(1, Ordering::AcqRel);
        drop(transaction);
    }

    fn abort(&self, transaction: Box<Transaction>) {
        self.aborted.fetch_add(1, Ordering::Relaxed);
        self.ended(transaction);
    }
}

impl Session {
    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Committed(_) | Stage::Aborted)
    }

    fn wake(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }

    /// Ends what is open; says what is to be aborted at once.
    pub(super) fn doom(&mut self) -> Option<Box<Transaction>> {
        match std::mem::replace(&mut self.stage, Stage::Aborted) {
            Stage::Open(transaction) => Some(transaction),
            Stage::Busy | Stage::Doomed => {
                self.stage = Stage::Doomed;
                None
            }
            over @ (Stage::Committing | Stage::Committed(_) | Stage::Aborted) => {
                self.stage = over;
                None
            }
        }
    }
}

impl Db {
    /// Begins a transaction that reads `reader`'s state; `fixed`: exactly that one, which its client has asked for.
    ///
    /// # Errors
    /// `TransactionTooOld` and `ConflictingOperationInProgress` for a number that is not a new one; too many open ones;
    /// `Closed` after [`Db::end_transactions`].
    pub fn begin(&self, id: TransactionId, reader: &Reader, fixed: bool) -> Result<Turn> {
        let transactions = self.transactions();
        let state = reader.state();
        let row = self.state().snapshot.get(Space::Sessions, &id.session)?;
        if let Some((seen, _)) = row.as_deref().map(read_row) {
            check_new(id.number, seen)?;
        }
        // Counted first: whoever ends all transactions either sees this one, or is seen below.
        if transactions.open.fetch_add(1, Ordering::SeqCst) >= transactions.limits.open_max {
            transactions.open.fetch_sub(1, Ordering::AcqRel);
            let message = format!("too many open transactions (limit {})", transactions.limits.open_max);
            return Err(Error::invalid(Code::from_number(365), message));
        }
        let locks = Arc::clone(&transactions.locks);
        let work = Work::new(
            state,
            locks,
            Arc::clone(&transactions.newest),
            transactions.limits.bytes_max,
            !transactions.unchecked.load(Ordering::Acquire),
        );
        let transaction = Box::new(Transaction::new(state, work, fixed, self.images_always()));
        let session = Session {
            number: id.number,
            stage: Stage::Busy,
            started_ms: self.now_ms(),
            waiting: Vec::new(),
            uses: BTreeSet::new(),
            ending: Arc::clone(&transaction.work.ending),
        };
        let (refused, old) = {
            let mut sessions = transactions.sessions.lock();
            match sessions.get(&id.session).map(|session| check_new(id.number, session.number)) {
                _ if transactions.closed.load(Ordering::SeqCst) => {
                    (Some(millstream_storage::Error::Closed.into()), None)
                }
                Some(Err(error)) => (Some(error), None),
                _ => (None, sessions.insert(id.session, session)),
            }
        };
        if let Some(error) = refused {
            transactions.ended(transaction);
            return Err(error);
        }
        if let Some(mut old) = old {
            // A session has one transaction at a time: a new one ends the last one.
            if let Some(open) = old.doom() {
                self.abort_now(open);
            }
            old.wake();
        }
        transactions.started.fetch_add(1, Ordering::Relaxed);
        Ok(Turn::new(self.clone(), id, transaction))
    }

    /// Goes on with a transaction. While another command has it, `waker` is woken when it is back.
    ///
    /// # Errors
    /// `NoSuchTransaction`, `TransactionCommitted`, `TransactionTooOld`.
    pub fn poll_turn(&self, id: TransactionId, waker: &Waker) -> Poll<Result<Turn>> {
        let mut sessions = self.transactions().sessions.lock();
        let session = match find(&mut sessions, id) {
            Ok(session) => session,
            Err(error) => {
                drop(sessions);
                return Poll::Ready(Err(self.refused_before(id, error)));
            }
        };
        match std::mem::replace(&mut session.stage, Stage::Busy) {
            Stage::Open(transaction) => Poll::Ready(Ok(Turn::new(self.clone(), id, transaction))),
            // What is being committed may still be refused.
            stage @ (Stage::Busy | Stage::Committing) => {
                session.stage = stage;
                wait(session, waker);
                Poll::Pending
            }
            over => {
                let error = refusal(id, &over);
                session.stage = over;
                Poll::Ready(Err(error))
            }
        }
    }

    /// Commits a transaction, or says how that ended when it was tried before.
    ///
    /// # Errors
    /// `NoSuchTransaction` if it was aborted or is not known, `TransactionTooOld`. [`Error::Conflict`] comes later.
    pub fn poll_commit(&self, id: TransactionId, waker: &Waker) -> Poll<Result<Committing>> {
        let transaction = {
            let mut sessions = self.transactions().sessions.lock();
            let session = match find(&mut sessions, id) {
                Ok(session) => session,
                Err(error) => {
                    drop(sessions);
                    return Poll::Ready(self.committed_before(id, error));
                }
            };
            match std::mem::replace(&mut session.stage, Stage::Committing) {
                Stage::Open(transaction) => transaction,
                Stage::Committed(time) => {
                    session.stage = Stage::Committed(time);
                    return Poll::Ready(Ok(Committing::Done(time)));
                }
                stage @ (Stage::Busy | Stage::Committing) => {
                    session.stage = stage;
                    wait(session, waker);
                    return Poll::Pending;
                }
                over @ (Stage::Doomed | Stage::Aborted) => {
                    // After a flush that failed nobody knows what is on disk: to say that it was aborted would have it
                    // run again.
                    let failed = self.store().failed().then(|| millstream_storage::Error::Failed.into());
                    let error = failed.unwrap_or_else(|| refusal(id, &over));
                    session.stage = over;
                    return Poll::Ready(Err(error));
                }
            }
        };
        if transaction.work.operations.is_empty() {
            let time = self.committed();
            self.settle(id, transaction, Some(time));
            return Poll::Ready(Ok(Committing::Done(time)));
        }
        let (promise, pending) = pair();
        let job = Job {
            db: self.clone(),
            id,
            transaction,
            catalog: self.loop_catalog(),
            time: ClusterTime::ZERO,
            refusal: None,
            promise,
        };
        self.store().submit(Box::new(job));
        Poll::Ready(Ok(Committing::Waits(pending)))
    }

    /// What the session's row says about a transaction that this process does not know: it may have been committed
    /// before a restart.
    fn committed_before(&self, id: TransactionId, unknown: Error) -> Result<Committing> {
        let row = self.state().snapshot.get(Space::Sessions, &id.session)?;
        match row.as_deref().map(read_row) {
            Some((number, Some(time))) if number == id.number => Ok(Committing::Done(time)),
            Some((seen, _)) if seen > id.number => Err(Error::TransactionTooOld { given: id.number, seen }),
            _ => Err(unknown),
        }
    }

    /// Why nothing but a commit can be done in a transaction that this process does not know.
    pub(super) fn refused_before(&self, id: TransactionId, unknown: Error) -> Error {
        match self.committed_before(id, unknown) {
            Ok(Committing::Done(time)) => refusal(id, &Stage::Committed(time)),
            Ok(Committing::Waits(_)) => refusal(id, &Stage::Committing),
            Err(error) => error,
        }
    }

    /// Notes that a transaction uses a collection.
    pub(super) fn note_use(&self, id: TransactionId, namespace: &Namespace) {
        let mut sessions = self.transactions().sessions.lock();
        if let Some(session) = sessions.get_mut(&id.session).filter(|session| session.number == id.number) {
            session.uses.insert(namespace.clone());
        }
    }

    /// A command is done with a transaction.
    pub(super) fn give_back(&self, id: TransactionId, transaction: Box<Transaction>, failed: bool) {
        let gone = {
            let mut sessions = self.transactions().sessions.lock();
            let session = sessions.get_mut(&id.session).filter(|session| session.number == id.number);
            match session {
                Some(session) => {
                    let doomed = failed || !matches!(session.stage, Stage::Busy);
                    let gone = if doomed {
                        session.stage = Stage::Aborted;
                        Some(transaction)
                    } else {
                        session.stage = Stage::Open(transaction);
                        None
                    };
                    session.wake();
                    gone
                }
                // The session has gone on.
                None => Some(transaction),
            }
        };
        if let Some(transaction) = gone {
            self.abort_now(transaction);
        }
    }

    /// A transaction came out of the commit loop.
    pub(super) fn settle(&self, id: TransactionId, transaction: Box<Transaction>, committed: Option<ClusterTime>) {
        let transactions = self.transactions();
        self.cursors().kill(&transaction.cursors);
        match committed {
            Some(_) => {
                transactions.committed.fetch_add(1, Ordering::Relaxed);
                transactions.ended(transaction);
            }
            None => transactions.abort(transaction),
        }
        let mut sessions = transactions.sessions.lock();
        let session = sessions.get_mut(&id.session).filter(|session| session.number == id.number);
        if let Some(session) = session {
            session.stage = committed.map_or(Stage::Aborted, Stage::Committed);
            session.wake();
        }
    }

    pub(super) fn abort_now(&self, transaction: Box<Transaction>) {
        self.cursors().kill(&transaction.cursors);
        self.transactions().abort(transaction);
    }
}

fn wait(session: &mut Session, waker: &Waker) {
    if !session.waiting.iter().any(|other| other.will_wake(waker)) {
        session.waiting.push(waker.clone());
    }
}

pub(super) fn find(sessions: &mut HashMap<[u8; 16], Session>, id: TransactionId) -> Result<&mut Session> {
    let no_such = |message: String| Err(Error::invalid(Code::NoSuchTransaction, message));
    let TransactionId { number, .. } = id;
    match sessions.get_mut(&id.session) {
        None => no_such(format!("Given transaction number {number} does not match any in-progress transactions.")),
        Some(session) if session.number == number => Ok(session),
        Some(session) if session.number > number => {
            Err(Error::TransactionTooOld { given: number, seen: session.number })
        }
        Some(session) => no_such(format!(
            "Given transaction number {number} does not match any in-progress transactions. The active transaction \
             number is {}",
            session.number
        )),
    }
}

/// Why nothing more can be done in a transaction.
pub(super) fn refusal(id: TransactionId, stage: &Stage) -> Error {
    let number = id.number;
    match stage {
        Stage::Committing | Stage::Committed(_) => Error::invalid(
            Code::TransactionCommitted,
            format!("Transaction with {{ txnNumber: {number} }} has been committed."),
        ),
        _ => Error::invalid(
            Code::NoSuchTransaction,
            format!("Transaction with {{ txnNumber: {number} }} has been aborted."),
        ),
    }
}

/// Checks that a number is above all that the session has used.
fn check_new(given: i64, seen: i64) -> Result<()> {
    match given.cmp(&seen) {
        std::cmp::Ordering::Greater => Ok(()),
        std::cmp::Ordering::Less => Err(Error::TransactionTooOld { given, seen }),
        std::cmp::Ordering::Equal => Err(Error::invalid(
            Code::ConflictingOperationInProgress,
            format!("Cannot start a transaction at number {given}: it was used before in this session"),
        )),
    }
}
