//! A member at work: it reads the stream for its partitions, hands their events out, keeps their positions, and takes and
//! gives partitions as the group changes.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};

use super::assignment::plan;
use super::coordination::{Coordination, Founding, Place, Progress, Taken, View};
use super::partition::{Orders, Word, partition_of};
use super::reader::{Read, Reader, passes};
use super::session::{Session, Sight};
use super::slot::{Fate, Slot, before};
use super::{Fence, Group};
use crate::delivery::counters::Counters;
use crate::delivery::handle::Wish;
use crate::intake::Opening;
use crate::{
    Error, Event, OnHistoryLost, OnInvalidate, ProblemKind, Result, Settings, SourceId, StartAt, Step, Token, Watcher,
};

/// Positions that move only because the stream does are saved so many times less often: they cost a write each, and are
/// needed only so that they do not fall out of the servers' log.
const QUIET_SAVES: u32 = 10;

/// Begins to deal with the events of a partition.
pub(super) type Crew = Box<dyn Fn(Orders) -> JoinHandle<()> + Send + Sync>;

pub(super) struct Member {
    pub(super) opening: Opening,
    pub(super) settings: Arc<Settings>,
    pub(super) group: Group,
    pub(super) coordination: Coordination,
    pub(super) source_id: SourceId,
    pub(super) founding: Founding,
    pub(super) session: Session,
    pub(super) crew: Crew,
    pub(super) counters: Arc<Counters>,
    pub(super) wishes: watch::Receiver<Wish>,
    /// The other end: who drops the handle lets the member run on.
    pub(super) _wish: watch::Sender<Wish>,
    pub(super) state: State,
}

/// What changes while it works.
pub(super) struct State {
    slots: BTreeMap<u32, Slot>,
    words: mpsc::UnboundedReceiver<Word>,
    word: mpsc::UnboundedSender<Word>,
    turns: Arc<Semaphore>,
    /// Where the stream is to be opened.
    from: StartAt,
    /// Up to where it was read.
    place: Option<Token>,
    caught_up: bool,
    under_way: usize,
    /// How often the stream was known to have come back.
    reconnects: u64,
    /// Events that were dealt with since positions were saved.
    unsaved: u64,
    quiet_saved: Instant,
    /// Partitions that nothing is under way of any more, to be given to others.
    releases: Vec<Place>,
    /// When partitions were last taken or given: a view that began before shows what is no more.
    changed: Instant,
}

impl State {
    pub(super) fn new(start: &StartAt, concurrency: usize) -> Self {
        let (word, words) = mpsc::unbounded_channel();
        Self {
            slots: BTreeMap::new(),
            words,
            word,
            turns: Arc::new(Semaphore::new(concurrency.max(1))),
            from: start.clone(),
            place: None,
            caught_up: false,
            under_way: 0,
            reconnects: 0,
            unsaved: 0,
            quiet_saved: Instant::now(),
            releases: Vec::new(),
            changed: Instant::now(),
        }
    }
}

/// What to do after the reading of the stream was interrupted.
enum Turn {
    /// Open it again.
    Open,
    Stop,
}

