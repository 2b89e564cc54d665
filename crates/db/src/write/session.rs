//! What a session has already written, so that a retry changes nothing (CS-13.7).
//!
//! One row per session: `{txn: <number>, at: <wall ms>, done: [{s: <first id>, e: <last id>, n, m, u, v}]}`. A run of
//! plain inserts takes one entry. After a transaction it is `{txn: <number>, at: <wall ms>, committed: <cluster time>}`.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use millstream_storage::{Commit, Space, Store, Write};
use millstream_value::{ClusterTime, Code, Doc, DocBuf, Value};

use super::{Outcome, Retry};
use crate::{Error, Result};

/// How long a session's row is kept after its last write: the life of a session.
pub(crate) const SESSION_LIFE_MS: i64 = 30 * 60 * 1000;

/// The record of one session while a job runs.
pub(super) struct Record {
    retry: Retry,
    done: Vec<Entry>,
    changed: bool,
}

struct Entry {
    first: i32,
    last: i32,
    outcome: Outcome,
}

impl Record {
    /// Reads what the session has written under this number.
    ///
    /// # Errors
    /// [`Error::TransactionTooOld`] if it has gone on to a higher number.
    pub(super) fn load(commit: &Commit<'_>, retry: Retry) -> Result<Self> {
        let mut record = Self { retry, done: Vec::new(), changed: false };
        let Some(row) = commit.get(Space::Sessions, &retry.session)? else { return Ok(record) };
        let row = Doc::new(&row);
        let seen = row.get("txn").and_then(|v| v.as_integer()).unwrap_or(i64::MIN);
        if seen > retry.number {
            return Err(Error::TransactionTooOld { given: retry.number, seen });
        }
        if seen == retry.number && row.has("committed") {
            return Err(Error::invalid(Code::ConflictingOperationInProgress, taken_by_transaction(retry.number)));
        }
        if seen == retry.number
            && let Some(Value::Array(done)) = row.get("done")
        {
            record.done = Doc::new(&done).values().filter_map(|v| Entry::decode(v.as_doc()?)).collect();
        }
        Ok(record)
    }

    /// What became of a statement the first time.
    pub(super) fn recall(&self, statement: i32) -> Option<Outcome> {
        self.done.iter().find(|e| (e.first..=e.last).contains(&statement)).map(|e| e.outcome.clone())
    }

    /// Notes that a statement was executed. Statements that changed nothing are executed again: harmless.
    pub(super) fn note(&mut self, statement: i32, outcome: &Outcome) {
        if outcome.error.is_some() || (outcome.n == 0 && outcome.upserted.is_none()) {
            return;
        }
        self.changed = true;
        let plain = |o: &Outcome| o.n == 1 && o.modified == 0 && o.upserted.is_none() && o.image.is_none();
        if let Some(last) = self.done.last_mut()
            && plain(&last.outcome)
            && plain(outcome)
            && last.last.checked_add(1) == Some(statement)
        {
            last.last = statement;
            return;
        }
        self.done.push(Entry { first: statement, last: statement, outcome: outcome.clone() });
    }

    pub(super) fn save(&self, commit: &mut Commit<'_>) {
        if !self.changed {
            return;
        }
        let mut row = DocBuf::new();
        row.push("txn", self.retry.number);
        row.push("at", i64::try_from(commit.wall_ms()).unwrap_or(i64::MAX));
        row.array("done", |list| {
            for entry in &self.done {
                list.push(entry.encode());
            }
        });
        commit.put(Space::Sessions, Bytes::copy_from_slice(&self.retry.session), row.into_bytes());
    }
}

pub(crate) fn taken_by_transaction(number: i64) -> String {
    format!("Cannot perform a retryable write at transaction number {number}: it is the number of a transaction")
}

/// What a session's row says of its last number: the number, and when that was committed if it is a transaction's.
pub(crate) fn read_row(row: &[u8]) -> (i64, Option<ClusterTime>) {
    let row = Doc::new(row);
    let committed = match row.get("committed") {
        Some(Value::Timestamp(time)) => Some(time),
        _ => None,
    };
    (row.get("txn").and_then(|v| v.as_integer()).unwrap_or(i64::MIN), committed)
}

/// The row of a session whose last work was a transaction.
pub(crate) fn committed_row(number: i64, wall_ms: u64, time: ClusterTime) -> Vec<u8> {
    let mut row = DocBuf::new();
    row.push("txn", number).push("at", i64::try_from(wall_ms).unwrap_or(i64::MAX)).push("committed", time);
    row.into_bytes()
}

impl Entry {
    fn encode(&self) -> DocBuf {
        let mut doc = DocBuf::new();
        doc.push("s", self.first).push("e", self.last);
        doc.push("n", i64::try_from(self.outcome.n).unwrap_or(i64::MAX));
        doc.push("m", i64::try_from(self.outcome.modified).unwrap_or(i64::MAX));
        if let Some(id) = &self.outcome.upserted {
            doc.push("u", id.borrowed());
        }
        if let Some(image) = &self.outcome.image {
            doc.push("v", Doc::new(image));
        }
        doc
    }

    fn decode(doc: Doc<'_>) -> Option<Self> {
        let number = |name| doc.get(name)?.as_integer();
        Some(Self {
            first: i32::try_from(number("s")?).ok()?,
            last: i32::try_from(number("e")?).ok()?,
            outcome: Outcome {
                n: u64::try_from(number("n")?).ok()?,
                modified: u64::try_from(number("m")?).ok()?,
                upserted: doc.get("u").map(Value::into_owned),
                image: doc.doc("v").map(|d| Bytes::copy_from_slice(d.as_bytes())),
                error: None,
            },
        })
    }
}

/// SHA-256 of the empty string: the `uid` of a session without a logged-in user (CS-1.1.3).
const NOBODY: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
    0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// How log entries name a retryable write.
pub(crate) fn logged(retry: Retry) -> millstream_change::entry::Retry {
    let mut lsid = DocBuf::new();
    lsid.push("id", Value::Binary(4, retry.session.to_vec().into()));
    lsid.push("uid", Value::Binary(0, NOBODY.to_vec().into()));
    millstream_change::entry::Retry { lsid, txn_number: retry.number, statement: 0 }
}

/// Removes the rows of sessions that have not written for longer than a session lives.
pub(crate) fn forget_old(store: &Store, now_ms: i64) {
    store.submit(Box::new(Forget { before_ms: now_ms.saturating_sub(SESSION_LIFE_MS), seen: store.snapshot() }));
}

struct Forget {
    before_ms: i64,
    seen: Arc<millstream_storage::Snapshot>,
}

/// Rows removed in one write, so that others get in between.
const FORGET_ROWS_MAX: usize = 1_000;

impl Write for Forget {
    fn apply(&mut self, commit: &mut Commit<'_>) -> millstream_storage::Result<()> {
        let mut removed = 0;
        for row in self.seen.range(Space::Sessions, Bound::Unbounded, Bound::Unbounded) {
            let (key, _) = row?;
            // The row may have been written again since the snapshot.
            let Some(current) = commit.get(Space::Sessions, &key)? else { continue };
            let at = Doc::new(&current).get("at").and_then(|v| v.as_integer()).unwrap_or(i64::MAX);
            if at < self.before_ms {
                commit.delete(Space::Sessions, key);
                removed += 1;
                if removed == FORGET_ROWS_MAX {
                    break;
                }
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>, outcome: millstream_storage::Result<()>) {
        if let Err(error) = outcome {
            tracing::debug!(%error, "could not forget old sessions");
        }
    }
}
