//! Which rows open transactions are changing, and waiting for the end of one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use millstream_storage::{Slice, Space};
use parking_lot::{Condvar, Mutex};

/// The rows that open transactions hold.
#[derive(Default)]
pub(crate) struct Locks {
    /// How many there are, so that those who meet none need not look.
    count: AtomicUsize,
    rows: Mutex<HashMap<Space, HashMap<Slice, Arc<Ending>>>>,
}

impl Locks {
    /// The transaction that holds a row.
    pub(crate) fn holder(&self, space: Space, key: &[u8]) -> Option<Arc<Ending>> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.rows.lock().get(&space)?.get(key).map(Arc::clone)
    }

    /// Takes a row; or says who has it.
    pub(super) fn take(&self, space: Space, key: &Slice, owner: &Arc<Ending>) -> Result<(), Arc<Ending>> {
        match self.rows.lock().entry(space).or_default().entry(key.clone()) {
            Entry::Occupied(other) => return Err(Arc::clone(other.get())),
            Entry::Vacant(free) => free.insert(Arc::clone(owner)),
        };
        self.count.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Gives rows back that were taken.
    pub(super) fn release<'k>(&self, keys: impl Iterator<Item = &'k (Space, Slice)>) {
        let mut rows = self.rows.lock();
        for (space, key) in keys {
            if rows.get_mut(space).is_some_and(|rows| rows.remove(key).is_some()) {
                self.count.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }
}

/// The end of a transaction, for those who wait for it.
#[derive(Default)]
pub struct Ending {
    state: Mutex<State>,
    over: Condvar,
}

#[derive(Default)]
struct State {
    over: bool,
    waiting: Vec<Waker>,
}

impl Ending {
    pub(super) fn come(&self) {
        let waiting = {
            let mut state = self.state.lock();
            state.over = true;
            std::mem::take(&mut state.waiting)
        };
        self.over.notify_all();
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Blocks this thread until the transaction is over, or for so long; says whether it is.
    pub fn wait(&self, at_most: Duration) -> bool {
        let deadline = Instant::now() + at_most;
        let mut state = self.state.lock();
        while !state.over && !self.over.wait_until(&mut state, deadline).timed_out() {}
        state.over
    }

    /// The same as a future of any runtime.
    #[must_use]
    pub fn ended(self: Arc<Self>) -> Ended {
        Ended(self)
    }
}

impl std::fmt::Debug for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ending").finish_non_exhaustive()
    }
}

/// Ready when a transaction is over.
pub struct Ended(Arc<Ending>);

impl Future for Ended {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.state.lock();
        if state.over {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            state.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }
}
