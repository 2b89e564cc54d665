//! Events in a queue, from which a program takes them when it likes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::handle::{Counters, Handle, Stats};
use super::worker::{Done, Work};
use crate::{Event, Result};

/// A queue of events. What was taken counts as dealt with when the next is taken, or when [`Queue::done`] says so; a
/// program that dies before gets it again.
pub struct Queue {
    handle: Handle,
    work: mpsc::Receiver<Work>,
    done: mpsc::UnboundedSender<Done>,
    counters: Arc<Counters>,
    /// Taken, and not known to be dealt with.
    taken: Vec<u64>,
}

impl Queue {
    pub(super) fn new(
        handle: Handle,
        work: mpsc::Receiver<Work>,
        done: mpsc::UnboundedSender<Done>,
        counters: Arc<Counters>,
    ) -> Self {
        Self { handle, work, done, counters, taken: Vec::new() }
    }

    /// The next event, when it comes. None: the watch has ended; [`Queue::join`] says why.
    pub async fn get(&mut self) -> Option<Event> {
        self.done();
        let work = self.work.recv().await?;
        Some(self.take(work))
    }

    /// The next event, if it comes in time.
    pub async fn get_within(&mut self, time: Duration) -> Option<Event> {
        self.done();
        let work = tokio::time::timeout(time, self.work.recv()).await.ok()??;
        Some(self.take(work))
    }

    /// The next event, if it is there.
    pub fn try_get(&mut self) -> Option<Event> {
        self.done();
        let work = self.work.try_recv().ok()?;
        Some(self.take(work))
    }

    /// Several events: as many as come until there are `count`, they have `bytes`, or the time since the first is over.
    /// Waits for the first; empty: the watch has ended.
    pub async fn batch(&mut self, count: usize, bytes: usize, time: Duration) -> Vec<Event> {
        self.done();
        let mut batch = Vec::new();
        let Some(first) = self.work.recv().await else { return batch };
        let mut size = first.event.raw().as_bytes().len();
        batch.push(self.take(first));
        let deadline = Instant::now() + time;
        while batch.len() < count && size < bytes {
            let Ok(Some(work)) = timeout_at(deadline, self.work.recv()).await else { break };
            size += work.event.raw().as_bytes().len();
            batch.push(self.take(work));
        }
        batch
    }

    /// What was taken is dealt with.
    pub fn done(&mut self) {
        for number in self.taken.drain(..) {
            self.counters.delivered.fetch_add(1, Ordering::Relaxed);
            // Nobody listens once the watch is over.
            let _ = self.done.send(Done { number, outcome: Ok(()) });
        }
    }

    /// How it is doing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.handle.stats()
    }

    /// Reads nothing more. What is in the queue can still be taken.
    pub fn stop(&self) {
        self.handle.stop();
    }

    /// Ends: what was taken counts as dealt with, what is still in the queue does not and comes again.
    pub async fn join(mut self) -> Result<()> {
        self.done();
        let Self { handle, work, done, .. } = self;
        handle.stop();
        drop((work, done));
        handle.join().await
    }

    /// The delivery's handle, and its events one by one: for programs that have several under way, and say of each when it
    /// was dealt with.
    #[must_use]
    pub fn split(mut self) -> (Handle, Taking) {
        self.done();
        let Self { handle, work, done, counters, .. } = self;
        (handle, Taking { work, done, counters })
    }

    fn take(&mut self, work: Work) -> Event {
        self.taken.push(work.number);
        work.event
    }
}

/// The events of a [`Queue`], one by one.
pub struct Taking {
    work: mpsc::Receiver<Work>,
    done: mpsc::UnboundedSender<Done>,
    counters: Arc<Counters>,
}

/// An event that was taken. What is dropped without [`Taken::done`] comes again at the next start.
pub struct Taken {
    event: Event,
    number: u64,
    done: mpsc::UnboundedSender<Done>,
    counters: Arc<Counters>,
}

impl Taking {
    /// The next event, when it comes. None: the watch has ended; [`Handle::join`] says why.
    pub async fn next(&mut self) -> Option<Taken> {
        let Work { number, event } = self.work.recv().await?;
        Some(Taken { event, number, done: self.done.clone(), counters: Arc::clone(&self.counters) })
    }
}

impl Taken {
    /// The event.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// It is dealt with.
    pub fn done(self) {
        self.counters.delivered.fetch_add(1, Ordering::Relaxed);
        // Nobody listens once the watch is over.
        let _ = self.done.send(Done { number: self.number, outcome: Ok(()) });
    }
}
