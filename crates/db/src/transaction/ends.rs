//! Transactions that end before they are committed, and those who wait for the end of one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use millstream_value::{Code, Namespace};

use super::TransactionId;
use super::locks::Ending;
use super::registry::{Session, Stage, find, refusal};
use crate::{Db, Error, Result, Retry, TimeLimit};

/// Between two looks at a transaction that is waited for.
const LOOK: Duration = Duration::from_millis(50);

impl Db {
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

    /// Aborts all transactions, and lets none begin any more: who waits for the end of one need not wait any longer.
    pub fn end_transactions(&self) {
        self.transactions().closed.store(true, Ordering::SeqCst);
        self.abort_where(|_, _| true);
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
        if self.transactions().open.load(Ordering::SeqCst) == 0 {
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

    /// Makes room for a retryable write, whose number ends an older transaction of its session.
    ///
    /// # Errors
    /// [`Error::TransactionTooOld`]; `ConflictingOperationInProgress` if a transaction has the number.
    pub(crate) fn check_retryable(&self, retry: Retry) -> Result<()> {
        if self.transactions().started.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
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
}
