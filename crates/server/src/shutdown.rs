//! Stopping, seen from everywhere.

use std::sync::Arc;

use tokio::sync::watch;

/// Starts the end of a server, and tells everyone who waits. Clones are the same switch.
#[derive(Debug, Clone)]
pub struct Shutdown {
    started: Arc<watch::Sender<bool>>,
}

impl Shutdown {
    pub(crate) fn new() -> Self {
        Self { started: Arc::new(watch::Sender::new(false)) }
    }

    /// Stops accepting, ends all waits, closes connections after their current command.
    pub fn start(&self) {
        self.started.send_replace(true);
    }

    /// Whether the end has started.
    pub fn has_started(&self) -> bool {
        *self.started.borrow()
    }

    /// Returns when the end has started.
    pub async fn started(&self) {
        // The sender lives in `self`, so the channel cannot be closed.
        let _ = self.started.subscribe().wait_for(|started| *started).await;
    }
}
