//! A delivery that runs: stopping it, holding it up, asking how it is doing.

use std::ops::Deref;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

use super::counters::{Counters, Stats};
use crate::{Result, Token};

/// What a delivery is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Run,
    Pause,
    Stop,
}

/// A delivery in the background: a [`Control`] of it, and its end. Dropping the handle lets it run on.
#[derive(Debug)]
pub struct Handle {
    control: Control,
    task: JoinHandle<Result<()>>,
}

/// What a delivery can be asked and told, from several places at once.
#[derive(Debug, Clone)]
pub struct Control {
    wish: watch::Sender<Wish>,
    counters: Arc<Counters>,
    abort: AbortHandle,
}

impl Handle {
    pub(crate) fn new(wish: watch::Sender<Wish>, counters: Arc<Counters>, task: JoinHandle<Result<()>>) -> Self {
        Self { control: Control { wish, counters, abort: task.abort_handle() }, task }
    }

    /// Another way to ask and tell.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Waits for the end, and says why it came if that was an error.
    pub async fn join(self) -> Result<()> {
        match self.task.await {
            Ok(ended) => ended,
            Err(error) => Err(crate::Error::Delivery { reason: error.to_string() }),
        }
    }
}

impl Deref for Handle {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}

impl Control {
    /// Reads nothing more, and ends when what the callback is working on was dealt with and the position is saved. What
    /// waits for its turn, or for another try, comes again from that position.
    pub fn stop(&self) {
        self.wish.send_replace(Wish::Stop);
    }

    /// Reads nothing more until [`Control::resume`]. What is under way goes on.
    pub fn pause(&self) {
        self.change(Wish::Run, Wish::Pause);
    }

    /// Goes on after [`Control::pause`].
    pub fn resume(&self) {
        self.change(Wish::Pause, Wish::Run);
    }

    /// Ends at once, as if the program had died: nothing more is saved.
    pub fn abort(&self) {
        self.abort.abort();
    }

    /// How it is doing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counters.stats()
    }

    /// The last position that was saved.
    #[must_use]
    pub fn position(&self) -> Option<Token> {
        self.counters.position()
    }

    /// Whether it has ended, by itself or because it was asked to.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.counters.has_ended()
    }

    fn change(&self, from: Wish, to: Wish) {
        self.wish.send_if_modified(|wish| {
            let changes = *wish == from;
            if changes {
                *wish = to;
            }
            changes
        });
    }
}

/// Stops a delivery when whoever takes its events has gone.
#[derive(Debug)]
pub(crate) struct StopWhenDropped(pub(crate) Control);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.stop();
    }
}