impl Member {
    pub(super) async fn run(mut self) -> Result<()> {
        let every = self.settings.save_every.max(Duration::from_millis(1));
        let mut save = interval_at(Instant::now() + every, every);
        save.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ended = loop {
            let from = self.state.from.clone();
            let mut reader = Reader::new(&self.opening, from);
            match self.read(&mut reader, &mut save).await {
                Ok(Turn::Open) => {}
                Ok(Turn::Stop) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.end(ended).await
    }

    async fn read(&mut self, reader: &mut Reader, save: &mut Interval) -> Result<Turn> {
        loop {
            let read = {
                let mut next = pin!(reader.next());
                let mut waiting_since = std::time::Instant::now();
                loop {
                    let wish = *self.wishes.borrow_and_update();
                    if wish == Wish::Stop {
                        return Ok(Turn::Stop);
                    }
                    if !self.state.releases.is_empty() && self.state.words.is_empty() {
                        self.release().await?;
                    }
                    let room = self.state.under_way < self.settings.queue.max(1);
                    let reads = wish == Wish::Run && room && !self.state.slots.is_empty();
                    if !reads {
                        waiting_since = std::time::Instant::now();
                    }
                    self.counters.paused(wish == Wish::Pause);
                    tokio::select! {
                        biased;
                        _ = self.wishes.changed() => {}
                        Some(word) = self.state.words.recv() => self.take_in(word).await?,
                        Ok(()) = self.session.sights.changed() => {
                            if self.act().await? {
                                return Ok(Turn::Open);
                            }
                        }
                        _ = save.tick() => {
                            self.save().await?;
                            self.counters.show();
                            if self.has_stalled(waiting_since) {
                                return Ok(Turn::Open);
                            }
                        }
                        read = &mut next, if reads => break read,
                    }
                }
            };
            self.note_reconnects();
            match read {
                Ok(Read { step: Step::Event(event), token }) => self.hand_out(event, token)?,
                Ok(Read { step: Step::Idle, token }) => {
                    self.counters.idle();
                    self.state.place = token.or(self.state.place.take());
                    self.state.caught_up = true;
                }
                Ok(Read { step: Step::Ended, token }) => return self.ended(token).await,
                Err(error) => {
                    let lost = error.problem_kind() == Some(ProblemKind::HistoryLost);
                    if !lost || self.settings.on_history_lost != OnHistoryLost::StartNow {
                        return Err(error);
                    }
                    self.skip_what_is_lost(&error).await?;
                    return Ok(Turn::Open);
                }
            }
        }
    }

    fn hand_out(&mut self, event: Event, token: Option<Token>) -> Result<()> {
        let state = &mut self.state;
        if event.token().data().is_none() {
            return Err(self.coordination.error("the servers' resume tokens cannot be compared"));
        }
        if before(&token, &state.place).is_le() {
            // A server repeats something after a failure.
            self.counters.repeated();
            return Ok(());
        }
        state.place = token;
        state.caught_up = false;
        let partition = partition_of(&event, self.founding.partitions);
        let Some(slot) = state.slots.get_mut(&partition).filter(|slot| slot.is_to_get(&event)) else { return Ok(()) };
        let at_ms = self.counters.came(&event);
        slot.hand_out(event, at_ms);
        state.under_way += 1;
        if state.under_way == 1 {
            self.counters.oldest(at_ms);
        }
        Ok(())
    }

    async fn take_in(&mut self, word: Word) -> Result<()> {
        match word {
            Word::Done(fence, number) => {
                let Some(slot) = self.state.slots.get_mut(&fence.partition).filter(|slot| slot.fence == fence) else {
                    return Ok(());
                };
                slot.done(number);
                self.left(1);
                self.state.unsaved += 1;
                // Each partition's position is a write, so all of them may have so many.
                let partitions = u64::try_from(self.state.slots.len()).unwrap_or(1);
                if self.state.unsaved >= self.settings.save_events.max(1).saturating_mul(partitions) {
                    self.save().await?;
                }
                Ok(())
            }
            Word::Failed(error) => Err(error),
            Word::Ended(fence) => {
                self.partition_ended(fence);
                Ok(())
            }
        }
    }

    fn partition_ended(&mut self, fence: Fence) {
        let state = &mut self.state;
        if state.slots.get(&fence.partition).is_none_or(|slot| slot.fence != fence) {
            return;
        }
        let Some(slot) = state.slots.remove(&fence.partition) else { return };
        if matches!(slot.fate, Fate::GiveUp(_)) {
            state.releases.push(slot.last_place());
        }
        self.left(slot.under_way());
    }

    /// So many events are under way no more.
    fn left(&mut self, events: usize) {
        self.state.under_way = self.state.under_way.saturating_sub(events);
        self.counters.left(u64::try_from(events).unwrap_or(0));
        if self.state.under_way == 0 {
            self.counters.oldest(None);
        }
    }

    fn note_reconnects(&mut self) {
        let reconnects = self.counters.pulse.reconnects();
        if reconnects > self.state.reconnects {
            self.state.reconnects = reconnects;
            self.counters.reconnected();
        }
    }

    /// Whether the servers have said nothing for too long; then the stream is to be opened again where it is.
    fn has_stalled(&mut self, waiting_since: std::time::Instant) -> bool {
        let silent_for = self.counters.pulse.heard_at().max(waiting_since).elapsed();
        if self.settings.stalled_after.is_none_or(|patience| silent_for < patience) {
            return false;
        }
        let silent_ms = u64::try_from(silent_for.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(silent_ms, "the stream has stalled, opening it again");
        self.counters.stalled(silent_for);
        self.go_to(self.state.place.clone());
        true
    }

    /// Does what the group's newest state asks for. Says whether the stream has to be opened again.
    async fn act(&mut self) -> Result<bool> {
        let sight = self.session.sights.borrow_and_update().clone();
        let view = match sight {
            Sight::Nothing => return Ok(false),
            Sight::Expelled => {
                self.join_again().await?;
                return Ok(true);
            }
            Sight::View(view) => view,
        };
        let now = Instant::now();
        if view.began <= self.state.changed || !self.session.lease.holds(now) {
            return Ok(false);
        }
        self.see_what_was_lost(&view);
        let hand_over = self.group.hand_over;
        for slot in self.state.slots.values_mut() {
            slot.hurry(now, hand_over);
        }
        let (give_up, mut wanted) = self.plan(&view);
        for partition in give_up {
            match self.state.slots.get_mut(&partition) {
                Some(slot) => slot.give_up(now, self.state.place.as_ref()),
                // Left from a taking whose answer did not come.
                None => {
                    let epoch = view.epoch(partition);
                    self.state.releases.push(Place { partition, epoch, position: None, release: true });
                }
            }
        }
        wanted.retain(|partition| !self.state.slots.contains_key(partition));
        if wanted.is_empty() {
            return Ok(false);
        }
        let taken = self.patiently(self.coordination.take(&self.session.id, &wanted).await)?;
        self.state.changed = Instant::now();
        Ok(self.begin(taken.unwrap_or_default()))
    }

    /// What to give up and what to take: by the plan, and what is this member's without its knowing.
    fn plan(&self, view: &View) -> (Vec<u32>, Vec<u32>) {
        let me = self.session.id.as_str();
        let members: Vec<&str> =
            view.members.iter().filter(|member| !member.leaving).map(|member| member.id.as_str()).collect();
        let owners: Vec<Option<&str>> = view.partitions.iter().map(|partition| partition.owner.as_deref()).collect();
        let plan = plan(me, &members, &owners);
        let mine = (0..).zip(&owners).filter(|(_, owner)| **owner == Some(me)).map(|(partition, _)| partition);
        let mine = mine.filter(|partition| !plan.give_up.contains(partition));
        let wanted = plan.take.iter().copied().chain(mine).collect();
        (plan.give_up, wanted)
    }

    fn see_what_was_lost(&mut self, view: &View) {
        for (partition, slot) in &mut self.state.slots {
            if slot.fate != Fate::Lost && !view.is_owned(*partition, &self.session.id, slot.fence.epoch) {
                tracing::warn!(partition, epoch = slot.fence.epoch, "a partition was taken over by another member");
                slot.lose();
            }
        }
    }

    /// Begins with partitions. Says whether the stream has to be opened again, because it is ahead of them.
    fn begin(&mut self, taken: Vec<Taken>) -> bool {
        let state = &mut self.state;
        let first = state.slots.is_empty();
        let Some(lowest) = taken.iter().map(|taken| taken.position.clone()).min_by(before) else { return false };
        tracing::info!(member = %self.session.id, partitions = taken.len(), "took partitions");
        for slot in state.slots.values_mut() {
            slot.seen_up_to(state.place.as_ref());
        }
        for Taken { partition, epoch, position } in taken {
            let fence = Fence { partition, epoch };
            let (work, orders) = mpsc::unbounded_channel();
            let (wish, wishes) = watch::channel(Wish::Run);
            let task = (self.crew)(Orders {
                fence,
                lease: Arc::clone(&self.session.lease),
                turns: Arc::clone(&state.turns),
                work: orders,
                wishes,
                words: state.word.clone(),
            });
            state.slots.insert(partition, Slot::new(fence, position, work, wish, task));
        }
        let reopen = first || before(&lowest, &state.place).is_lt();
        if reopen {
            self.go_to(lowest);
        }
        reopen
    }

    fn go_to(&mut self, place: Option<Token>) {
        self.state.from = place.clone().map_or_else(|| self.founding.start.clone(), StartAt::StartAfter);
        self.state.place = place;
        self.state.caught_up = false;
    }

    /// What was watched is gone.
    async fn ended(&mut self, token: Option<Token>) -> Result<Turn> {
        let token = token.or_else(|| self.state.place.clone());
        match self.settings.on_invalidate {
            OnInvalidate::Stop => {
                while self.state.under_way > 0 && *self.wishes.borrow() != Wish::Stop {
                    tokio::select! {
                        _ = self.wishes.changed() => {}
                        word = self.state.words.recv() => match word {
                            Some(word) => self.take_in(word).await?,
                            None => break,
                        },
                    }
                }
                self.state.place = token;
                Ok(Turn::Stop)
            }
            OnInvalidate::StartAgain => {
                for slot in self.state.slots.values_mut() {
                    slot.seen_up_to(token.as_ref());
                }
                self.go_to(token);
                Ok(Turn::Open)
            }
        }
    }

    /// The partitions whose changes the servers have forgotten go on with the next change.
    async fn skip_what_is_lost(&mut self, error: &Error) -> Result<()> {
        self.counters.history_lost(error);
        let Opening { connection, source, backoff, .. } = &self.opening;
        let watcher = Watcher::open(connection.clone(), source.clone(), StartAt::Now, backoff.clone()).await?;
        let Some(now) = watcher.token().cloned() else {
            return Err(self.coordination.error("the servers tell no position to go on from"));
        };
        let state = &mut self.state;
        for slot in state.slots.values_mut() {
            slot.seen_up_to(state.place.as_ref());
        }
        let lowest = state.slots.values().map(|slot| slot.seen.clone()).min_by(before).flatten();
        for (partition, slot) in &mut state.slots {
            if before(&slot.seen, &lowest).is_le() {
                tracing::warn!(partition, "the history is lost, going on from now: {error}");
                slot.skip_to(&now);
            }
        }
        let lowest = state.slots.values().map(|slot| slot.seen.clone()).min_by(before).flatten();
        self.go_to(lowest);
        Ok(())
    }

    /// This member was away for too long, and is none any more: it drops what it has, and comes as a new one.
    async fn join_again(&mut self) -> Result<()> {
        tracing::warn!(member = %self.session.id, "did not renew in time, joining again");
        for slot in self.state.slots.values_mut() {
            slot.lose();
        }
        while !self.state.slots.is_empty() {
            let Some(word) = self.state.words.recv().await else { break };
            self.take_in(word).await?;
        }
        self.state.releases.clear();
        let began = Instant::now();
        let mut attempt = 0;
        while *self.wishes.borrow() != Wish::Stop {
            match self.join().await {
                Err(error) if passes(&error) && began.elapsed() < self.opening.backoff.give_up_after => {
                    sleep(self.opening.backoff.delay(attempt, rand::random())).await;
                    attempt += 1;
                }
                joined => {
                    self.session = joined?;
                    break;
                }
            }
        }
        Ok(())
    }

    /// The group may have been removed and founded again meanwhile.
    async fn join(&mut self) -> Result<Session> {
        let founding = self.coordination.founding(&self.source_id, self.group.partitions).await?;
        self.founding = founding.ok_or_else(|| self.coordination.error("its document was removed"))?;
        self.coordination.make_partitions(self.founding.partitions).await?;
        let name = self.group.member_name();
        Session::join(&self.coordination, &name, self.group.lease, self.founding.partitions).await
    }

    async fn save(&mut self) -> Result<()> {
        let every = self.settings.save_every.saturating_mul(QUIET_SAVES);
        let state = &mut self.state;
        let quiet_too = state.quiet_saved.elapsed() >= every;
        if quiet_too {
            state.quiet_saved = Instant::now();
        }
        state.unsaved = 0;
        let place = state.place.as_ref();
        let places: Vec<Place> =
            state.slots.values_mut().filter_map(|slot| slot.place_to_save(place, quiet_too)).collect();
        self.counters.oldest(state.slots.values().filter_map(Slot::oldest_ms).min());
        *self.session.progress.lock() = Progress {
            read: state.place.clone(),
            caught_up: state.caught_up,
            busy: state.slots.values().filter(|slot| slot.under_way() > 0).map(|slot| slot.fence.partition).collect(),
        };
        let saved = self.coordination.save(&self.session.id, &places).await;
        if self.patiently(saved)?.is_none() {
            return Ok(());
        }
        for Place { partition, position, .. } in &places {
            if let (Some(slot), Some(position)) = (self.state.slots.get_mut(partition), position) {
                slot.saved(position);
                self.counters.saved(position);
            }
        }
        Ok(())
    }

    async fn release(&mut self) -> Result<()> {
        let places = std::mem::take(&mut self.state.releases);
        let released = self.coordination.save(&self.session.id, &places).await;
        self.state.changed = Instant::now();
        // What could not be released is still this member's by the next view, and is taken and given again.
        self.patiently(released).map(drop)
    }

    /// Servers that are away for a moment end nothing: what depends on them is tried again by and by. The stream knows
    /// when enough is enough.
    fn patiently<T>(&self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(done) => Ok(Some(done)),
            Err(error) if passes(&error) => {
                tracing::warn!(member = %self.session.id, "the group could not be written: {error}");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Finishes what is under way, saves the positions, and gives the partitions to the others.
    async fn end(mut self, ended: Result<()>) -> Result<()> {
        let me = self.session.id.clone();
        let told = self.coordination.leaving(&me).await;
        let now = Instant::now();
        for slot in self.state.slots.values_mut() {
            slot.give_up(now, self.state.place.as_ref());
        }
        let mut ended = ended.and(self.patiently(told).map(drop));
        while !self.state.slots.is_empty() {
            let Some(word) = self.state.words.recv().await else { break };
            let taken = self.take_in(word).await;
            ended = ended.and(taken);
            if !self.state.releases.is_empty() && self.state.words.is_empty() {
                let released = self.release().await;
                ended = ended.and(released);
            }
        }
        ended = ended.and(self.release().await);
        let left = self.coordination.leave(&me).await;
        ended.and(self.patiently(left).map(drop))
    }
}
