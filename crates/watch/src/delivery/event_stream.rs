//! Events as a [`Stream`].

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::counters::Stats;
use super::handle::StopWhenDropped;
use super::queue::Queue;
use crate::{Event, Result};

/// A stream of events. An event counts as dealt with when the next one is asked for; a program that dies before gets it
/// again. An error is the last item: it says why the watch has ended. Dropping the stream ends the watch.
pub struct EventStream {
    state: State,
    stop: StopWhenDropped,
}

enum State {
    Running(Box<Queue>),
    Ending(Pin<Box<dyn Future<Output = Result<()>> + Send>>),
    Over,
}

impl EventStream {
    pub(super) fn new(queue: Queue) -> Self {
        let stop = StopWhenDropped(queue.control());
        Self { state: State::Running(Box::new(queue)), stop }
    }

    /// How it is doing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stop.0.stats()
    }

    /// Reads nothing more. What has come already can still be taken.
    pub fn stop(&self) {
        self.stop.0.stop();
    }

    /// Ends: what was taken counts as dealt with, what has come besides does not and comes again.
    pub async fn join(mut self) -> Result<()> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Running(queue) => queue.join().await,
            State::Ending(end) => end.await,
            State::Over => Ok(()),
        }
    }

    /// What was taken last is put aside, as [`Queue::give_up`] says.
    pub async fn give_up(&mut self, reason: &str) -> Result<()> {
        match &mut self.state {
            State::Running(queue) => queue.give_up(reason).await,
            State::Ending(_) | State::Over => Ok(()),
        }
    }
}

impl Stream for EventStream {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.state {
                State::Running(queue) => {
                    if let Some(event) = ready!(queue.poll_get(context)) {
                        return Poll::Ready(Some(Ok(event)));
                    }
                    if let State::Running(queue) = std::mem::replace(&mut self.state, State::Over) {
                        self.state = State::Ending(Box::pin(queue.join()));
                    }
                }
                State::Ending(end) => {
                    let end = ready!(end.as_mut().poll(context));
                    self.state = State::Over;
                    return Poll::Ready(end.err().map(Err));
                }
                State::Over => return Poll::Ready(None),
            }
        }
    }
}
