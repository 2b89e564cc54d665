//! What transactions may take, and how many there are.

use std::sync::atomic::Ordering;

use super::registry::{Session, Stage};
use crate::Db;

/// As many as fit.
pub(super) const ENTRY_OPERATIONS_MAX: u32 = i32::MAX as u32;

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

impl Db {
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
}
