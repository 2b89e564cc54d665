//! The transactions of all sessions: which is open, which is being committed, and how the last one ended.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use millstream_storage::Space;
use millstream_value::{ClusterTime, Code, Namespace};
use parking_lot::Mutex;

use super::commit::Job;
use super::locks::{Ending, Locks};
use super::turn::Turn;
use super::{Transaction, Work};
use crate::pending::{Pending, pair};
use crate::write::read_row;
use crate::{Db, Error, Reader, Result, Retry, TimeLimit};

/// As many as fit.
const ENTRY_OPERATIONS_MAX: u32 = i32::MAX as u32;
/// Between two looks at a transaction that is waited for.
const LOOK: Duration = Duration::from_millis(50);

/// A transaction's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId {
    /// The session's id.
    pub session: [u8; 16],
    /// `txnNumber`.
    pub number: i64,
}

/// What transactions may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionLimits {
    /// Milliseconds from its first statement after which one is aborted. Default: 60,000.
    pub life_ms: u64,
    /// Bytes of what one has written and not committed. Default: 128 MiB.
    pub bytes_max: usize,
    /// How many may be open at once. Default: 10,000.
    pub open_max: usize,
}

impl Default for TransactionLimits {
    fn default() -> Self {
        Self { life_ms: 60_000, bytes_max: 128 << 20, open_max: 10_000 }
    }
}

/// What became of transactions since the database was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionCounts {
    /// Open now.
    pub open: usize,
    /// Those of them that run a statement, or are being committed.
    pub active: usize,
    /// Begun.
    pub started: u64,
    /// Committed.
    pub committed: u64,
    /// Aborted, for whatever reason.
    pub aborted: u64,
}

/// What the commit of a transaction waits for.
pub enum Committing {
    /// Nothing: it is committed, or has written nothing.
    Done(ClusterTime),
    /// The disk.
    Waits(Pending<Result<ClusterTime>>),
}

#[derive(Default)]
pub(crate) struct Transactions {
    pub(crate) locks: Arc<Locks>,
    sessions: Mutex<HashMap<[u8; 16], Session>>,
    limits: TransactionLimits,
    life_ms: AtomicU64,
    /// How many operations one entry of the log holds.
    entry_operations: AtomicU32,
    /// Those that begin from now on do not look for conflicts.
    unchecked: AtomicBool,
    open: AtomicUsize,
    started: AtomicU64,
    committed: AtomicU64,
    aborted: AtomicU64,
}

/// The last transaction of a session.
struct Session {
    number: i64,
    stage: Stage,
    started_ms: u64,
    /// Commands that wait for their turn.
    waiting: Vec<Waker>,
    /// The collections that it has read or written.
    uses: BTreeSet<Namespace>,
    ending: Arc<Ending>,
}

enum Stage {
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
    pub(crate) fn new(limits: TransactionLimits) -> Self {
        let (life_ms, entry_operations) = (AtomicU64::new(limits.life_ms), AtomicU32::new(ENTRY_OPERATIONS_MAX));
        Self { limits, life_ms, entry_operations, ..Self::default() }
    }

