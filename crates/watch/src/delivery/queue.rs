//! Events in a queue, from which a program takes them when it likes.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::timeout_at;

use super::counters::{Counters, Stats};
use super::handle::{Control, Handle, StopWhenDropped};
use super::worker::{Done, Trying, Work};
use crate::{Event, Result};

/// A queue of events. What was taken counts as dealt with when the next is taken, or when [`Queue::done`] says so; a
/// program that dies before gets it again. Dropping the queue ends the watch.
pub struct Queue {
    handle: Handle,
    work: mpsc::Receiver<Work>,
    done: mpsc::UnboundedSender<Done>,
    trying: Trying,
    /// Taken, and not known to be dealt with.
    taken: Vec<Waiting>,
    _stop: StopWhenDropped,
}

struct Waiting {
    number: u64,
    event: Event,
    at: Instant,
}

impl Queue {
    pub(super) fn new(
        handle: Handle,
        work: mpsc::Receiver<Work>,
        done: mpsc::UnboundedSender<Done>,
        trying: Trying,
    ) -> Self {
        let stop = StopWhenDropped(handle.control());
        Self { handle, work, done, trying, taken: Vec::new(), _stop: stop }
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

    /// The next event as a [`futures_core::Stream`] polls for it.
    pub(super) fn poll_get(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.done();
        self.work.poll_recv(context).map(|work| work.map(|work| self.take(work)))
    }

    /// Several events: as many as come until there are `count`, they have `bytes`, or the time since the first is over.
    /// Waits for the first; empty: the watch has ended.
    pub async fn batch(&mut self, count: usize, bytes: usize, time: Duration) -> Vec<Event> {
        self.done();
        let mut batch = Vec::new();
        let Some(first) = self.work.recv().await else { return batch };
        let mut size = first.event.raw().as_bytes().len();
        batch.push(self.take(first));
        let deadline = tokio::time::Instant::now() + time;
        while batch.len() < count && size < bytes {
            let Ok(Some(work)) = timeout_at(deadline, self.work.recv()).await else { break };
            size += work.event.raw().as_bytes().len();
            batch.push(self.take(work));
        }
        batch
    }

    /// What was taken is dealt with.
    pub fn done(&mut self) {
        for Waiting { number, event, at } in self.taken.drain(..) {
            self.trying.counters.delivered(std::slice::from_ref(&event), at.elapsed());
            // Nobody listens once the watch is over.
            let _ = self.done.send(Done { number, outcome: Ok(()) });
        }
    }

    /// What was taken could not be dealt with, and trying again makes no sense: it is put aside as the settings say.
    ///
    /// # Errors
    /// The settings say to stop there, or it could not be put aside. The watch ends with that error too, and its
    /// position is before those events.
    pub async fn give_up(&mut self, reason: &str) -> Result<()> {
        for Waiting { number, event, .. } in std::mem::take(&mut self.taken) {
            self.trying.counters.failed(std::slice::from_ref(&event), reason, 1);
            match self.trying.give_up(&event, reason, 1).await {
                Ok(()) => drop(self.done.send(Done { number, outcome: Ok(()) })),
                Err(error) => {
                    let told = crate::Error::Delivery { reason: error.to_string() };
                    let _ = self.done.send(Done { number, outcome: Err(told) });
                    return Err(error);
                }
            }
        }
        Ok(())
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
        let Self { handle, work, done, trying, _stop, .. } = self;
        (handle, Taking { work, done, trying, _stop })
    }

    pub(super) fn control(&self) -> Control {
        self.handle.control()
    }

    fn take(&mut self, work: Work) -> Event {
        self.trying.counters.taken();
        self.taken.push(Waiting { number: work.number, event: work.event.clone(), at: Instant::now() });
        work.event
    }
}

/// The events of a [`Queue`], one by one. Dropping it ends the watch.
pub struct Taking {
    work: mpsc::Receiver<Work>,
    done: mpsc::UnboundedSender<Done>,
    trying: Trying,
    _stop: StopWhenDropped,
}

/// An event that was taken. What is dropped without [`Taken::done`] comes again at the next start.
pub struct Taken {
    event: Event,
    number: u64,
    at: Instant,
    done: mpsc::UnboundedSender<Done>,
    counters: Arc<Counters>,
}

impl Taking {
    /// The next event, when it comes. None: the watch has ended; [`Handle::join`] says why.
    pub async fn next(&mut self) -> Option<Taken> {
        let Work { number, event } = self.work.recv().await?;
        let counters = Arc::clone(&self.trying.counters);
        counters.taken();
        Some(Taken { event, number, at: Instant::now(), done: self.done.clone(), counters })
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
        self.counters.delivered(std::slice::from_ref(&self.event), self.at.elapsed());
        // Nobody listens once the watch is over.
        let _ = self.done.send(Done { number: self.number, outcome: Ok(()) });
    }
}
