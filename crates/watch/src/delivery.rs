//! Delivering events to a program: to a callback, into a queue, as a stream, with the position kept.
//!
//! Every event is delivered at least once, those of one document in their order. The position that is saved is one
//! before which everything was dealt with: whoever starts again from it misses nothing.

pub(crate) mod acks;
pub(crate) mod counters;
mod event_stream;
mod failure;
pub(crate) mod handle;
mod hooks;
mod meters;
mod queue;
mod runner;
mod settings;
mod transactional;
mod window;
pub(crate) mod worker;

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tracing::Instrument as _;

use self::counters::Counters;
use self::handle::Wish;
use self::runner::Runner;
use self::worker::{Done, Trying, Work, Worker, words};
use crate::checkpoint::BoxedCheckpoint;
use crate::{
    Backoff, CheckpointStore, Connection, DeadLetters, Error, Event, ProblemKind, Result, Source, StartAt, Watcher,
};

pub use self::counters::{Stats, Status};
pub use self::event_stream::EventStream;
pub use self::failure::Failure;
pub use self::handle::{Control, Handle};
pub use self::hooks::Hooks;
pub use self::meters::{METRICS, Metric, MetricKind};
pub use self::queue::{Queue, Taken, Taking};
pub use self::settings::{OnFailure, OnHistoryLost, OnInvalidate, Settings};
#[cfg(feature = "postgres")]
pub use self::transactional::PostgresTransactions;
pub use self::transactional::{BoxError, CollectionTransactions, InTransaction, NotCommitted, TransactionStore};
pub use self::window::Window;

/// A watch that is about to begin.
pub struct Watch {
    pub(crate) connection: Connection,
    pub(crate) source: Source,
    pub(crate) name: Option<String>,
    pub(crate) hooks: Option<Arc<dyn Hooks>>,
    pub(crate) start: StartAt,
    pub(crate) checkpoint: Option<BoxedCheckpoint>,
    pub(crate) dead_letters: Option<DeadLetters>,
    pub(crate) settings: Settings,
    pub(crate) backoff: Backoff,
    pub(crate) window: Option<Window>,
}

impl Watch {
    /// Of a source, from now on, with the usual settings and nowhere to keep the position.
    #[must_use]
    pub fn new(connection: &Connection, source: Source) -> Self {
        Self {
            connection: connection.clone(),
            source,
            name: None,
            hooks: None,
            start: StartAt::Now,
            checkpoint: None,
            dead_letters: None,
            settings: Settings::default(),
            backoff: Backoff::default(),
            window: None,
        }
    }

    /// What is watched.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    pub(crate) fn source_mut(&mut self) -> &mut Source {
        &mut self.source
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Its name in numbers, metrics and logs. Without one it is called as what it watches.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Who is told of what happens.
    #[must_use]
    pub fn hooks(mut self, hooks: impl Hooks + 'static) -> Self {
        self.hooks = Some(Arc::new(hooks));
        self
    }

    /// Where to begin, if no position is kept yet.
    #[must_use]
    pub fn start(mut self, start: StartAt) -> Self {
        self.start = start;
        self
    }

    /// Where the position is kept.
    #[must_use]
    pub fn checkpoint(mut self, store: impl CheckpointStore + 'static) -> Self {
        self.checkpoint = Some(BoxedCheckpoint::new(store));
        self
    }

    /// Where events go that could not be dealt with.
    #[must_use]
    pub fn dead_letters(mut self, letters: DeadLetters) -> Self {
        self.dead_letters = Some(letters);
        self
    }

    /// How events are delivered.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// How to come back after the server was away.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Leaves out events that came before, by their tokens: a server may repeat some after a failure.
    #[must_use]
    pub fn deduplicate(mut self, window: Window) -> Self {
        self.window = Some(window);
        self
    }

