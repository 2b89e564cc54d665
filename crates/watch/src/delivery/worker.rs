//! Dealing with one event after the other: trying again, giving up, putting aside.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::handle::Counters;
use super::settings::{OnFailure, Settings};
use crate::{DeadLetters, Error, Event, Result};

/// An event on its way to a worker.
pub(super) struct Work {
    pub(super) number: u64,
    pub(super) event: Event,
}

/// What became of it: an error ends the delivery.
pub(super) struct Done {
    pub(super) number: u64,
    pub(super) outcome: Result<()>,
}

/// Takes events until there are no more, one at a time.
pub(super) struct Worker<F> {
    pub(super) callback: Arc<F>,
    pub(super) settings: Arc<Settings>,
    pub(super) dead_letters: Option<DeadLetters>,
    pub(super) counters: Arc<Counters>,
}

impl<F, Fut, E> Worker<F>
where
    F: Fn(Event) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = std::result::Result<(), E>> + Send,
    E: Display + Send,
{
    pub(super) async fn run(self, mut work: mpsc::Receiver<Work>, done: mpsc::UnboundedSender<Done>) {
        while let Some(Work { number, event }) = work.recv().await {
            let outcome = self.deal_with(event).await;
            let failed = outcome.is_err();
            // Nobody listens any more once the delivery is over.
            if done.send(Done { number, outcome }).is_err() || failed {
                break;
            }
        }
    }

    async fn deal_with(&self, event: Event) -> Result<()> {
        let mut attempt = 0;
        let reason = loop {
            let error = match (self.callback)(event.clone()).await {
                Ok(()) => {
                    self.counters.delivered.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Err(error) => error.to_string(),
            };
            self.counters.failures.fetch_add(1, Ordering::Relaxed);
            if attempt >= self.settings.retries {
                break error;
            }
            tracing::debug!(attempt = attempt + 1, "an event could not be dealt with, trying again: {error}");
            tokio::time::sleep(self.settings.pause.delay(attempt, rand::random())).await;
            attempt += 1;
        };
        self.counters.given_up.fetch_add(1, Ordering::Relaxed);
        let attempts = attempt + 1;
        if let Some(letters) = &self.dead_letters {
            letters.put(&event, &reason, attempts).await?;
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
