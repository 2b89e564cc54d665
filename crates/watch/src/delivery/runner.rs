//! What reads the stream, hands its events out, and keeps the position.

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::BuildHasher;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::acks::Acks;
use super::counters::Counters;
use super::handle::Wish;
use super::settings::OnInvalidate;
use super::window::Lately;
use super::worker::{Done, Work};
use super::{Shared, Watch};
use crate::intake::Intake;
use crate::seen::Tracker;
use crate::{Error, Event, OnHistoryLost, ProblemKind, Result, Step};

/// The one task of a delivery that knows the stream.
pub(super) struct Runner {
    watch: Watch,
    /// None once nothing more is to be read.
    intake: Option<Intake>,
    lanes: Vec<mpsc::Sender<Work>>,
    outcomes: mpsc::UnboundedReceiver<Done>,
    wishes: watch::Receiver<Wish>,
    /// The other end: who drops the handle lets the delivery run on.
    wish: watch::Sender<Wish>,
    acks: Acks,
    /// How far the position has moved since it was saved, in events and words of the server.
    unsaved: u64,
    save_at: Instant,
    /// How often the stream was known to have come back.
    reconnects: u64,
    pub(super) counters: Arc<Counters>,
    /// True: batches do not wait to be full.
    hurry: watch::Sender<bool>,
    tracker: Option<Tracker>,
    hasher: RandomState,
    lately: Option<Lately>,
}

/// What came of waiting.
enum Waited<T> {
    Over(T),
    /// It is to stop.
    Stop,
    /// The server has said nothing for too long.
    Stalled,
}

impl Runner {
    pub(super) fn new(
        watch: Watch,
        intake: Intake,
        lanes: Vec<mpsc::Sender<Work>>,
        outcomes: mpsc::UnboundedReceiver<Done>,
        shared: &Shared,
        tracker: Option<Tracker>,
    ) -> Self {
        let wish = shared.wish.clone();
        let mut acks = Acks::default();
        let lately = watch.window.map(Lately::new);
        let begun = intake.token().is_some_and(|token| acks.quiet(token.clone()));
        Self {
            watch,
            intake: Some(intake),
            lanes,
            outcomes,
            wishes: wish.subscribe(),
            wish,
            acks,
            unsaved: u64::from(begun),
            save_at: Instant::now(),
            reconnects: 0,
            counters: Arc::clone(&shared.trying.counters),
            hurry: shared.hurry.clone(),
            tracker,
            hasher: RandomState::new(),
            lately,
        }
    }

