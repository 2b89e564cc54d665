//! Where events wait for threads of Python.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_watch::{Event, Taken};
use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tokio::sync::oneshot;

use crate::runtime::SIGNALS_EVERY;

/// Events of one or more watches. It has no limit of its own: a watch has only so many under way.
#[pyclass(frozen, module = "millstream._native")]
pub(crate) struct Inbox {
    shared: Arc<Shared>,
}

/// What watches and threads share.
#[derive(Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Delivery>,
    /// Watches whose events are no longer wanted.
    stopped: HashSet<u64>,
    /// How many watches may still bring something.
    feeders: usize,
}

/// A watch that may bring something, until it is dropped.
pub(crate) struct Feeder {
    shared: Arc<Shared>,
    watch: u64,
}

/// An event, and the way to say what became of it. One that is dropped without a word is left: it comes again at the next
/// start.
#[pyclass(frozen, weakref, module = "millstream._native")]
pub(crate) struct Delivery {
    #[pyo3(get)]
    watch: u64,
    event: Event,
    ack: Mutex<Option<Ack>>,
}

/// Who wants to know.
pub(crate) enum Ack {
    /// A callback's future, which waits for it.
    Callback(oneshot::Sender<Result<(), String>>),
    /// The queue that it was taken from.
    Queue(Taken),
}

enum Found {
    Event(Delivery),
    /// Nothing can come any more.
    Over,
    NotInTime,
}

#[pymethods]
impl Inbox {
    #[new]
    fn new() -> Self {
        Self { shared: Arc::default() }
    }

    /// The next event. None: not in time (in seconds; None for no limit), or no watch brings any more. `interruptible` is
    /// for the main thread, the only one that is told of signals.
    fn get(&self, py: Python<'_>, timeout: Option<f64>, interruptible: bool) -> PyResult<Option<Delivery>> {
        let deadline = timeout.and_then(deadline);
        loop {
            let signals = interruptible.then(|| Instant::now() + SIGNALS_EVERY);
            let until = [deadline, signals].into_iter().flatten().min();
            match py.detach(|| self.shared.take(until)) {
                Found::Event(delivery) => return Ok(Some(delivery)),
                Found::Over => return Ok(None),
                Found::NotInTime => {}
            }
            if interruptible {
                py.check_signals()?;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(None);
            }
        }
    }

    /// Whether a watch may still bring something.
    fn is_fed(&self) -> bool {
        self.shared.state.lock().feeders > 0
    }

    fn __len__(&self) -> usize {
        self.shared.state.lock().waiting.len()
    }
}

impl Inbox {
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Shared {
    /// One more watch that brings something.
    pub(crate) fn feeder(self: &Arc<Self>, watch: u64) -> Feeder {
        self.state.lock().feeders += 1;
        Feeder { shared: Arc::clone(self), watch }
    }

    pub(crate) fn put(&self, delivery: Delivery) {
        let mut state = self.state.lock();
        if !state.stopped.contains(&delivery.watch) {
            state.waiting.push_back(delivery);
            self.changed.notify_one();
        }
    }

    /// Leaves what waits of a watch, and what still comes.
    pub(crate) fn leave(&self, watch: u64) {
        let mut state = self.state.lock();
        state.stopped.insert(watch);
        state.waiting.retain(|delivery| delivery.watch != watch);
    }

    fn take(&self, until: Option<Instant>) -> Found {
        let mut state = self.state.lock();
        loop {
            if let Some(delivery) = state.waiting.pop_front() {
                return Found::Event(delivery);
            }
            if state.feeders == 0 {
                return Found::Over;
            }
            match until {
                None => self.changed.wait(&mut state),
                Some(until) => {
                    if Instant::now() >= until {
                        return Found::NotInTime;
                    }
                    self.changed.wait_until(&mut state, until);
                }
            }
        }
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.feeders -= 1;
        state.stopped.remove(&self.watch);
        self.shared.changed.notify_all();
    }
}

#[pymethods]
impl Delivery {
    /// The event's bytes.
    fn raw<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.event.raw().as_bytes())
    }

    /// It is dealt with.
    fn done(&self) {
        match self.ack.lock().take() {
            // Nobody waits any more once the watch is over.
            Some(Ack::Callback(answer)) => drop(answer.send(Ok(()))),
            Some(Ack::Queue(taken)) => taken.done(),
            None => {}
        }
    }

    /// It could not be dealt with.
    fn failed(&self, reason: String) {
        if let Some(Ack::Callback(answer)) = self.ack.lock().take() {
            drop(answer.send(Err(reason)));
        }
    }

    /// It comes again at the next start.
    fn leave(&self) {
        self.ack.lock().take();
    }
}

impl Delivery {
    pub(crate) fn new(watch: u64, event: Event, ack: Ack) -> Self {
        Self { watch, event, ack: Mutex::new(Some(ack)) }
    }
}

/// None if that is too far away to matter.
pub(crate) fn deadline(seconds: f64) -> Option<Instant> {
    let time = Duration::try_from_secs_f64(seconds.max(0.0)).ok()?;
    Instant::now().checked_add(time)
}
