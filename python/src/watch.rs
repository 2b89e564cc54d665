//! A watch that runs.

use std::sync::Arc;
use std::time::Instant;

use bson::{Document, doc};
use millstream_watch::{Control, Event, Handle, Result, Stats, Taking, Watch as NewWatch};
use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tokio::sync::oneshot;

use crate::errors::Trouble;
use crate::inbox::{Ack, Delivery, Feeder, Inbox, Shared};
use crate::runtime::{SIGNALS_EVERY, runtime, wait};

/// A watch in the background.
#[pyclass(frozen, module = "millstream._native")]
pub(crate) struct Watch {
    id: u64,
    control: Control,
    inbox: Arc<Shared>,
    end: Arc<End>,
}

/// How it ended, once it has.
#[derive(Default)]
struct End {
    outcome: Mutex<Option<std::result::Result<(), Trouble>>>,
    ended: Condvar,
}

impl Watch {
    /// Begins. The events of a callback's watch each wait for what became of them; those of a queue only fill the inbox.
    pub(crate) fn begin(py: Python<'_>, new: NewWatch, inbox: &Inbox, id: u64, queue: bool) -> PyResult<Self> {
        let shared = Arc::clone(inbox.shared());
        let feeder = shared.feeder(id);
        let begun = wait(py, begin(new, Arc::clone(&shared), id, queue))?;
        let handle = begun.map_err(|error| Trouble::from(error).raise(py))?;
        let control = handle.control();
        let end = Arc::new(End::default());
        drop(runtime()?.spawn(run(handle, Arc::clone(&end), feeder)));
        Ok(Self { id, control, inbox: shared, end })
    }
}

async fn begin(new: NewWatch, inbox: Arc<Shared>, id: u64, queue: bool) -> Result<Handle> {
    if queue {
        let (handle, taking) = new.queue().await?.split();
        drop(tokio::spawn(fill(inbox, id, taking)));
        return Ok(handle);
    }
    new.for_each(move |event: Event| {
        let (answer, answered) = oneshot::channel();
        inbox.put(Delivery::new(id, event, Ack::Callback(answer)));
        async move {
            match answered.await {
                Ok(outcome) => outcome,
                // It was left, which happens only once the watch is to stop.
                Err(_) => Err("it was left".to_owned()),
            }
        }
    })
    .await
}

async fn fill(inbox: Arc<Shared>, id: u64, mut taking: Taking) {
    while let Some(taken) = taking.next().await {
        let event = taken.event().clone();
        inbox.put(Delivery::new(id, event, Ack::Queue(taken)));
    }
}

/// Notes how it ended, and then lets those go who wait for events.
async fn run(handle: Handle, end: Arc<End>, feeder: Feeder) {
    let outcome = handle.join().await.map_err(Trouble::from);
    *end.outcome.lock() = Some(outcome);
    end.ended.notify_all();
    drop(feeder);
}

#[pymethods]
impl Watch {
    /// Reads nothing more. What nobody has begun with comes again at the next start.
    fn stop(&self) {
        self.control.stop();
        self.inbox.leave(self.id);
    }

    fn pause(&self) {
        self.control.pause();
    }

    fn resume(&self) {
        self.control.resume();
    }

    /// Whether it has ended, by itself or because it was asked to.
    fn has_ended(&self) -> bool {
        self.end.outcome.lock().is_some()
    }

    /// Waits for the end (for some seconds, or None for as long as it takes), and raises what it ended with. False: it
    /// runs on.
    fn join(&self, py: Python<'_>, timeout: Option<f64>, interruptible: bool) -> PyResult<bool> {
        let deadline = timeout.and_then(crate::inbox::deadline);
        loop {
            let signals = interruptible.then(|| Instant::now() + SIGNALS_EVERY);
            let until = [deadline, signals].into_iter().flatten().min();
            if let Some(outcome) = py.detach(|| self.end.outcome(until)) {
                return outcome.map(|()| true).map_err(|trouble| trouble.raise(py));
            }
            if interruptible {
                py.check_signals()?;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(false);
            }
        }
    }

    /// Numbers about it, as a document.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = numbers(&self.control.stats()).to_vec();
        Ok(PyBytes::new(py, &bytes.map_err(|error| crate::request::misuse(&error))?))
    }

    /// The last position that was saved, as a document.
    fn position<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.control.position().map(|token| PyBytes::new(py, token.as_raw().as_bytes()))
    }
}

impl End {
    /// How it ended, if it has by then.
    fn outcome(&self, until: Option<Instant>) -> Option<std::result::Result<(), Trouble>> {
        let mut outcome = self.outcome.lock();
        loop {
            if outcome.is_some() {
                return outcome.clone();
            }
            match until {
                None => self.ended.wait(&mut outcome),
                Some(until) => {
                    if Instant::now() >= until {
                        return None;
                    }
                    self.ended.wait_until(&mut outcome, until);
                }
            }
        }
    }
}

fn numbers(stats: &Stats) -> Document {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let events: Document = stats.events.iter().map(|(kind, n)| (kind.clone(), number(*n).into())).collect();
    doc! {
        "status": format!("{:?}", stats.status).to_lowercase(),
        "events": events,
        "per_second": stats.per_second,
        "delivered": number(stats.delivered),
        "failures": number(stats.failures),
        "retries": number(stats.retries),
        "given_up": number(stats.given_up),
        "under_way": number(stats.under_way),
        "saves": number(stats.saves),
        "errors": number(stats.errors),
        "reconnects": number(stats.reconnects),
        "lag_ms": number(stats.lag_ms),
        "lag_events": stats.lag_events.map(number),
        "token_age": stats.token_age.map(|age| age.as_secs_f64()),
        "silent_for": stats.silent_for.as_secs_f64(),
        "running_for": stats.running_for.as_secs_f64(),
        "last_error": &stats.last_error,
    }
}
