//! A partition in the hands of its owner.

use std::cmp::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Fence;
use super::coordination::Place;
use crate::delivery::acks::Acks;
use crate::delivery::handle::Wish;
use crate::delivery::worker::Work;
use crate::{Event, Token};

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Keep,
    /// Others get it once nothing is under way; since when.
    GiveUp(Instant),
    /// It is another's already.
    Lost,
}

pub(super) struct Slot {
    pub(super) fence: Fence,
    pub(super) fate: Fate,
    /// What the stream has up to here was handed out before; none: since the group's beginning.
    pub(super) seen: Option<Token>,
    saved: Option<Token>,
    acks: Acks,
    /// Whether events were dealt with since the position was saved.
    worked: bool,
    work: Option<mpsc::UnboundedSender<Work>>,
    wish: watch::Sender<Wish>,
    task: JoinHandle<()>,
}

impl Slot {
    pub(super) fn new(
        fence: Fence,
        position: Option<Token>,
        work: mpsc::UnboundedSender<Work>,
        wish: watch::Sender<Wish>,
        task: JoinHandle<()>,
    ) -> Self {
        let (seen, saved) = (position.clone(), position);
        let work = Some(work);
        Self { fence, fate: Fate::Keep, seen, saved, acks: Acks::default(), worked: false, work, wish, task }
    }

    /// How many of its events are under way.
    pub(super) fn under_way(&self) -> usize {
        self.acks.count()
    }

    /// When the first of them happened.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        self.acks.oldest_ms()
    }

    /// Whether an event of this partition is one that it has not had before.
    pub(super) fn is_to_get(&self, event: &Event) -> bool {
        self.fate == Fate::Keep && self.seen.as_ref().is_none_or(|seen| seen.data() < event.token().data())
    }

    pub(super) fn hand_out(&mut self, event: Event, at_ms: Option<i64>) {
        let number = self.acks.begin_at(event.token().clone(), at_ms);
        if let Some(work) = &self.work {
            // Its task may have ended a moment ago; then the event comes again.
            let _ = work.send(Work { number, event });
        }
    }

    pub(super) fn done(&mut self, number: u64) {
        self.worked |= self.acks.done(number);
    }

    /// The stream was read up to a place, and will be read again from another one.
    pub(super) fn seen_up_to(&mut self, place: Option<&Token>) {
        if self.fate == Fate::Keep && after(place, self.seen.as_ref()) {
            self.seen = place.cloned();
        }
    }

    /// What lies before a place cannot be had any more.
    pub(super) fn skip_to(&mut self, place: &Token) {
        self.seen = Some(place.clone());
        self.acks.quiet(place.clone());
    }

    /// Begins nothing more. What is under way goes on.
    pub(super) fn give_up(&mut self, now: Instant, place: Option<&Token>) {
        if self.fate == Fate::Keep {
            self.move_on(place);
            self.fate = Fate::GiveUp(now);
            self.work = None;
            self.wish.send_replace(Wish::Stop);
        }
    }

    /// Cancels what is under way if it takes too long.
    pub(super) fn hurry(&self, now: Instant, hand_over: Duration) {
        if let Fate::GiveUp(since) = self.fate
            && now.saturating_duration_since(since) >= hand_over
        {
            self.task.abort();
        }
    }

    /// Cancels what is under way.
    pub(super) fn lose(&mut self) {
        self.fate = Fate::Lost;
        self.work = None;
        self.task.abort();
    }

    /// Its position, if that has to be saved. `place` is where the stream is.
    pub(super) fn place_to_save(&mut self, place: Option<&Token>, quiet_too: bool) -> Option<Place> {
        if self.fate == Fate::Lost {
            return None;
        }
        if self.fate == Fate::Keep {
            self.move_on(place);
        }
        let position = self.acks.safe().filter(|_| self.worked || quiet_too);
        let position = position.filter(|position| after(Some(*position), self.saved.as_ref()))?.clone();
        let Fence { partition, epoch } = self.fence;
        Some(Place { partition, epoch, position: Some(position), release: false })
    }

    pub(super) fn saved(&mut self, position: &Token) {
        self.saved = Some(position.clone());
        self.worked = false;
    }

    /// The position for the next owner.
    pub(super) fn last_place(&self) -> Place {
        let Fence { partition, epoch } = self.fence;
        let position = self.acks.safe().filter(|position| after(Some(*position), self.saved.as_ref())).cloned();
        Place { partition, epoch, position, release: true }
    }

    /// With nothing under way, the position is where the stream is: all of this partition's events up to there were dealt
    /// with. Not once it is being given up, since it gets no events any more.
    fn move_on(&mut self, place: Option<&Token>) {
        let known = self.acks.safe().or(self.seen.as_ref());
        if let Some(place) = place.filter(|place| after(Some(*place), known)) {
            self.acks.quiet(place.clone());
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The order of positions, which is that of their texts. None is before all others: it is the group's beginning.
pub(super) fn before(one: &Option<Token>, other: &Option<Token>) -> Ordering {
    one.as_ref().and_then(Token::data).cmp(&other.as_ref().and_then(Token::data))
}

fn after(one: Option<&Token>, other: Option<&Token>) -> bool {
    one.and_then(Token::data) > other.and_then(Token::data)
}
