//! Many watches by name, each begun again after its own failure.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::{Backoff, Control, Error, Handle, Result, Stats};

/// When a watch is begun again after a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restarts {
    /// How long to wait before; its `give_up_after` is not looked at.
    pub pause: Backoff,
    /// So often in a row, then never again. Default: without an end.
    pub limit: Option<u32>,
    /// After running for so long, a failure is the first one again. Default: 60 s.
    pub calm_after: Duration,
}

impl Default for Restarts {
    fn default() -> Self {
        Self { pause: Backoff::default(), limit: None, calm_after: Duration::from_secs(60) }
    }
}

/// What a watch of many is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatcherState {
    /// It runs; its [`Stats`] say more.
    Running,
    /// It has failed, and will be begun again.
    Restarting,
    /// It has ended by itself, or was stopped.
    Ended,
    /// It has failed too often.
    GivenUp,
}

/// One watch of many.
#[derive(Debug, Clone, PartialEq)]
pub struct WatcherInfo {
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: WatcherState,
    /// How often it was begun again.
    pub restarts: u64,
    /// Why it failed the last time.
    pub last_error: Option<String>,
    /// Its numbers since it was last begun.
    pub stats: Stats,
}

/// Watches by their names. Dropping this lets them run on.
#[derive(Debug, Default)]
pub struct Watchers {
    restarts: Restarts,
    all: Mutex<BTreeMap<String, Watcher>>,
}

#[derive(Debug)]
struct Watcher {
    slot: Arc<Mutex<Slot>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<()>>,
}

/// What is known of a watch.
#[derive(Debug)]
struct Slot {
    control: Control,
    state: WatcherState,
    restarts: u64,
    last_error: Option<String>,
}

type Begin = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Handle>> + Send>> + Send + Sync>;

impl Watchers {
    /// None yet; failures are dealt with like this.
    #[must_use]
    pub fn new(restarts: Restarts) -> Self {
        Self { restarts, all: Mutex::default() }
    }

    /// Begins a watch. `begin` is called again after each failure, so it has to keep its position somewhere if nothing is
    /// to be missed.
    ///
    /// # Errors
    /// It cannot be begun the first time, or one of this name runs.
    pub async fn start<F, Fut>(&self, name: &str, begin: F) -> Result<()>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Handle>> + Send + 'static,
    {
        self.check_free(name)?;
        let handle = begin().await?;
        let begin: Begin = Box::new(move || Box::pin(begin()));
        let slot = Slot { control: handle.control(), state: WatcherState::Running, restarts: 0, last_error: None };
        let slot = Arc::new(Mutex::new(slot));
        let (stop, stopped) = watch::channel(false);
        let running = Running { name: name.to_owned(), begin, restarts: self.restarts.clone(), slot, stopped };
        let slot = Arc::clone(&running.slot);
        let mut all = self.all.lock();
        // Somebody may have been faster.
        if let Err(error) = free(&all, name) {
            handle.stop();
            return Err(error);
        }
        let task = tokio::spawn(running.run(handle));
        all.insert(name.to_owned(), Watcher { slot, stop, task });
        Ok(())
    }

