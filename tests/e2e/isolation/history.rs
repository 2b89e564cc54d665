//! What clients did and saw: transactions with their steps, when each was sent and answered, and what was there in
//! the end.

use std::collections::BTreeMap;

/// The name of a list or of a group.
pub(crate) type Key = String;

/// What happened, and what was read when all of it was over.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) lists: BTreeMap<Key, Vec<i64>>,
    pub(crate) groups: BTreeMap<Key, Vec<i64>>,
}

/// One attempt at a transaction. A single statement outside of transactions is one too: its only step is its commit.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) client: usize,
    /// Counts what this client did.
    pub(crate) number: usize,
    pub(crate) steps: Vec<Step>,
    /// When the commit was sent for the first time, in nanoseconds of the test's own clock.
    pub(crate) commit_sent: Option<u64>,
    /// When the client knew the outcome, or gave up on it.
    pub(crate) ended: u64,
    pub(crate) outcome: Outcome,
    /// The commit's time in the log, where the reply says it for sure: the commit was sent once, and wrote something.
    pub(crate) log_time: Option<u64>,
    /// It only reads, at one time of the log.
    pub(crate) reads_at: Option<ReadsAt>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadsAt {
    /// A time that its client asked for, which may be long ago.
    Asked(u64),
    /// The time of its first statement, as the server told.
    Told(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Committed,
    Aborted,
    /// No answer to the commit has ever arrived.
    Unknown,
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) sent: u64,
    /// Missing if there was no answer, or an error.
    pub(crate) answered: Option<u64>,
    pub(crate) action: Action,
}

/// Values and members are used once in a history, so that each says by whom it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Adds a value to the end of a list.
    Append { list: Key, value: i64 },
    /// Reads a list; `[]` if it does not exist.
    Read { list: Key, values: Vec<i64> },
    /// Adds a document to a group.
    Insert { group: Key, member: i64 },
    /// Deletes a document of a group. Without an answer nobody knows whether it was `found`.
    Delete { group: Key, member: i64, found: bool },
    /// Reads which documents are in a group.
    Members { group: Key, members: Vec<i64> },
    /// Changes all documents of a group.
    Touch { group: Key },
}

impl Transaction {
    pub(crate) fn began(&self) -> u64 {
        self.steps.first().map_or(self.ended, |step| step.sent)
    }

    /// When it had certainly read something, and so had its snapshot. One that has only written may move to a newer state,
    /// because what it has written it holds: nobody else has changed that.
    pub(crate) fn has_snapshot(&self) -> Option<u64> {
        let writes = |step: &&Step| matches!(step.action, Action::Append { .. });
        // One statement can both write and read.
        let wrote = |sent: u64| self.steps.iter().filter(writes).any(|step| step.sent == sent);
        let reads = self.steps.iter().filter(|step| match &step.action {
            Action::Read { .. } | Action::Members { .. } => !wrote(step.sent),
            Action::Delete { found, .. } => !found,
            Action::Touch { .. } => true,
            Action::Append { .. } | Action::Insert { .. } => false,
        });
        reads.filter_map(|step| step.answered).next()
    }

    /// The steps that were answered.
    pub(crate) fn answered(&self) -> impl Iterator<Item = (&Action, u64)> {
        self.steps.iter().filter_map(|step| step.answered.map(|at| (&step.action, at)))
    }
}

impl Action {
    /// The list or group that it is about.
    pub(crate) fn key(&self) -> &Key {
        match self {
            Self::Append { list, .. } | Self::Read { list, .. } => list,
            Self::Insert { group, .. }
            | Self::Delete { group, .. }
            | Self::Members { group, .. }
            | Self::Touch { group } => group,
        }
    }
}
