//! How a delivery is doing: what is counted, and who is told.

mod rate;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use self::rate::Rate;
use super::hooks::Hooks;
use super::meters::Meters;
use crate::pulse::Pulse;
use crate::{Error, Event, Result, Token};

/// What a delivery is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Status {
    /// It reads, or waits for something to read.
    #[default]
    Running,
    /// It was asked to wait.
    Paused,
    /// The server is away, and is looked for.
    Reconnecting,
    /// The server has said nothing for too long, not even that there is nothing.
    Stalled,
    /// It has ended without an error.
    Ended,
    /// It has ended with an error.
    Failed,
}

/// Numbers about a delivery.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// The watch's name.
    pub name: String,
    /// What it is doing.
    pub status: Status,
    /// Events by their kind.
    pub events: BTreeMap<String, u64>,
    /// Events that came in a second, over the last ten seconds.
    pub per_second: f64,
    /// Events that were dealt with.
    pub delivered: u64,
    /// Tries that failed.
    pub failures: u64,
    /// Tries that were made again.
    pub retries: u64,
    /// Events that were given up.
    pub given_up: u64,
    /// Events that were left out because they had come before.
    pub repeated: u64,
    /// Events under way.
    pub under_way: u64,
    /// Those of them that nobody works on yet.
    pub queued: u64,
    /// How often the position was saved.
    pub saves: u64,
    /// Errors of the server or of the way to it, one for each try.
    pub errors: u64,
    /// How often the stream went on after an error.
    pub reconnects: u64,
    /// How often the history was lost.
    pub histories_lost: u64,
    /// How often the stream had stalled.
    pub stalls: u64,
    /// Whether it has stalled now.
    pub stalled: bool,
    /// How long ago the server last had something to say, if only that there is nothing.
    pub silent_for: Duration,
    /// How long ago the oldest event that is not dealt with happened, by the server's clock then and this machine's now,
    /// in milliseconds. 0: everything was dealt with. While more is being read, it is that of the last event when it came.
    pub lag_ms: u64,
    /// How many events are not dealt with. None: more are waiting on the server, and it does not say how many.
    pub lag_events: Option<u64>,
    /// How long ago the saved position was the newest: what a start from there would go through again.
    pub token_age: Option<Duration>,
    /// Since the delivery began.
    pub running_for: Duration,
    /// The last reason for giving up an event, or for the end.
    pub last_error: Option<String>,
}

/// The counters behind [`Stats`], and those who are told besides: [`Hooks`] and meters.
pub(crate) struct Counters {
    name: String,
    began: Instant,
    hooks: Option<Arc<dyn Hooks>>,
    meters: Meters,
    pub(crate) pulse: Arc<Pulse>,
    came: Mutex<Came>,
    delivered: AtomicU64,
    failures: AtomicU64,
    retries: AtomicU64,
    given_up: AtomicU64,
    repeated: AtomicU64,
    under_way: AtomicU64,
    queued: AtomicU64,
    saves: AtomicU64,
    histories_lost: AtomicU64,
    stalls: AtomicU64,
    stalled: AtomicBool,
    paused: AtomicBool,
    /// The time of the oldest event under way, 0 if there is none.
    oldest_ms: AtomicI64,
    /// How old the last event was when it came.
    lag_ms: AtomicU64,
    /// Whether the server has last said that there is nothing more.
    at_the_end: AtomicBool,
    position: Mutex<Option<Token>>,
    last_error: Mutex<Option<String>>,
    ended: AtomicBool,
    failed: AtomicBool,
}

#[derive(Default)]
struct Came {
    by_operation: BTreeMap<String, (u64, metrics::Counter)>,
    rate: Rate,
}

