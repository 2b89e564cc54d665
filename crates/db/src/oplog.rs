//! `local.oplog.rs`: the log as a collection that can be queried and tailed (CS-11.2).

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use millstream_change::Registration;
use millstream_query::predicate::{Predicate, Test};
use millstream_query::projection::Projection;
use millstream_storage::{LogEntry, Store};
use millstream_value::{ClusterTime, Doc, Value};

use crate::cursor::{BATCH_BYTES_MAX, Batch};
use crate::limit::LOOK_EVERY;
use crate::query::Documents;
use crate::{Db, Error, Result, TimeLimit};

/// The name under which the log is shown.
pub const OPLOG: &str = "local.oplog.rs";
/// Bytes read from the log at once, at first and at most: who wants one entry does not wait for a thousand.
const CHUNK_BYTES_MIN: usize = 4 << 10;
const CHUNK_BYTES: usize = 1 << 20;
/// Entries read at once when going backwards, at most; the first time it is one.
const CHUNK_ENTRIES: usize = 1_000;
/// By how much the next chunk is larger.
const CHUNK_GROWTH: usize = 8;

impl Db {
    /// The entries that match, oldest first or newest first.
    #[must_use]
    pub fn oplog(&self, filter: Arc<Predicate>, newest_first: bool, time: TimeLimit) -> Documents {
        let store = self.store().clone();
        let (low, high) = time_bounds(&filter);
        let entries: Box<dyn Iterator<Item = Result<LogEntry>> + Send> = if newest_first {
            let all = Backwards { store, before: high.next(), read: Vec::new().into_iter(), chunk: 1 };
            Box::new(all.take_while(move |e| e.as_ref().map_or(true, |e| e.time >= low)))
        } else {
            Box::new(Forwards::new(store, low).take_while(move |e| e.as_ref().map_or(true, |e| e.time <= high)))
        };
        let mut examined = 0_u64;
        let mut look = move || {
            examined += 1;
            if examined.is_multiple_of(LOOK_EVERY) { time.check() } else { Ok(()) }
        };
        Box::new(entries.filter_map(move |entry| match look().and(entry) {
            Err(error) => Some(Err(error)),
            Ok(entry) => match filter.matches(Doc::new(&entry.bytes)) {
                Ok(true) => Some(Ok(entry.bytes)),
                Ok(false) => None,
                Err(error) => Some(Err(error.into())),
            },
        }))
    }

    /// A cursor that stays at the end of the log and goes on when it grows.
    #[must_use]
    pub fn tail_oplog(&self, filter: Arc<Predicate>, projection: Option<Projection>, awaits: bool) -> OplogTail {
        let (low, _) = time_bounds(&filter);
        // Subscribed before the first read, so that nothing slips between the two.
        let subscription = self.tail().subscribe_to_log();
        OplogTail {
            rows: Forwards::new(self.store().clone(), low),
            filter,
            projection,
            awaits,
            subscription,
            held: None,
        }
    }
}

/// A tailable cursor on the log.
pub struct OplogTail {
    rows: Forwards,
    filter: Arc<Predicate>,
    projection: Option<Projection>,
    awaits: bool,
    subscription: Registration,
    held: Option<Bytes>,
}

impl OplogTail {
    pub(crate) fn awaits(&self) -> bool {
        self.awaits
    }

    pub(crate) fn batch(&mut self, count: usize) -> Result<Batch> {
        let mut batch = Batch::default();
        let mut size = 0;
        self.subscription.clear();
        while batch.documents.len() < count {
            let Some(doc) = self.held.take().map(Ok).or_else(|| self.next()).transpose()? else { break };
            if !batch.documents.is_empty() && size + doc.len() > BATCH_BYTES_MAX {
                self.held = Some(doc);
                break;
            }
            size += doc.len();
            batch.documents.push(doc);
        }
        Ok(batch)
    }

    pub(crate) fn poll_ready(&mut self, waker: &Waker) -> bool {
        self.held.is_some() || self.subscription.subscription().poll_ready(waker)
    }

    fn next(&mut self) -> Option<Result<Bytes>> {
        loop {
            let entry = match self.rows.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error)),
            };
            match self.filter.matches(Doc::new(&entry.bytes)) {
                Ok(false) => {}
                Err(error) => return Some(Err(error.into())),
                Ok(true) => {
                    let Some(projection) = &self.projection else { return Some(Ok(entry.bytes)) };
                    let shown = projection.apply(Doc::new(&entry.bytes));
                    return Some(shown.map(|doc| doc.into_bytes().into()).map_err(Into::into));
                }
            }
        }
    }
}

/// Entries from a time on. After its end it goes on when asked again.
struct Forwards {
    store: Store,
    next: ClusterTime,
    read: std::vec::IntoIter<LogEntry>,
    /// Nothing was read yet: a start before the oldest entry is where the log starts, not a gap.
    fresh: bool,
    chunk: usize,
}

impl Forwards {
    fn new(store: Store, from: ClusterTime) -> Self {
        Self { store, next: from, read: Vec::new().into_iter(), fresh: true, chunk: CHUNK_BYTES_MIN }
    }
}

impl Iterator for Forwards {
    type Item = Result<LogEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(entry) = self.read.next() {
            return Some(Ok(entry));
        }
        if self.fresh {
            self.next = self.next.max(self.store.window().oldest);
        }
        match self.store.read_log(self.next, self.chunk) {
            Ok(batch) => {
                self.fresh = false;
                self.chunk = (self.chunk * CHUNK_GROWTH).min(CHUNK_BYTES);
                self.next = batch.next;
                self.read = batch.entries.into_iter();
                self.read.next().map(Ok)
            }
            Err(millstream_storage::Error::HistoryLost { .. }) => Some(Err(Error::invalid(
                millstream_value::Code::CappedPositionLost,
                "CollectionScan died due to position in capped collection being deleted.",
            ))),
            Err(error) => Some(Err(error.into())),
        }
    }
}

struct Backwards {
    store: Store,
    before: ClusterTime,
    read: std::vec::IntoIter<LogEntry>,
    chunk: usize,
}

impl Iterator for Backwards {
    type Item = Result<LogEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(entry) = self.read.next() {
            return Some(Ok(entry));
        }
        match self.store.read_log_backwards(self.before, self.chunk) {
            Ok(entries) => {
                self.chunk = (self.chunk * CHUNK_GROWTH).min(CHUNK_ENTRIES);
                self.before = entries.last()?.time;
                self.read = entries.into_iter();
                self.read.next().map(Ok)
            }
            Err(error) => Some(Err(error.into())),
        }
    }
}

/// The first and last time that a filter on `ts` lets pass: the log is sought, not scanned.
fn time_bounds(filter: &Predicate) -> (ClusterTime, ClusterTime) {
    use std::ops::Bound;
    let (mut low, mut high) = (ClusterTime::ZERO, ClusterTime::MAX);
    for condition in filter.conditions().iter().filter(|c| c.path == "ts") {
        match &condition.test {
            Test::Eq(Value::Timestamp(time)) => (low, high) = (low.max(*time), high.min(*time)),
            Test::Range { lower, upper } => {
                if let Bound::Included(Value::Timestamp(time)) | Bound::Excluded(Value::Timestamp(time)) = lower {
                    low = low.max(*time);
                }
                if let Bound::Included(Value::Timestamp(time)) | Bound::Excluded(Value::Timestamp(time)) = upper {
                    high = high.min(*time);
                }
            }
            _ => {}
        }
    }
    (low, high)
}
