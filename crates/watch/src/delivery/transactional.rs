//! Effects that happen exactly once: what a program writes and the position behind it are committed together.
//!
//! A crash at any moment leaves both or neither. Since the position is read again from where it was committed, an event
//! whose effect is there never comes again, and one whose effect is not there does.

mod collection;
#[cfg(feature = "postgres")]
mod postgres;

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::failure::{Again, Failure};
use super::worker::{Done, Trying, Work, caught};
use super::{Shared, Watch};
use crate::checkpoint::BoxedCheckpoint;
use crate::{Error, Event, Handle, MemoryCheckpoint, Result, SourceId, Token};

pub use collection::CollectionTransactions;
#[cfg(feature = "postgres")]
pub use postgres::PostgresTransactions;

/// More events than these do not go into one transaction: servers limit how much one may write.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// Any error of a callback.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a callback does inside of a transaction.
pub type InTransaction<'t> = Pin<Box<dyn Future<Output = std::result::Result<(), BoxError>> + Send + 't>>;

/// A store that keeps a position in the same transaction as what a program writes.
pub trait TransactionStore: Send + 'static {
    /// What the program writes with.
    type Transaction<'t>: Send;

    /// Takes the position over, and says what it is. Whoever had it before can commit nothing from now on.
    fn take_over(&mut self, source: &SourceId) -> impl Future<Output = Result<Option<Token>>> + Send;

    /// Does some work and moves the position behind it: both or neither. What may pass is tried again in here.
    fn commit<F>(
        &mut self,
        events: &[Event],
        position: &Token,
        work: &F,
    ) -> impl Future<Output = std::result::Result<(), NotCommitted>> + Send
    where
        F: for<'t> Fn(&'t [Event], Self::Transaction<'t>) -> InTransaction<'t> + Send + Sync;
}

/// Why a transaction was not committed.
#[derive(Debug)]
pub enum NotCommitted {
    /// The program's own work failed.
    Work(BoxError),
    /// The store refused: the watch ends.
    Store(Error),
}

impl Watch {
    /// Begins, and calls `callback` with events and a transaction. What it writes with that transaction and the position
    /// behind those events are committed together, so that every effect is there exactly once, whatever crashes and
    /// when. Effects outside of the transaction are not: the callback is called again after a conflict or a crash.
    ///
    /// Events come in their order, as many at a time as have come while the last transaction was under way, and not
    /// more than [`Settings::save_events`](crate::Settings::save_events). Of several that fail together, one is found
    /// by halving, tried again, and given up, as the settings say. The error of a statement has to be returned: after it
    /// nothing more can be done in that transaction.
    ///
    /// One process at a time: who begins under a watcher's name stops whoever had it ([`Error::TakenOver`]).
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use bson::doc;
    /// use millstream_watch::{ChangeStreams, CollectionTransactions};
    ///
    /// let streams = ChangeStreams::connect("mongodb://127.0.0.1:27017/?replicaSet=rs0").await?;
    /// let store = CollectionTransactions::new(streams.connection(), "shop", "counter");
    /// let watch = streams.watch_collection("shop", "orders").operations(["insert"]);
    /// let handle = watch
    ///     .for_each_in_transaction(store, |events, session| {
    ///         Box::pin(async move {
    ///             let totals = session.client().database("shop").collection::<bson::Document>("totals");
    ///             let more = doc! {"$inc": {"orders": i64::try_from(events.len())?}};
    ///             totals.update_one(doc! {"_id": "all"}, more).upsert(true).session(session).await?;
    ///             Ok(())
    ///         })
    ///     })
    ///     .await?;
    /// handle.join().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What keeps the stream from being opened, or the position from being taken over.
    pub async fn for_each_in_transaction<S, F>(mut self, mut store: S, callback: F) -> Result<Handle>
    where
        S: TransactionStore,
        F: for<'t> Fn(&'t [Event], S::Transaction<'t>) -> InTransaction<'t> + Send + Sync + 'static,
    {
        let source = SourceId::new(&self.connection, &self.source);
        let kept = store.take_over(&source).await?;
        // What the runner saves shows how far a quiet stream has come.
        let seen = MemoryCheckpoint::at(kept.clone());
        self.checkpoint = Some(BoxedCheckpoint::new(seen.clone()));
        let shared = Shared::new(&self);
        let (done, outcomes) = mpsc::unbounded_channel();
        let (lane, inbox) = mpsc::channel(self.settings.queue.max(1));
        let handle = self.begin(vec![lane], outcomes, &shared).await?;
        let mut worker = Worker { store, callback, trying: shared.trying, seen, kept };
        // A program that is killed before its first event goes on from here as well.
        if let Err(error) = worker.keep_up().await {
            handle.abort();
            return Err(error);
        }
        drop(tokio::spawn(worker.run(inbox, done)));
        Ok(handle)
    }
}

