//! Where a stream's entries come from: the tail in memory, or the log on disk where the tail does not go back so far.
//!
//! A stream that was told of nothing by the routing skips to the end without looking (which is what makes idle watchers
//! free); one that was told of a change looks at everything from there on.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use millstream_storage::{ClusterTime, Store};

use super::SHARE_PART;
use crate::entry::{Change, Entry};
use crate::route::Subscription;
use crate::tail::{Allowance, Registration};
use crate::{Error, Result};

/// Entries taken from the tail at once.
const TAIL_ENTRIES: usize = 64;
/// Bytes read from the log at once: enough to make reading cheap, little enough for many streams at a time.
const LOG_BYTES: usize = 512 << 10;
/// The same where the watchers' memory is used up.
const LOG_BYTES_MIN: usize = 16 << 10;
/// Entries of one large transaction.
const CHAIN_MAX: usize = 10_000;

pub(super) struct Source {
    registration: Registration,
    store: Store,
    /// Everything before this time was looked at.
    next: ClusterTime,
    /// The newest time that was looked at, or skipped for certain.
    scanned: ClusterTime,
    /// Everything up to here has to be looked at.
    due: ClusterTime,
    /// Nothing after `due` and up to here concerns the stream.
    quiet: ClusterTime,
    ahead: VecDeque<Entry>,
    /// Bytes of the entries ahead.
    ahead_bytes: usize,
    current: Option<Current>,
    /// Whether the place to start from was found in the log.
    started: bool,
    /// Bytes that may still be looked at in this call.
    budget: usize,
}

struct Current {
    entry: Entry,
    at: usize,
    count: usize,
}

impl Source {
    /// Begins at `from`; everything after `end` is routed to the registration.
    pub(super) fn new(registration: Registration, store: Store, from: ClusterTime, end: ClusterTime) -> Self {
        Self {
            registration,
            store,
            next: from,
            scanned: ClusterTime::ZERO,
            due: end,
            quiet: end,
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            current: None,
            started: false,
            budget: 0,
        }
    }

    pub(super) fn subscription(&self) -> &Arc<Subscription> {
        self.registration.subscription()
    }

    /// The newest time before which everything was looked at.
    pub(super) fn scanned(&self) -> ClusterTime {
        self.scanned
    }

    /// Whether the next look goes to the log on disk.
    pub(super) fn reads_disk(&self) -> bool {
        self.next <= self.due && !self.registration.tail().reaches(self.next)
    }

    /// Whether there is nothing left to look at.
    pub(super) fn at_end(&self) -> bool {
        self.current.is_none() && self.ahead.is_empty() && self.next > self.due
    }

    /// Learns what has come since the last time.
    pub(super) fn catch_up(&mut self, budget: usize) -> Result<()> {
        self.budget = budget;
        // The end first: what is not noted after that does not concern the stream up to there.
        let end = self.registration.tail().end();
        if let Some((first, newest)) = self.subscription().take() {
            if self.at_end() {
                self.next = self.next.max(first);
            }
            // What was noted counts although the end is still behind it: it will not be noted again.
            self.due = self.due.max(end).max(newest);
        }
        self.quiet = self.quiet.max(end);
        // A stream that is told of nothing has missed nothing, whatever has left the log meanwhile.
        if !self.started && self.next <= self.due {
            self.check_history()?;
        }
        self.started = true;
        Ok(())
    }

    /// Tells those who watch the log's retention how far back the stream still has to look.
    pub(super) fn leave_off(&self) {
        self.subscription().leave_off((!self.at_end()).then_some(self.next));
    }

    /// CS-5.9.1.
    fn check_history(&self) -> Result<()> {
        match self.store.window().lost_before {
            Some(lost) if self.next < lost => Err(Error::HistoryLost { wanted: self.next }),
            _ => Ok(()),
        }
    }

