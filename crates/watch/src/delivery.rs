//! Delivering events to a program: to a callback, into a queue, as a stream, with the position kept.
//!
//! Every event is delivered at least once, those of one document in their order. The position that is saved is one
//! before which everything was dealt with: whoever starts again from it misses nothing.

pub(crate) mod acks;
mod batches;
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

use self::batches::BatchWorker;
use self::counters::Counters;
use self::handle::Wish;
use self::runner::Runner;
use self::worker::{Done, Trying, Work, Worker, words};
use crate::checkpoint::BoxedCheckpoint;
use crate::intake::{Intake, Opening};
use crate::reading::{self, Place};
use crate::seen::{BoxedSeen, Tracker};
use crate::{
    Backoff, CheckpointStore, CollectionSeen, Connection, DeadLetters, Error, Event, FullDocumentMode, MemorySeen,
    ProblemKind, Result, SEEN, Scope, SeenDocuments, SeenState, Source, StartAt, TOKENS, Token,
};

pub use self::batches::{Batching, Grouping};
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
    pub(crate) seen: Option<BoxedSeen>,
    /// Where positions are kept, if in a collection: database and watcher.
    pub(crate) kept_in: Option<(String, String)>,
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
            seen: None,
            kept_in: None,
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

    /// Where it is remembered what was delivered, for [`OnHistoryLost::Resnapshot`]. Without it that is a collection beside
    /// the positions that [`Watch::keep_position`] keeps, else memory.
    #[must_use]
    pub fn seen(mut self, store: impl SeenDocuments + 'static) -> Self {
        self.seen = Some(BoxedSeen::new(store));
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

    /// Begins, and calls `callback` with batches of events, in the background. A batch succeeds or fails as a whole, and is
    /// tried again as a whole; what is given up goes event by event to the dead letters.
    ///
    /// # Errors
    /// As [`Watch::for_each`].
    pub async fn for_each_batch<F, Fut, E>(self, batching: Batching, callback: F) -> Result<Handle>
    where
        F: Fn(Vec<Event>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = std::result::Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let callback = Arc::new(callback);
        let shared = Shared::new(&self);
        let (done, outcomes) = mpsc::unbounded_channel();
        let (lanes, works): (Vec<_>, Vec<_>) = self.lanes().into_iter().unzip();
        let handle = self.begin(lanes, outcomes, &shared).await?;
        for work in works {
            let worker = BatchWorker {
                callback: Arc::clone(&callback),
                trying: shared.trying.clone(),
                batching,
                hurry: shared.hurry.subscribe(),
            };
            drop(tokio::spawn(worker.run(work, done.clone())));
        }
        Ok(handle)
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
        let tracker = self.tracker().await?;
        self.leave_out_traces();
        let intake = self.first_intake(kept, tracker.as_ref(), &counters).await?;
        let span = tracing::info_span!("watch", watcher = self.title());
        let mut runner = Runner::new(self, intake, lanes, outcomes, shared, tracker);
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

    /// What keeps track of the documents that were delivered, if that is needed.
    async fn tracker(&mut self) -> Result<Option<Tracker>> {
        if self.settings.on_history_lost != OnHistoryLost::Resnapshot {
            return Ok(None);
        }
        // An update without its document would not tell what was delivered.
        if self.source.options.full_document == FullDocumentMode::Default {
            self.source.options.full_document = FullDocumentMode::UpdateLookup;
        }
        let seen = self.seen.get_or_insert_with(|| match &self.kept_in {
            Some((database, watcher)) => BoxedSeen::new(CollectionSeen::new(&self.connection, database, SEEN, watcher)),
            None => BoxedSeen::new(MemorySeen::default()),
        });
        let state = seen.state().await?;
        Ok(Some(Tracker::new(seen.clone(), state)))
    }

    /// A watch of a database or of everything does not look at what it writes itself: that would never end.
    pub(crate) fn leave_out_traces(&mut self) {
        if matches!(self.source.scope, Scope::Collection { .. }) || reading::named(&self.source).is_some() {
            return;
        }
        let mut own: Vec<(String, String)> = self.dead_letters.iter().map(DeadLetters::place).collect();
        if let Some((database, _)) = &self.kept_in {
            own.extend([TOKENS, SEEN].map(|name| (database.clone(), name.to_owned())));
        }
        self.source.options.leave_out.extend(own);
    }

    /// What is read first, from the position that was kept, or from where it is to start.
    async fn first_intake(
        &mut self,
        kept: Option<Token>,
        tracker: Option<&Tracker>,
        counters: &Arc<Counters>,
    ) -> Result<Intake> {
        let opening = self.opening(counters);
        let is_new = kept.is_none() && self.start != StartAt::Snapshot;
        let start = kept.map_or_else(|| self.start.clone(), StartAt::StartAfter);
        let opened = match tracker {
            Some(tracker) if is_comparison(&start)? => opening.compare(tracker.seen().clone()).await,
            Some(tracker) if tracker.has_to_learn(is_new) => {
                tracker.seen().set_state(SeenState::Learning).await?;
                opening.learn(start, tracker.seen().clone()).await
            }
            _ => opening.open(start).await,
        };
        match opened {
            Err(error) => self.after_lost_history(error, tracker, counters).await,
            Ok(intake) => Ok(intake),
        }
    }

    /// After an error that may say that the history is lost: what is read then, as the settings say.
    fn after_lost_history(
        &self,
        error: Error,
        tracker: Option<&Tracker>,
        counters: &Arc<Counters>,
    ) -> impl Future<Output = Result<Intake>> + Send + use<> {
        let opening = self.opening(counters);
        let policy = self.settings.on_history_lost;
        let seen = tracker.map(|tracker| tracker.seen().clone());
        let counters = Arc::clone(counters);
        async move {
            if error.problem_kind() != Some(ProblemKind::HistoryLost) || policy == OnHistoryLost::Stop {
                return Err(error);
            }
            counters.history_lost(&error);
            match seen {
                Some(seen) => {
                    tracing::warn!(source = %opening.source.scope, "the history is lost, comparing what is there: {error}");
                    opening.compare(seen).await
                }
                None => {
                    tracing::warn!(source = %opening.source.scope, "the history is lost, going on from now: {error}");
                    opening.open(StartAt::Now).await
                }
            }
        }
    }

    fn opening(&self, counters: &Counters) -> Opening {
        Opening {
            connection: self.connection.clone(),
            source: self.source.clone(),
            backoff: self.backoff.clone(),
            pulse: Arc::clone(&counters.pulse),
        }
    }
}

/// Whether it was ended in the middle of a comparison, which has to be begun again.
fn is_comparison(start: &StartAt) -> Result<bool> {
    match start {
        StartAt::StartAfter(token) => Ok(Place::of(token)?.is_some_and(|place| place.compare)),
        _ => Ok(false),
    }
}

/// What all parts of a delivery share.
pub(crate) struct Shared {
    pub(crate) wish: watch::Sender<Wish>,
    pub(crate) trying: Trying,
    /// True: batches do not wait to be full.
    hurry: watch::Sender<bool>,
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
        Self { wish, trying, hurry: watch::channel(false).0 }
    }
}