    /// Begins, and calls `callback` with every event, in the background. An error of the callback has the event tried
    /// again, as the settings say.
    ///
    /// # Errors
    /// What keeps the stream from being opened, or the position from being read.
    pub async fn for_each<F, Fut, E>(self, callback: F) -> Result<Handle>
    where
        F: Fn(Event) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = std::result::Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let callback = Arc::new(callback);
        let shared = Shared::new(&self);
        let (done, outcomes) = mpsc::unbounded_channel();
        let lanes = self.lanes();
        let (lanes, works): (Vec<_>, Vec<_>) = lanes.into_iter().unzip();
        let handle = self.begin(lanes, outcomes, &shared).await?;
        for work in works {
            let worker = Worker { callback: Arc::clone(&callback), trying: shared.trying.clone() };
            drop(tokio::spawn(worker.run(work, done.clone())));
        }
        Ok(handle)
    }

    /// The same with a callback that blocks: it runs on threads that are made for that, so it may wait for files, locks
    /// and other programs.
    ///
    /// # Errors
    /// As [`Watch::for_each`].
    pub async fn for_each_blocking<F, E>(self, callback: F) -> Result<Handle>
    where
        F: Fn(Event) -> std::result::Result<(), E> + Send + Sync + 'static,
        E: Display + Send + 'static,
    {
        let callback = Arc::new(callback);
        self.for_each(move |event| {
            let callback = Arc::clone(&callback);
            async move {
                match tokio::task::spawn_blocking(move || callback(event)).await {
                    Ok(outcome) => outcome.map_err(|error| Failure::of(&error)),
                    Err(error) => Err(Failure::passing(match error.try_into_panic() {
                        Ok(panic) => format!("the callback panicked: {}", words(panic.as_ref())),
                        Err(error) => error.to_string(),
                    })),
                }
            }
        })
        .await
    }

    /// Begins, and puts every event into a queue, from which the program takes it when it likes. When the queue is full,
    /// reading waits.
    ///
    /// # Errors
    /// As [`Watch::for_each`].
    pub async fn queue(self) -> Result<Queue> {
        let shared = Shared::new(&self);
        let trying = shared.trying.clone();
        let (done, outcomes) = mpsc::unbounded_channel();
        let (lane, work) = mpsc::channel(self.settings.queue.max(1));
        let handle = self.begin(vec![lane], outcomes, &shared).await?;
        Ok(Queue::new(handle, work, done, trying))
    }

    /// Begins, and gives every event as an item of a stream.
    ///
    /// # Errors
    /// As [`Watch::for_each`].
    pub async fn stream(self) -> Result<EventStream> {
        self.queue().await.map(EventStream::new)
    }

    /// One way for each of those who work at the same time.
    fn lanes(&self) -> Vec<(mpsc::Sender<Work>, mpsc::Receiver<Work>)> {
        let workers = self.settings.concurrency.max(1);
        let room = self.settings.queue.div_ceil(workers).max(1);
        (0..workers).map(|_| mpsc::channel(room)).collect()
    }

    /// How it is called.
    pub(crate) fn title(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.source.scope.to_string())
    }

    async fn begin(
        mut self,
        lanes: Vec<mpsc::Sender<Work>>,
        outcomes: mpsc::UnboundedReceiver<Done>,
        shared: &Shared,
    ) -> Result<Handle> {
        let counters = Arc::clone(&shared.trying.counters);
        let kept = match &mut self.checkpoint {
            Some(store) => store.load().await?,
            None => None,
        };
        let start = kept.map_or_else(|| self.start.clone(), StartAt::StartAfter);
        let watcher = self.open(start, &counters).await?;
        let span = tracing::info_span!("watch", watcher = self.title());
        let mut runner = Runner::new(self, watcher, lanes, outcomes, shared.wish.clone(), Arc::clone(&counters));
        // Before the first event there is a position already: a program that is killed now goes on from here, and not
        // from wherever the log is at its next start.
        runner.save().await?;
        let task = async move {
            tracing::info!("watching");
            let ended = runner.run().await;
            let ended = runner.end(ended).await;
            runner.counters.ended(&ended);
            ended
        };
        let task = tokio::spawn(task.instrument(span));
        Ok(Handle::new(shared.wish.clone(), counters, task))
    }

    /// Opens the stream; if the history is lost, as the settings say.
    fn open(&self, start: StartAt, counters: &Arc<Counters>) -> impl Future<Output = Result<Watcher>> + Send + use<> {
        let (connection, source, backoff) = (self.connection.clone(), self.source.clone(), self.backoff.clone());
        let policy = self.settings.on_history_lost;
        let counters = Arc::clone(counters);
        async move {
            let opened = match Watcher::open(connection.clone(), source.clone(), start, backoff.clone()).await {
                Err(error) if forgives(policy, &error) => {
                    tracing::warn!(source = %source.scope, "the history is lost, going on from now: {error}");
                    counters.history_lost(&error);
                    Watcher::open(connection, source, StartAt::Now, backoff).await
                }
                other => other,
            };
            let mut watcher = opened?;
            watcher.set_pulse(Arc::clone(&counters.pulse));
            Ok(watcher)
        }
    }
}

/// What all parts of a delivery share.
pub(crate) struct Shared {
    pub(crate) wish: watch::Sender<Wish>,
    pub(crate) trying: Trying,
}

impl Shared {
    pub(crate) fn new(watch: &Watch) -> Self {
        let (wish, wishes) = watch::channel(Wish::Run);
        let trying = Trying {
            settings: Arc::new(watch.settings.clone()),
            dead_letters: watch.dead_letters.clone(),
            counters: Arc::new(Counters::new(watch.title(), watch.hooks.clone())),
            wishes,
        };
        Self { wish, trying }
    }
}

fn forgives(policy: OnHistoryLost, error: &Error) -> bool {
    policy == OnHistoryLost::StartNow && error.problem_kind() == Some(ProblemKind::HistoryLost)
}
