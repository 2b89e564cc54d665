//! What can go wrong: with a row, which only leaves the row out, and with the store, which ends the run.

use std::fmt;

/// A class of errors, as SQL names it: five letters or digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SqlState(pub &'static str);

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// An error in evaluating one row (SQL-19.6). A batch query fails with it; a continuous one leaves the row out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
#[error("{message}")]
pub struct RowError {
    /// Its class.
    pub state: SqlState,
    /// What is wrong, in words.
    pub message: String,
}

impl RowError {
    /// An error of a class.
    pub fn new(state: &'static str, message: impl Into<String>) -> Self {
        Self { state: SqlState(state), message: message.into() }
    }
}

/// What ends a circuit's run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store could not read or write.
    #[error("the state could not be read or written")]
    Store(#[from] fjall::Error),
    /// Bytes of the store that are none of ours.
    #[error("the state is damaged: {0}")]
    Damaged(&'static str),
    /// The state was written by a circuit with another fingerprint.
    #[error("the state belongs to another circuit")]
    OtherCircuit,
    /// More state than is allowed (53400).
    #[error("the state would need more than {limit_bytes} bytes")]
    StateLimit {
        /// The limit.
        limit_bytes: u64,
    },
    /// Nobody waits for the answer any more.
    #[error("interrupted")]
    Interrupted,
    /// An invariant does not hold.
    #[error("internal error: {0}")]
    Bug(&'static str),
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