/// What does the work of one watch.
struct Worker<S, F> {
    store: S,
    callback: F,
    trying: Trying,
    /// How far the stream was read.
    seen: MemoryCheckpoint,
    /// The position that is committed.
    kept: Option<Token>,
}

/// What became of some events.
enum Tried {
    Done,
    /// It was asked to stop before that.
    Stopped,
    Failed {
        reason: String,
        attempts: u32,
    },
}

impl<S, F> Worker<S, F>
where
    S: TransactionStore,
    F: for<'t> Fn(&'t [Event], S::Transaction<'t>) -> InTransaction<'t> + Send + Sync + 'static,
{
    async fn run(mut self, mut inbox: mpsc::Receiver<Work>, done: mpsc::UnboundedSender<Done>) {
        if let Err(error) = self.take_all(&mut inbox, &done).await {
            // An error ends the delivery. Nobody listens if that is over already.
            let _ = done.send(Done { number: 0, outcome: Err(error) });
        }
    }

    async fn take_all(&mut self, inbox: &mut mpsc::Receiver<Work>, done: &mpsc::UnboundedSender<Done>) -> Result<()> {
        let mut tick = tokio::time::interval(self.trying.settings.save_every.max(std::time::Duration::from_millis(1)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let first = tokio::select! {
                biased;
                work = inbox.recv() => work,
                _ = tick.tick() => {
                    self.keep_up().await?;
                    continue;
                }
            };
            let Some(first) = first else { return Ok(()) };
            let (numbers, events) = self.batch(first, inbox);
            if self.trying.is_stopped() || !self.deal_with(&events).await? {
                return Ok(());
            }
            for number in numbers {
                // Nobody listens if the delivery is over already.
                let _ = done.send(Done { number, outcome: Ok(()) });
            }
        }
    }

    /// An event and what waits behind it.
    fn batch(&self, first: Work, inbox: &mut mpsc::Receiver<Work>) -> (Vec<u64>, Vec<Event>) {
        let most = usize::try_from(self.trying.settings.save_events.max(1)).unwrap_or(usize::MAX);
        let (mut numbers, mut events, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut next = Some(first);
        while let Some(Work { number, event }) = next {
            self.trying.counters.taken();
            bytes += event.raw().as_bytes().len();
            numbers.push(number);
            events.push(event);
            let full = events.len() >= most || bytes >= BATCH_BYTES_MAX;
            next = if full { None } else { inbox.try_recv().ok() };
        }
        (numbers, events)
    }

    /// Deals with events in their order. Of those that fail together the first half is tried, then the other. False: it
    /// was asked to stop before all were dealt with.
    async fn deal_with(&mut self, events: &[Event]) -> Result<bool> {
        let mut parts = vec![events];
        while let Some(part) = parts.pop() {
            match (self.try_part(part).await?, part) {
                (Tried::Done, _) => {}
                (Tried::Stopped, _) => return Ok(false),
                (Tried::Failed { reason, attempts }, [event]) => {
                    self.trying.give_up(event, &reason, attempts).await?;
                    self.move_to(event.token().clone()).await?;
                }
                (Tried::Failed { .. }, several) => {
                    let (first, second) = several.split_at(several.len() / 2);
                    parts.extend([second, first]);
                }
            }
        }
        Ok(true)
    }

    /// Events in one transaction. A single one is tried as often as the settings say.
    async fn try_part(&mut self, events: &[Event]) -> Result<Tried> {
        let Some(last) = events.last() else { return Ok(Tried::Done) };
        let retries = if events.len() == 1 { self.trying.settings.retries } else { 0 };
        let mut attempt = 0;
        loop {
            let began = Instant::now();
            let error = match self.store.commit(events, last.token(), &self.callback).await {
                Ok(()) => {
                    self.kept = Some(last.token().clone());
                    self.trying.counters.delivered(events, began.elapsed());
                    return Ok(Tried::Done);
                }
                Err(NotCommitted::Store(error)) => return Err(error),
                Err(NotCommitted::Work(error)) => error,
            };
            let reason = with_causes(&*error);
            self.trying.counters.failed(events, &reason, attempt + 1);
            let again = error.downcast_ref::<Failure>().map_or(Again::Usual, Failure::again);
            if attempt >= retries || again == Again::Never {
                return Ok(Tried::Failed { reason, attempts: attempt + 1 });
            }
            tracing::debug!(attempt = attempt + 1, "a transaction could not be made, trying again: {reason}");
            let pause = self.trying.settings.pause.delay(attempt, rand::random());
            let pause = if let Again::After(time) = again { time.max(pause) } else { pause };
            if self.trying.is_stopped_within(pause).await {
                return Ok(Tried::Stopped);
            }
            self.trying.counters.retried();
            attempt += 1;
        }
    }

    /// Moves the position to where a quiet stream has come, so that it does not fall out of the server's log.
    async fn keep_up(&mut self) -> Result<()> {
        match self.seen.position() {
            // What was seen may also be an event that was committed long since.
            Some(seen) if self.kept.as_ref().is_none_or(|kept| seen.data() > kept.data()) => self.move_to(seen).await,
            _ => Ok(()),
        }
    }

    async fn move_to(&mut self, position: Token) -> Result<()> {
        match self.store.commit(&[], &position, &|_, _| Box::pin(async { Ok(()) })).await {
            Ok(()) => {
                self.kept = Some(position);
                Ok(())
            }
            Err(NotCommitted::Store(error)) => Err(error),
            Err(NotCommitted::Work(error)) => Err(Error::Delivery { reason: with_causes(&*error) }),
        }
    }
}

/// Does a program's work; a panic is an error of it.
async fn work_of<'t, T, F>(work: &F, events: &'t [Event], transaction: T) -> std::result::Result<(), BoxError>
where
    F: Fn(&'t [Event], T) -> InTransaction<'t>,
{
    match caught(|| work(events, transaction)).await {
        Ok(outcome) => outcome,
        Err(panic) => Err(format!("the callback panicked: {panic}").into()),
    }
}

/// The position as it was found, seen by who wants to commit the next one.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// Nobody has moved it.
    Ours,
    /// It is where it was to be moved: an earlier try was committed, though its answer was lost.
    Committed,
    /// Somebody else moved it.
    Theirs,
}

impl Standing {
    /// `found` and `wanted` are the version and the position.
    fn of(ours: i64, found: Option<(i64, Option<&Token>)>, wanted: &Token) -> Self {
        match found {
            Some((version, _)) if version == ours => Self::Ours,
            // Taking over moves the version as well, but not the position.
            Some((version, Some(token))) if version == ours.saturating_add(1) && token == wanted => Self::Committed,
            _ => Self::Theirs,
        }
    }
}

/// What an error says, and what its causes say that it does not.
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    text
}

/// The first error of a kind among an error and its causes.
fn cause<'e, E: std::error::Error + 'static>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_ours_or_where_we_put_it_or_theirs() {
        let token = |data: &str| Token::parse(data).unwrap();
        let (old, new, other) = (token("82AA"), token("82AB"), token("82AC"));
        let standing = |version, token| Standing::of(7, Some((version, token)), &new);
        assert_eq!(standing(7, Some(&old)), Standing::Ours);
        assert_eq!(standing(7, None), Standing::Ours);
        assert_eq!(standing(8, Some(&new)), Standing::Committed);
        assert_eq!(standing(8, Some(&old)), Standing::Theirs, "taken over");
        assert_eq!(standing(9, Some(&new)), Standing::Theirs, "taken over after it was committed");
        assert_eq!(standing(8, Some(&other)), Standing::Theirs);
        assert_eq!(standing(0, Some(&new)), Standing::Theirs, "replaced by a watch of another kind");
        assert_eq!(Standing::of(7, None, &new), Standing::Theirs, "removed");
    }
}
