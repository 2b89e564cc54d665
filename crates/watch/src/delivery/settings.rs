//! What a delivery does, and what it does when something goes wrong.

use std::time::Duration;

use crate::Backoff;

/// After an event that could not be dealt with, however often it was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// Stop, with the position before the event.
    #[default]
    Stop,
    /// Go on with the next one.
    GoOn,
}

/// After the server has forgotten the changes that come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnHistoryLost {
    /// Stop with the error.
    #[default]
    Stop,
    /// Go on with the next change: what lies between is never seen.
    StartNow,
    /// Go through the documents that are there, deliver only what differs from what was delivered before, as `insert`, `replace`
    /// and `delete` events with `snapshot: true`, and go on with the changes. What was delivered is remembered in a store
    /// ([`crate::Watch::seen`]); updates are read with their documents for that.
    Resnapshot,
}

/// After what was watched is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnInvalidate {
    /// Stop: there is nothing more to see.
    #[default]
    Stop,
    /// Go on behind it, so that a collection of the same name is seen from its first event.
    StartAgain,
}

/// How events are delivered.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many events are dealt with at the same time. Those of one document stay in their order. Default: 1.
    pub concurrency: usize,
    /// How many events may be under way; then reading waits. Default: 1,000.
    pub queue: usize,
    /// How often one event is tried again. Default: 3.
    pub retries: u32,
    /// How long to wait between two tries.
    pub pause: Backoff,
    /// When that did not help.
    pub on_failure: OnFailure,
    /// When the history is lost.
    pub on_history_lost: OnHistoryLost,
    /// When what was watched is gone.
    pub on_invalidate: OnInvalidate,
    /// The position is saved after so many events. Default: 1,000.
    pub save_events: u64,
    /// And after so long, on quiet streams too. Default: 1 s.
    pub save_every: Duration,
    /// Without any word from the server for so long, not even that there is nothing, the stream has stalled: it is opened
    /// again from its position. At least twice as long as the server waits before it says that there is nothing
    /// (`max_await`, 1 s). Default: 60 s.
    pub stalled_after: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrency: 1,
            queue: 1_000,
            retries: 3,
            pause: Backoff::default(),
            on_failure: OnFailure::default(),
            on_history_lost: OnHistoryLost::default(),
            on_invalidate: OnInvalidate::default(),
            save_events: 1_000,
            save_every: Duration::from_secs(1),
            stalled_after: Some(Duration::from_secs(60)),
        }
    }
}
