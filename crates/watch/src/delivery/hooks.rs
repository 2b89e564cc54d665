//! Being told of what happens to a delivery.

use std::time::Duration;

use crate::{Error, Event, Result, Token};

/// What a program may want to be told of. Every method does nothing unless it is written. They are called where things
/// happen, so they have to be quick: what takes long belongs into a channel.
pub trait Hooks: Send + Sync {
    /// An event came, and waits for its turn.
    fn came(&self, event: &Event) {
        let _ = event;
    }

    /// An event was dealt with.
    fn delivered(&self, event: &Event, took: Duration) {
        let _ = (event, took);
    }

    /// A try failed, the first one with the number 1.
    fn failed(&self, event: &Event, error: &str, attempt: u32) {
        let _ = (event, error, attempt);
    }

    /// An event was given up after so many tries.
    fn given_up(&self, event: &Event, error: &str, attempts: u32) {
        let _ = (event, error, attempts);
    }

    /// The stream goes on after the server was away.
    fn reconnected(&self) {}

    /// The server has forgotten the changes that come next.
    fn history_lost(&self, error: &Error) {
        let _ = error;
    }

    /// The position was saved.
    fn saved(&self, position: &Token) {
        let _ = position;
    }

    /// The server has said nothing for too long, not even that there is nothing. The stream is opened again.
    fn stalled(&self, silent_for: Duration) {
        let _ = silent_for;
    }

    /// It is over.
    fn ended(&self, end: &Result<()>) {
        let _ = end;
    }
}
