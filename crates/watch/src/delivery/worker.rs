//! Dealing with one event after the other: trying again, giving up, putting aside.

use std::any::Any;
use std::fmt::Display;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::slice;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::counters::Counters;
use super::failure::{Again, again};
use super::handle::Wish;
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
    pub(crate) trying: Trying,
}

/// How often something is tried, and what becomes of it if that does not help.
#[derive(Clone)]
pub(crate) struct Trying {
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
            if self.trying.is_stopped() {
                break;
            }
            let Some(outcome) = self.deal_with(&event).await else { break };
            let failed = outcome.is_err();
            // Nobody listens any more once the delivery is over.
            if done.send(Done { number, outcome }).is_err() || failed {
                break;
            }
        }
    }

    /// None: it was asked to stop before a try succeeded.
    pub(crate) async fn deal_with(&self, event: &Event) -> Option<Result<()>> {
        self.trying.counters.taken();
        self.trying.deal_with(slice::from_ref(event), || (self.callback)(event.clone())).await
    }
}

impl Trying {
    pub(crate) fn is_stopped(&self) -> bool {
        *self.wishes.borrow() == Wish::Stop
    }

    /// Tries until it works or makes no sense any more. None: it was asked to stop before a try succeeded.
    pub(crate) async fn deal_with<Fut, E>(&self, events: &[Event], callback: impl Fn() -> Fut) -> Option<Result<()>>
    where
        Fut: Future<Output = std::result::Result<(), E>>,
        E: Display + 'static,
    {
        let mut attempt = 0;
        let reason = loop {
            let began = Instant::now();
            let (error, again) = match caught(&callback).await {
                Ok(Ok(())) => {
                    self.counters.delivered(events, began.elapsed());
                    return Some(Ok(()));
                }
                Ok(Err(error)) => (error.to_string(), again(&error)),
                Err(panic) => (format!("the callback panicked: {panic}"), Again::Usual),
            };
            // A callback that was cut off says so with an error, too: that is no reason to put the event aside.
            if self.is_stopped() {
                return None;
            }
            self.counters.failed(events, &error, attempt + 1);
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
            self.counters.retried();
            attempt += 1;
        };
        let mut outcome = Ok(());
        for event in events {
            outcome = outcome.and(self.give_up(event, &reason, attempt + 1).await);
        }
        Some(outcome)
    }

    pub(crate) async fn is_stopped_within(&self, pause: Duration) -> bool {
        let mut wishes = self.wishes.clone();
        tokio::select! {
            Ok(_) = wishes.wait_for(|wish| *wish == Wish::Stop) => true,
            () = tokio::time::sleep(pause) => false,
        }
    }

    /// Puts an event aside. An error ends the delivery.
    pub(crate) async fn give_up(&self, event: &Event, reason: &str, attempts: u32) -> Result<()> {
        self.counters.given_up(event, reason, attempts);
        if let Some(letters) = &self.dead_letters {
            letters.put(event, reason, attempts).await?;
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

/// Calls, and takes a panic for an error: one bad event must not end the others.
pub(crate) async fn caught<Fut: Future>(callback: impl FnOnce() -> Fut) -> std::result::Result<Fut::Output, String> {
    let mut called = pin!(async { callback().await });
    let poll = std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| called.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(words(panic.as_ref()))),
    });
    poll.await
}

/// What a panic says.
pub(crate) fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no reason given".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error() {
        assert_eq!(caught(|| async { 7 }).await, Ok(7));
        let late = caught(|| async {
            tokio::task::yield_now().await;
            assert_eq!(1 + 1, 3, "sums");
        });
        assert!(late.await.unwrap_err().contains("sums"));
        assert_eq!(caught(|| -> std::future::Ready<()> { panic!("at once") }).await, Err("at once".to_owned()));
    }
}
