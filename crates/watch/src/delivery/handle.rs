//! A delivery that runs: stopping it, holding it up, asking how it is doing.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

use crate::{Event, Result, Token};

/// What a delivery is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Run,
    Pause,
    Stop,
}

/// Numbers about a delivery.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Events by their kind.
    pub events: BTreeMap<String, u64>,
    /// Events that were dealt with.
    pub delivered: u64,
    /// Tries that failed.
    pub failures: u64,
    /// Events that were given up.
    pub given_up: u64,
    /// Events under way.
    pub under_way: u64,
    /// How often the position was saved.
    pub saves: u64,
    /// How long ago the server last had something to say, if only that there is nothing.
    pub silent_for: Duration,
    /// How far behind the server's clock the last event was when it came, in milliseconds.
    pub lag_ms: u64,
    /// Since the delivery began.
    pub running_for: Duration,
}

/// The counters behind [`Stats`].
#[derive(Debug)]
pub(crate) struct Counters {
    began: Instant,
    heard: Mutex<Instant>,
    events: Mutex<BTreeMap<String, u64>>,
    pub(crate) delivered: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) given_up: AtomicU64,
    pub(crate) under_way: AtomicU64,
    pub(crate) saves: AtomicU64,
    lag_ms: AtomicU64,
    position: Mutex<Option<Token>>,
    pub(crate) ended: AtomicBool,
}

impl Counters {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            began: now,
            heard: Mutex::new(now),
            events: Mutex::default(),
            delivered: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            under_way: AtomicU64::new(0),
            saves: AtomicU64::new(0),
            lag_ms: AtomicU64::new(0),
            position: Mutex::default(),
            ended: AtomicBool::new(false),
        }
    }

    pub(crate) fn heard(&self) {
        *self.heard.lock() = Instant::now();
    }

    pub(crate) fn came(&self, event: &Event) {
        self.heard();
        let mut events = self.events.lock();
        match events.get_mut(event.operation()) {
            Some(count) => *count += 1,
            None => drop(events.insert(event.operation().to_owned(), 1)),
        }
        if let Some(at) = event.wall_time() {
            let lag = bson::DateTime::now().timestamp_millis().saturating_sub(at.timestamp_millis());
            self.lag_ms.store(u64::try_from(lag).unwrap_or(0), Ordering::Relaxed);
        }
    }

    pub(crate) fn saved(&self, token: &Token) {
        self.saves.fetch_add(1, Ordering::Relaxed);
        *self.position.lock() = Some(token.clone());
    }

    fn stats(&self) -> Stats {
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            events: self.events.lock().clone(),
            delivered: number(&self.delivered),
            failures: number(&self.failures),
            given_up: number(&self.given_up),
            under_way: number(&self.under_way),
            saves: number(&self.saves),
            silent_for: self.heard.lock().elapsed(),
            lag_ms: number(&self.lag_ms),
            running_for: self.began.elapsed(),
        }
    }
}

/// A delivery in the background: a [`Control`] of it, and its end. Dropping the handle lets it run on.
#[derive(Debug)]
pub struct Handle {
    control: Control,
    task: JoinHandle<Result<()>>,
}

/// What a delivery can be asked and told, from several places at once.
#[derive(Debug, Clone)]
pub struct Control {
    wish: watch::Sender<Wish>,
    counters: Arc<Counters>,
    abort: AbortHandle,
}

impl Handle {
    pub(crate) fn new(wish: watch::Sender<Wish>, counters: Arc<Counters>, task: JoinHandle<Result<()>>) -> Self {
        Self { control: Control { wish, counters, abort: task.abort_handle() }, task }
    }

    /// Another way to ask and tell.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Waits for the end, and says why it came if that was an error.
    pub async fn join(self) -> Result<()> {
        match self.task.await {
            Ok(ended) => ended,
            Err(error) => Err(crate::Error::Delivery { reason: error.to_string() }),
        }
    }
}

impl Deref for Handle {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}

impl Control {
    /// Reads nothing more, and ends when what the callback is working on was dealt with and the position is saved. What
    /// waits for its turn, or for another try, comes again from that position.
    pub fn stop(&self) {
        self.wish.send_replace(Wish::Stop);
    }

    /// Reads nothing more until [`Control::resume`]. What is under way goes on.
    pub fn pause(&self) {
        self.wish.send_if_modified(|wish| {
            let runs = *wish == Wish::Run;
            if runs {
                *wish = Wish::Pause;
            }
            runs
        });
    }

    /// Goes on after [`Control::pause`].
    pub fn resume(&self) {
        self.wish.send_if_modified(|wish| {
            let waits = *wish == Wish::Pause;
            if waits {
                *wish = Wish::Run;
            }
            waits
        });
    }

    /// Ends at once, as if the program had died: nothing more is saved.
    pub fn abort(&self) {
        self.abort.abort();
    }

    /// How it is doing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counters.stats()
    }

    /// The last position that was saved.
    #[must_use]
    pub fn position(&self) -> Option<Token> {
        self.counters.position.lock().clone()
    }

    /// Whether it has ended, by itself or because it was asked to.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.counters.ended.load(Ordering::Acquire)
    }
}
