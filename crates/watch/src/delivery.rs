//! Delivering events to a program: to a callback, or into a queue, with the position kept.
//!
//! Every event is delivered at least once, those of one document in their order. The position that is saved is one
//! before which everything was dealt with: whoever starts again from it misses nothing.

pub(crate) mod acks;
mod failure;
pub(crate) mod handle;
mod queue;
mod settings;
pub(crate) mod worker;

use std::collections::hash_map::RandomState;
use std::fmt::Display;
use std::future::Future;
use std::hash::BuildHasher;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use self::acks::Acks;
use self::handle::{Counters, Wish};
use self::worker::{Done, Work, Worker};
use crate::checkpoint::BoxedCheckpoint;
use crate::{
    Backoff, CheckpointStore, Connection, DeadLetters, Error, Event, ProblemKind, Result, Source, StartAt, Step,
    Watcher,
};

pub use self::failure::Failure;
pub use self::handle::{Control, Handle, Stats};
pub use self::queue::{Queue, Taken, Taking};
pub use self::settings::{OnFailure, OnHistoryLost, OnInvalidate, Settings};

/// A watch that is about to begin.
pub struct Watch {
    pub(crate) connection: Connection,
    pub(crate) source: Source,
    pub(crate) start: StartAt,
    pub(crate) checkpoint: Option<BoxedCheckpoint>,
    pub(crate) dead_letters: Option<DeadLetters>,
    pub(crate) settings: Settings,
    pub(crate) backoff: Backoff,
}

