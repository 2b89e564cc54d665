//! The loop that reads a change stream and survives what passes.

use std::sync::Arc;
use std::time::Instant;

use bson::Timestamp;

use crate::feed::{Broken, Fed, Feed};
use crate::problem::is_passing;
use crate::pulse::Pulse;
use crate::snapshot;
use crate::{Backoff, Connection, Event, Result, Source, StartAt, Token};

/// What [`Watcher::next`] has to say.
#[derive(Debug)]
pub enum Step {
    /// An event.
    Event(Event),
    /// Nothing for a while; the position may have moved on nevertheless.
    Idle,
    /// The server has closed the stream for good, because what it watched is gone (CS-7). See
    /// [`Watcher::start_again`].
    Ended,
}

/// Reads one source, event by event.
///
/// What passes is tried again, with growing pauses, from the position after the last event that was handed out: a server
/// that restarts for a minute costs a log line, and neither an event nor a repetition.
pub struct Watcher {
    connection: Connection,
    source: Source,
    backoff: Backoff,
    feed: Feed,
    /// Where to open the stream if it has to be opened again, but for `last`.
    position: StartAt,
    /// The last event that was handed out since then.
    last: Option<Event>,
    trouble: Option<Trouble>,
    pulse: Arc<Pulse>,
}

#[derive(Clone, Copy)]
struct Trouble {
    since: Instant,
    attempts: u32,
}

impl Watcher {
    /// Opens the stream. Errors here are not tried again, so that a wrong URI is told at once.
    pub async fn open(connection: Connection, source: Source, start: StartAt, backoff: Backoff) -> Result<Self> {
        let now = connection.ping().await?;
        let start = match start {
            StartAt::Snapshot => StartAt::StartAfter(snapshot::begin(&connection, &source).await?),
            other => other,
        };
        let (feed, begins) =
            Feed::open(&connection, &source, &start).await.map_err(|error| explain(&connection, &source, error))?;
        let position = match (start, now) {
            // If the server tells no position, the time just before opening is one.
            (StartAt::Now, Some(time)) => StartAt::Time(just_after(time)),
            (start, _) => start,
        };
        let mut watcher =
            Self { connection, source, backoff, feed, position, last: None, trouble: None, pulse: Arc::default() };
        watcher.note_position(begins);
        Ok(watcher)
    }

    /// The next thing that happens.
    ///
    /// The future may be dropped half-way: nothing is lost.
    pub async fn next(&mut self) -> Result<Step> {
        loop {
            match self.feed.next().await {
                Ok(Fed::Event(event)) => {
                    self.calm();
                    self.last = Some(event.clone());
                    return Ok(Step::Event(event));
                }
                Ok(Fed::Nothing(token)) => {
                    self.calm();
                    self.note_position(token);
                    return Ok(Step::Idle);
                }
                Ok(Fed::End) => return Ok(Step::Ended),
                Err(Broken::Driver(error)) => self.recover(error).await?,
                Err(Broken::Event(error)) => return Err(error),
            }
        }
    }

    /// An event that has come already, without waiting: for those who deal with many at once.
    pub fn ready(&mut self) -> Option<Event> {
        let event = self.feed.ready()?;
        self.last = Some(event.clone());
        Some(event)
    }

    /// The position after everything that was handed out, once it is known as a token. It fits
    /// [`StartAt::StartAfter`], also behind an `invalidate`.
    pub fn token(&self) -> Option<&Token> {
        match (&self.last, &self.position) {
            (Some(event), _) => Some(event.token()),
            (None, StartAt::StartAfter(token) | StartAt::ResumeAfter(token)) => Some(token),
            (None, StartAt::Now | StartAt::Time(_) | StartAt::Snapshot) => None,
        }
    }

    /// Whether the last event was the last that the server had when it answered: one that belongs to a transaction is the
    /// last of it then. False where there may be more; the next [`Step`] tells.
    pub fn is_drained(&self) -> bool {
        self.feed.is_drained()
    }

    /// After [`Step::Ended`]: goes on with a new stream right behind the old one, so that a
    /// collection of the same name that is created later is seen from its first event. It may also be called when the
    /// future of [`Watcher::next`] was dropped: nothing that was not handed out is lost.
    pub async fn start_again(&mut self) -> Result<()> {
        match self.open_again().await {
            Ok(()) => Ok(()),
            Err(error) => self.recover(error).await,
        }
    }

    /// Gives signs of life there.
    pub(crate) fn set_pulse(&mut self, pulse: Arc<Pulse>) {
        self.pulse = pulse;
    }

    /// Takes over the server's word for how far nothing more will come (CS-5.6).
    fn note_position(&mut self, token: Option<Token>) {
        if let Some(token) = token {
            self.position = StartAt::StartAfter(token);
            self.last = None;
        }
    }

    async fn open_again(&mut self) -> mongodb::error::Result<()> {
        if let Some(event) = self.last.take() {
            self.position = StartAt::StartAfter(event.token().clone());
        }
        let (feed, at) = Feed::open(&self.connection, &self.source, &self.position).await?;
        self.feed = feed;
        self.note_position(at);
        Ok(())
    }

    fn calm(&mut self) {
        self.pulse.heard();
        if let Some(trouble) = self.trouble.take() {
            self.pulse.back();
            tracing::info!(
                source = %self.source.scope,
                attempts = trouble.attempts,
                gap_ms = millis(trouble.since),
                "resumed"
            );
        }
    }

    /// Opens the stream again after an error, or returns the error if that makes no sense.
    async fn recover(&mut self, error: mongodb::error::Error) -> Result<()> {
        let mut error = error;
        loop {
            let trouble = self.trouble.get_or_insert_with(|| Trouble { since: Instant::now(), attempts: 0 });
            let attempt = trouble.attempts;
            trouble.attempts = attempt.saturating_add(1);
            let since = trouble.since;
            let refused = explain(&self.connection, &self.source, error.clone());
            self.pulse.lost();
            if !is_passing(&error) || since.elapsed() >= self.backoff.give_up_after {
                return Err(refused);
            }
            let wait = self.backoff.delay(attempt, rand::random());
            tracing::warn!(
                source = %self.source.scope,
                attempt = attempt + 1,
                wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                "lost the server, trying again: {refused}"
            );
            tokio::time::sleep(wait).await;
            match self.open_again().await {
                Ok(()) => return Ok(()),
                Err(next) => error = next,
            }
        }
    }
}

fn explain(connection: &Connection, source: &Source, error: mongodb::error::Error) -> crate::Error {
    connection.explain(error, &source.scope.to_string())
}

/// A start time is inclusive (CS-4.6.1), so the time of the last known change is one too early.
pub(crate) fn just_after(time: Timestamp) -> Timestamp {
    match time.increment.checked_add(1) {
        Some(increment) => Timestamp { time: time.time, increment },
        None => Timestamp { time: time.time.saturating_add(1), increment: 0 },
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fallback_start_is_one_tick_later() {
        let time = |time, increment| Timestamp { time, increment };
        assert_eq!(just_after(time(7, 3)), time(7, 4));
        assert_eq!(just_after(time(7, u32::MAX)), time(8, 0));
    }
}
