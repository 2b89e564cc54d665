//! Signs of life of a stream, for those who look on while somebody waits for its next event.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When a stream was last heard of, and what it went through.
#[derive(Debug)]
pub(crate) struct Pulse {
    began: Instant,
    /// Since it began.
    heard_ms: AtomicU64,
    errors: AtomicU64,
    reconnects: AtomicU64,
    away: AtomicBool,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            heard_ms: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
            away: AtomicBool::new(false),
        }
    }
}

impl Pulse {
    /// The server had something to say, if only that there is nothing.
    pub(crate) fn heard(&self) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard_ms.store(since, Ordering::Relaxed);
    }

    /// The server was lost, or is still away. That is no silence: somebody is looking for it.
    pub(crate) fn lost(&self) {
        self.heard();
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.away.store(true, Ordering::Relaxed);
    }

    /// The stream goes on.
    pub(crate) fn back(&self) {
        self.away.store(false, Ordering::Relaxed);
        self.reconnects.fetch_add(1, Ordering::Relaxed);
    }

    /// When it was last heard of.
    pub(crate) fn heard_at(&self) -> Instant {
        self.began + Duration::from_millis(self.heard_ms.load(Ordering::Relaxed))
    }

    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    pub(crate) fn reconnects(&self) -> u64 {
        self.reconnects.load(Ordering::Relaxed)
    }

    /// Whether the server is being looked for.
    pub(crate) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_looked_for_is_away_and_not_silent() {
        let pulse = Pulse::default();
        pulse.lost();
        pulse.lost();
        assert!(pulse.is_away());
        pulse.back();
        assert!(!pulse.is_away());
        assert_eq!((pulse.errors(), pulse.reconnects()), (2, 1));
        assert!(pulse.heard_at() <= Instant::now());
    }
}
