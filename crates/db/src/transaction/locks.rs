//! Which rows open transactions are changing, and waiting for the end of one.
//!
//! A transaction that wants a row which another holds waits in the row's queue: when the row comes free, one of them is
//! woken, not all. Whoever else is there in that moment may take it first; the woken one is the first again then.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
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
    /// How many are held, so that those who meet none need not look.
    count: AtomicUsize,
    /// How many wait for one, for the same reason.
    waiting: AtomicUsize,
    rows: Mutex<HashMap<Space, HashMap<Slice, Row>>>,
}

/// Since when a transaction has a row that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Now,
    Before,
}

/// A row that is held or waited for.
struct Row {
    owner: Option<Arc<Ending>>,
    /// When it last changed hands.
    since: Instant,
    /// First come, first served.
    queue: VecDeque<Arc<Waiter>>,
}

impl Row {
    /// Nobody has it any more: wakes the first of the queue. Says whether anybody is left who wants it.
    fn hand_on(&mut self) -> bool {
        self.owner = None;
        self.since = Instant::now();
        match self.queue.pop_front() {
            Some(first) => {
                first.call();
                true
            }
            None => false,
        }
    }
}

impl Locks {
    /// The transaction that holds a row.
    pub(crate) fn holder(&self, space: Space, key: &[u8]) -> Option<Arc<Ending>> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.rows.lock().get(&space)?.get(key)?.owner.clone()
    }

    /// Takes a row; or says who has it.
    pub(super) fn take(&self, space: Space, key: &Slice, owner: &Arc<Ending>) -> Result<Taken, Arc<Ending>> {
        match self.rows.lock().entry(space).or_default().entry(key.clone()) {
            Entry::Occupied(mut row) => {
                let row = row.get_mut();
                if let Some(other) = &row.owner {
                    return if Arc::ptr_eq(other, owner) { Ok(Taken::Before) } else { Err(Arc::clone(other)) };
                }
                row.owner = Some(Arc::clone(owner));
                row.since = Instant::now();
            }
            Entry::Vacant(free) => {
                let owner = Some(Arc::clone(owner));
                free.insert(Row { owner, since: Instant::now(), queue: VecDeque::new() });
            }
        }
        self.count.fetch_add(1, Ordering::AcqRel);
        Ok(Taken::Now)
    }

    /// Whether anybody waits for one of these rows.
    pub(super) fn are_wanted<'k>(&self, mut keys: impl Iterator<Item = &'k (Space, Slice)>) -> bool {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return false;
        }
        let rows = self.rows.lock();
        keys.any(|(space, key)| rows.get(space).and_then(|rows| rows.get(key)).is_some_and(|row| !row.queue.is_empty()))
    }

    /// Gives rows back that were taken.
    pub(super) fn release<'k>(&self, keys: impl Iterator<Item = &'k (Space, Slice)>) {
        let mut rows = self.rows.lock();
        for (space, key) in keys {
            let Some(rows) = rows.get_mut(space) else { continue };
            let Some(row) = rows.get_mut(key).filter(|row| row.owner.is_some()) else { continue };
            self.count.fetch_sub(1, Ordering::AcqRel);
            if !row.hand_on() {
                rows.remove(key);
            }
        }
    }

    fn with_row<T>(&self, (space, key): &(Space, Slice), look: impl FnOnce(&mut Row) -> T) -> Option<T> {
        self.rows.lock().get_mut(space)?.get_mut(key).map(look)
    }

    /// Somebody waits for it no longer. Who was called and did not take it lets the next one.
    fn leave(&self, (space, key): &(Space, Slice), waiter: &Arc<Waiter>) {
        let mut rows = self.rows.lock();
        let Some(rows) = rows.get_mut(space) else { return };
        let Some(row) = rows.get_mut(key) else { return };
        row.queue.retain(|other| !Arc::ptr_eq(other, waiter));
        if row.owner.is_none() && waiter.is_called() && !row.hand_on() {
            rows.remove(key);
        }
    }
}

/// A row that another transaction holds, for one that wants it.
pub struct Held {
    locks: Arc<Locks>,
    row: (Space, Slice),
    ending: Arc<Ending>,
}

impl Held {
    pub(super) fn new(locks: &Arc<Locks>, row: (Space, Slice), ending: Arc<Ending>) -> Self {
        Self { locks: Arc::clone(locks), row, ending }
    }

    /// Blocks this thread until that transaction is over, or for so long; says whether it is.
    pub fn wait(&self, at_most: Duration) -> bool {
        self.ending.wait(at_most)
    }

