//! The shared tail: the newest entries of the log in memory, read once for all watchers.

mod allowance;
mod chains;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use millstream_storage::{ClusterTime, LogEntry, Observer, Snapshot, Store};
use parking_lot::{Mutex, RwLock};

pub(crate) use self::allowance::Allowance;
pub use self::allowance::Share;
pub(crate) use self::chains::Chain;
use self::chains::Chains;
use crate::Result;
use crate::entry::Entry;
use crate::pipeline::Pipelines;
use crate::route::{Interest, Router, Subscription};

/// How a tail is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailOptions {
    /// What entries and the events made from them may take. Default: 32 MiB, some 30,000 small changes. Watchers that
    /// fall behind it read the log on disk.
    pub bytes_max: usize,
    /// What all watchers together may hold beside that: what was read ahead for those behind, and replies that are being
    /// sent. Where it is used up they get small replies. Default: 256 MiB.
    pub watchers_bytes_max: usize,
}

impl Default for TailOptions {
    fn default() -> Self {
        Self { bytes_max: 32 << 20, watchers_bytes_max: 256 << 20 }
    }
}

/// The newest entries of the log, and who waits for more.
///
/// Give it to [`millstream_storage::Store::open`] as observer, then tell it where the log ends
/// ([`Tail::start_from`]) before the first write.
pub struct Tail {
    options: TailOptions,
    ring: RwLock<Ring>,
    router: Mutex<Router>,
    /// Everything up to here was routed; bits of a cluster time.
    end: AtomicU64,
    watchers: AtomicU64,
    allowance: Arc<Allowance>,
    pipelines: Pipelines,
    chains: Chains,
    late: Mutex<Late>,
}

/// What can wait until the writers of a group have their answers.
#[derive(Default)]
struct Late {
    woken: Vec<Arc<Subscription>>,
    dropped: Vec<Entry>,
}

/// So many watchers are woken before the writers of a group have their answers: waking more would keep those waiting.
const WOKEN_AT_ONCE: usize = 16;

struct Ring {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Every entry from here on is in the ring.
    floor: ClusterTime,
    /// The end of the newest large transaction of which a part has left the ring.
    torn: ClusterTime,
}

impl Tail {
    /// An empty tail.
    #[must_use]
    pub fn new(options: TailOptions) -> Arc<Self> {
        Arc::new(Self {
            options,
            ring: RwLock::new(Ring {
                entries: VecDeque::new(),
                bytes: 0,
                floor: ClusterTime::MAX,
                torn: ClusterTime::ZERO,
            }),
            router: Mutex::default(),
            end: AtomicU64::new(0),
            watchers: AtomicU64::new(0),
            allowance: Allowance::new(options.watchers_bytes_max),
            pipelines: Pipelines::default(),
            chains: Chains::default(),
            late: Mutex::default(),
        })
    }

    /// Says that the log ends at `newest` and that everything later will be published here.
    pub fn start_from(&self, newest: ClusterTime) {
        let mut ring = self.ring.write();
        if ring.entries.is_empty() {
            ring.floor = newest.next();
            self.end.store(newest.to_u64(), Ordering::SeqCst);
        }
    }

    /// The newest entry that watchers were told about.
    #[must_use]
    pub fn end(&self) -> ClusterTime {
        ClusterTime::from_u64(self.end.load(Ordering::SeqCst))
    }

    /// The memory that watchers share.
    pub(crate) fn allowance(&self) -> &Arc<Allowance> {
        &self.allowance
    }

    /// The pipelines of all streams.
    pub(crate) fn pipelines(&self) -> &Pipelines {
        &self.pipelines
    }

    /// A subscription that is told of every entry: for readers of the log itself.
    #[must_use]
    pub fn subscribe_to_log(self: &Arc<Self>) -> Registration {
        self.subscribe(Interest::everything()).0
    }

    /// Adds a watcher. Everything after the returned time will be routed to it.
    pub(crate) fn subscribe(self: &Arc<Self>, interest: Interest) -> (Registration, ClusterTime) {
        let id = self.watchers.fetch_add(1, Ordering::Relaxed);
        let subscription = Arc::new(Subscription::default());
        let mut router = self.router.lock();
        router.add(id, &interest, &subscription);
        // The end moves under the same lock: what is not behind it is routed after this.
        let end = self.end();
        drop(router);
        (Registration { tail: Arc::clone(self), id, interest, subscription }, end)
    }

    /// Whether everything that shows from a time on is in memory.
    #[must_use]
    pub fn reaches(&self, from: ClusterTime) -> bool {
        let ring = self.ring.read();
        from >= ring.floor && from > ring.torn
    }

    /// Whether an entry is in memory.
    pub(crate) fn has(&self, time: ClusterTime) -> bool {
        self.ring.read().get(time).is_some()
    }