    /// All of them, by name, also those that have ended.
    #[must_use]
    pub fn list(&self) -> Vec<WatcherInfo> {
        self.all.lock().iter().map(|(name, watcher)| watcher.info(name)).collect()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<WatcherInfo> {
        self.all.lock().get(name).map(|watcher| watcher.info(name))
    }

    /// Controls one of them; a control is for a watch until it is begun again.
    #[must_use]
    pub fn control(&self, name: &str) -> Option<Control> {
        self.all.lock().get(name).map(|watcher| watcher.slot.lock().control.clone())
    }

    /// Ends one, waits for that, and forgets it.
    ///
    /// # Errors
    /// Why it has ended, if that was an error; there is none of this name.
    pub async fn stop(&self, name: &str) -> Result<()> {
        let watcher = self.all.lock().remove(name);
        match watcher {
            Some(watcher) => {
                watcher.ask_to_stop();
                watcher.join().await
            }
            None => Err(Error::Delivery { reason: format!("there is no watcher {name}") }),
        }
    }

    /// Ends all, waits for that, and forgets them; says how each has ended.
    pub async fn stop_all(&self) -> BTreeMap<String, Result<()>> {
        let all = std::mem::take(&mut *self.all.lock());
        all.values().for_each(Watcher::ask_to_stop);
        let mut ends = BTreeMap::new();
        for (name, watcher) in all {
            ends.insert(name, watcher.join().await);
        }
        ends
    }

    fn check_free(&self, name: &str) -> Result<()> {
        free(&self.all.lock(), name)
    }
}

fn free(all: &BTreeMap<String, Watcher>, name: &str) -> Result<()> {
    match all.get(name) {
        Some(watcher) if !watcher.task.is_finished() => {
            Err(Error::Delivery { reason: format!("there is a watcher {name} already") })
        }
        _ => Ok(()),
    }
}

impl Watcher {
    fn info(&self, name: &str) -> WatcherInfo {
        let slot = self.slot.lock();
        WatcherInfo {
            name: name.to_owned(),
            state: slot.state,
            restarts: slot.restarts,
            last_error: slot.last_error.clone(),
            stats: slot.control.stats(),
        }
    }

    fn ask_to_stop(&self) {
        self.stop.send_replace(true);
        self.slot.lock().control.stop();
    }

    async fn join(self) -> Result<()> {
        self.task.await.unwrap_or_else(|error| Err(Error::Delivery { reason: error.to_string() }))
    }
}

/// The task of one watch.
struct Running {
    name: String,
    begin: Begin,
    restarts: Restarts,
    slot: Arc<Mutex<Slot>>,
    stopped: watch::Receiver<bool>,
}

impl Running {
    async fn run(self, handle: Handle) -> Result<()> {
        let mut handle = Some(handle);
        let mut in_a_row = 0;
        loop {
            let began = Instant::now();
            let end = match handle.take() {
                Some(handle) => handle.join().await,
                None => self.begin_again(&mut handle).await,
            };
            if handle.is_some() {
                continue;
            }
            let Err(error) = end else {
                self.slot.lock().state = WatcherState::Ended;
                return Ok(());
            };
            if began.elapsed() >= self.restarts.calm_after {
                in_a_row = 0;
            }
            if self.is_stopped() || self.restarts.limit.is_some_and(|limit| in_a_row >= limit) {
                tracing::error!(watcher = self.name, restarts = in_a_row, "given up: {error}");
                let mut slot = self.slot.lock();
                slot.state = WatcherState::GivenUp;
                slot.last_error = Some(error.to_string());
                return Err(error);
            }
            let pause = self.restarts.pause.delay(in_a_row, rand::random());
            let wait_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(watcher = self.name, wait_ms, "failed, beginning again: {error}");
            in_a_row += 1;
            {
                let mut slot = self.slot.lock();
                slot.state = WatcherState::Restarting;
                slot.last_error = Some(error.to_string());
                slot.restarts += 1;
            }
            tokio::select! {
                () = self.stop() => {
                    self.slot.lock().state = WatcherState::Ended;
                    return Err(error);
                }
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Puts the handle of the new watch there.
    async fn begin_again(&self, handle: &mut Option<Handle>) -> Result<()> {
        let begun = (self.begin)().await?;
        let mut slot = self.slot.lock();
        slot.control = begun.control();
        slot.state = WatcherState::Running;
        if self.is_stopped() {
            begun.stop();
        }
        *handle = Some(begun);
        Ok(())
    }

    async fn stop(&self) {
        // Who drops all watchers lets them run on.
        if self.stopped.clone().wait_for(|stopped| *stopped).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }
}
