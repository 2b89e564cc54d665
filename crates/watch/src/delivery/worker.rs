//! Dealing with one event after the other: trying again, giving up, putting aside.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::failure::{Again, again};
use super::handle::{Counters, Wish};
use super::settings::{OnFailure, Settings};
use crate::{DeadLetters, Error, Event, Result};

/// An event on its way to a worker.
pub(crate) struct Work {
    pub(crate) number: u64,
    pub(crate) event: Event,
}

/// What became of it: an error ends the delivery.
pub(crate) struct Done {
    pub(crate) number: u64,
    pub(crate) outcome: Result<()>,
}

/// Takes events until there are no more, one at a time.
pub(crate) struct Worker<F> {
    pub(crate) callback: Arc<F>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) dead_letters: Option<DeadLetters>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) wishes: watch::Receiver<Wish>,
}

impl<F, Fut, E> Worker<F>
where
    F: Fn(Event) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = std::result::Result<(), E>> + Send,
    E: Display + Send + 'static,
{
    /// Once it is asked to stop, it finishes the event that it has. Those that wait behind it stay undone, so that they
    /// come again.
    pub(crate) async fn run(self, mut work: mpsc::Receiver<Work>, done: mpsc::UnboundedSender<Done>) {
        while let Some(Work { number, event }) = work.recv().await {
            if *self.wishes.borrow() == Wish::Stop {
                break;
            }
            let Some(outcome) = self.deal_with(event).await else { break };
            let failed = outcome.is_err();
            // Nobody listens any more once the delivery is over.
            if done.send(Done { number, outcome }).is_err() || failed {
                break;
            }
        }
    }

    /// None: it was asked to stop before a try succeeded.
    pub(crate) async fn deal_with(&self, event: Event) -> Option<Result<()>> {
        let mut attempt = 0;
        let reason = loop {
            let (error, again) = match (self.callback)(event.clone()).await {
                Ok(()) => {
                    self.counters.delivered.fetch_add(1, Ordering::Relaxed);
                    return Some(Ok(()));
                }
                Err(error) => (error.to_string(), again(&error)),
            };
            // A callback that was cut off says so with an error, too: that is no reason to put the event aside.
            if *self.wishes.borrow() == Wish::Stop {
                return None;
            }
            self.counters.failures.fetch_add(1, Ordering::Relaxed);
            let pause = self.settings.pause.delay(attempt, rand::random());
            let pause = match again {
                Again::Never => break error,
                _ if attempt >= self.settings.retries => break error,
                Again::After(time) => time.max(pause),
                Again::Usual => pause,
            };
            tracing::debug!(attempt = attempt + 1, "an event could not be dealt with, trying again: {error}");
            if self.is_stopped_within(pause).await {
                return None;
            }
            attempt += 1;
        };
        Some(self.give_up(&event, reason, attempt + 1).await)
    }

    async fn is_stopped_within(&self, pause: Duration) -> bool {
        let mut wishes = self.wishes.clone();
        tokio::select! {
            Ok(_) = wishes.wait_for(|wish| *wish == Wish::Stop) => true,
            () = tokio::time::sleep(pause) => false,
        }
    }

    async fn give_up(&self, event: &Event, reason: String, attempts: u32) -> Result<()> {
        self.counters.given_up.fetch_add(1, Ordering::Relaxed);
        if let Some(letters) = &self.dead_letters {
            letters.put(event, &reason, attempts).await?;
        }
        match self.settings.on_failure {
            OnFailure::GoOn => {
                tracing::warn!(attempts, "gave up an event: {reason}");
                Ok(())
            }
            // The position stays before it, so it comes again, also if it lies among the dead letters.
            OnFailure::Stop => Err(Error::Delivery { reason: format!("an event failed {attempts} times: {reason}") }),
        }
    }
}
