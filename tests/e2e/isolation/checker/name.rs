//! The names of what can be wrong.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    /// A value was seen that was not committed: not then, or never.
    DirtyRead,
    /// What an aborted transaction wrote is there in the end.
    AbortedWriteKept,
    /// Half of what one transaction did to a list was seen.
    IntermediateRead,
    /// The writes of two transactions to one list are mixed.
    DirtyWrite,
    /// Two changed the same version of something, and both committed.
    LostUpdate,
    /// What was acknowledged is not there in the end, and nobody wrote over it.
    LostWrite,
    /// A part of a transaction is there in the end.
    TornTransaction,
    /// One write is there twice.
    DuplicateWrite,
    /// A transaction did not see what it had done itself.
    OwnWriteUnseen,
    /// A transaction read one thing twice and saw two states of it.
    NonRepeatableRead,
    /// A transaction saw a part of what another one did.
    ReadSkew,
    /// Two predicate reads of one transaction, or the halves of one, saw different states of a group.
    Phantom,
    /// Two wrote to the same thing at the same time, both committed, and neither read it.
    MissedConflict,
    /// A transaction did not see what had been acknowledged before it began.
    StaleRead,
    /// A transaction saw what was committed after its snapshot had been taken.
    LateSnapshot,
    /// Two transactions saw two others in different orders.
    LongFork,
    /// Two transactions each saw what the other did.
    CircularFlow,
    /// The times of the log are not in the order in which things happened, or what is read at one is not of that time.
    LogOrder,
    /// Two states of one list of which neither leads to the other.
    IncompatibleOrder,
    /// A value that nobody wrote.
    FromNowhere,
    /// Two each did not see what the other wrote elsewhere. Snapshot isolation allows it.
    WriteSkew,
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::DirtyRead => "dirty read",
            Self::AbortedWriteKept => "aborted write kept",
            Self::IntermediateRead => "intermediate read",
            Self::DirtyWrite => "dirty write",
            Self::LostUpdate => "lost update",
            Self::LostWrite => "lost write",
            Self::TornTransaction => "torn transaction",
            Self::DuplicateWrite => "duplicate write",
            Self::OwnWriteUnseen => "own write unseen",
            Self::NonRepeatableRead => "non-repeatable read",
            Self::ReadSkew => "read skew",
            Self::Phantom => "phantom within a snapshot",
            Self::MissedConflict => "missed write conflict",
            Self::StaleRead => "stale read",
            Self::LateSnapshot => "snapshot taken late",
            Self::LongFork => "long fork",
            Self::CircularFlow => "circular flow",
            Self::LogOrder => "log out of order",
            Self::IncompatibleOrder => "incompatible order",
            Self::FromNowhere => "value from nowhere",
            Self::WriteSkew => "write skew",
        })
    }
}
