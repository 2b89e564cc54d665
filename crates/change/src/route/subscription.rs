//! What a watcher and the tail share: which changes were not yet looked at, and whom to wake.

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use millstream_storage::ClusterTime;
use parking_lot::Mutex;

/// A watcher's place in the routing, from the opening of its stream to the end.
#[derive(Debug, Default)]
pub struct Subscription {
    /// The first routed time that was not scanned yet, as its bits; 0 if there is none.
    pending: AtomicU64,
    /// The newest routed time, as its bits.
    newest: AtomicU64,
    /// Where the last look ended before the end of what is to be looked at, as its bits; 0 if it did not.
    left_off: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl Subscription {
    /// Whether something may have come. If not, `waker` is woken when it does; it replaces an earlier one.
    ///
    /// No wake-up is lost: the waker is stored before the look, and a change is noted before the waker is taken.
    pub fn poll_ready(&self, waker: &Waker) -> bool {
        {
            let mut slot = self.waker.lock();
            match slot.as_mut() {
                Some(known) => known.clone_from(waker),
                None => *slot = Some(waker.clone()),
            }
        }
        self.is_ready()
    }

    /// Whether something may have come.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.pending.load(Ordering::SeqCst) != 0
    }

    /// The first change since the last look.
    pub(crate) fn pending(&self) -> Option<ClusterTime> {
        let first = self.pending.load(Ordering::SeqCst);
        (first != 0).then(|| ClusterTime::from_u64(first))
    }

    /// The oldest time in the log that may concern the watcher and was not looked at. Nothing: it has seen everything.
    #[must_use]
    pub fn unread(&self) -> Option<ClusterTime> {
        let left_off = self.left_off.load(Ordering::Relaxed);
        let first = if left_off == 0 { self.pending.load(Ordering::Relaxed) } else { left_off };
        (first != 0).then(|| ClusterTime::from_u64(first))
    }

    /// Notes where a look ended, if something was left to look at.
    pub(crate) fn leave_off(&self, at: Option<ClusterTime>) {
        self.left_off.store(at.map_or(0, ClusterTime::to_u64), Ordering::Relaxed);
    }

    /// Notes a change; true if it is the first one since the last look, so that the watcher has to be woken.
    pub(crate) fn note(&self, time: ClusterTime) -> bool {
        // Before `pending`: whoever takes that finds this, also while the rest of a group is still being routed.
        self.newest.store(time.to_u64(), Ordering::SeqCst);
        self.pending.compare_exchange(0, time.to_u64(), Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// The first change since the last look, and the newest: every change noted before this call is not after it.
    pub(crate) fn take(&self) -> Option<(ClusterTime, ClusterTime)> {
        match self.pending.swap(0, Ordering::SeqCst) {
            0 => None,
            first => {
                let newest = self.newest.load(Ordering::SeqCst);
                Some((ClusterTime::from_u64(first), ClusterTime::from_u64(newest)))
            }
        }
    }

    /// Wakes whoever waits.
    pub(crate) fn wake(&self) {
        let waker = self.waker.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