    /// How long the row has been in the same hands; none: in nobody's.
    #[must_use]
    pub fn since(&self) -> Option<Duration> {
        self.locks.with_row(&self.row, |row| row.owner.as_ref().map(|_| row.since.elapsed()))?
    }

    /// Ready when the row is free and this one's turn: try again then. `first`: it was its turn before, and somebody else
    /// was quicker.
    #[must_use]
    pub fn turn(self, first: bool) -> NextTurn {
        let waiter = Arc::new(Waiter::default());
        self.locks.waiting.fetch_add(1, Ordering::AcqRel);
        let queued = self.locks.with_row(&self.row, |row| {
            match first {
                true => row.queue.push_front(Arc::clone(&waiter)),
                false => row.queue.push_back(Arc::clone(&waiter)),
            }
            if row.owner.is_none() {
                row.hand_on();
            }
        });
        if queued.is_none() {
            waiter.call();
        }
        NextTurn { held: self, waiter }
    }
}

/// One in the queue of a row.
#[derive(Default)]
struct Waiter(Mutex<Called>);

#[derive(Default)]
struct Called {
    called: bool,
    waker: Option<Waker>,
}

impl Waiter {
    fn call(&self) {
        let waker = {
            let mut state = self.0.lock();
            state.called = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn is_called(&self) -> bool {
        self.0.lock().called
    }
}

/// A place in the queue of a row. To be kept until the row was tried again: dropping it lets the next one.
pub struct NextTurn {
    held: Held,
    waiter: Arc<Waiter>,
}

impl NextTurn {
    /// As [`Held::since`].
    #[must_use]
    pub fn since(&self) -> Option<Duration> {
        self.held.since()
    }
}

impl Future for NextTurn {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.waiter.0.lock();
        if state.called {
            return Poll::Ready(());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for NextTurn {
    fn drop(&mut self) {
        self.held.locks.leave(&self.held.row, &self.waiter);
        self.held.locks.waiting.fetch_sub(1, Ordering::AcqRel);
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

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    fn row() -> (Space, Slice) {
        (Space::Records, Slice::copy_from_slice(b"hot"))
    }

    fn take(locks: &Locks, owner: &Arc<Ending>) -> Result<Taken, Arc<Ending>> {
        let (space, key) = row();
        locks.take(space, &key, owner)
    }

    /// In the queue of the row, which somebody has.
    fn queue(locks: &Arc<Locks>) -> NextTurn {
        let holder = locks.holder(row().0, &row().1).unwrap();
        Held::new(locks, row(), holder).turn(false)
    }

    fn is_called(turn: &mut NextTurn) -> bool {
        pin!(turn).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn release(locks: &Locks) {
        locks.release([row()].iter());
    }

    #[test]
    fn one_is_called_at_a_time_in_their_order() {
        let (locks, one, two) = (Arc::new(Locks::default()), Arc::default(), Arc::default());
        take(&locks, &one).unwrap();
        let (mut first, mut second) = (queue(&locks), queue(&locks));
        assert!(locks.are_wanted([row()].iter()));
        release(&locks);
        assert!(is_called(&mut first) && !is_called(&mut second));
        take(&locks, &two).unwrap();
        drop(first);
        assert!(!is_called(&mut second));
        assert!(take(&locks, &one).is_err());
        release(&locks);
        assert!(is_called(&mut second));
        drop(second);
        assert!(locks.rows.lock().values().all(HashMap::is_empty));
    }

    #[test]
    fn who_was_called_and_goes_away_lets_the_next_one() {
        let (locks, one) = (Arc::new(Locks::default()), Arc::default());
        take(&locks, &one).unwrap();
        let (first, mut second) = (queue(&locks), queue(&locks));
        release(&locks);
        drop(first);
        assert!(is_called(&mut second));
        // Neither did this one take it: nothing is left of the row.
        drop(second);
        assert!(locks.rows.lock().values().all(HashMap::is_empty));
    }

    #[test]
    fn who_goes_away_uncalled_leaves_the_others_in_their_places() {
        let (locks, one) = (Arc::new(Locks::default()), Arc::default());
        take(&locks, &one).unwrap();
        let (mut first, second, mut third) = (queue(&locks), queue(&locks), queue(&locks));
        drop(second);
        release(&locks);
        assert!(is_called(&mut first) && !is_called(&mut third));
        // Somebody else was quicker: the one that was called goes in front of the rest.
        take(&locks, &one).unwrap();
        let holder = locks.holder(row().0, &row().1).unwrap();
        let mut again = Held::new(&locks, row(), holder).turn(true);
        drop(first);
        release(&locks);
        assert!(is_called(&mut again) && !is_called(&mut third));
    }
}
