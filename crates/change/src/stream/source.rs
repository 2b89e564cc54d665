//! Where a stream's entries come from: the tail in memory, or the log on disk where the tail does not go back so far.
//!
//! A stream that was told of nothing by the routing skips to the end without looking (which is what makes idle watchers
//! free); one that was told of a change looks at everything from there on.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use millstream_storage::{ClusterTime, LogFrom, Store};

use super::SHARE_PART;
use crate::entry::{Change, Entry};
use crate::route::Subscription;
use crate::tail::{Allowance, Chain, Registration};
use crate::{Error, Result};

/// Entries taken from the tail at once.
const TAIL_ENTRIES: usize = 64;
/// Bytes read from the log at once: enough to make reading cheap, little enough for many streams at a time.
const LOG_BYTES: usize = 512 << 10;
/// The same where the watchers' memory is used up.
const LOG_BYTES_MIN: usize = 16 << 10;

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
    /// The operation that the client has seen last: of a large transaction nothing before it has to be read.
    seen: (ClusterTime, u32),
    /// Whether the place to start from was found in the log.
    started: bool,
    /// Bytes that may still be looked at in this call.
    budget: usize,
    /// Where a block of the log on disk begins: the one before it was read to its end.
    block_at: Option<ClusterTime>,
}

/// What is being looked at.
struct Current {
    /// Nothing: there was no memory for it, and it will be read again.
    entry: Option<Entry>,
    at: usize,
    count: usize,
    walk: Option<Walk>,
}

/// A way through a large transaction, entry by entry.
struct Walk {
    chain: Arc<Chain>,
    /// The next entry.
    next: usize,
}

impl Source {
    /// Begins at `from`; everything after `end` is routed to the registration. The client has seen the operation `seen`
    /// and those before it in its transaction.
    pub(super) fn new(
        registration: Registration,
        store: Store,
        from: ClusterTime,
        end: ClusterTime,
        seen: (ClusterTime, u32),
    ) -> Self {
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
            seen,
            started: false,
            budget: 0,
            block_at: None,
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
        let tail = self.registration.tail();
        if let Some(part) = self.current.as_ref().and_then(Current::next_part) {
            return !tail.has(part);
        }
        let unread = match () {
            () if self.next <= self.due => Some(self.next),
            () => self.subscription().pending().map(|first| first.max(self.next)),
        };
        unread.is_some_and(|from| !tail.reaches(from))
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
            let Some(current) = &mut self.current else {
                if self.budget == 0 {
                    return Ok(None);
                }
                let Some(entry) = self.next_entry()? else {
                    return Ok(None);
                };
                self.current = Some(self.begin(entry)?);
                continue;
            };
            if current.at < current.count {
                let entry = match &current.entry {
                    Some(entry) => entry.clone(),
                    None => self.read_part()?,
                };
                let at = self.current.as_mut().map_or(0, Current::step);
                return Ok(Some((entry, at)));
            }
            if current.next_part().is_some() {
                if self.budget == 0 {
                    return Ok(None);
                }
                current.turn();
                let entry = self.read_part()?;
                self.budget = self.budget.saturating_sub(entry.bytes().len());
                continue;
            }
            if let Some(time) = current.time() {
                self.scanned = time;
                self.next = self.next.max(time.next());
            }
            self.current = None;
        }
    }

    /// Begins to look at an entry, or at the large transaction that it commits (CS-2.8.4).
    fn begin(&mut self, entry: Entry) -> Result<Current> {
        if !entry.ends_chain() {
            self.budget = self.budget.saturating_sub(entry.bytes().len());
            if entry.is_partial() {
                self.registration.tail().offer(&entry);
            }
            let count = entry.changes()?.len();
            return Ok(Current { entry: Some(entry), at: 0, count, walk: None });
        }
        let chain = self.registration.tail().chain(&entry, &self.store)?;
        let next = if self.seen.0 == chain.time() { chain.part_of(self.seen.1) } else { 0 };
        Ok(Current { entry: None, at: 0, count: 0, walk: Some(Walk { chain, next }) })
    }

    /// Reads the entry of a large transaction that is being looked at.
    fn read_part(&mut self) -> Result<Entry> {
        let gone = Error::Damaged { time: self.next, what: "an entry that was let go" };
        let Some(current) = &mut self.current else { return Err(gone) };
        let Some((walk, part)) = current.walk.as_ref().and_then(|walk| Some((walk, walk.next.checked_sub(1)?))) else {
            return Err(gone);
        };
        let entry = walk.chain.part(part, |time| self.registration.tail().part(time, &self.store))?;
        current.count = entry.operations()?.len();
        current.entry = Some(entry.clone());
        Ok(entry)
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
            let from = match self.block_at {
                Some(at) if at == self.next => LogFrom::BlockAt(at),
                _ => LogFrom::Within(self.next),
            };
            let batch = self.store.read_log_blocks(from, bytes).map_err(|error| match error {
                millstream_storage::Error::HistoryLost { .. } => Error::PositionLost { at: self.next },
                error => error.into(),
            })?;
            self.block_at = Some(batch.next);
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
    fn forget_ahead(&mut self) {
        if let Some(first) = self.ahead.front() {
            self.next = first.time();
        }
        self.ahead = VecDeque::new();
        self.ahead_bytes = 0;
    }

    /// Lets go what can be read again, while others need the memory.
    pub(super) fn let_go(&mut self) {
        self.forget_ahead();
        if let Some(Current { entry, walk: Some(_), .. }) = &mut self.current {
            *entry = None;
        }
    }

    /// How a document was before an operation.
    pub(super) fn image(&self, change: Change<'_>) -> Result<Option<Bytes>> {
        let (time, index) = change.image();
        Ok(self.store.image(time, index)?)
    }
}

impl Current {
    /// When what is being looked at was committed.
    fn time(&self) -> Option<ClusterTime> {
        match &self.walk {
            Some(walk) => Some(walk.chain.time()),
            None => self.entry.as_ref().map(Entry::time),
        }
    }

    /// The next entry of a large transaction.
    fn next_part(&self) -> Option<ClusterTime> {
        self.walk.as_ref().and_then(|walk| walk.chain.time_of(walk.next))
    }

    /// Goes on to that.
    fn turn(&mut self) {
        (self.entry, self.at, self.count) = (None, 0, 0);
        if let Some(walk) = &mut self.walk {
            walk.next += 1;
        }
    }

    /// Takes an operation and returns its position.
    fn step(&mut self) -> usize {
        let at = self.at;
        self.at += 1;
        at
    }
}