    pub(super) async fn run(&mut self) -> Result<()> {
        let mut stalled = false;
        loop {
            if !self.has_room().await? {
                return Ok(());
            }
            let Some(mut intake) = self.intake.take() else { return Ok(()) };
            let waited = if stalled {
                self.wait_for(intake.start_again(), true).await?.map(|again| again.map(|()| Step::Idle))
            } else {
                self.wait_for(intake.next(), true).await?
            };
            let step = match waited {
                Waited::Stop => return Ok(()),
                Waited::Stalled => {
                    stalled = true;
                    self.intake = Some(intake);
                    continue;
                }
                Waited::Over(step) => step,
            };
            stalled = false;
            self.note_reconnects();
            match step {
                Ok(Step::Event(event)) => {
                    self.note_documents(&intake, Some(&event));
                    self.intake = Some(intake);
                    if !self.hand_out(event).await? {
                        return Ok(());
                    }
                }
                Ok(Step::Idle) => {
                    self.counters.idle();
                    self.note_documents(&intake, None);
                    if let Some(token) = intake.token()
                        && self.acks.quiet(token.clone())
                    {
                        self.unsaved += 1;
                    }
                    self.intake = Some(intake);
                }
                Ok(Step::Ended) => match self.watch.settings.on_invalidate {
                    OnInvalidate::Stop => return Ok(()),
                    OnInvalidate::StartAgain => match self.wait_for(intake.start_again(), false).await? {
                        Waited::Over(Ok(())) => self.intake = Some(intake),
                        Waited::Over(Err(error)) => {
                            if !self.lost(error).await? {
                                return Ok(());
                            }
                        }
                        Waited::Stop | Waited::Stalled => return Ok(()),
                    },
                },
                Err(error) => {
                    if !self.lost(error).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// The stream has ended with an error, which the settings may forgive. False: it is to stop.
    async fn lost(&mut self, error: Error) -> Result<bool> {
        let is_lost = error.problem_kind() == Some(ProblemKind::HistoryLost);
        if !is_lost || self.watch.settings.on_history_lost == OnHistoryLost::Stop {
            return Err(error);
        }
        // What is compared is what was dealt with.
        if self.tracker.is_some() && !self.finish_all().await? {
            return Ok(false);
        }
        self.flush_tracker().await?;
        let open = self.watch.after_lost_history(error, self.tracker.as_ref(), &self.counters);
        match self.wait_for(open, false).await? {
            Waited::Over(intake) => {
                self.intake = Some(intake?);
                Ok(true)
            }
            Waited::Stop | Waited::Stalled => Ok(false),
        }
    }

    /// Notes in the tracker when all that comes is from the stream itself.
    fn note_documents(&mut self, intake: &Intake, event: Option<&Event>) {
        let is_document = |event: &Event| event.field("snapshot").is_some();
        if let Some(tracker) = &mut self.tracker
            && intake.is_streaming()
            && !event.is_some_and(is_document)
        {
            tracker.documents_are_over(self.acks.next_number());
        }
    }

    async fn flush_tracker(&mut self) -> Result<()> {
        match &mut self.tracker {
            Some(tracker) => tracker.flush(self.acks.first()).await,
            None => Ok(()),
        }
    }

    /// Waits for something. Meanwhile it takes in what was dealt with, and saves the position in time.
    async fn wait_for<T>(&mut self, what: impl Future<Output = T>, impatient: bool) -> Result<Waited<T>> {
        let began = std::time::Instant::now();
        // A server that may take its time to say that there is nothing has not stalled.
        let at_least = self.watch.source.options.max_await.saturating_mul(2);
        let patience = self.watch.settings.stalled_after.filter(|_| impatient).map(|time| time.max(at_least));
        let mut what = pin!(what);
        loop {
            if *self.wishes.borrow_and_update() == Wish::Stop {
                return Ok(Waited::Stop);
            }
            let silent_since = self.counters.pulse.heard_at().max(began);
            tokio::select! {
                biased;
                _ = self.wishes.changed() => {}
                Some(done) = self.outcomes.recv() => self.take_in(done).await?,
                over = &mut what => return Ok(Waited::Over(over)),
                () = sleep_until(self.save_at) => self.tick().await?,
                () = sleep_until((silent_since + patience.unwrap_or_default()).into()), if patience.is_some() => {
                    // Something may have been heard meanwhile.
                    if self.counters.pulse.heard_at() <= silent_since {
                        let silent_for = silent_since.elapsed();
                        let silent_ms = u64::try_from(silent_for.as_millis()).unwrap_or(u64::MAX);
                        tracing::warn!(silent_ms, "the stream has stalled, opening it again");
                        self.counters.stalled(silent_for);
                        return Ok(Waited::Stalled);
                    }
                }
            }
        }
    }

    /// Waits while too much is under way, or the delivery is held up. False: it is to stop.
    async fn has_room(&mut self) -> Result<bool> {
        while let Ok(done) = self.outcomes.try_recv() {
            self.take_in(done).await?;
        }
        if Instant::now() >= self.save_at {
            self.tick().await?;
        }
        loop {
            let wish = *self.wishes.borrow_and_update();
            self.counters.paused(wish == Wish::Pause);
            let full = self.acks.count() >= self.watch.settings.queue.max(1);
            match wish {
                Wish::Stop => return Ok(false),
                Wish::Run if !full => {
                    self.hurry(false);
                    return Ok(true);
                }
                Wish::Run | Wish::Pause => self.hurry(full),
            }
            tokio::select! {
                biased;
                _ = self.wishes.changed() => {}
                done = self.outcomes.recv() => match done {
                    Some(done) => self.take_in(done).await?,
                    None => return Ok(false),
                },
                () = sleep_until(self.save_at) => self.tick().await?,
            }
        }
    }

    /// Gives an event to the worker of its document. What concerns no document waits for all before it, and all after
    /// it wait for that. False: it is to stop.
    async fn hand_out(&mut self, event: Event) -> Result<bool> {
        if let Some(lately) = &mut self.lately
            && !lately.is_new(event.token(), std::time::Instant::now())
        {
            self.counters.repeated();
            let number = self.acks.begin(event.token().clone());
            self.unsaved += u64::from(self.acks.done(number));
            return Ok(true);
        }
        let at_ms = self.counters.came(&event);
        let several = self.lanes.len() > 1;
        let alone = several && event.document_key().is_none();
        if alone && !self.finish_all().await? {
            return Ok(false);
        }
        let lane = match event.document_key() {
            Some(key) if several => self.hasher.hash_one((event.namespace(), key.as_bytes())),
            _ => 0,
        };
        let number = self.acks.begin_at(event.token().clone(), at_ms);
        if self.acks.count() == 1 {
            self.counters.oldest(at_ms);
        }
        if let Some(tracker) = &mut self.tracker {
            tracker.came(number, &event);
        }
        let lanes = u64::try_from(self.lanes.len()).unwrap_or(1).max(1);
        let Some(lane) = self.lanes.get(usize::try_from(lane % lanes).unwrap_or(0)).cloned() else { return Ok(false) };
        if let Err(mpsc::error::TrySendError::Full(work)) = lane.try_send(Work { number, event })
            && let Waited::Stop = self.wait_for(lane.send(work), false).await?
        {
            return Ok(false);
        }
        if lane.is_closed() {
            // The worker has ended with an error, which lies among the outcomes, or because it was asked to.
            return self.finish_all().await;
        }
        Ok(!alone || self.finish_all().await?)
    }

    /// Waits until nothing is under way. False: it is to stop before that.
    async fn finish_all(&mut self) -> Result<bool> {
        self.hurry(true);
        let finished = self.finish().await;
        self.hurry(false);
        finished
    }

    /// While somebody waits for them, batches do not wait to be full.
    fn hurry(&self, hurry: bool) {
        self.hurry.send_if_modified(|now| std::mem::replace(now, hurry) != hurry);
    }

    async fn finish(&mut self) -> Result<bool> {
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
                () = sleep_until(self.save_at) => self.tick().await?,
            }
        }
        Ok(true)
    }

    async fn take_in(&mut self, done: Done) -> Result<()> {
        if let Err(error) = done.outcome {
            // What waits in the other lanes comes again: to work it off first would only tell of the error late.
            self.wish.send_replace(Wish::Stop);
            return Err(error);
        }
        self.counters.left(1);
        if let Some(tracker) = &mut self.tracker {
            tracker.done(done.number);
        }
        if self.acks.done(done.number) {
            self.counters.oldest(self.acks.oldest_ms());
            self.unsaved += 1;
        }
        if self.unsaved >= self.watch.settings.save_events.max(1) {
            self.save().await?;
        }
        Ok(())
    }

    /// What is due from time to time.
    async fn tick(&mut self) -> Result<()> {
        self.save_at = Instant::now() + self.watch.settings.save_every.max(Duration::from_millis(1));
        self.save().await?;
        self.counters.show();
        Ok(())
    }

    pub(super) async fn save(&mut self) -> Result<()> {
        if self.unsaved == 0 {
            return Ok(());
        }
        self.unsaved = 0;
        self.flush_tracker().await?;
        let Some(token) = self.acks.safe() else { return Ok(()) };
        if let Some(store) = &mut self.watch.checkpoint {
            store.save(token).await?;
        }
        self.counters.saved(token);
        Ok(())
    }

    fn note_reconnects(&mut self) {
        let reconnects = self.counters.pulse.reconnects();
        if reconnects > self.reconnects {
            self.reconnects = reconnects;
            self.counters.reconnected();
        }
    }

    /// Lets the workers finish what they have, and saves the position for good.
    pub(super) async fn end(&mut self, ended: Result<()>) -> Result<()> {
        self.intake = None;
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

impl<T> Waited<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Waited<U> {
        match self {
            Self::Over(value) => Waited::Over(change(value)),
            Self::Stop => Waited::Stop,
            Self::Stalled => Waited::Stalled,
        }
    }
}