    /// The large transaction that an entry commits (CS-2.8.4).
    pub(crate) fn chain(&self, last: &Entry, store: &Store) -> Result<Arc<Chain>> {
        self.offer(last);
        self.chains.find(last, |time| self.part(time, store))
    }

    /// An entry of a large transaction: from memory, or read from disk once for all who want it now.
    pub(crate) fn part(&self, time: ClusterTime, store: &Store) -> Result<Entry> {
        let here = self.ring.read().get(time).cloned();
        match here {
            Some(entry) => Ok(entry),
            None => self.chains.load(time, store, self.end(), &self.allowance),
        }
    }

    /// Takes an entry of a large transaction that was read from disk: it may be asked for soon, and by others.
    pub(crate) fn offer(&self, entry: &Entry) {
        if !self.has(entry.time()) {
            self.chains.offer(entry, self.end(), &self.allowance);
        }
    }

    /// Copies up to `count` entries from a time on. False if the tail does not go back that far.
    pub(crate) fn read(&self, from: ClusterTime, count: usize, into: &mut VecDeque<Entry>) -> bool {
        let ring = self.ring.read();
        if from < ring.floor {
            return false;
        }
        let start = ring.entries.partition_point(|entry| entry.time() < from);
        into.extend(ring.entries.iter().skip(start).take(count).cloned());
        true
    }
}

impl Observer for Tail {
    fn published(&self, _: &Arc<Snapshot>, group: &[LogEntry]) {
        let entries: Vec<Entry> = group.iter().cloned().map(Entry::read).collect();
        let Some(last) = entries.last().map(Entry::time) else {
            return;
        };
        // A large transaction comes as a whole: its first entries show nothing, its last one shows them all.
        let chains: Vec<Vec<Entry>> =
            entries.iter().filter(|entry| entry.ends_chain()).map(|last| self.chains.note(last, &entries)).collect();
        let mut chains = chains.iter();
        // First the entries, then the routing, then the end, then the waking: whoever is woken finds the entry, and
        // whoever is not told about an entry before the end may skip it.
        let dropped = self.ring.write().push(&entries, self.options.bytes_max);
        let mut woken = Vec::new();
        {
            let mut router = self.router.lock();
            for entry in &entries {
                let parts = match () {
                    () if entry.ends_chain() => chains.next().map(Vec::as_slice).unwrap_or_default(),
                    () => std::slice::from_ref(entry),
                };
                router.route(entry, parts, &mut woken);
            }
            self.end.store(last.to_u64(), Ordering::SeqCst);
        }
        let later = woken.split_off(woken.len().min(WOKEN_AT_ONCE));
        for watcher in woken {
            watcher.wake();
        }
        let mut late = self.late.lock();
        late.woken.extend(later);
        late.dropped.extend(dropped);
    }

    fn settled(&self) {
        let Late { woken, dropped } = std::mem::take(&mut *self.late.lock());
        for watcher in woken {
            watcher.wake();
        }
        drop(dropped);
        self.chains.let_go(self.end());
    }
}

impl Ring {
    fn get(&self, time: ClusterTime) -> Option<&Entry> {
        let at = self.entries.binary_search_by_key(&time, Entry::time).ok()?;
        self.entries.get(at)
    }

    /// Appends entries and returns those that no longer fit.
    fn push(&mut self, entries: &[Entry], bytes_max: usize) -> Vec<Entry> {
        if let (true, Some(first)) = (self.entries.is_empty() && self.floor == ClusterTime::MAX, entries.first()) {
            self.floor = first.time();
        }
        for entry in entries {
            self.bytes += entry.weight();
            self.entries.push_back(entry.clone());
        }
        let mut dropped = Vec::new();
        // The newest stays whatever its size, so that a watcher that is up to date never reads the disk.
        while self.bytes > bytes_max && self.entries.len() > 1 {
            if let Some(oldest) = self.entries.pop_front() {
                self.bytes -= oldest.weight();
                self.floor = oldest.time().next();
                if let Some(commit) = oldest.commit() {
                    self.torn = self.torn.max(commit.time);
                }
                dropped.push(oldest);
            }
        }
        dropped
    }
}

/// A watcher's place in the routing; leaving scope removes it.
pub struct Registration {
    tail: Arc<Tail>,
    id: u64,
    interest: Interest,
    subscription: Arc<Subscription>,
}

impl Registration {
    /// What to wait on.
    #[must_use]
    pub fn subscription(&self) -> &Arc<Subscription> {
        &self.subscription
    }

    /// Forgets that something came: call it before reading the log, then read, then wait.
    pub fn clear(&self) {
        self.subscription.take();
    }

    pub(crate) fn tail(&self) -> &Tail {
        &self.tail
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.tail.router.lock().remove(self.id, &self.interest);
    }
}

#[cfg(test)]
mod tests;