impl Counters {
    pub(crate) fn new(name: String, hooks: Option<Arc<dyn Hooks>>) -> Self {
        Self {
            meters: Meters::new(&name),
            name,
            began: Instant::now(),
            hooks,
            pulse: Arc::default(),
            came: Mutex::default(),
            delivered: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            under_way: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            saves: AtomicU64::new(0),
            histories_lost: AtomicU64::new(0),
            stalls: AtomicU64::new(0),
            stalled: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            oldest_ms: AtomicI64::new(0),
            lag_ms: AtomicU64::new(0),
            at_the_end: AtomicBool::new(false),
            position: Mutex::default(),
            last_error: Mutex::default(),
            ended: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        }
    }

    /// An event came; says when it happened, in milliseconds.
    pub(crate) fn came(&self, event: &Event) -> Option<i64> {
        let at_ms = event.wall_time().map(bson::DateTime::timestamp_millis);
        let now = now_ms();
        {
            let mut came = self.came.lock();
            came.rate.add(now);
            let operation = event.operation();
            match came.by_operation.get_mut(operation) {
                Some((count, meter)) => {
                    *count += 1;
                    meter.increment(1);
                }
                None => {
                    let meter = self.meters.came(operation);
                    meter.increment(1);
                    came.by_operation.insert(operation.to_owned(), (1, meter));
                }
            }
        }
        if let Some(at) = at_ms {
            self.lag_ms.store(u64::try_from(now.saturating_sub(at)).unwrap_or(0), Ordering::Relaxed);
        }
        self.stalled.store(false, Ordering::Relaxed);
        self.at_the_end.store(false, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.queued.fetch_add(1, Ordering::Relaxed);
        self.tell(|hooks| hooks.came(event));
        at_ms
    }

    /// There was nothing more to read.
    pub(crate) fn idle(&self) {
        self.stalled.store(false, Ordering::Relaxed);
        self.at_the_end.store(true, Ordering::Relaxed);
        self.lag_ms.store(0, Ordering::Relaxed);
    }

    /// An event is left out because it came before.
    pub(crate) fn repeated(&self) {
        self.repeated.fetch_add(1, Ordering::Relaxed);
        self.meters.repeated.increment(1);
    }

    /// Somebody works on an event.
    pub(crate) fn taken(&self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }

    /// So many events were dealt with, one way or the other.
    pub(crate) fn left(&self, events: u64) {
        self.under_way.fetch_sub(events, Ordering::Relaxed);
    }

    /// The oldest event under way is of this time.
    pub(crate) fn oldest(&self, at_ms: Option<i64>) {
        self.oldest_ms.store(at_ms.unwrap_or(0), Ordering::Relaxed);
    }

    /// Events were dealt with, together.
    pub(crate) fn delivered(&self, events: &[Event], took: Duration) {
        self.delivered.fetch_add(count(events), Ordering::Relaxed);
        self.meters.delivered(count(events), took);
        if let Some(hooks) = &self.hooks {
            events.iter().for_each(|event| hooks.delivered(event, took));
        }
    }

    /// A try failed.
    pub(crate) fn failed(&self, events: &[Event], error: &str, attempt: u32) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.meters.failures.increment(1);
        if let Some(hooks) = &self.hooks {
            events.iter().for_each(|event| hooks.failed(event, error, attempt));
        }
    }