    /// The next operation, as an entry and a position in it.
    pub(super) fn next_change(&mut self) -> Result<Option<(Entry, usize)>> {
        loop {
            match &mut self.current {
                Some(current) if current.at < current.count => {
                    let at = current.at;
                    current.at += 1;
                    return Ok(Some((current.entry.clone(), at)));
                }
                Some(current) => {
                    self.scanned = current.entry.time();
                    self.next = self.next.max(current.entry.time().next());
                    self.current = None;
                }
                None if self.budget == 0 => return Ok(None),
                None => {
                    let Some(entry) = self.next_entry()? else {
                        return Ok(None);
                    };
                    self.budget = self.budget.saturating_sub(entry.bytes().len());
                    let entry = if entry.ends_chain() { self.whole_transaction(entry)? } else { entry };
                    let count = entry.changes()?.len();
                    self.current = Some(Current { entry, at: 0, count });
                }
            }
        }
    }

    fn next_entry(&mut self) -> Result<Option<Entry>> {
        if let Some(entry) = self.pop_ahead() {
            return Ok(Some(entry));
        }
        if self.next > self.due {
            self.scanned = self.scanned.max(self.quiet);
            self.next = self.next.max(self.quiet.next());
            return Ok(None);
        }
        if !self.registration.tail().read(self.next, TAIL_ENTRIES, &mut self.ahead) {
            let bytes = LOG_BYTES.min(self.allowance().left() / SHARE_PART).max(LOG_BYTES_MIN);
            let batch = self.store.read_log(self.next, bytes).map_err(|error| match error {
                millstream_storage::Error::HistoryLost { .. } => Error::PositionLost { at: self.next },
                error => error.into(),
            })?;
            self.ahead.extend(batch.entries.into_iter().map(Entry::read));
        }
        self.ahead_bytes = self.ahead.iter().map(|entry| entry.bytes().len()).sum();
        if self.ahead.is_empty() {
            // The log ends before what is due: there is nothing up to there.
            self.scanned = self.scanned.max(self.due);
            self.next = self.due.next();
            return self.next_entry();
        }
        Ok(self.pop_ahead())
    }

    fn pop_ahead(&mut self) -> Option<Entry> {
        let entry = self.ahead.pop_front()?;
        self.ahead_bytes = self.ahead_bytes.saturating_sub(entry.bytes().len());
        Some(entry)
    }

    /// The memory that watchers share.
    pub(super) fn allowance(&self) -> &Arc<Allowance> {
        self.registration.tail().allowance()
    }

    /// How much of the log is held in memory until it is looked at.
    pub(super) fn ahead_bytes(&self) -> usize {
        self.ahead_bytes
    }

    /// Forgets what was read but not looked at: it will be read again.
    pub(super) fn forget_ahead(&mut self) {
        if let Some(first) = self.ahead.front() {
            self.next = first.time();
        }
        self.ahead = VecDeque::new();
        self.ahead_bytes = 0;
    }

    /// The entry that commits a large transaction, joined with those before it (CS-2.8.4).
    fn whole_transaction(&self, last: Entry) -> Result<Entry> {
        let mut parts = VecDeque::from([last]);
        while let Some(previous) = parts.front().and_then(Entry::previous) {
            let lost = || Error::HistoryLost { wanted: previous };
            let batch = self.store.read_log(previous, 0).map_err(|error| match error {
                millstream_storage::Error::HistoryLost { .. } => lost(),
                error => error.into(),
            })?;
            let entry = batch.entries.into_iter().next().filter(|entry| entry.time == previous).ok_or_else(lost)?;
            if parts.front().is_some_and(|first| first.time() <= previous) || parts.len() >= CHAIN_MAX {
                return Err(Error::Damaged { time: previous, what: "a transaction that runs in circles" });
            }
            parts.push_front(Entry::read(entry));
        }
        Ok(Entry::join(parts.make_contiguous()))
    }

    /// How a document was before an operation.
    pub(super) fn image(&self, change: Change<'_>) -> Result<Option<Bytes>> {
        let (time, index) = change.image();
        Ok(self.store.image(time, index)?)
    }
}