    pub(crate) fn limits(&self) -> &TransactionLimits {
        &self.limits
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
    fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Committed(_) | Stage::Aborted)
    }

    fn wake(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }

    /// Ends what is open; says what is to be aborted at once.
    fn doom(&mut self) -> Option<Box<Transaction>> {
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
    /// `TransactionTooOld` and `ConflictingOperationInProgress` for a number that is not a new one; too many open ones.
    pub fn begin(&self, id: TransactionId, reader: &Reader, fixed: bool) -> Result<Turn> {
        let transactions = self.transactions();
        let state = reader.state();
        let row = self.state().snapshot.get(Space::Sessions, &id.session)?;
        if let Some((seen, _)) = row.as_deref().map(read_row) {
            check_new(id.number, seen)?;
        }
        if transactions.open.fetch_add(1, Ordering::AcqRel) >= transactions.limits.open_max {
            transactions.open.fetch_sub(1, Ordering::AcqRel);
            let message = format!("too many open transactions (limit {})", transactions.limits.open_max);
            return Err(Error::invalid(Code::from_number(365), message));
        }
        let locks = Arc::clone(&transactions.locks);
        let work = Work::new(
            Arc::clone(&state.snapshot),
            locks,
            self.published(),
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
            Stage::Busy => {
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
                    let error = refusal(id, &over);
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
    fn refused_before(&self, id: TransactionId, unknown: Error) -> Error {
        match self.committed_before(id, unknown) {
            Ok(Committing::Done(time)) => refusal(id, &Stage::Committed(time)),
            Ok(Committing::Waits(_)) => refusal(id, &Stage::Committing),
            Err(error) => error,
        }
    }

    /// Aborts a transaction.
    ///
    /// # Errors
    /// `NoSuchTransaction`, `TransactionCommitted`, `TransactionTooOld`.
    pub fn abort_transaction(&self, id: TransactionId) -> Result<()> {
        let open = {
            let mut sessions = self.transactions().sessions.lock();
            let session = match find(&mut sessions, id) {
                Ok(session) => session,
                Err(error) => {
                    drop(sessions);
                    return Err(self.refused_before(id, error));
                }
            };
            match &session.stage {
                Stage::Open(_) | Stage::Busy => session.doom(),
                over => return Err(refusal(id, over)),
            }
        };
        if let Some(open) = open {
            self.abort_now(open);
        }
        Ok(())
    }

    /// Aborts the open transactions of these sessions, which have ended; of none: of all.
    pub fn abort_sessions(&self, sessions: &[[u8; 16]]) {
        self.abort_where(|id, _| sessions.is_empty() || sessions.contains(id));
    }

    /// Aborts the transactions that are older than they may get.
    pub fn abort_expired(&self) {
        let oldest = self.now_ms().saturating_sub(self.transactions().life_ms.load(Ordering::Acquire));
        self.abort_where(|_, session| session.started_ms < oldest);
    }

    fn abort_where(&self, concerned: impl Fn(&[u8; 16], &Session) -> bool) {
        if self.transactions().open.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut open = Vec::new();
        {
            let mut sessions = self.transactions().sessions.lock();
            for (id, session) in sessions.iter_mut() {
                if matches!(session.stage, Stage::Open(_) | Stage::Busy) && concerned(id, session) {
                    open.extend(session.doom());
                }
            }
        }
        open.into_iter().for_each(|transaction| self.abort_now(transaction));
    }

    /// Forgets how the transactions of sessions ended that are over.
    pub(crate) fn forget_transactions(&self, session_alive: impl Fn(&[u8; 16]) -> bool) {
        let mut open = Vec::new();
        self.transactions().sessions.lock().retain(|id, session| {
            let alive = session_alive(id);
            if !alive {
                open.extend(session.doom());
            }
            alive || matches!(session.stage, Stage::Doomed | Stage::Committing)
        });
        open.into_iter().for_each(|transaction| self.abort_now(transaction));
    }

    /// How many operations of a transaction go into one entry of the log, if they fit.
    #[must_use]
    pub fn entry_operations_max(&self) -> u32 {
        self.transactions().entry_operations.load(Ordering::Acquire)
    }

    /// Sets how many operations of a transaction go into one entry of the log: those of a larger one go into a chain of
    /// entries.
    pub fn set_entry_operations_max(&self, count: u32) {
        self.transactions().entry_operations.store(count, Ordering::Release);
    }

    /// Milliseconds that a transaction may live.
    #[must_use]
    pub fn transaction_life_ms(&self) -> u64 {
        self.transactions().life_ms.load(Ordering::Acquire)
    }

    /// Sets how many milliseconds a transaction may live, those that are open too.
    pub fn set_transaction_life_ms(&self, life_ms: u64) {
        self.transactions().life_ms.store(life_ms, Ordering::Release);
    }

    /// Whether transactions look for conflicts. Off only in tests that must see what goes wrong without.
    pub fn set_conflict_checks(&self, on: bool) {
        self.transactions().unchecked.store(!on, Ordering::Release);
    }

    /// How many transactions there are and were.
    #[must_use]
    pub fn transaction_counts(&self) -> TransactionCounts {
        let transactions = self.transactions();
        let active = |session: &&Session| matches!(session.stage, Stage::Busy | Stage::Doomed | Stage::Committing);
        TransactionCounts {
            open: transactions.open.load(Ordering::Acquire),
            active: transactions.sessions.lock().values().filter(active).count(),
            started: transactions.started.load(Ordering::Relaxed),
            committed: transactions.committed.load(Ordering::Relaxed),
            aborted: transactions.aborted.load(Ordering::Relaxed),
        }
    }

    /// Makes room for a retryable write, whose number ends an older transaction of its session.
    ///
    /// # Errors
    /// [`Error::TransactionTooOld`]; `ConflictingOperationInProgress` if a transaction has the number.
    pub(crate) fn check_retryable(&self, retry: Retry) -> Result<()> {
        let open = {
            let mut sessions = self.transactions().sessions.lock();
            let Some(session) = sessions.get_mut(&retry.session) else { return Ok(()) };
            if session.number > retry.number {
                return Err(Error::TransactionTooOld { given: retry.number, seen: session.number });
            }
            if session.number == retry.number {
                let message = crate::write::taken_by_transaction(retry.number);
                return Err(Error::invalid(Code::ConflictingOperationInProgress, message));
            }
            session.doom()
        };
        if let Some(open) = open {
            self.abort_now(open);
        }
        Ok(())
    }

    /// Waits for the end of the transactions that are open now and use a collection that is going to be changed. What
    /// changes a collection does so by itself; who has no time to wait calls this before.
    ///
    /// # Errors
    /// `MaxTimeMSExpired`.
    pub fn make_way(&self, concerned: impl Fn(&Namespace) -> bool, time: &TimeLimit) -> Result<()> {
        let using: Vec<Arc<Ending>> = {
            let sessions = self.transactions().sessions.lock();
            let open = sessions.values().filter(|session| !session.is_over());
            open.filter(|session| session.uses.iter().any(&concerned)).map(|s| Arc::clone(&s.ending)).collect()
        };
        for ending in using {
            while !ending.wait(LOOK) {
                time.check()?;
            }
        }
        Ok(())
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

    fn abort_now(&self, transaction: Box<Transaction>) {
        self.cursors().kill(&transaction.cursors);
        self.transactions().abort(transaction);
    }
}

fn wait(session: &mut Session, waker: &Waker) {
    if !session.waiting.iter().any(|other| other.will_wake(waker)) {
        session.waiting.push(waker.clone());
    }
}

fn find(sessions: &mut HashMap<[u8; 16], Session>, id: TransactionId) -> Result<&mut Session> {
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
fn refusal(id: TransactionId, stage: &Stage) -> Error {
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