impl Watch {
    /// Of a source, from now on, with the usual settings and nowhere to keep the position.
    #[must_use]
    pub fn new(connection: &Connection, source: Source) -> Self {
        Self {
            connection: connection.clone(),
            source,
            start: StartAt::Now,
            checkpoint: None,
            dead_letters: None,
            settings: Settings::default(),
            backoff: Backoff::default(),
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
        let counters = Arc::new(Counters::new());
        let settings = Arc::new(self.settings.clone());
        let callback = Arc::new(callback);
        let (done, outcomes) = mpsc::unbounded_channel();
        let (wish, wishes) = watch::channel(Wish::Run);
        let mut lanes = Vec::new();
        let workers = settings.concurrency.max(1);
        let room = settings.queue.div_ceil(workers).max(1);
        for _ in 0..workers {
            let (lane, work) = mpsc::channel(room);
            let worker = Worker {
                callback: Arc::clone(&callback),
                settings: Arc::clone(&settings),
                dead_letters: self.dead_letters.clone(),
                counters: Arc::clone(&counters),
                wishes: wishes.clone(),
            };
            drop(tokio::spawn(worker.run(work, done.clone())));
            lanes.push(lane);
        }
        drop(done);
        self.begin(lanes, outcomes, wish, counters).await
    }

    /// Begins, and puts every event into a queue, from which the program takes it when it likes. When the queue is full,
    /// reading waits.
    ///
    /// # Errors
    /// As [`Watch::for_each`].
    pub async fn queue(self) -> Result<Queue> {
        let counters = Arc::new(Counters::new());
        let (done, outcomes) = mpsc::unbounded_channel();
        let (lane, work) = mpsc::channel(self.settings.queue.max(1));
        let handle = self.begin(vec![lane], outcomes, watch::channel(Wish::Run).0, Arc::clone(&counters)).await?;
        Ok(Queue::new(handle, work, done, counters))
    }

    async fn begin(
        mut self,
        lanes: Vec<mpsc::Sender<Work>>,
        outcomes: mpsc::UnboundedReceiver<Done>,
        wish: watch::Sender<Wish>,
        counters: Arc<Counters>,
    ) -> Result<Handle> {
        let kept = match &mut self.checkpoint {
            Some(store) => store.load().await?,
            None => None,
        };
        let start = kept.map_or_else(|| self.start.clone(), StartAt::StartAfter);
        let watcher = self.open(start).await?;
        let mut acks = Acks::default();
        // Before the first event there is a position already: a program that is killed now goes on from here, and not
        // from wherever the log is at its next start.
        let begun = watcher.token().is_some_and(|token| acks.quiet(token.clone()));
        let mut runner = Runner {
            watch: self,
            watcher: Some(watcher),
            lanes,
            outcomes,
            wishes: wish.subscribe(),
            _wish: wish.clone(),
            acks,
            unsaved: u64::from(begun),
            counters: Arc::clone(&counters),
            hasher: RandomState::new(),
        };
        runner.save().await?;
        let in_task = Arc::clone(&counters);
        let task = tokio::spawn(async move {
            let ended = runner.run().await;
            let ended = runner.end(ended).await;
            in_task.ended.store(true, Ordering::Release);
            ended
        });
        Ok(Handle::new(wish, counters, task))
    }

    /// Opens the stream; if the history is lost, as the settings say.
    fn open(&self, start: StartAt) -> impl Future<Output = Result<Watcher>> + Send + use<> {
        let (connection, source, backoff) = (self.connection.clone(), self.source.clone(), self.backoff.clone());
        let policy = self.settings.on_history_lost;
        async move {
            match Watcher::open(connection.clone(), source.clone(), start, backoff.clone()).await {
                Err(error) if forgives(policy, &error) => {
                    tracing::warn!(source = %source.scope, "the history is lost, going on from now: {error}");
                    Watcher::open(connection, source, StartAt::Now, backoff).await
                }
                other => other,
            }
        }
    }
}

fn forgives(policy: OnHistoryLost, error: &Error) -> bool {
    policy == OnHistoryLost::StartNow && error.problem_kind() == Some(ProblemKind::HistoryLost)
}

/// What reads the stream, hands its events out, and keeps the position.
struct Runner {
    watch: Watch,
    /// None once nothing more is to be read.
    watcher: Option<Watcher>,
    lanes: Vec<mpsc::Sender<Work>>,
    outcomes: mpsc::UnboundedReceiver<Done>,
    wishes: watch::Receiver<Wish>,
    /// The other end: who drops the handle lets the delivery run on.
    _wish: watch::Sender<Wish>,
    acks: Acks,
    /// Events that were dealt with since the position was saved.
    unsaved: u64,
    counters: Arc<Counters>,
    hasher: RandomState,
}

/// What interrupted the reading of the stream.
enum Next {
    Step(Result<Step>),
    Stop,
}

impl Runner {
    async fn run(&mut self) -> Result<()> {
        loop {
            if !self.has_room().await? {
                return Ok(());
            }
            let Some(mut watcher) = self.watcher.take() else { return Ok(()) };
            let step = match self.next_step(&mut watcher).await? {
                Next::Stop => return Ok(()),
                Next::Step(step) => step,
            };
            match step {
                Ok(Step::Event(event)) => {
                    self.watcher = Some(watcher);
                    self.hand_out(event).await?;
                }
                Ok(Step::Idle) => {
                    self.counters.heard();
                    if let Some(token) = watcher.token()
                        && self.acks.quiet(token.clone())
                    {
                        self.unsaved += 1;
                    }
                    self.watcher = Some(watcher);
                }
                Ok(Step::Ended) => match self.watch.settings.on_invalidate {
                    OnInvalidate::Stop => return Ok(()),
                    OnInvalidate::StartAgain => {
                        watcher.start_again().await?;
                        self.watcher = Some(watcher);
                    }
                },
                Err(error) if forgives(self.watch.settings.on_history_lost, &error) => {
                    tracing::warn!(source = %self.watch.source.scope, "the history is lost, going on from now: {error}");
                    self.watcher = Some(self.watch.open(StartAt::Now).await?);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The stream's next step. Meanwhile it takes in what was dealt with, and saves the position in time.
    async fn next_step(&mut self, watcher: &mut Watcher) -> Result<Next> {
        let mut save = tokio::time::interval_at(
            Instant::now() + self.watch.settings.save_every,
            self.watch.settings.save_every.max(Duration::from_millis(1)),
        );
        save.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next = pin!(watcher.next());
        loop {
            if *self.wishes.borrow_and_update() == Wish::Stop {
                return Ok(Next::Stop);
            }
            tokio::select! {
                biased;
                _ = self.wishes.changed() => {}
                Some(done) = self.outcomes.recv() => self.take_in(done).await?,
                step = &mut next => return Ok(Next::Step(step)),
                _ = save.tick() => self.save().await?,
            }
        }
    }

    /// Waits while too much is under way, or the delivery is held up. False: it is to stop.
    async fn has_room(&mut self) -> Result<bool> {
        loop {
            let wish = *self.wishes.borrow_and_update();
            let full = self.acks.count() >= self.watch.settings.queue.max(1);
            match wish {
                Wish::Stop => return Ok(false),
                Wish::Run if !full => return Ok(true),
                Wish::Run | Wish::Pause => {}
            }
            tokio::select! {
                biased;
                _ = self.wishes.changed() => {}
                done = self.outcomes.recv() => match done {
                    Some(done) => self.take_in(done).await?,
                    None => return Ok(false),
                },
                () = tokio::time::sleep(self.watch.settings.save_every) => self.save().await?,
            }
        }
    }

    /// Gives an event to the worker of its document. What concerns no document waits for all before it, and all after
    /// it wait for that.
    async fn hand_out(&mut self, event: Event) -> Result<()> {
        self.counters.came(&event);
        let alone = event.document_key().is_none();
        if alone && !self.finish_all().await? {
            return Ok(());
        }
        let lane = match event.document_key() {
            Some(key) => self.hasher.hash_one((event.namespace(), key.as_bytes())),
            None => 0,
        };
        let number = self.acks.begin(event.token().clone());
        self.counters.under_way.fetch_add(1, Ordering::Relaxed);
        let lanes = u64::try_from(self.lanes.len()).unwrap_or(1).max(1);
        let lane = usize::try_from(lane % lanes).unwrap_or(0);
        let sent = match self.lanes.get(lane) {
            Some(lane) => lane.send(Work { number, event }).await.is_ok(),
            None => false,
        };
        if !sent {
            // The worker has ended with an error, which lies among the outcomes, or because it was asked to.
            return self.finish_all().await.map(drop);
        }
        if alone && self.lanes.len() > 1 {
            self.finish_all().await?;
        }
        Ok(())
    }

    /// Waits until nothing is under way. False: it is to stop before that.
    async fn finish_all(&mut self) -> Result<bool> {
        while self.acks.count() > 0 {
            if *self.wishes.borrow_and_update() == Wish::Stop {
                return Ok(false);
            }
            tokio::select! {
                biased;
                _ = self.wishes.changed() => {}
                done = self.outcomes.recv() => match done {
                    Some(done) => self.take_in(done).await?,
                    None => return Err(Error::Delivery { reason: "nobody takes the events any more".to_owned() }),
                },
            }
        }
        Ok(true)
    }

    async fn take_in(&mut self, done: Done) -> Result<()> {
        done.outcome?;
        self.counters.under_way.fetch_sub(1, Ordering::Relaxed);
        if self.acks.done(done.number) {
            self.unsaved += 1;
        }
        if self.unsaved >= self.watch.settings.save_events.max(1) {
            self.save().await?;
        }
        Ok(())
    }

    async fn save(&mut self) -> Result<()> {
        if self.unsaved == 0 {
            return Ok(());
        }
        self.unsaved = 0;
        let Some(token) = self.acks.safe() else { return Ok(()) };
        if let Some(store) = &mut self.watch.checkpoint {
            store.save(token).await?;
        }
        self.counters.saved(token);
        Ok(())
    }

    /// Lets the workers finish what they have, and saves the position for good.
    async fn end(&mut self, ended: Result<()>) -> Result<()> {
        self.watcher = None;
        self.lanes.clear();
        let mut ended = ended;
        while let Some(done) = self.outcomes.recv().await {
            let taken = self.take_in(done).await;
            ended = ended.and(taken);
        }
        let saved = self.save().await;
        let flushed = match &mut self.watch.checkpoint {
            Some(store) => store.flush().await,
            None => Ok(()),
        };
        ended.and(saved).and(flushed)
    }
}