    /// A try is made again.
    pub(crate) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
        self.meters.retries.increment(1);
    }

    pub(crate) fn given_up(&self, event: &Event, error: &str, attempts: u32) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
        self.meters.given_up.increment(1);
        *self.last_error.lock() = Some(error.to_owned());
        self.tell(|hooks| hooks.given_up(event, error, attempts));
    }

    pub(crate) fn saved(&self, token: &Token) {
        self.saves.fetch_add(1, Ordering::Relaxed);
        self.meters.saves.increment(1);
        *self.position.lock() = Some(token.clone());
        self.tell(|hooks| hooks.saved(token));
    }

    pub(crate) fn reconnected(&self) {
        self.meters.reconnects.increment(1);
        self.tell(|hooks| hooks.reconnected());
    }

    pub(crate) fn history_lost(&self, error: &Error) {
        self.histories_lost.fetch_add(1, Ordering::Relaxed);
        self.meters.histories_lost.increment(1);
        self.tell(|hooks| hooks.history_lost(error));
    }

    pub(crate) fn stalled(&self, silent_for: Duration) {
        self.stalls.fetch_add(1, Ordering::Relaxed);
        self.stalled.store(true, Ordering::Relaxed);
        self.meters.stalls.increment(1);
        self.tell(|hooks| hooks.stalled(silent_for));
    }

    pub(crate) fn paused(&self, paused: bool) {
        if self.paused.swap(paused, Ordering::Relaxed) != paused {
            tracing::info!("{}", if paused { "paused" } else { "resumed" });
        }
    }

    pub(crate) fn ended(&self, end: &Result<()>) {
        match end {
            Ok(()) => tracing::info!("ended"),
            Err(error) => {
                tracing::error!("ended: {error}");
                *self.last_error.lock() = Some(error.to_string());
                self.failed.store(true, Ordering::Relaxed);
            }
        }
        self.tell(|hooks| hooks.ended(end));
        self.ended.store(true, Ordering::Release);
    }

    /// Shows what rises and falls to the meters.
    pub(crate) fn show(&self) {
        self.meters.show(self.under_way.load(Ordering::Relaxed), self.lag_ms(), self.token_age());
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(crate) fn position(&self) -> Option<Token> {
        self.position.lock().clone()
    }

    pub(crate) fn stats(&self) -> Stats {
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let running_for = self.began.elapsed();
        let (events, per_second) = {
            let came = self.came.lock();
            let events = came.by_operation.iter().map(|(name, (count, _))| (name.clone(), *count)).collect();
            (events, came.rate.per_second(now_ms(), running_for))
        };
        let under_way = number(&self.under_way);
        Stats {
            name: self.name.clone(),
            status: self.status(),
            events,
            per_second,
            delivered: number(&self.delivered),
            failures: number(&self.failures),
            retries: number(&self.retries),
            given_up: number(&self.given_up),
            repeated: number(&self.repeated),
            under_way,
            queued: number(&self.queued),
            saves: number(&self.saves),
            errors: self.pulse.errors(),
            reconnects: self.pulse.reconnects(),
            histories_lost: number(&self.histories_lost),
            stalls: number(&self.stalls),
            stalled: self.stalled.load(Ordering::Relaxed),
            silent_for: self.pulse.heard_at().elapsed(),
            lag_ms: self.lag_ms(),
            lag_events: self.at_the_end.load(Ordering::Relaxed).then_some(under_way),
            token_age: self.token_age(),
            running_for,
            last_error: self.last_error.lock().clone(),
        }
    }

    fn status(&self) -> Status {
        let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        match () {
            () if is(&self.failed) => Status::Failed,
            () if is(&self.ended) => Status::Ended,
            () if is(&self.paused) => Status::Paused,
            () if is(&self.stalled) => Status::Stalled,
            () if self.pulse.is_away() => Status::Reconnecting,
            () => Status::Running,
        }
    }

    fn lag_ms(&self) -> u64 {
        match self.oldest_ms.load(Ordering::Relaxed) {
            0 => self.lag_ms.load(Ordering::Relaxed),
            at => u64::try_from(now_ms().saturating_sub(at)).unwrap_or(0),
        }
    }

    fn token_age(&self) -> Option<Duration> {
        let time = self.position.lock().as_ref()?.time()?;
        let age = now_ms().saturating_sub(i64::from(time.time) * 1000);
        Some(Duration::from_millis(u64::try_from(age).unwrap_or(0)))
    }

    fn tell(&self, what: impl FnOnce(&dyn Hooks)) {
        if let Some(hooks) = &self.hooks {
            what(hooks.as_ref());
        }
    }
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Counters").field(&self.stats()).finish()
    }
}

fn count(events: &[Event]) -> u64 {
    u64::try_from(events.len()).unwrap_or(u64::MAX)
}

fn now_ms() -> i64 {
    bson::DateTime::now().timestamp_millis()
}
